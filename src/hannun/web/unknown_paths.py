"""The response where no route has the path: a page for people, problem details for programs."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hannun.web.accept import weights_in
from hannun.web.language import Language, language_of
from hannun.web.problem_codes import CODES
from hannun.web.problems import problem_of_status

_VARY = "Accept, Accept-Language"
_HOME: dict[Language, str] = {"ko": "한눈 첫 화면으로", "en": "Go to the start page"}
_PAGE = """\
<!doctype html>
<html lang="{language}">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>{title}</title>
    <style>
      body {{ max-width: 32rem; margin: 20vh auto 0; padding: 0 1.5rem; font: 1rem/1.6 system-ui, sans-serif; }}
      a {{ display: inline-block; padding: 0.75rem 0; }}
    </style>
  </head>
  <body>
    <main>
      <h1>{title}</h1>
      <p><a href="/">{home}</a></p>
    </main>
  </body>
</html>
"""


def response_to_unknown_path(request: Request) -> Response:
    """404: a page with a way home where the client prefers HTML, as browsers do, else problem details."""
    if not prefers_html(request.headers.get("accept")):
        return problem_of_status(404, request, {"Vary": _VARY})
    language = language_of(request.headers.get("accept-language"))
    kind = CODES["no-such-path"]
    title = kind.ko if language == "ko" else kind.en
    return HTMLResponse(
        _PAGE.format(language=language, title=escape(title), home=escape(_HOME[language])),
        kind.status,
        {"Content-Language": language, "Vary": _VARY, "Cache-Control": "no-store"},
    )


def prefers_html(accept: str | None) -> bool:
    """Whether an Accept header names HTML, and JSON not with a higher weight. `*/*` names neither."""
    weights = dict(weights_in(accept))
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= max(weights.get("application/json", 0.0), weights.get("application/problem+json", 0.0))
