"""Paths and methods: HEAD, slashes and line breaks at the end, paths that no route has."""

import re
from collections.abc import Iterator

import httpx2
import pytest
from served import Site
from test_authorization import NONE
from test_fast_path import reached
from test_roles import in_a_day
from test_route_limits import routes_in
from world import OWNER, SPRING

from hannun.web.app import application
from hannun.web.unknown_paths import prefers_html

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
        ("ko-KR,ko;q=0.9,en;q=0.8", "없는 주소입니다", "한눈 첫 화면으로"),
        ("en-US", "There is no such path", "Go to the start page"),
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
        assert (problem.json()["title"], problem.headers["vary"]) == (title, answer.headers["vary"])


def test_an_event_that_does_not_exist_is_a_problem_also_in_a_browser(site: Site) -> None:
    """Its path exists, and programs call it. The page of the event has another path."""
    answer = site.admin.get(f"/api/v1/events/{NONE}/analytics", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


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
