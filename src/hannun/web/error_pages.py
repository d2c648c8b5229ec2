"""The response to an error: a page for people, problem details for programs, by the Accept header."""

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hannun.web.accept import weights_in
from hannun.web.language import Language, chosen_language, language_of
from hannun.web.logo import CLOSED_LOGO, LOGO
from hannun.web.problems import DescribedProblem, Problem, described, described_status, problem_of, problem_of_status
from hannun.web.static_files import THEME_COOKIES, chosen_theme, static_files

_NAME: dict[Language, str] = {"ko": "한눈", "en": "Hannun"}
_HOME: dict[Language, str] = {"ko": "한눈 첫 화면으로", "en": "Go to the start page"}
_AGAIN: dict[Language, str] = {"ko": "다시 해 보기", "en": "Try again"}
_NO_SUCH_PATH: dict[Language, str] = {"ko": "없는 주소예요", "en": "There is no page here"}
_TITLES: dict[int, dict[Language, str]] = {
    400: {"ko": "이 주소로는 열 수 없어요", "en": "This address cannot be opened"},
    401: {"ko": "로그인이 필요해요", "en": "You need to sign in"},
    403: {"ko": "이 화면을 볼 권한이 없어요", "en": "You may not see this page"},
    404: {"ko": "찾을 수 없어요", "en": "Nothing was found here"},
    429: {"ko": "요청이 잠시 몰렸어요", "en": "Too many requests for a moment"},
    500: {"ko": "서버에 문제가 생겼어요", "en": "Something went wrong on our side"},
    503: {"ko": "서버가 잠시 쉬고 있어요", "en": "The server is unavailable for a moment"},
}
"""What happened, by status: as the page says it. The titles of problem details speak to programs."""
_HINTS: dict[int, dict[Language, str]] = {
    400: {
        "ko": "주소를 다시 확인하거나 첫 화면에서 다시 골라 주세요.",
        "en": "Check the address, or choose again from the start page.",
    },
    401: {"ko": "첫 화면에서 로그인한 뒤 다시 열어 주세요.", "en": "Sign in on the start page, then open this again."},
    403: {
        "ko": "첫 화면에서 다른 계정으로 로그인하거나 관리자에게 권한을 요청해 주세요.",
        "en": "Sign in with another account on the start page, or ask an administrator for access.",
    },
    404: {
        "ko": "주소를 다시 확인하거나 첫 화면에서 다시 골라 주세요.",
        "en": "Check the address, or choose again from the start page.",
    },
    429: {"ko": "조금 뒤에 다시 해 주세요.", "en": "Wait a moment, then try again."},
    500: {
        "ko": "잠시 뒤에 다시 해 주세요. 계속되면 관리자에게 알려 주세요.",
        "en": "Try again in a moment. If it stays, tell an administrator.",
    },
    503: {"ko": "조금 뒤에 다시 해 주세요.", "en": "Try again in a moment."},
}
"""What to do, by status."""
_THEMES: dict[str, dict[Language, str]] = {
    "auto": {"ko": "화면 색: 기기 설정대로", "en": "Colours: as your device"},
    "light": {"ko": "화면 색: 밝게", "en": "Colours: light"},
    "dark": {"ko": "화면 색: 어둡게", "en": "Colours: dark"},
}
"""The choices in the order of the page's switch, in its words."""
_THEME_LASTS_S = 365 * 86_400
_OTHER: dict[Language, tuple[Language, str]] = {"ko": ("en", "English"), "en": ("ko", "한국어")}
_THEME_ICON = (
    '<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="M10 3a7 7 0 1 0 0 14a7 7 0 1 0 0-14'
    'M10 3v14a7 7 0 0 0 0-14z" fill="currentColor" fill-rule="evenodd" stroke="currentColor" stroke-width="1.6"/></svg>'
)
_TRANSIENT = (408, 429, 500, 503)
"""The statuses whose page offers to open the same address again."""
_PAGE = """\
<!doctype html>
<html lang="{language}"{theme}>
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
      <a class="brand" href="{start}">{logo}<span>{name}</span></a>
      <div class="app-actions">{switches}</div>
    </header>
    <main>
      <section class="empty-state">
        {closed_logo}
        <h1>{title}</h1>
        <p>{hint}</p>{detail}
        <p class="empty-state-actions">{again}<a class="button{primary}" href="{start}">{home}</a></p>
      </section>
    </main>
  </body>
</html>
"""


def response_to_error(error: BaseException, request: Request) -> Response:
    """The response to an error: a page where the client prefers HTML, as browsers do, else problem details."""
    if not prefers_html(request.headers.get("accept")):
        return problem_of(error, request)
    return _page(described(error, request, _language(request)), request)


def response_to_status(status: int, request: Request, headers: Mapping[str, str] | None = None) -> Response:
    """The response to a request that no route takes: a page where the client prefers HTML, else problem details."""
    if not prefers_html(request.headers.get("accept")):
        return problem_of_status(status, request, headers)
    return _page(described_status(status, request, _language(request), headers), request)


def response_to_unknown_path(request: Request) -> Response:
    """404 where no route has the path."""
    return response_to_status(404, request)


def _language(request: Request) -> Language:
    return chosen_language(request) or language_of(request.headers.get("accept-language"))


def _page(answer: DescribedProblem, request: Request) -> Response:
    """What happened, what to do, and a way back."""
    problem, language = answer.problem, answer.language
    chosen = chosen_language(request)
    requested = request.query_params.get("theme")
    choice = requested if requested in _THEMES else chosen_theme(request) or "auto"
    transient = problem.status in _TRANSIENT
    # An empty reference is the address of this page, whichever path was requested: none can lead to another host.
    again = f'<a class="button primary" href="">{escape(_AGAIN[language])}</a> ' if transient else ""
    page = _PAGE.format(
        language=language,
        logo=LOGO,
        closed_logo=CLOSED_LOGO,
        theme="" if choice == "auto" else f' data-theme="{choice}"',
        switches=_switches(request, language, choice),
        version=static_files().version,
        start=f"/?lang={chosen}" if chosen else "/",
        title=_title(problem)[language],
        name=_NAME[language],
        hint=_text_of(problem.status, _HINTS)[language],
        detail=f'\n        <p class="code">{escape(problem.detail)}</p>'
        if problem.status == 400 and problem.detail
        else "",
        again=again,
        primary="" if transient else " primary",
        home=_HOME[language],
    )
    response = HTMLResponse(page, problem.status, dict(answer.headers))
    if choice == requested:
        lasts_s = 0 if choice == "auto" else _THEME_LASTS_S
        secure = request.app.state.services.secure_cookies
        name = THEME_COOKIES[0 if secure else 1]
        response.set_cookie(name, choice, lasts_s, secure=secure, samesite="lax")
    return response


def _switches(request: Request, language: Language, choice: str) -> str:
    """Links to the same address in the next theme and in the other language. They work without scripts."""
    choices = list(_THEMES)
    following = choices[(choices.index(choice) + 1) % len(choices)]
    other, its_name = _OTHER[language]
    name = escape(_THEMES[choice][language])
    return (
        f'<a class="button quiet icon theme-switch" href="{_with(request, "theme", following)}" aria-label="{name}" '
        f'title="{name}">{_THEME_ICON}</a><a class="button quiet" href="{_with(request, "lang", other)}" '
        f'lang="{other}" hreflang="{other}">{its_name}</a>'
    )


def _with(request: Request, name: str, value: str) -> str:
    """The address of the request with another value of a parameter, relative to itself."""
    others = [(key, each) for key, each in request.query_params.multi_items() if key != name]
    return escape(f"?{urlencode([*others, (name, value)])}")


def _title(problem: Problem) -> dict[Language, str]:
    return _NO_SUCH_PATH if problem.code == "no-such-path" else _text_of(problem.status, _TITLES)


def _text_of(status: int, texts: dict[int, dict[Language, str]]) -> dict[Language, str]:
    """The text of a status. Another one of 4xx is as 400, another one of 5xx as 500."""
    return texts.get(status) or texts[500 if status >= 500 else 400]


def prefers_html(accept: str | None) -> bool:
    """Whether an Accept header names HTML, and JSON not with a higher weight. `*/*` names neither."""
    weights = dict(weights_in(accept))
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= max(weights.get("application/json", 0.0), weights.get("application/problem+json", 0.0))
