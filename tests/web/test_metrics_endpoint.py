"""`/metrics` of `ingest` and `schedule`: bounded over raw sockets as the API is, and quick."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Thread

import httpx2
import pytest
from test_connections import FLOOD_BYTES_MAX, SOON_S, Connection

from hannun.processes.metrics_endpoint import LIMITS, metrics_endpoint
from hannun.web.connections import ConnectionLimits

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
SCRAPE_S_MAX = 0.05
Serve = Callable[..., "Endpoint"]


@dataclass
class Endpoint:
    """A running endpoint."""

    address: str


@contextmanager
def running(requests_a_minute: int, limits: ConnectionLimits) -> Iterator[Endpoint]:
    """An endpoint in an event loop of its own."""
    ready: Future[tuple[int | None, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with metrics_endpoint(0, requests_a_minute, limits) as port:
            stop = asyncio.Event()
            ready.set_result((port, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, loop, stop = ready.result(10)
    try:
        yield Endpoint(f"http://127.0.0.1:{port}")
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What it holds is closed at the end of the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: ExitStack) -> Serve:
    """Starts endpoints with other limits than the usual ones."""

    def start(requests_a_minute: int = 0, **limits: float) -> Endpoint:
        return stack.enter_context(running(requests_a_minute, replace(LIMITS, **limits)))  # type: ignore[arg-type]

    return start


@pytest.fixture
def connect(stack: ExitStack) -> Callable[[Endpoint], Connection]:
    """Opens connections that are closed at the end of the test."""
    return lambda endpoint: stack.enter_context(Connection(endpoint))


Connect = Callable[[Endpoint], Connection]


def test_only_metrics_and_liveness_are_served(serve: Serve) -> None:
    with httpx2.Client(base_url=serve().address, trust_env=False) as client:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert "# TYPE hannun_job_runs_total counter" in answer.text
        assert client.head("/metrics").status_code == 200
        assert client.get("/health/live").json() == {"status": "live"}
        refused = [client.get("/"), client.get("/health/ready"), client.post("/metrics", content=b"x")]
    assert [(one.status_code, one.json()["code"]) for one in refused] == [
        (404, "no-such-path"),
        (404, "no-such-path"),
        (405, "method-not-allowed"),
    ]


def test_a_head_that_is_too_large_is_refused(serve: Serve, connect: Connect) -> None:
    connection = connect(serve())
    connection.send(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000)
    connection.assert_refused(431, "head-too-large")


def test_a_client_that_goes_on_sending_is_cut(serve: Serve, connect: Connect) -> None:
    assert connect(serve()).flood(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 65_536) < FLOOD_BYTES_MAX


def test_a_head_must_arrive_in_time_however_it_drips(serve: Serve, connect: Connect) -> None:
    endpoint = serve(head_s=SOON_S)
    silent, dripping, idle = (connect(endpoint) for _ in range(3))
    for connection in (silent, dripping):
        connection.send(b"GET /metrics HTTP/1.1\r\nX: ")
    dripping.drip(b"x")
    for connection in (silent, dripping):
        connection.assert_refused(408, "request-too-slow")
    idle.assert_closed()


def test_a_body_must_arrive_in_time(serve: Serve, connect: Connect) -> None:
    connection = connect(serve(body_s=SOON_S))
    connection.send(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    connection.drip(b" ")
    assert connection.response()[0] in (405, 408)
    connection.assert_closed()


def test_connections_are_limited_in_all(serve: Serve, connect: Connect) -> None:
    endpoint = serve(count_max=2)
    first, second, third = (connect(endpoint) for _ in range(3))
    third.assert_refused(503, "too-many-connections")
    for connection in (first, second):
        connection.send(SCRAPE)
        assert connection.response()[0] == 200


def test_scrapes_are_limited(serve: Serve, connect: Connect) -> None:
    connection = connect(serve(requests_a_minute=2))
    connection.send(SCRAPE * 3)
    assert [connection.response()[0] for _ in range(3)] == [200, 200, 429]


def test_scrapes_that_are_limited_leave_the_probe_alone(serve: Serve) -> None:
    with httpx2.Client(base_url=serve(requests_a_minute=1).address, trust_env=False) as client:
        assert [client.get("/metrics").status_code for _ in range(2)] == [200, 429]
        assert client.get("/health/live").status_code == 200


def test_a_scrape_is_quick(serve: Serve, connect: Connect) -> None:
    """The quickest of many: a loaded machine delays some, and not all."""
    connection, seconds = connect(serve()), []
    for _ in range(20):
        began = time.monotonic()
        connection.send(SCRAPE)
        assert connection.response()[0] == 200
        seconds.append(time.monotonic() - began)
    assert min(seconds) < SCRAPE_S_MAX


def test_an_open_connection_delays_no_end(serve: Serve, connect: Connect, stack: ExitStack) -> None:
    with running(0, LIMITS) as endpoint:
        idle, in_head = Connection(endpoint), Connection(endpoint)
        stack.enter_context(idle)
        stack.enter_context(in_head)
        in_head.send(b"GET /metrics HTTP/1.1\r\nX: ")
        began = time.monotonic()
    assert time.monotonic() - began < 10
