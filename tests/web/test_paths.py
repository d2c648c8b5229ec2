"""Paths and methods: HEAD, slashes and line breaks at the end, paths that no route has."""

import html
import re
from collections.abc import Iterator

import httpx2
import pytest
from served import Site, open_site
from test_authorization import NONE
from test_fast_path import reached
from test_roles import in_a_day
from test_route_limits import routes_in
from world import OWNER, SPRING, World

from hannun.errors import StoreUnavailable
from hannun.web.app import application
from hannun.web.error_pages import prefers_html

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ANALYTICS = f"/api/v1/events/{SPRING}/analytics"


def requests_to(site: Site) -> Iterator[tuple[str, str]]:
    """Method and an existing path of every route."""
    for route in routes_in(application(site.services)):
        method, path = route.split(" ")
        path = (
            path.replace("{event_id}", SPRING)
            .replace("{user_id}", OWNER)
            .replace("{share_id}", "a-link")
            .replace("{channel_name}", "NAVER")
        )
        yield method, "/static/favicon.svg" if path == "/static" else path


def comparable(answer: httpx2.Response) -> tuple[int, dict[str, str]]:
    left_out = {"date", "transfer-encoding"} | ({"content-length"} if answer.url.path == "/metrics" else set())
    return answer.status_code, {name: value for name, value in answer.headers.items() if name not in left_out}


def test_head_is_get_without_a_body_on_every_route_but_live_streams(site: Site) -> None:
    site.send(site.world.created(), site.world.registered("p1"))
    paths = [path for method, path in requests_to(site) if method == "GET"]
    assert len(paths) > 20
    for path in (*paths, "/nowhere", "/api/v1/nowhere", f"{ANALYTICS}?tz=nowhere", f"{ANALYTICS}/roi?format=csv"):
        head = site.owner.head(path)
        if path.endswith("/live") and path.startswith("/api/"):
            assert (head.status_code, head.headers["allow"]) == (405, "GET"), path
            continue
        assert head.content == b"", path
        site.owner.get(path)  # which may fill the cache
        assert comparable(site.owner.head(path)) == comparable(site.owner.get(path)), path
        assert "content-length" in head.headers or path.endswith("format=csv"), path


def test_head_is_answered_by_the_fast_path(site: Site) -> None:
    site.send(site.world.created())
    token = site.token(OWNER)
    client = site.with_token(token)
    etag = client.get(ANALYTICS).headers["etag"]
    assert not reached(site, ANALYTICS, {"Authorization": f"Bearer {token}"}, method="HEAD")
    for headers in ({}, {"If-None-Match": etag}):
        assert comparable(client.head(ANALYTICS, headers=headers)) == comparable(client.get(ANALYTICS, headers=headers))


def test_allow_names_head_where_get_is_allowed(site: Site) -> None:
    for path, methods in (
        ("/", {"GET", "HEAD"}),
        ("/static/app.css", {"GET", "HEAD"}),
        ("/health/live", {"GET", "HEAD"}),
        (ANALYTICS, {"GET", "HEAD"}),
        ("/api/v1/session", {"GET", "HEAD", "POST", "DELETE"}),
        ("/api/v1/messages", {"POST"}),
    ):
        answer = site.owner.patch(path)
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, methods), path


def test_a_slash_at_the_end_is_another_path_and_redirects_nowhere(site: Site) -> None:
    site.send(site.world.created())
    for method, path in requests_to(site):
        answer = site.owner.request(method, path if path == "/" else f"{path}/", headers={"Host": "evil.example"})
        assert "evil" not in str(answer.headers) + answer.text, path
        assert path == "/" or (answer.status_code, answer.json()["code"]) == (404, "no-such-path"), path
    assert site.owner.get("/static").status_code == 404


def test_a_line_break_at_the_end_is_another_path(site: Site) -> None:
    site.send(site.world.created())
    before = site.owner.get(ANALYTICS).json()
    for method, path in (*requests_to(site), ("GET", "/nowhere")):
        for ending in ("%0A", "%0a", "%0A%0A"):
            answer = site.owner.request(method, path + ending)
            assert (answer.status_code, answer.json()["code"]) == (404, "no-such-path"), (method, path)
    for other in ("%0D", "%20", "%0A/", "%00"):
        answer = site.owner.get(ANALYTICS + other)
        assert (answer.status_code, answer.json()["code"]) == (404, "no-such-path"), other
    assert site.owner.get(ANALYTICS).json() == before


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/static/nowhere.js", f"{ANALYTICS}/", "/docs%0A"])
def test_an_unknown_path_is_a_page_in_a_browser(site: Site, path: str) -> None:
    for language, title, home in (
        ("ko-KR,ko;q=0.9,en;q=0.8", "없는 주소예요", "한눈 첫 화면으로"),
        ("en-US", "There is no page here", "Go to the start page"),
    ):
        headers = {"Accept": BROWSER, "Accept-Language": language}
        answer = site.anonymous.get(path, headers=headers)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-language"] == language[:2]
        assert re.findall("<h1>(.*)</h1>", answer.text) == [title]
        assert re.findall('<a class="button primary" href="/">(.*)</a>', answer.text) == [home]
        assert "content-security-policy" in answer.headers
        problem = site.anonymous.get(path, headers={"Accept": "application/json", "Accept-Language": language})
        assert (problem.json()["code"], problem.headers["vary"]) == ("no-such-path", answer.headers["vary"])


async def unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailable("away")


async def broken(*_: object, **__: object) -> None:
    raise RuntimeError("a defect")


def open_in_browser(client: httpx2.Client, path: str, language: str = "ko") -> httpx2.Response:
    """The response to a browser, whose status, headers and body also a program would have understood."""
    answer = client.get(path, headers={"Accept": BROWSER, "Accept-Language": language})
    assert answer.headers["content-type"] == "text/html; charset=utf-8", answer.text
    assert answer.headers["content-language"] == language
    assert {"Accept", "Accept-Language"} <= set(answer.headers["vary"].split(", "))
    assert answer.headers["cache-control"] == "no-store"
    assert "content-security-policy" in answer.headers
    return answer


def assert_is_page(answer: httpx2.Response, status: int, title: str, *actions: str) -> None:
    assert (answer.status_code, re.findall("<h1>(.*)</h1>", answer.text)) == (status, [title])
    main = answer.text.partition("<main>")[2]
    assert re.findall('<a class="button[^>]*>(.*?)</a>', main) == list(actions)


def test_an_error_is_a_page_in_a_browser_with_what_to_do_and_a_way_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for language, again, home, titles in (
        (
            "ko",
            "다시 해 보기",
            "한눈 첫 화면으로",
            (
                "이 주소로는 열 수 없어요",
                "로그인이 필요해요",
                "이 화면을 볼 권한이 없어요",
                "찾을 수 없어요",
                "서버가 잠시 쉬고 있어요",
                "서버에 문제가 생겼어요",
            ),
        ),
        (
            "en",
            "Try again",
            "Go to the start page",
            (
                "This address cannot be opened",
                "You need to sign in",
                "You may not see this page",
                "Nothing was found here",
                "The server is unavailable for a moment",
                "Something went wrong on our side",
            ),
        ),
    ):
        assert_is_page(open_in_browser(site.admin, f"{ANALYTICS}?startDate=x", language), 400, titles[0], home)
        assert_is_page(open_in_browser(site.anonymous, ANALYTICS, language), 401, titles[1], home)
        assert_is_page(open_in_browser(site.service, ANALYTICS, language), 403, titles[2], home)
        assert_is_page(open_in_browser(site.admin, f"/api/v1/events/{NONE}/analytics", language), 404, titles[3], home)
        for failing, status, title in ((unavailable, 503, titles[4]), (broken, 500, titles[5])):
            with monkeypatch.context() as patched:
                patched.setattr(site.services.reports, "answer", failing)
                answer = open_in_browser(site.owner, f"/api/v1/users/{OWNER}/analytics?limit=7", language)
            assert_is_page(answer, status, title, again, home)
            assert ("retry-after" in answer.headers) == (status == 503)


def test_the_page_of_an_error_switches_theme_and_language_without_scripts(site: Site) -> None:
    path = f"{ANALYTICS}?startDate=x%22%3E"
    page = open_in_browser(site.admin, path)
    assert 'aria-label="화면 색: 기기 설정대로"' in page.text and "data-theme" not in page.text
    dark, english = re.findall('<div class="app-actions">.*?href="(.*?)".*?href="(.*?)"', page.text)[0]
    assert (html.unescape(dark), html.unescape(english)) == (
        "?startDate=x%22%3E&theme=light",
        "?startDate=x%22%3E&lang=en",
    )
    light = open_in_browser(site.admin, f"{ANALYTICS}{html.unescape(dark)}")
    assert light.status_code == 400 and '<html lang="ko" data-theme="light">' in light.text
    assert light.headers["set-cookie"] == "hannun_theme=light; Max-Age=31536000; Path=/; SameSite=lax"
    auto = open_in_browser(site.admin, f"{path}&theme=auto")
    assert "data-theme" not in auto.text and "Max-Age=0" in auto.headers["set-cookie"]
    assert "set-cookie" not in open_in_browser(site.admin, f"{path}&theme=pink").headers


def test_what_a_caller_sent_is_text_in_the_page_of_its_error(site: Site) -> None:
    answer = open_in_browser(site.admin, f"{ANALYTICS}?%3Cscript%3E=1")
    assert answer.status_code == 400
    assert "<script>" not in answer.text and "&lt;script&gt;" in answer.text


def test_above_the_limit_a_page_says_so_with_when_to_try_again(world: World) -> None:
    with open_site(world, page_requests_a_minute=1) as site:
        site.anonymous.get("/docs")
        for path in ("/", "//another.example/"):
            answer = open_in_browser(site.anonymous, path)
            assert_is_page(answer, 429, "요청이 잠시 몰렸어요", "다시 해 보기", "한눈 첫 화면으로")
            assert int(answer.headers["retry-after"]) > 0
            assert "another.example" not in answer.text
        problem = site.anonymous.get("/", headers={"Accept": "*/*"})
        assert problem.json()["code"] == "too-many-requests"


def test_what_prefers_html() -> None:
    for accept in (BROWSER, "text/html", "TEXT/HTML;q=0.1", "application/json;q=0.5, text/html"):
        assert prefers_html(accept), accept
    for accept in (None, "", "*/*", "text/*", "application/json", "text/html;q=0", "text/html;q=0.5, application/json"):
        assert not prefers_html(accept), accept


def test_nothing_below_an_event_that_does_not_exist_is_there_for_an_admin(site: Site) -> None:
    site.send(site.world.created())
    template = f"/api/v1/events/{SPRING}/"
    paths = [(method, path) for method, path in requests_to(site) if path.startswith(template)]
    assert len(paths) >= 8
    for method, path in paths:
        if path.endswith("/session"):  # of a share link's cookie, whoever signs in
            continue
        path = path.replace(SPRING, NONE)
        body = {"views": 1} if path.endswith("/totals") else {"until": in_a_day()}
        answer = site.admin.request(method, path, json=body if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), (method, path)
    assert site.admin.get(f"/api/v1/events/{SPRING}/shares").json() == {"shares": []}
