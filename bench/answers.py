"""`answers`: the dashboard that is asked for all the time, beside the least that could be done for it.

Servers stand side by side, each asked some thousand times in turn over connections that stay open: ours with copies (as
it ships), without them, without limits and metrics as well, and those of `bench.bare`. What counts is the processor
time that each server's own process takes for a request. Redis' is the same for all that ask it; PostgreSQL is not
reached.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.figures import Figure, percentile
from bench.http_door import Client
from bench.messages import body_of, events, registrations
from bench.processor import used_s
from bench.servers import Ground, Serving
from hannun.cache import keys

CLIENTS = 4
TURNS = 6


@dataclass(slots=True)
class Server:
    """A server, what it has used for how many requests, and how they are asked."""

    name: str
    serving: Serving
    etag: bool = False
    seconds: float = 0.0
    requests: int = 0
    rates: list[float] = field(default_factory=list)

    @property
    def microseconds(self) -> float:
        return self.seconds / self.requests * 1e6


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `answers`."""
    count = 400 if quick else 4_000
    with ExitStack() as stack:
        site = ground.site("bench_answers")
        stack.callback(ground.drop, site)
        plain = stack.enter_context(ground.serve(site, HANNUN_COPIES_BYTES_MAX="0"))
        lean = {"HANNUN_COPIES_BYTES_MAX": "0", "HANNUN_REQUESTS_A_MINUTE": "0"}
        leaner = stack.enter_context(ground.serve(site, module="bench.uncounted", **lean))
        shipped = stack.enter_context(ground.serve(site))
        token = ground.token()
        path, event_id, body = _an_event(shipped, token)
        (ground.home / "body.json").write_bytes(body)
        bare = {
            "BARE_TOKEN": token,
            "BARE_KEY": keys.dashboard(event_id),
            "BARE_BODY": str(ground.home / "body.json"),
        }
        which = ("hello", "bare", "redis-py", "usual")
        others = {each: stack.enter_context(ground.bare(site, each, **bare)) for each in which}
        servers = [
            Server("without copies", plain),
            Server("without copies, limits, metrics", leaner),
            Server("with copies", shipped),
            Server("with copies, 304", shipped, etag=True),
            *(Server(each, serving) for each, serving in others.items()),
        ]
        for turn in range(TURNS + 1):
            ground.say(f"answers: turn {turn} of {TURNS}")
            for server in servers:
                _ask(server, token, path, count, warm_up=turn == 0)
        ours, leanest, copies, unchanged, hello, least, redis_py, usual = servers
        ground.say("answers: at half of what it can")
        waits = _at_half(copies, token, path, 1_000 if quick else 8_000)
    samples = f"{TURNS * count:,} requests each, in {TURNS} turns, {CLIENTS} connections"
    figures = [
        Figure("answers", f"processor, {server.name}", server.microseconds, "us/request", samples) for server in servers
    ]
    return [
        *figures,
        _ratio("without copies, beside bare", ours, least, "at most 1.25", samples),
        _ratio("  without limits and metrics", leanest, least, "at most 1.1", samples),
        _ratio("  beside bare with redis-py's own GET", ours, redis_py, "at most 1.25", samples),
        _ratio("  beside FastAPI's usual way", ours, usual, "at most 0.2", samples),
        _ratio("with copies, beside FastAPI's usual way", copies, usual, "at most 0.2", samples),
        _ratio("hello beside it, with copies", hello, copies, "0.7", samples),
        _ratio("304 beside 200", unchanged, copies, "at most 1", samples),
        Figure("answers", "p99 at half of what it can", percentile(waits, 99) * 1e3, "ms (wanted: 10)", samples),
    ]


def _ratio(name: str, one: Server, beside: Server, wanted: str, samples: str) -> Figure:
    return Figure("answers", name, one.microseconds / beside.microseconds, f"ratio (wanted: {wanted})", samples)


def _an_event(serving: Serving, token: str) -> tuple[str, str, bytes]:
    """An event that runs on all channels: where its dashboard is, its id, and the dashboard."""
    client = Client(serving, token)
    try:
        created = list(events(60, 1))
        client.post(body_of(created))
        client.post(body_of(list(registrations(60, events=1, count=500))))
        event_id = created[0][1].decode()
        path = f"/api/v1/events/{event_id}/analytics"
        _, body = client.get(path, None)
        assert body is not None
        return path, event_id, body
    finally:
        client.close()


def _ask(server: Server, token: str, path: str, count: int, *, warm_up: bool) -> None:
    before, started = used_s(server.serving.pid), time.perf_counter()
    _together(lambda: _requests(server, token, path, count // CLIENTS))
    took_s, used = time.perf_counter() - started, used_s(server.serving.pid) - before
    if not warm_up:
        server.seconds += used
        server.requests += count // CLIENTS * CLIENTS
        server.rates.append(count / took_s)


def _requests(server: Server, token: str, path: str, count: int) -> None:
    with _Asking(server.serving.port, token, path) as asking:
        etag = asking.ask() if server.etag else None
        for _ in range(count):
            asking.ask(etag)


class _Asking:
    """A connection that stays open, asked with as little of our own as can be: the clients share the cores."""

    def __init__(self, port: int, token: str, path: str) -> None:
        self._question = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n".encode()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "_Asking":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, etag: bytes | None = None) -> bytes | None:
        """Ask once. Returns the ETag."""
        tags = b"" if etag is None else b"If-None-Match: " + etag + b"\r\n"
        self._socket.sendall(self._question + tags + b"\r\n")
        told = b""
        while (end := told.find(b"\r\n\r\n")) < 0:
            told += self._socket.recv(65_536)
        head = told[:end].lower()
        assert head.startswith((b"http/1.1 200", b"http/1.1 304")), told[:300]
        if (at := head.find(b"content-length: ")) >= 0:
            missing = int(head[at + 16 :].split(b"\r\n", 1)[0]) - (len(told) - end - 4)
            while missing > 0:
                missing -= len(self._socket.recv(65_536))
        at = head.find(b"etag: ")
        return told[at + 6 : end].split(b"\r\n", 1)[0] if at >= 0 else None


def _at_half(server: Server, token: str, path: str, count: int) -> list[float]:
    """How long each request takes, seconds from when it was due, at half the rate of before."""
    every_s = CLIENTS / (percentile(server.rates, 50) / 2)
    waits: list[float] = []

    def ask() -> None:
        with _Asking(server.serving.port, token, path) as asking:
            asking.ask()
            due = time.perf_counter()
            for _ in range(count // CLIENTS):
                due += every_s
                if (ahead := due - time.perf_counter()) > 0:
                    time.sleep(ahead)
                asking.ask()
                waits.append(time.perf_counter() - due)

    _together(ask)
    return waits


def _together(work: Callable[[], None]) -> None:
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
