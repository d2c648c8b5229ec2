"""Faults at a chosen request: a proxy between a process and PostgreSQL or Redis, and the enumeration of every crash.

    process ─► Proxy ─► PostgreSQL or Redis
                 └── at the n-th request: kill the process or cut the connection, before or after the server handles it

A request is what a client sends before it waits. To PostgreSQL that ends with a Query, a Sync or one portion of a COPY;
to Redis it is one command. The count therefore does not depend on how TCP cuts the bytes. "After" means that the server
has done everything and the client gets no reply, as with a COMMIT whose answer is lost. Requests that would disturb the
count, such as those of a timed job in the same process, can be held back by their text.

The proxy can also be silent or slow, and `frozen` stops a server with all its processes: nothing is refused or closed.
`silent_resolver` is a name server that does not answer.

`corrupt_batch` changes one byte on a broker's disk.
"""

import contextlib
import itertools
import os
import re
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from hannun.embedded.local_server import LocalServer
from hannun.embedded.process import find_children

Fault = Literal["kill before", "kill after", "cut before", "cut after"]
DONE_S_MAX = 60.0
HOLD_POLL_S = 0.02
ROUNDS_MAX = 5
"""How often a round is repeated that must reach a request and sent too few."""


class Request(NamedTuple):
    """What a client sent before it waits. `application` is the connection's application_name, or empty."""

    data: bytes
    text: str
    application: str


class RequestParser:
    """Cuts the bytes that one client sends into requests. Each connection has its own."""

    def feed(self, data: bytes) -> list[Request]:
        raise NotImplementedError

    def take_reply(self) -> bytes:
        """What the proxy itself replies to the bytes fed so far."""
        return b""


class PostgresRequests(RequestParser):
    """PostgreSQL's protocol, version 3, without TLS."""

    _ENCRYPT = (80877103, 80877104)
    _CANCEL = 80877102

    def __init__(self) -> None:
        self._rest = b""
        self._has_started = False
        self._request = b""
        self._texts: list[str] = []
        self._prepared: dict[bytes, str] = {}
        self._application = ""
        self._reply = b""

    def feed(self, data: bytes) -> list[Request]:
        self._rest += data
        requests = []
        while (message := self._next_message()) is not None:
            kind, body = message
            if kind in (b"ssl", b"start", b"p"):
                if body:
                    requests.append(Request(body, "", self._application))
                continue
            self._request += body
            self._note_text(kind, body[5:])
            if kind in (b"Q", b"S", b"d", b"c", b"f", b"H", b"X"):
                requests.append(Request(self._request, " ".join(self._texts), self._application))
                self._request, self._texts = b"", []
        return requests

    def take_reply(self) -> bytes:
        reply, self._reply = self._reply, b""
        return reply

    def _next_message(self) -> tuple[bytes, bytes] | None:
        """(kind, the whole message); None until all of it has arrived."""
        first = 0 if not self._has_started else 1
        if len(self._rest) < first + 4:
            return None
        (length,) = struct.unpack_from("!i", self._rest, first)
        if len(self._rest) < first + length:
            return None
        message, self._rest = self._rest[: first + length], self._rest[first + length :]
        if self._has_started:
            return message[:1], message
        (code,) = struct.unpack_from("!i", message, 4)
        if code in self._ENCRYPT:
            self._reply += b"N"
            return b"ssl", b""
        self._has_started = True
        if code != self._CANCEL:
            parts = message[8:].split(b"\0")
            options = dict(zip(parts[::2], parts[1::2], strict=False))
            self._application = options.get(b"application_name", b"").decode()
        return b"start", message

    def _note_text(self, kind: bytes, body: bytes) -> None:
        if kind == b"Q":
            self._texts.append(body.rstrip(b"\0").decode(errors="replace"))
        elif kind == b"P":
            name, statement = body.split(b"\0")[:2]
            self._prepared[name] = statement.decode(errors="replace")
        elif kind == b"B":
            name = body.split(b"\0")[1]
            self._texts.append(self._prepared.get(name, ""))
        elif kind in (b"d", b"c"):
            self._texts.append({b"d": "(rows of a COPY)", b"c": "(end of a COPY)"}[kind])


class RedisRequests(RequestParser):
    """RESP: a command is an array of strings."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Request]:
        self._rest += data
        requests = []
        while (found := self._next_command()) is not None:
            end, text = found
            command, self._rest = self._rest[:end], self._rest[end:]
            requests.append(Request(command, text, ""))
        return requests

    def _next_command(self) -> tuple[int, str] | None:
        """(its length in bytes, its text); None until all of it has arrived."""
        line = self._rest.find(b"\r\n")
        if line < 0:
            return None
        at, words = line + 2, []
        for _ in range(int(self._rest[1:line])):
            line = self._rest.find(b"\r\n", at)
            if line < 0:
                return None
            length = int(self._rest[at + 1 : line])
            at = line + 2 + length + 2
            if len(self._rest) < at:
                return None
            words.append(self._rest[line + 2 : at - 2].decode(errors="replace"))
        return at, " ".join(words)


class KafkaRequests(RequestParser):
    """Kafka's protocol: a request is its length in 4 bytes, and that many bytes. Its text is the number of its kind."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[Request]:
        self._data += data
        requests = []
        while len(self._data) >= 4 and len(self._data) >= (size := 4 + int.from_bytes(self._data[:4])):
            requests.append(Request(self._data[:size], f"api key {int.from_bytes(self._data[4:6])}", ""))
            self._data = self._data[size:]
        return requests


@dataclass(eq=False)
class Crash:
    """One fault at the n-th matching request. A proxy injects it (`Proxy.inject`)."""

    fault: Fault
    nth: int
    matches: Callable[[Request], bool] = lambda request: True
    pid: int | None = None
    trace: list[str] = field(default_factory=list)
    happened: threading.Event = field(default_factory=threading.Event)

    @property
    def description(self) -> str:
        """The fault and its request, for messages of assertions."""
        return f"{self.fault} request {self.nth}: {' '.join(self.trace[-1].split())[:90]}" if self.trace else "no fault"

    @property
    def has_begun(self) -> bool:
        """Whether its request has arrived. Its effect may be visible elsewhere before `happened` is set."""
        return len(self.trace) >= self.nth

    def is_due(self, request: Request) -> bool:
        if self.happened.is_set() or not request.text or not self.matches(request):
            return False
        self.trace.append(request.text)
        return len(self.trace) == self.nth

    def kill(self) -> None:
        if self.fault.startswith("kill"):
            assert self.pid is not None, "a crash that kills needs a process"
            os.kill(self.pid, signal.SIGKILL)


@dataclass(eq=False)
class CrashBetween(Crash):
    """A crash between two points of a process: before the first request of the second, whichever of them comes first.

    `points` are regular expressions for the requests, by label; `order` are the labels in the order of their arrival.
    """

    points: Mapping[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def is_due(self, request: Request) -> bool:
        label = next((label for label, pattern in self.points.items() if re.search(pattern, request.text)), None)
        if label is None or label in self.order or self.happened.is_set() or not self.matches(request):
            return False
        self.order.append(label)
        self.trace.append(request.text)
        return len(self.order) == self.nth


class Proxy:
    """A TCP proxy before a server. It can inject a crash, cut or refuse connections, hold requests back, be silent."""

    def __init__(self, port: int, parser: Callable[[], RequestParser]) -> None:
        self._upstream = ("127.0.0.1", port)
        self._parser = parser
        self._listener = _bound_socket()
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._crash: Crash | None = None
        self._hold_pattern: re.Pattern[str] | None = None
        self._is_holding = threading.Event()
        self._flow = _Flow()
        self._accepting: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.allow()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.refuse()
        self._listener.close()

    def forward_to(self, port: int) -> None:
        """Send new connections to this port: the server has come back on another one."""
        self._upstream = ("127.0.0.1", port)

    def allow(self) -> None:
        """Accept new connections."""
        if self._accepting is None:
            self._listener.listen(128)
            self._accepting = threading.Thread(target=self._accept, daemon=True)
            self._accepting.start()

    def refuse(self) -> None:
        """Refuse new connections, as a machine without the server does, and cut the open ones."""
        if self._accepting is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # Linux: no longer listens, and keeps its port
            self._accepting.join()
            self._accepting = None
        self.cut()

    def cut(self) -> None:
        """Cut every open connection."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.cut()

    def hold(self, pattern: str) -> None:
        """Hold back requests whose text matches this regular expression, until `release`."""
        with self._lock:
            self._hold_pattern = re.compile(pattern)

    def release(self) -> None:
        """Forward what is held back, in the order in which it arrived on each connection."""
        with self._lock:
            self._hold_pattern = None
            self._is_holding.clear()

    def wait_until_held(self, deadline_s: float = DONE_S_MAX) -> None:
        """Wait until at least one request is held back."""
        assert self._is_holding.wait(deadline_s), f"no request to hold back arrived within {deadline_s} s"

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Accept connections and forward nothing in either direction, as a network that drops packets."""
        self._flow.runs.clear()
        try:
            yield
        finally:
            self._flow.runs.set()

    def forget_connections(self) -> None:
        """Forward nothing more on the open connections, and close none of them. New connections work."""
        with self._lock:
            for connection in self._connections:
                connection.forget()

    @contextlib.contextmanager
    def slow(self, byte_interval_s: float) -> Iterator[None]:
        """Forward replies byte by byte."""
        self._flow.byte_interval_s = byte_interval_s
        try:
            yield
        finally:
            self._flow.byte_interval_s = 0.0

    @contextlib.contextmanager
    def inject(self, crash: Crash, pid: int | None = None) -> Iterator[Crash]:
        """Let the crash happen at its request while the block runs. Waits for one that has begun."""
        crash.pid = pid
        with self._lock:
            self._crash = crash
        try:
            yield crash
        finally:
            with self._lock:
                self._crash = None
            if crash.has_begun:
                assert crash.happened.wait(DONE_S_MAX), f"it began and did not end: {crash.description}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream, timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            connection = _Connection(client, server, self._parser(), self._due_crash, self._is_held, self._flow)
            with self._lock:
                self._connections = {other for other in self._connections if not other.has_ended} | {connection}
            connection.start()

    def _due_crash(self, request: Request) -> Crash | None:
        with self._lock:
            return self._crash if self._crash is not None and self._crash.is_due(request) else None

    def _is_held(self, request: Request) -> bool:
        with self._lock:
            if self._hold_pattern is None or self._hold_pattern.search(request.text) is None:
                return False
            self._is_holding.set()
            return True


class _Flow:
    """How a proxy forwards, for all its connections."""

    def __init__(self) -> None:
        self.runs = threading.Event()
        self.runs.set()
        self.byte_interval_s = 0.0


class _Connection:
    """One connection through the proxy: one thread for each direction."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        parser: RequestParser,
        due_crash: Callable[[Request], Crash | None],
        is_held: Callable[[Request], bool],
        flow: _Flow,
    ) -> None:
        self._flow = flow
        self._cut = threading.Event()
        self._client, self._server = client, server
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = parser
        self._due_crash = due_crash
        self._is_held = is_held
        self._drops_replies = False
        self._to_server = threading.Thread(target=self._forward_requests, daemon=True)
        self._to_client = threading.Thread(target=self._forward_replies, daemon=True)

    @property
    def has_ended(self) -> bool:
        return not (self._to_server.is_alive() or self._to_client.is_alive())

    def start(self) -> None:
        self._to_client.start()
        self._to_server.start()

    def forget(self) -> None:
        self._flow = _Flow()
        self._flow.runs.clear()

    def cut(self) -> None:
        self._cut.set()
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _forward_requests(self) -> None:
        try:
            self._forward_until_end_or_crash()
        finally:
            # The server sees that the client has ended and sends its last bytes; then both sides are closed.
            with contextlib.suppress(OSError):
                self._server.shutdown(socket.SHUT_WR)
            self._to_client.join(DONE_S_MAX)
            self._close()

    def _forward_until_end_or_crash(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._client.recv(65_536)) and self._wait_for_flow():
                requests = self._parser.feed(data)
                if reply := self._parser.take_reply():
                    self._client.sendall(reply)
                for request in requests:
                    while self._is_held(request):
                        # The client waits for the reply, so readable means that it has closed the connection.
                        if select.select([self._client], [], [], HOLD_POLL_S)[0]:
                            return
                    crash = self._due_crash(request)
                    if crash is not None:
                        self._crash(crash, request)
                        return
                    self._server.sendall(request.data)

    def _crash(self, crash: Crash, request: Request) -> None:
        self._drops_replies = True
        if crash.fault.endswith("after"):
            with contextlib.suppress(OSError):
                self._server.sendall(request.data)
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)
        # The server ends the connection only when it has done everything that it received.
        self._to_client.join(DONE_S_MAX)
        assert not self._to_client.is_alive(), f"{request.text} was not done within {DONE_S_MAX} s"
        crash.kill()
        _reset(self._client)
        crash.happened.set()

    def _forward_replies(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._server.recv(65_536)) and self._wait_for_flow():
                if not self._drops_replies:
                    self._send_reply(data)
        if not self._drops_replies:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def _send_reply(self, data: bytes) -> None:
        if not self._flow.byte_interval_s:
            self._client.sendall(data)
            return
        for at in range(len(data)):
            self._client.sendall(data[at : at + 1])
            if self._cut.wait(self._flow.byte_interval_s):
                return

    def _wait_for_flow(self) -> bool:
        """Wait while the proxy is silent. Returns whether the connection is still there."""
        while not self._flow.runs.wait(HOLD_POLL_S):
            ended = select.poll()
            ended.register(self._client, select.POLLRDHUP)
            if self._cut.is_set() or ended.poll(0):
                return False
        return True

    def _close(self) -> None:
        self._client.close()
        self._server.close()


def _bound_socket() -> socket.socket:
    """A socket on a free port, which it keeps while it does not listen."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = probe.getsockname()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)  # Linux gives up a port that it chose itself when the socket stops listening
        except OSError:
            listener.close()
            continue
        return listener


def _reset(end: socket.socket) -> None:
    """Reset a connection: the other side gets an error and no orderly end."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


@contextlib.contextmanager
def frozen(server: LocalServer) -> Iterator[None]:
    """Stop all processes of a server (SIGSTOP). Its kernel goes on: it accepts connections and acknowledges packets."""
    assert server.pid is not None
    stopped = [server.pid]
    os.kill(server.pid, signal.SIGSTOP)  # the parent first, so that it starts no more children
    for child in find_children(server.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGSTOP)
            stopped.append(child)
    try:
        yield
    finally:
        for pid in reversed(stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def silent_resolver() -> Iterator[None]:
    """Until the end of the block no name is looked up: each look-up waits, and then fails. Addresses need none."""
    look_up, ended = socket.getaddrinfo, threading.Event()

    def wait_and_fail(host: object, *arguments: Any, **options: Any) -> Any:
        if isinstance(host, str) and not host.replace(".", "").isdigit():
            ended.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered")
        return look_up(host, *arguments, **options)  # type: ignore[arg-type]

    socket.getaddrinfo = wait_and_fail
    try:
        yield
    finally:
        socket.getaddrinfo = look_up
        ended.set()


def no_crash(*, matches: Callable[[Request], bool] = lambda request: True) -> Crash:
    """A crash that never happens. Its trace lists the requests of a round without a fault."""
    return Crash("cut before", sys.maxsize, matches)


def kill_between(points: Mapping[str, str], *, matches: Callable[[Request], bool]) -> CrashBetween:
    """A process is killed exactly between these two points."""
    assert len(points) == 2
    return CrashBetween("kill before", 2, matches, points=points)


def every_crash(
    fault: Fault, *, matches: Callable[[Request], bool] = lambda request: True, at_least: int = 0
) -> Iterator[Crash]:
    """Crashes at request 1, 2, 3 and so on, until a round ends without one.

    The caller injects each (`Proxy.inject`) and runs one round of work.

    Args:
        at_least: the number of requests at each of which a crash must happen. A round's number of requests depends on
            how its work falls into batches. A round that ends before its crash is repeated, up to ROUNDS_MAX times.
    """
    for nth in itertools.count(1):
        for _ in range(ROUNDS_MAX if nth <= at_least else 1):
            yield (crash := Crash(fault, nth, matches))
            if crash.happened.is_set():
                break
        else:
            assert nth > at_least, f"none of {ROUNDS_MAX} rounds reached request {nth} of {at_least}"
            return


def corrupt_batch(segment: Path, offset: int) -> range:
    """Change one byte on a broker's disk, in the batch that holds this offset. Returns the offsets of that batch.

    The broker may be running: it sends the bytes of the file.
    """
    with segment.open("r+b") as log:
        data, place = log.read(), 0
        while place < len(data):
            first, length = struct.unpack_from(">qi", data, place)
            (more,) = struct.unpack_from(">i", data, place + 23)
            end = place + 12 + length
            if first <= offset <= first + more:
                log.seek(end - 1)
                log.write(bytes([data[end - 1] ^ 1]))
                return range(first, first + more + 1)
            place = end
    raise AssertionError(f"{segment} holds no offset {offset}")
