"""The response where no route has the path: a page for people, problem details for programs."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hannun.web.accept import weights_in
from hannun.web.language import Language, language_of
from hannun.web.problem_codes import CODES
from hannun.web.problems import problem_of_status
from hannun.web.static_files import static_files

_VARY = "Accept, Accept-Language"
_NAME: dict[Language, str] = {"ko": "한눈", "en": "Hannun"}
_HINT: dict[Language, str] = {"ko": "주소를 다시 확인해 주세요.", "en": "Check the address."}
_CHOSEN: dict[str, Language] = {"ko": "ko", "en": "en"}
"""The languages that the page's own addresses may name in `lang`."""
_HOME: dict[Language, str] = {"ko": "한눈 첫 화면으로", "en": "Go to the start page"}
_PAGE = """\
<!doctype html>
<html lang="{language}">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>{title} · {name}</title>
    <link rel="icon" href="/static/{version}/favicon.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/static/{version}/app.css" />
  </head>
  <body>
    <header class="app-header">
      <a class="brand" href="{start}">
        <img src="/static/{version}/favicon.svg" width="28" height="28" alt="" />{name}
      </a>
    </header>
    <main>
      <section class="empty-state">
        <h1>{title}</h1>
        <p>{hint}</p>
        <p class="empty-state-actions"><a class="button primary" href="{start}">{home}</a></p>
      </section>
    </main>
  </body>
</html>
"""


def response_to_unknown_path(request: Request) -> Response:
    """404: a page with a way home where the client prefers HTML, as browsers do, else problem details."""
    if not prefers_html(request.headers.get("accept")):
        return problem_of_status(404, request, {"Vary": _VARY})
    chosen = _CHOSEN.get(request.query_params.get("lang", ""))
    language = chosen or language_of(request.headers.get("accept-language"))
    kind = CODES["no-such-path"]
    title = kind.ko if language == "ko" else kind.en
    start = f"/?lang={chosen}" if chosen else "/"
    texts = {"start": start, "title": title, "name": _NAME[language], "hint": _HINT[language], "home": _HOME[language]}
    page = _PAGE.format(
        language=language, version=static_files().version, **{name: escape(text) for name, text in texts.items()}
    )
    return HTMLResponse(
        page,
        kind.status,
        {"Content-Language": language, "Vary": _VARY, "Cache-Control": "no-store"},
    )


def prefers_html(accept: str | None) -> bool:
    """Whether an Accept header names HTML, and JSON not with a higher weight. `*/*` names neither."""
    weights = dict(weights_in(accept))
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= max(weights.get("application/json", 0.0), weights.get("application/problem+json", 0.0))
