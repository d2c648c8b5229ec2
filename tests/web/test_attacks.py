"""Attacks on the running service, as a stranger, a merchant or the holder of a link would try them, on every route.

What other pages of the tests try is not repeated: sites of another origin (`test_same_origin`), connections
(`test_connections`), tokens (`test_tokens`), limits (`test_route_limits`), arbitrary requests (`test_fuzz`).
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
import structlog
from served import OTHER_MERCHANT, SECRET, Site
from test_connections import Connection
from test_shares import create_link, secret_of, until
from world import OWNER, SPRING

from hannun.web.app import application

NONE = "5b0c2f64-0000-4000-8000-00000000000f"
OTHERS_EVENT = "5b0c2f64-0000-4000-8000-000000000009"
NOBODY = "0d1e8a52-0000-4000-8000-0000000000ff"
FORMS = ("", "format=csv", "format=xlsx", "format=pdf", "format=txt", "refresh=true")
BODIES: dict[str, dict[str, Any]] = {
    "shares": {"until": "2999-01-01T00:00:00Z"},
    "totals": {"exposure": 1},
    "session": {"share": "guessed"},
}


@pytest.fixture
def site(site: Site) -> Site:
    """The event of the owner, and one of another merchant."""
    site.world.count(
        site.world.created(), site.world.created(OTHERS_EVENT, owner=OTHER_MERCHANT), site.world.registered("p1")
    )
    return site


def requests_to(site: Site, name: str) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """Method, path and body of all documented routes with this parameter in their path, in every form of an answer."""
    for path, methods in application(site.services).openapi()["paths"].items():
        if f"{{{name}}}" not in path:
            continue
        filled = path.replace("{shareId}", "a-link").replace("{channelName}", "NAVER")
        for method in methods:
            body = BODIES.get(path.rpartition("/")[2]) if method == "post" else None
            for form in FORMS if method == "get" and "/analytics" in path else FORMS[:1]:
                yield method.upper(), f"{filled}?{form}".rstrip("?"), body


def refusal(answer: httpx2.Response) -> tuple[int, dict[str, Any], set[str]]:
    """A refusal without the path: status, body, names of the headers."""
    problem = {name: value for name, value in answer.json().items() if name != "instance"}
    return answer.status_code, problem, set(answer.headers)


def test_nobody_reads_or_changes_the_event_of_another_by_its_id_on_any_route(site: Site) -> None:
    link_of_another_event = secret_of(create_link(site.other_merchant, OTHERS_EVENT))
    ended = create_link(site.owner)
    site.owner.delete(f"/api/v1/events/{SPRING}/shares/{ended['shareId']}")
    attackers = {
        "merchant": site.other_merchant,
        "link of another event": site.client({"Cookie": f"hannun_share={link_of_another_event}"}),
        "revoked link": site.client({"Cookie": f"hannun_share={secret_of(ended)}"}),
        "stranger": site.anonymous,
        "service": site.service,
    }
    requests = list(requests_to(site, "eventId"))
    before = site.owner.get(f"/api/v1/events/{SPRING}/analytics").headers["etag"]
    assert len(requests) > 25
    own_page = {"/session"}  # opens and closes the cookie of a link, for whoever has its secret
    for method, path, body in requests:
        for who, attacker in attackers.items():
            real, none = (
                attacker.request(method, path.replace("{eventId}", event), json=body) for event in (SPRING, NONE)
            )
            if path.endswith(tuple(own_page)) and real.status_code < 300:
                assert (real.content, real.headers.get("etag")) == (none.content, None), (who, method, path)
                continue
            assert real.status_code in (401, 403, 404), (who, method, path)
            assert refusal(real) == refusal(none), (who, method, path)
    assert len(site.owner.get(f"/api/v1/events/{SPRING}/shares").json()["shares"]) == 1
    assert site.owner.get(f"/api/v1/events/{SPRING}/analytics").headers["etag"] == before


def test_nobody_reads_the_list_of_another_merchant_by_its_id_on_any_route(site: Site) -> None:
    secret = secret_of(create_link(site.owner))
    attackers = (
        site.other_merchant,
        site.client({"Cookie": f"hannun_share={secret}"}),
        site.anonymous,
        site.service,
    )
    requests = [*requests_to(site, "userId"), ("GET", "/api/v1/events?userId={userId}", None)]
    assert len(requests) > 10
    for method, path, _ in requests:
        for attacker in attackers:
            real, none = (attacker.request(method, path.replace("{userId}", user)) for user in (OWNER, NOBODY))
            assert real.status_code in (401, 403, 404) or "format=" in path, (method, path)
            assert real.status_code >= 400, (method, path)  # 400: no merchant's list has that form
            assert refusal(real) == refusal(none), (method, path)


def test_what_only_operators_and_the_platform_may_do_is_refused_to_everybody_else(site: Site) -> None:
    paths = application(site.services).openapi()["paths"]
    functions = [
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if re.search(r"/(operations|merchants|messages|sign-in-codes)\b", path)
    ]
    assert len(functions) >= 7
    link = site.client({"Cookie": f"hannun_share={secret_of(create_link(site.owner))}"})
    for method, path in functions:
        for attacker, status in ((site.owner, 403), (link, 401), (site.anonymous, 401)):
            answer = attacker.request(method, path, json={} if method == "POST" else None)
            assert answer.status_code == status, (method, path)


def test_a_field_that_a_body_should_not_have_changes_nothing(site: Site) -> None:
    more = {
        "shareId": "mine",
        "createdBy": OTHER_MERCHANT,
        "revokedAt": None,
        "eventId": OTHERS_EVENT,
        "userId": OTHER_MERCHANT,
        "roles": ["ADMIN"],
        "role": "ADMIN",
        "expiresAt": "2999-01-01T00:00:00Z",
        "__proto__": {"roles": ["ADMIN"]},
    }
    link = site.owner.post(f"/api/v1/events/{SPRING}/shares", json={"until": until(days=1), **more}).json()
    assert link["createdBy"] == OWNER
    assert link["shareId"] != "mine"
    assert link["expiresAt"] < "2999"
    assert site.other_merchant.get(f"/api/v1/events/{OTHERS_EVENT}/shares").json()["shares"] == []
    site.anonymous.post("/api/v1/session", json={"token": site.token(OWNER), **more})
    signed_in = site.anonymous.get("/api/v1/session").json()
    assert (signed_in["userId"], signed_in["roles"]) == (OWNER, ["MERCHANT"])
    code = site.service.post("/api/v1/sign-in-codes", json={**more, "userId": OWNER, "roles": ["MERCHANT"]}).json()
    browser = site.client({})
    browser.post("/api/v1/session", json={"code": code["code"]})
    assert browser.get("/api/v1/session").json()["roles"] == ["MERCHANT"]


SMUGGLING = {
    "length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6",
    "a list of lengths": "Content-Length: 5, 6",
    "a length with a sign": "Content-Length: +5",
    "a length that is no number": "Content-Length: 0x5",
    "chunks that are not last": "Transfer-Encoding: chunked, identity",
    "another coding": "Transfer-Encoding: xchunked",
    "chunks after a tab": "Transfer-Encoding:\x0bchunked",
    "a folded header": "Transfer-Encoding:\r\n chunked",
    "a space before the colon": "Transfer-Encoding : chunked",
    "a header that a bare line feed ends": "X: y\nTransfer-Encoding: chunked",
}


@pytest.mark.parametrize("what", SMUGGLING)
def test_no_second_request_hides_in_a_body_of_two_lengths(site: Site, what: str) -> None:
    """What a proxy might take for one request is never two here: the connection ends with the first answer."""
    hidden = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with Connection(site) as connection:
        head = (
            f"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{SMUGGLING[what]}\r\n\r\n"
        )
        connection.send(head.encode() + b"0\r\n\r\n" + hidden)
        status, headers, _ = connection.response()
        assert status == 400
        assert headers["connection"] == "close"
        connection.assert_closed()


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PUT", "PATCH", "PROPFIND", "DEBUG", "OPTIONS"])
def test_no_other_method_does_anything_or_repeats_the_request(site: Site, method: str) -> None:
    for path in ("/", "/static/app.js", "/health/live", f"/api/v1/events/{SPRING}/analytics"):
        with Connection(site) as connection:
            connection.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Secret: repeated\r\n\r\n".encode())
            status, headers, body = connection.response()
            assert status in (400, 404, 405), (method, path)
            assert b"repeated" not in body
            assert "repeated" not in str(headers)


def test_no_path_leads_to_a_list_of_files_or_out_of_the_folder(site: Site) -> None:
    paths = (
        "/static",
        "/static/",
        "/static/vendor",
        "/static/vendor/",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/....//app.py",
        "/static/%5c..%5capp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/app.js%00.html",
        "/.git/config",
        "/.env",
        "/redoc",
        "/server-status",
    )
    for path in paths:
        with Connection(site) as connection:
            connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            status, _, body = connection.response()
            assert status == 404, path
            assert b"import " not in body and b"root:" not in body


def test_no_token_in_an_address_is_taken(site: Site) -> None:
    token, secret = site.token(OWNER), secret_of(create_link(site.owner))
    path = f"/api/v1/events/{SPRING}/analytics"
    for query in (f"token={token}", f"access_token={token}", f"session={token}", f"share={secret}", f"code={token}"):
        assert site.anonymous.get(f"{path}?{query}").status_code == 401
        assert site.owner.get(f"{path}?{query}").json()["code"] == "unknown-parameter"
    page = site.client({"Accept": "text/html"})
    assert OWNER not in page.get(f"/?token={token}").text
    assert OWNER not in page.get(f"/events/{SPRING}?share={secret}").text


def test_a_parameter_that_is_given_twice_is_refused(site: Site) -> None:
    for query in ("tz=UTC&tz=Asia/Seoul", "format=json&format=csv", "refresh=false&refresh=true"):
        assert site.owner.get(f"/api/v1/events/{SPRING}/analytics?{query}").status_code == 400


TITLES = (
    'a"; filename="evil.exe',
    "a\r\nSet-Cookie: hannun_session=x",
    "a\nX-Injected: 1",
    "../../etc/passwd",
    "a;b=c, d",
    "%0d%0aX-Injected: 1",
    "\u202efdp.exe",
)


@pytest.mark.parametrize("title", TITLES)
def test_no_title_injects_a_header_or_a_path_into_the_name_of_a_file(site: Site, title: str) -> None:
    site.world.count(site.world.created(NONE, eventTitle=title))
    for form in ("csv", "xlsx", "pdf", "txt"):
        answer = site.owner.get(f"/api/v1/events/{NONE}/analytics?format={form}")
        assert answer.status_code == 200
        assert not {"set-cookie", "x-injected"} & set(answer.headers)
        disposition = answer.headers["content-disposition"]
        named = re.fullmatch(
            r"""attachment; filename="[\w.-]+"; filename\*=UTF-8''([\w.~%-]+)""", disposition, re.ASCII
        )
        assert named, disposition
        assert not set('/\\\r\n\0"\u202e') & set(unquote(named[1]))


def test_no_header_of_a_request_comes_back_as_a_header(site: Site) -> None:
    injected = 'x"\r\nX-Injected: 1'.replace("\r\n", "%0d%0a")
    for path in (f"/api/v1/events/{injected}/analytics", f"/{injected}", f"/events/{injected}"):
        answer = site.owner.get(path, headers={"If-None-Match": injected, "Accept-Language": injected})
        assert "x-injected" not in answer.headers
        assert "1" not in answer.headers.get("location", "")


def test_every_text_names_its_characters_and_no_answer_is_sniffed(site: Site) -> None:
    event = f"/api/v1/events/{SPRING}/analytics"
    paths = [event, *(f"{event}?format={form}" for form in ("csv", "xlsx", "pdf", "txt")), "/openapi.json"]
    paths += ["/", "/nothing", "/metrics", "/health/live", "/static/app.js", "/static/style.css", "/static/logo.svg"]
    for path in paths:
        for accept in ("text/html", "*/*"):
            answer = site.owner.get(path, headers={"Accept": accept})
            media_type = answer.headers["content-type"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            if media_type.startswith("text/") or "+xml" in media_type:
                assert "charset=utf-8" in media_type.lower(), (path, media_type)


def test_what_only_one_caller_may_see_is_kept_by_no_shared_cache(site: Site) -> None:
    create_link(site.owner)
    paths = ("analytics", "analytics?format=csv", "analytics?format=pdf", "analytics/timeline", "shares")
    for path in paths:
        answer = site.owner.get(f"/api/v1/events/{SPRING}/{path}")
        assert re.search(r"\b(private|no-store)\b", answer.headers["cache-control"]), path
    for path in ("/api/v1/session", f"/api/v1/events/{SPRING}/shares", "/api/v1/operations/overview"):
        assert site.admin.get(path).headers["cache-control"] == "no-store", path


def test_no_secret_of_a_request_is_in_the_log_or_in_the_answer(site: Site) -> None:
    """Tokens, secrets of links and codes, valid and not, wherever a caller might put them."""
    link = create_link(site.owner)
    code = site.sign_in_code(OWNER)
    secrets = (site.token(OWNER, lasts_s=-60), site.token(OWNER) + "x", secret_of(link), code, SECRET)
    with structlog.testing.capture_logs() as lines:
        answers = []
        for secret in secrets:
            for headers in (
                {"Authorization": f"Bearer {secret}"},
                {"Authorization": secret},
                {"Cookie": f"hannun_session={secret}"},
                {"Cookie": f"hannun_share={secret}"},
            ):
                caller = site.client(headers)
                answers.append(caller.get(f"/api/v1/events/{NONE}/analytics"))
                answers.append(caller.get("/nothing"))
            for body in ({"token": secret + "y"}, {"code": secret + "y"}, {"token": {"a": secret}}, [secret]):
                answers.append(site.anonymous.post("/api/v1/session", json=body))
            answers.append(site.anonymous.post(f"/api/v1/events/{NONE}/session", json={"share": secret}))
            answers.append(site.service.post("/api/v1/messages", content=secret.encode()))
    text = json.dumps(lines, default=str, ensure_ascii=False)
    for secret in secrets:
        assert secret not in text
        assert not any(secret in answer.text for answer in answers)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host"])
def test_nobody_outside_reads_the_metrics_through_a_proxy(site: Site, header: str) -> None:
    assert site.anonymous.get("/metrics").status_code == 200
    for spelling in ("/metrics", "/%6detrics"):
        assert site.anonymous.get(spelling, headers={header: "203.0.113.7"}).status_code == 404
