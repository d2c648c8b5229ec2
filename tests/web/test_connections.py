"""Bounds of connections and requests, over raw sockets: bytes, times, numbers. A refusal is a problem in JSON."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Protocol, Self

import pytest
import structlog
from served import Site
from starlette.types import Receive, Scope, Send

from hannun.processes import supervisor
from hannun.processes.background import TRANSACTIONS_STOP_S_MAX
from hannun.processes.http_server import connection_limits, drain_s_max
from hannun.settings import Settings
from hannun.telemetry import REGISTRY
from hannun.web.connections import (
    CHECK_EVERY_S,
    LOG_EVERY_S,
    REFUSED_MAX,
    ConnectionLimits,
    ConnectionTable,
    RefusalLog,
)
from hannun.web.security import SECURITY_HEADERS

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
SOON_S = 1.0
"""A short time-out of the server, in which a client on a loaded machine still gets from connecting to sending."""
FLOOD_BYTES_MAX = 64_000_000


class Addressed(Protocol):
    """Something with an HTTP address."""

    address: str


class Connection:
    """A raw connection to a site, or to another server."""

    def __init__(self, site: Addressed) -> None:
        self._socket = socket.create_connection(("127.0.0.1", int(site.address.rpartition(":")[2])), timeout=60)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def shrink_receive_buffer(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)

    def flood(self, data: bytes) -> int:
        """Send the same bytes until the server ends the connection. Returns how many bytes it took."""
        sent = 0
        self._socket.settimeout(5)
        try:
            while sent < FLOOD_BYTES_MAX:
                sent += self._socket.send(data)
        except OSError:
            pass
        return sent

    def drip(self, data: bytes) -> None:
        """Send the same bytes again and again, slowly, until the server answers or ends the connection."""
        self._socket.settimeout(0.05)
        while True:
            try:
                self._socket.send(data)
                self._received += self._socket.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                pass
            self._socket.settimeout(20)
            return

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """The next response: its status, headers and body."""
        while b"\r\n\r\n" not in self._received:
            self._receive_more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", "0"))
        while len(self._received) < length:
            self._receive_more()
        body, self._received = self._received[:length], self._received[length:]
        return int(first.split()[1]), headers, body

    def assert_refused(self, status: int, code: str) -> None:
        """The next response is this problem, with the headers of every response, and the last one."""
        got, headers, body = self.response()
        problem = json.loads(body)
        assert (got, problem["code"], problem["status"]) == (status, code, status)
        assert problem["detail"]
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        assert headers["cache-control"] == "no-store"
        assert "date" in headers
        for name, value in SECURITY_HEADERS.items():
            assert headers[name.lower()] == value.lower()
        assert (headers.get("retry-after") == "5") == (status == 503)
        self.assert_closed()

    def assert_closed(self) -> None:
        """The server has ended the connection and sends nothing more."""
        assert self._received == b""
        with suppress(ConnectionResetError):
            assert self._socket.recv(65_536) == b""

    def _receive_more(self) -> None:
        data = self._socket.recv(65_536)
        assert data, f"the connection ended after {self._received!r}"
        self._received += data


@pytest.fixture
def connect() -> Iterator[Callable[[Site], Connection]]:
    """Opens connections that are closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda site: stack.enter_context(Connection(site))


Connect = Callable[[Site], Connection]
SiteWith = Callable[..., Site]


def posting(site: Site, *headers: str) -> bytes:
    """The head of a POST of messages."""
    lines = ["POST /api/v1/messages HTTP/1.1", "Host: x", f"Authorization: Bearer {site.token('x', 'SERVICE')}"]
    return "\r\n".join([*lines, "Content-Type: application/json", *headers, "", ""]).encode()


def refusals(reason: str) -> float:
    """How many refusals with this reason the metric has."""
    return REGISTRY.get_sample_value("hannun_http_refusals_total", {"reason": reason}) or 0.0


# -- bytes


ENDLESS = {
    "a request line": (b"GET /", b"x" * 1_000),
    "one header": (b"GET / HTTP/1.1\r\nX: ", b"x" * 1_000),
    "the name of a header": (b"GET / HTTP/1.1\r\nX", b"x" * 1_000),
    "headers": (b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 100),
    "empty lines before a request": (b"", b"\r\n" * 500),
    "the headers of a second request": (LIVE + b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 100),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_an_endless_head_is_refused_after_the_largest_size(site: Site, connect: Connect, what: str) -> None:
    before = refusals("head-bytes")
    connection = connect(site)
    begin, more = ENDLESS[what]
    connection.send(begin)
    if begin.startswith(LIVE):
        assert connection.response()[0] == 200
    connection.send(more * (40_000 // len(more)))
    connection.assert_refused(431, "head-too-large")
    assert refusals("head-bytes") == before + 1


def test_a_client_that_goes_on_sending_after_its_refusal_is_cut(site: Site, connect: Connect) -> None:
    assert connect(site).flood(b"GET / HTTP/1.1\r\nX: " + b"x" * 65_536) < FLOOD_BYTES_MAX


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("what", ["trailers", "an extension of a chunk"])
def test_endless_bytes_of_a_body_that_are_no_content_are_refused(site: Site, connect: Connect, what: str) -> None:
    begin, more = {"trailers": (b"0\r\n", b"x: y\r\n" * 100), "an extension of a chunk": (b"1;", b"x" * 600)}[what]
    connection = connect(site)
    connection.send(posting(site, CHUNKED) + begin + more * 80)
    connection.assert_refused(431, "head-too-large")


def test_heads_and_bodies_within_the_limits_are_taken_however_they_are_cut(site: Site, connect: Connect) -> None:
    connection = connect(site)
    body = b" " * 200_000 + b"[]"
    large_head = LIVE[:-2] + b"X: " + b"x" * 20_000 + b"\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:1], body[1:150_000], body[150_000:]))
    requests = (
        posting(site, f"Content-Length: {len(body)}") + body,
        large_head,
        posting(site, CHUNKED) + chunks + b"0\r\nX: y\r\n\r\n",
        LIVE,
    )
    connection.send(b"".join(requests))
    for byte in LIVE:
        connection.send(bytes([byte]))
    assert [connection.response()[0] for _ in range(5)] == [200] * 5


# -- times


def test_a_head_must_arrive_in_time_however_it_drips(site_with: SiteWith, connect: Connect) -> None:
    site = site_with(request_head_s=SOON_S)
    for begin in (b"", LIVE):
        silent, dripping = connect(site), connect(site)
        for connection in (silent, dripping):
            connection.send(begin)
            if begin:
                assert connection.response()[0] == 200
            connection.send(b"GET / HTTP/1.1\r\nX: ")
        dripping.drip(b"x")
        for connection in (silent, dripping):
            connection.assert_refused(408, "request-too-slow")


def test_a_connection_without_a_request_is_closed_in_time(site_with: SiteWith, connect: Connect) -> None:
    connection = connect(site_with(request_head_s=SOON_S))
    connection.assert_closed()


@pytest.mark.parametrize("kind", ["Content-Length: 1000", CHUNKED])
def test_a_body_must_arrive_in_time_however_it_drips(site_with: SiteWith, connect: Connect, kind: str) -> None:
    site = site_with(request_body_s=SOON_S)
    silent, dripping = connect(site), connect(site)
    with structlog.testing.capture_logs() as logs:
        for connection in (silent, dripping):
            connection.send(posting(site, kind))
        dripping.drip(b" " if "Length" in kind else b"1\r\n \r\n")
        for connection in (silent, dripping):
            connection.assert_refused(408, "request-too-slow")
    assert [entry for entry in logs if entry["event"] != "HTTP connections refused"] == []


def test_an_idle_connection_is_closed_in_time_whatever_drips(site_with: SiteWith, connect: Connect) -> None:
    site = site_with(keep_alive_s=SOON_S)
    silent, dripping = connect(site), connect(site)
    for connection in (silent, dripping):
        connection.send(LIVE)
        assert connection.response()[0] == 200
    dripping.drip(b"\r\n")
    for connection in (silent, dripping):
        connection.assert_closed()


def test_a_client_that_does_not_read_its_responses_is_cut(site_with: SiteWith, connect: Connect) -> None:
    """Its requests are parsed a few kilobytes ahead, and not read further."""
    site = site_with(unread_answer_s=SOON_S)
    site.shrink_send_buffer()
    before = refusals("unread")
    connection = connect(site)
    connection.shrink_receive_buffer()
    page = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    assert connection.flood(page * 1_000) < FLOOD_BYTES_MAX
    site.world.wait_for("the connection to be cut", lambda: refusals("unread") == before + 1)
    site.world.wait_for("it to be gone", lambda: not site._http.state.connections)


def test_a_slow_application_makes_no_request_late(site_with: SiteWith, connect: Connect) -> None:
    """A request waits behind one that takes long; then it is answered, although its own times are over."""
    site = site_with(request_head_s=SOON_S, request_body_s=SOON_S, keep_alive_s=SOON_S)
    held = site.run_in_loop(lambda: hold_requests(site))
    connection = connect(site)
    connection.send(LIVE + posting(site, "Content-Length: 2") + b"[]" + LIVE[:20])
    site.world.wait_for("the first request", held.requests.__len__)
    table = site._http._table
    late = table.now + 2 * (SOON_S + CHECK_EVERY_S)
    site.world.wait_for("the deadlines to be over", lambda: table.now > late)
    connection.send(LIVE[20:])
    site._http.loop.call_soon_threadsafe(held.release.set)
    assert [connection.response()[0] for _ in range(3)] == [200] * 3


class HeldRequests:
    """Requests that wait at the beginning of the application."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.release = asyncio.Event()


async def hold_requests(site: Site) -> HeldRequests:
    """Hold each request of a site until `release` is set."""
    held, app = HeldRequests(), site._http._app
    assert app is not None

    async def wait_and_answer(scope: Scope, receive: Receive, send: Send) -> None:
        held.requests.append(scope["path"])
        await held.release.wait()
        await app(scope, receive, send)

    site._http._app = wait_and_answer
    return held


# -- numbers


def test_connections_of_one_address_are_limited(site_with: SiteWith, connect: Connect) -> None:
    site = site_with(address_connections_max=2, trusted_proxies="")
    before = refusals("connections-of-address")
    first, second, third = (connect(site) for _ in range(3))
    third.assert_refused(503, "too-many-connections")
    for connection in (first, second):
        connection.send(LIVE)
        assert connection.response()[0] == 200
    assert refusals("connections-of-address") == before + 1
    first.__exit__()

    def served_again() -> bool:
        with Connection(site) as connection:
            connection.send(LIVE)
            return connection.response()[0] == 200

    site.world.wait_for("room for another one", served_again)


def test_connections_of_a_trusted_proxy_are_limited_only_in_all(site_with: SiteWith, connect: Connect) -> None:
    site = site_with(address_connections_max=1, connections_max=3)
    connections = [connect(site) for _ in range(3)]
    for connection in connections:
        connection.send(LIVE)
        assert connection.response()[0] == 200
    connect(site).assert_refused(503, "too-many-connections")


class FakeConnection:
    """What a table needs of a connection."""

    read_deadline = write_deadline = float("inf")

    def on_deadline(self) -> None: ...


def test_an_ipv6_network_of_64_bits_is_one_address(site: Site) -> None:
    table = ConnectionTable(ConnectionLimits(address_count_max=1, trusted_proxies="2001:db8:f::/64"))
    hosts = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "203.0.113.1", "::ffff:203.0.113.1"]
    proxies = ["2001:db8:f::1", "2001:db8:f::2", None, None]

    async def admitted(*hosts: str | None) -> list[str | None]:
        return [table.admit(FakeConnection(), host, site._http.loop) for host in hosts]

    refused = "connections-of-address"
    assert site.run_in_loop(lambda: admitted(*hosts)) == [None, refused, None, None, refused]
    assert site.run_in_loop(lambda: admitted(*proxies)) == [None] * 4


def test_more_refused_connections_than_can_be_told_why_are_closed_at_once(
    site_with: SiteWith, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hannun.web.connections.REFUSED_MAX", 0)
    site = site_with(connections_max=1)
    connect(site).send(LIVE)
    connect(site).assert_closed()


def test_the_limit_of_open_files_limits_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_024, 4_096))
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    assert connection_limits(Settings(connections_max=10_000)).count_max == 4_096 - REFUSED_MAX - 256
    assert connection_limits(Settings(connections_max=1_000)).count_max == 1_000


# -- malformed requests


@pytest.mark.parametrize("data", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_request_is_refused(site: Site, connect: Connect, data: bytes) -> None:
    connection = connect(site)
    connection.send(data)
    connection.assert_refused(400, "malformed-request")


def test_a_malformed_body_is_refused(site: Site, connect: Connect) -> None:
    connection = connect(site)
    connection.send(posting(site, CHUNKED) + b"no length\r\n")
    connection.assert_refused(400, "malformed-request")


def test_a_refusal_comes_after_the_responses_to_earlier_requests(site: Site, connect: Connect) -> None:
    for bad in (b"hello\r\n\r\n", posting(site, CHUNKED) + b"no length\r\n"):
        connection = connect(site)
        connection.send(LIVE + LIVE + bad)
        assert [connection.response()[0] for _ in range(2)] == [200, 200]
        connection.assert_refused(400, "malformed-request")


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_other_protocols_are_not_offered(
    site: Site, connect: Connect, protocol: str, capfd: pytest.CaptureFixture[str]
) -> None:
    connection = connect(site)
    connection.send(LIVE[:-2] + f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n".encode() + b"\x81\x85")
    status, headers, _ = connection.response()
    assert (status, headers["connection"]) == (200, "close")
    connection.assert_closed()
    assert capfd.readouterr().err == ""


# -- logs


def test_a_reason_is_logged_at_most_once_a_minute_with_its_count() -> None:
    log = RefusalLog()
    with structlog.testing.capture_logs() as logs:
        for now in (0.0, 1.0, 2.0, LOG_EVERY_S + 1, LOG_EVERY_S + 2):
            log.record("malformed", now)
        log.record("unread", 3.0)
    assert [(entry["reason"], entry["count"]) for entry in logs] == [("malformed", 1), ("malformed", 3), ("unread", 1)]


def test_a_client_that_leaves_in_the_middle_of_a_body_is_not_logged(site: Site, connect: Connect) -> None:
    with structlog.testing.capture_logs() as logs:
        connection = connect(site)
        connection.send(posting(site, "Content-Length: 10") + b"[")
        site.world.wait_for("the request", lambda: site._http.state.tasks)
        connection.__exit__()
        site.world.wait_for("its end", lambda: not site._http.state.tasks)
    assert logs == []


# -- the end of the process


@pytest.mark.parametrize("request_s", [0.5, 4.0, 4.5, 60.0])
def test_requests_may_take_as_long_after_sigterm_as_before(request_s: float) -> None:
    assert drain_s_max(request_s) >= request_s + 1


def test_hannun_up_kills_no_serve_that_ends_by_itself() -> None:
    end_s_max = drain_s_max(Settings().request_s) + TRANSACTIONS_STOP_S_MAX
    assert end_s_max + 1 < supervisor.STOP_S_MAX
