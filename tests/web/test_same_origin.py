"""A page of another origin cannot change anything through a user's cookie; SameSite does not consider ports."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from fastapi.routing import APIRoute
from served import OTHER_MERCHANT, Site
from world import OWNER, SPRING

from hannun.errors import OperatorError
from hannun.settings import Settings
from hannun.web.app import application

SHOP = "https://shop.example.com"
SAFE = {"GET", "HEAD", "OPTIONS"}
OTHERS = {
    "a page of another site": {"Sec-Fetch-Site": "cross-site"},
    "a page on another port": {"Sec-Fetch-Site": "same-site"},
    "a value from the future": {"Sec-Fetch-Site": "same-party"},
    "an empty value": {"Sec-Fetch-Site": ""},
    "another origin": {"Origin": SHOP},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "another scheme": {"Origin": "https://HOST"},
    "a sandboxed page": {"Origin": "null"},
    "an empty origin": {"Origin": ""},
    "an address that was typed, with another origin": {"Sec-Fetch-Site": "none", "Origin": SHOP},
    "a suffix": {"Origin": "http://HOST.example.com"},
}
OURS = {
    "our page": {"Sec-Fetch-Site": "same-origin", "Origin": "http://HOST"},
    "our page, by an old browser": {"Origin": "http://HOST"},
    "our page, behind a proxy that changes Host": {"Sec-Fetch-Site": "same-origin", "Origin": SHOP},
    "a program": {},
}
SIMPLE_TYPES = (
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    None,
)


def routes_of(site: Site) -> Iterator[APIRoute]:
    app = application(site.services)
    routers = [app, *(route.original_router for route in app.routes if hasattr(route, "original_router"))]
    return (route for router in routers for route in router.routes if isinstance(route, APIRoute))


def changing_requests(site: Site) -> list[tuple[str, str]]:
    """Method and path of every route that changes something."""
    requests = [
        (
            method,
            re.sub(r"{event_id}", SPRING, route.path)
            .replace("{share_id}", "a-link")
            .replace("{channel_name}", "NAVER"),
        )
        for route in routes_of(site)
        for method in sorted(route.methods - SAFE)
    ]
    assert "{" not in str(requests), "a parameter for which this test has no value"
    return requests


def body_of(path: str, site: Site) -> dict[str, object]:
    if path.endswith("/shares"):
        return {"until": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    if path.endswith("/totals"):
        return {"views": 5}
    if "/dead-letters/" in path:
        return {"numbers": [1]}
    return {"token": site.token(OTHER_MERCHANT), "share": "guessed"}


def with_cookie(site: Site, headers: dict[str, str]) -> dict[str, str]:
    host = site.address.removeprefix("http://")
    headers = {name: value.replace("HOST", host) for name, value in headers.items()}
    return {
        "Cookie": f"hannun_session={site.token(OWNER, 'MERCHANT', 'SERVICE', 'ADMIN')}; hannun_share=guessed",
        **headers,
    }


def send(site: Site, method: str, path: str, headers: dict[str, str]) -> httpx2.Response:
    json = None if method == "DELETE" else body_of(path, site)
    return site.anonymous.request(method, path, json=json, headers=with_cookie(site, headers))


def shares_in(site: Site) -> list[object]:
    return list(site.owner.get(f"/api/v1/events/{SPRING}/shares").json()["shares"])


def test_no_page_of_another_origin_changes_anything_by_a_cookie(site: Site) -> None:
    site.send(site.world.created())
    assert len(changing_requests(site)) == 11
    for method, path in changing_requests(site):
        for who, headers in OTHERS.items():
            answer = send(site, method, path, headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path, who)
            assert "set-cookie" not in answer.headers
    assert shares_in(site) == []


def test_our_own_page_and_programs_use_every_route(site: Site) -> None:
    site.send(site.world.created())
    expected = {
        ("POST", "/api/v1/messages"): {403},  # a cookie sends no messages, wherever the page is from
        ("POST", "/api/v1/sign-in-codes"): {403},  # nor does it make a code
        ("POST", "/api/v1/session"): {204},
        ("DELETE", "/api/v1/session"): {204},
        ("POST", f"/api/v1/events/{SPRING}/shares"): {201},
        ("DELETE", f"/api/v1/events/{SPRING}/shares/a-link"): {404},
        ("POST", f"/api/v1/events/{SPRING}/channels/NAVER/totals"): {200},
        ("POST", "/api/v1/operations/dead-letters/retry"): {200},
        ("POST", "/api/v1/operations/dead-letters/drop"): {200},
        ("POST", f"/api/v1/events/{SPRING}/session"): {404},
        ("DELETE", f"/api/v1/events/{SPRING}/session"): {204},
    }
    for request in changing_requests(site):
        assert {send(site, *request, headers).status_code for headers in OURS.values()} == expected[request], request


def test_a_body_by_a_cookie_must_have_a_type_that_no_form_can_send(site: Site) -> None:
    site.send(site.world.created())
    bearer_only = ("/messages", "/sign-in-codes")
    paths = [path for method, path in changing_requests(site) if method == "POST" and not path.endswith(bearer_only)]
    assert len(paths) == 6
    for path in paths:
        for media_type in SIMPLE_TYPES:
            headers = with_cookie(site, {} if media_type is None else {"Content-Type": media_type})
            answer = site.anonymous.post(path, content=b'{"until": "2026-12-31T00:00:00Z"}', headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type"), (path, media_type)
        headers = with_cookie(site, {"Content-Type": "application/json; charset=utf-8"})
        assert site.anonymous.post(path, json=body_of(path, site), headers=headers).status_code in (200, 201, 204, 404)
    assert len(shares_in(site)) == 1


def test_a_bearer_token_is_no_cookie(site: Site) -> None:
    """Only a caller who has the token can send it, from whatever origin and in whatever form: `curl -d` works."""
    site.send(site.world.created())
    for headers in ({}, *OTHERS.values()):
        body = b'{"until": "%s"}' % body_of("/shares", site)["until"].encode()
        headers = {**with_cookie(site, headers), "Content-Type": "application/x-www-form-urlencoded"}
        answer = site.owner.post(f"/api/v1/events/{SPRING}/shares", content=body, headers=headers)
        assert answer.status_code == 201, headers


def test_an_authorization_header_without_a_bearer_token_does_not_hide_a_cookie(site: Site) -> None:
    site.send(site.world.created())
    for authorization in ("Basic eA==", "Bearer", "Basic Bearer"):
        headers = {"Authorization": authorization, "Sec-Fetch-Site": "same-site"}
        assert send(site, "POST", f"/api/v1/events/{SPRING}/shares", headers).status_code == 403, authorization
    assert shares_in(site) == []


def test_the_public_origin_of_a_proxy_is_ours(site_with: Callable[..., Site]) -> None:
    site = site_with(public_origins=f"{SHOP}, https://other.example.com")
    assert send(site, "POST", "/api/v1/session", {"Origin": SHOP}).status_code == 204
    assert send(site, "POST", "/api/v1/session", {"Origin": "https://evil.example.com"}).status_code == 403


def test_behind_tls_our_origin_is_https(site_with: Callable[..., Site]) -> None:
    site = site_with(secure_cookies=True)
    assert send(site, "POST", "/api/v1/session", {"Origin": "https://HOST"}).status_code == 204
    assert send(site_with(), "POST", "/api/v1/session", {"Origin": "https://HOST"}).status_code == 403


@pytest.mark.parametrize("origins", ["*", "https://shop.example.com/", "shop.example.com"])
def test_what_is_no_public_origin_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(OperatorError, match="HANNUN_PUBLIC_ORIGINS"):
        _ = Settings(public_origins=origins).own_origins
