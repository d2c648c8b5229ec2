"""Behind TLS (HANNUN_SECURE_COOKIES): cookies and headers that browsers accept over TLS only."""

from collections.abc import Callable

from served import Site, open_site
from test_connections import Connection
from test_shares import create_link, secret_of
from world import OWNER, SPRING, World

OPEN = f"/api/v1/events/{SPRING}/session"
DASHBOARD = f"/api/v1/events/{SPRING}/analytics"


def test_every_response_tells_browsers_to_come_over_tls_only(site_with: Callable[..., Site]) -> None:
    site = site_with(secure_cookies=True)
    site.world.count(site.world.created())
    for _ in range(2):  # the second one by the fast path
        answers = [site.owner.get(path) for path in (DASHBOARD, "/", "/nothing", "/static/app.js", "/health/live")]
        answers.append(site.anonymous.get(DASHBOARD))
        for answer in answers:
            assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains", answer.url
    with Connection(site) as connection:
        connection.send(b"no request\r\n\r\n")
        assert "strict-transport-security" in connection.response()[1]


def test_without_tls_no_response_says_so(site: Site) -> None:
    for path in ("/", "/health/live", DASHBOARD):
        assert "strict-transport-security" not in site.owner.get(path).headers


def test_no_other_host_can_set_the_cookie_of_a_session(site_with: Callable[..., Site]) -> None:
    """Browsers accept a cookie with the prefix `__Host-` from this host alone, over TLS, for all its paths."""
    site = site_with(secure_cookies=True)
    site.world.count(site.world.created())
    signed_in = site.anonymous.post("/api/v1/session", json={"token": site.token(OWNER)})
    name, attributes = signed_in.headers["set-cookie"].split("=", 1)
    assert name == "__Host-hannun_session"
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(attributes.split("; "))
    assert "domain" not in attributes.lower()
    token = attributes.split(";")[0]
    for cookie, status in ((name, 200), ("hannun_session", 401)):
        reader = site.client({"Cookie": f"{cookie}={token}"})
        assert [reader.get(DASHBOARD).status_code for _ in range(2)] == [status] * 2, cookie
    ended = site.client({"Cookie": f"{name}={token}"}).delete("/api/v1/session")
    assert ended.headers["set-cookie"].startswith('__Host-hannun_session=""')
    assert "Secure" in ended.headers["set-cookie"]  # without it, browsers ignore the deletion


def test_the_cookie_of_a_link_is_set_over_tls_only(site_with: Callable[..., Site]) -> None:
    site = site_with(secure_cookies=True)
    site.world.count(site.world.created())
    secret = secret_of(create_link(site.owner))
    opened = site.anonymous.post(OPEN, json={"share": secret})
    name, attributes = opened.headers["set-cookie"].split("=", 1)
    assert name == "__Secure-hannun_share"
    assert {"HttpOnly", "Secure", "SameSite=strict"} <= set(attributes.split("; "))
    for cookie, status in ((name, 200), ("hannun_share", 401)):
        assert site.client({"Cookie": f"{cookie}={secret}"}).get(DASHBOARD).status_code == status
    assert "Secure" in site.anonymous.delete(OPEN).headers["set-cookie"]


def test_the_theme_is_read_from_the_cookie_of_either_name(world: World) -> None:
    with open_site(world) as site:
        for name in ("hannun_theme", "__Host-hannun_theme"):
            page = site.client({"Accept": "text/html", "Cookie": f"{name}=dark"}).get("/")
            assert 'data-theme="dark"' in page.text
