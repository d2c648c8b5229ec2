"""`answers`: a cached dashboard that is requested all the time, compared with minimal servers.

All servers run side by side. In turns each receives some thousand requests over persistent connections: `hannun serve`
with the local cache (the default), without it, and also without limits and metrics, and the servers of
`bench.baselines`. The figure is the CPU time of the server's own process per request. Redis costs the same for all that
use it, and no request reaches PostgreSQL.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.figures import Figure, percentile
from bench.http_ingestion import HttpClient
from bench.messages import events, registrations, request_body
from bench.process_usage import cpu_s
from bench.servers import ServeProcess, Servers
from hannun.cache import keys

CLIENTS = 4
TURNS = 6
NO_LOCAL_CACHE = {"HANNUN_COPIES_BYTES_MAX": "0"}
NO_LIMIT = {"HANNUN_REQUESTS_A_MINUTE": "0"}


@dataclass(slots=True)
class Candidate:
    """A server that is compared: its CPU time, requests, and rate in each turn.

    etag: the client sends If-None-Match.
    encoding: the encoding that the client accepts.
    """

    name: str
    serve: ServeProcess
    etag: bool = False
    encoding: str = ""
    cpu_s: float = 0.0
    requests: int = 0
    rates: list[float] = field(default_factory=list)

    @property
    def cpu_us(self) -> float:
        """CPU time in microseconds a request."""
        return self.cpu_s / self.requests * 1e6


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `answers`."""
    count = 400 if quick else 4_000
    with ExitStack() as stack:
        database = servers.create_database("bench_answers")
        stack.callback(servers.drop_database, database)
        uncached = stack.enter_context(servers.serve(database, **NO_LOCAL_CACHE))
        unmetered = stack.enter_context(
            servers.serve(database, module="bench.serve_without_metrics", **NO_LOCAL_CACHE, **NO_LIMIT)
        )
        default = stack.enter_context(servers.serve(database))
        token = servers.admin_token()
        path, event_id, body = _create_dashboard(default, token)
        (servers.home / "body.json").write_bytes(body)
        settings = {
            "BASELINE_TOKEN": token,
            "BASELINE_KEY": keys.dashboard(event_id),
            "BASELINE_BODY": str(servers.home / "body.json"),
        }
        baselines = [
            Candidate(name, stack.enter_context(servers.serve_baseline(database, name, **settings)))
            for name in ("hello", "minimal", "minimal-redis-py", "typical-fastapi")
        ]
        candidates = [
            Candidate("without local cache", uncached),
            Candidate("without local cache, limits, metrics", unmetered),
            Candidate("with local cache", default),
            Candidate("with local cache, 304", default, etag=True),
            Candidate("with local cache, br", default, encoding="br"),
            *baselines,
        ]
        for turn in range(TURNS + 1):
            servers.log_progress(f"answers: turn {turn} of {TURNS}")
            for candidate in candidates:
                _run_turn(candidate, token, path, count, warm_up=turn == 0)
        plain, bare, cached, unchanged, compressed, hello, minimal, minimal_redis_py, typical = candidates
        servers.log_progress("answers: at half of the measured rate")
        waits_s = _measure_waits_at_half_rate(cached, token, path, 1_000 if quick else 8_000)
    samples = f"{TURNS * count:,} requests each, in {TURNS} turns, {CLIENTS} connections"
    figures = [
        Figure("answers", f"CPU, {candidate.name}", candidate.cpu_us, "us/request", samples) for candidate in candidates
    ]
    return [
        *figures,
        _ratio("without local cache / minimal", plain, minimal, "at most 1.25", samples),
        _ratio("  without limits and metrics", bare, minimal, "at most 1.1", samples),
        _ratio("without local cache / minimal-redis-py", plain, minimal_redis_py, "at most 1.25", samples),
        _ratio("without local cache / typical-fastapi", plain, typical, "at most 0.2", samples),
        _ratio("with local cache / typical-fastapi", cached, typical, "at most 0.2", samples),
        _ratio("hello / with local cache", hello, cached, "0.7", samples),
        _ratio("304 / 200", unchanged, cached, "at most 1", samples),
        _ratio("br / 200", compressed, cached, "at most 1.2", samples),
        Figure("answers", "p99 at half of the rate", percentile(waits_s, 99) * 1e3, "ms (target: 10)", samples),
    ]


def _ratio(name: str, one: Candidate, other: Candidate, target: str, samples: str) -> Figure:
    return Figure("answers", name, one.cpu_us / other.cpu_us, f"ratio (target: {target})", samples)


def _create_dashboard(serve: ServeProcess, token: str) -> tuple[str, str, bytes]:
    """Create an event on all channels. Returns the path of its dashboard, its event id, and the dashboard."""
    client = HttpClient(serve, token)
    try:
        created = list(events(60, 1))
        client.post(request_body(created))
        client.post(request_body(list(registrations(60, events=1, count=500))))
        event_id = created[0][1].decode()
        path = f"/api/v1/events/{event_id}/analytics"
        _, body = client.get(path, None)
        assert body is not None
        return path, event_id, body
    finally:
        client.close()


def _run_turn(candidate: Candidate, token: str, path: str, count: int, *, warm_up: bool) -> None:
    """Send requests from all clients, and add what they cost to the candidate unless this is the warm-up."""
    before_s, started = cpu_s(candidate.serve.pid), time.perf_counter()
    run_in_all_clients(lambda: _send_requests(candidate, token, path, count // CLIENTS))
    took_s, used_s = time.perf_counter() - started, cpu_s(candidate.serve.pid) - before_s
    if not warm_up:
        candidate.cpu_s += used_s
        candidate.requests += count // CLIENTS * CLIENTS
        candidate.rates.append(count / took_s)


def _send_requests(candidate: Candidate, token: str, path: str, count: int) -> None:
    with _SocketClient(candidate.serve.port, token, path, candidate.encoding) as client:
        etag = client.get() if candidate.etag else None
        for _ in range(count):
            client.get(etag)


class _SocketClient:
    """A persistent connection that requests one path. It does little work itself, since clients share the cores."""

    def __init__(self, port: int, token: str, path: str, encoding: str = "") -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n".encode()
        self._request += f"Accept-Encoding: {encoding}\r\n".encode() if encoding else b""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "_SocketClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, etag: bytes | None = None) -> bytes | None:
        """Send one request and read the response. Returns its ETag."""
        condition = b"" if etag is None else b"If-None-Match: " + etag + b"\r\n"
        self._socket.sendall(self._request + condition + b"\r\n")
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._socket.recv(65_536)
        head = received[:end].lower()
        assert head.startswith((b"http/1.1 200", b"http/1.1 304")), received[:300]
        if (at := head.find(b"content-length: ")) >= 0:
            missing = int(head[at + 16 :].split(b"\r\n", 1)[0]) - (len(received) - end - 4)
            while missing > 0:
                missing -= len(self._socket.recv(65_536))
        at = head.find(b"etag: ")
        return received[at + 6 : end].split(b"\r\n", 1)[0] if at >= 0 else None


def _measure_waits_at_half_rate(candidate: Candidate, token: str, path: str, count: int) -> list[float]:
    """Send requests at half of the median rate. Returns the seconds from when each was due to its answer."""
    interval_s = CLIENTS / (percentile(candidate.rates, 50) / 2)
    waits_s: list[float] = []

    def send() -> None:
        with _SocketClient(candidate.serve.port, token, path) as client:
            client.get()
            due = time.perf_counter()
            for _ in range(count // CLIENTS):
                due += interval_s
                if (ahead_s := due - time.perf_counter()) > 0:
                    time.sleep(ahead_s)
                client.get()
                waits_s.append(time.perf_counter() - due)

    run_in_all_clients(send)
    return waits_s


def run_in_all_clients(work: Callable[[], None]) -> None:
    """Run the work in `CLIENTS` threads. Raises the first error of any of them."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads: Sequence[threading.Thread] = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
