"""Behind a real nginx with the configuration that the documents give: live, signed in, compressed, and not fooled."""

import re
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import trustme
from browsing import Browser, tile
from playwright.sync_api import expect
from polling import wait_for
from served import Site, open_site
from world import OWNER, SPRING, World

from hannun.web import open_streams
from hannun.web.open_streams import HEARTBEAT_S

CONFIGURATION = Path(__file__).parents[3] / "deploy/nginx/hannun.conf"
EVENT = f"/events/{SPRING}"
ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
LIVE = f"/api/v1/events/{SPRING}/live"
pytestmark = pytest.mark.nginx


@contextmanager
def nginx(upstream: str, read_timeout: str = "60s") -> Iterator[str]:
    """nginx in front of an address. Yields its own."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hannun-nginx-") as folder:
        Path(folder).chmod(0o755)
        certificate = trustme.CA().issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(Path(folder, "certificate"))
        of_hannun = CONFIGURATION.read_text("utf-8")
        for written, here in (
            ("127.0.0.1:8080", upstream.removeprefix("http://")),
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("/etc/nginx/hannun.crt", f"{folder}/certificate"),
            ("/etc/nginx/hannun.key", f"{folder}/certificate"),
            ("proxy_read_timeout 60s", f"proxy_read_timeout {read_timeout}"),
        ):
            assert of_hannun.count(written) == 1
            of_hannun = of_hannun.replace(written, here)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        Path(folder, "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; user root;\n"
            "events { worker_connections 256; }\n"
            "http { access_log off;\n"
            + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
            + of_hannun
            + "}\n"
        )
        process = subprocess.Popen(["nginx", "-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"])
        try:
            address = f"https://127.0.0.1:{port}"
            wait_for("nginx to answer", lambda: process.poll() is not None or _answers(address))
            assert process.poll() is None, Path(folder, "error.log").read_text("utf-8")
            yield address
        finally:
            process.terminate()
            process.wait(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/health/live", verify=False, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
def proxied(world: World) -> Iterator[tuple[Site, str]]:
    """A site that trusts its proxy, and the proxy's address."""
    with open_site(world, trusted_proxies="127.0.0.1", secure_cookies=True, stranger_requests_a_minute=5) as site:
        world.count(world.created(totalInvestment=100_000), *(world.registered(f"p{i}") for i in range(7)))
        with nginx(site.address) as address:
            yield site, address


def client(address: str, **headers: str) -> httpx2.Client:
    return httpx2.Client(base_url=address, headers=headers, verify=False, trust_env=False, timeout=60)


def test_a_change_passes_the_proxy_at_once(
    proxied: tuple[Site, str],
) -> None:
    site, address = proxied
    authorization = {"Authorization": f"Bearer {site.token(OWNER)}"}
    with client(address, **authorization) as owner, owner.stream("GET", LIVE) as stream:
        assert stream.status_code == 200
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        assert next(line for line in lines if line.startswith("event:")) == "event: opened"
        site.world.count(site.world.registered("one more"))
        assert next(line for line in lines if line.startswith("event:")) == "event: changed"


def test_the_proxy_waits_longer_than_a_stream_is_ever_silent() -> None:
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", CONFIGURATION.read_text("utf-8"))
    assert float(seconds) > 2 * HEARTBEAT_S


READ_TIMEOUT_S = 4.0
"""Short for a test, and longer than a loaded machine stands still."""


@pytest.mark.faults
def test_heartbeats_keep_an_idle_stream_open_longer_than_the_proxy_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_streams, "CHECK_INTERVAL_S", 0.05)
    with open_site(world) as site, nginx(site.address, f"{READ_TIMEOUT_S:.0f}s") as address:
        world.count(world.created())
        with client(address, Authorization=f"Bearer {site.token(OWNER)}") as owner:
            monkeypatch.setattr(open_streams, "HEARTBEAT_S", 1e9)  # none: the proxy cuts a stream that is silent
            with owner.stream("GET", LIVE) as stream, pytest.raises(httpx2.RemoteProtocolError):
                assert "event: opened" in [line for line in stream.iter_lines() if line.startswith("event:")]
            monkeypatch.setattr(open_streams, "HEARTBEAT_S", 0.1)
            with owner.stream("GET", LIVE) as stream:
                lines = stream.iter_lines()
                assert next(line for line in lines if line.startswith("event:")) == "event: opened"
                since = time.monotonic()
                while time.monotonic() < since + 1.5 * READ_TIMEOUT_S:
                    assert next(line for line in lines if line.startswith((":", "event:"))) == ": still here"
                world.count(world.registered("after the silence"))
                assert next(line for line in lines if line.startswith("event:")) == "event: changed"


SIGN_IN = "/api/v1/session"


def test_what_a_client_claims_of_scheme_and_host_is_dropped(world: World) -> None:
    """By them, the service decides whether a page of its own sends a request."""
    with open_site(world, trusted_proxies="127.0.0.1") as site, nginx(site.address) as address:
        body = {"token": site.token(OWNER)}
        for claimed in ({}, {"X-Forwarded-Proto": "http"}, {"Forwarded": "proto=http;host=elsewhere.example"}):
            with client(address, **claimed) as here:
                assert here.post(SIGN_IN, json=body, headers={"Origin": address}).status_code == 204, claimed
                of_http = address.replace("https:", "http:")
                assert here.post(SIGN_IN, json=body, headers={"Origin": of_http}).status_code == 403, claimed
        elsewhere = "https://elsewhere.example"
        for claimed in (
            {"X-Forwarded-Host": "elsewhere.example"},
            {"Forwarded": "proto=https;host=elsewhere.example"},
            {"X-Original-Host": "elsewhere.example", "X-Rewrite-URL": f"{elsewhere}/"},
        ):
            with client(address, Origin=elsewhere, **claimed) as stranger:
                assert stranger.post(SIGN_IN, json=body).status_code == 403, claimed


def test_behind_a_proxy_that_is_not_trusted_all_clients_have_its_address(world: World) -> None:
    """What it reports is not believed: then any client could claim an address of its own."""
    with (
        open_site(world, trusted_proxies="203.0.113.9", stranger_requests_a_minute=5) as site,
        nginx(site.address) as address,
    ):
        codes = []
        for number in range(8):
            with client(address, **{"X-Forwarded-For": f"203.0.113.{number}"}) as stranger:
                codes.append(stranger.get(ANALYTICS).status_code)
        assert codes == [401] * 5 + [429] * 3


def test_what_a_client_claims_of_its_address_is_dropped(proxied: tuple[Site, str]) -> None:
    """Each request claims another address, and all count for the real one."""
    _, address = proxied
    with client(address) as stranger:
        codes = [
            stranger.get(ANALYTICS, headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code
            for number in range(8)
        ]
    assert codes == [401] * 5 + [429] * 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Python, for the old version
@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256"),  # without forward secrecy
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA256"),  # CBC
    ],
)
def test_the_proxy_takes_neither_old_versions_of_tls_nor_weak_ciphers(
    proxied: tuple[Site, str], version: ssl.TLSVersion, ciphers: str
) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = int(proxied[1].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain, context.wrap_socket(plain) as connection:
        assert connection.version() == "TLSv1.3"
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        pytest.raises(ssl.SSLError, match=r"alert|protocol|handshake"),
    ):
        context.wrap_socket(plain)


def test_headers_and_compression_of_the_page_pass(proxied: tuple[Site, str]) -> None:
    site, address = proxied
    with client(address, **{"Accept-Encoding": "br"}) as through, client(site.address) as direct:
        page, same = through.get("/"), direct.get("/", headers={"Accept-Encoding": "br"})
        assert page.headers["content-encoding"] == "br"
        for name in ("content-security-policy", "cache-control", "x-content-type-options", "referrer-policy"):
            assert page.headers[name] == same.headers[name]
        assert page.text == same.text


@pytest.mark.browser
def test_a_browser_signs_in_and_sees_changes_live(proxied: tuple[Site, str], browser: Browser) -> None:
    site, address = proxied
    page = browser.new_page(ignore_https_errors=True)
    page.goto(f"{address}/?lang=ko#code={site.sign_in_code(OWNER)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("내 이벤트")
    (cookie,) = [one for one in page.context.cookies() if one["name"].endswith("hannun_session")]
    assert cookie["secure"]
    assert cookie["httpOnly"]
    page.goto(f"{address}{EVENT}?lang=ko")
    expect(tile(page, "참여자")).to_contain_text("7")
    expect(page.locator(".live-live")).to_contain_text("실시간")
    site.world.count(site.world.registered("one more"))
    expect(tile(page, "참여자")).to_contain_text("8")
    assert browser.unexpected_messages() == []
