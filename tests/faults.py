"""Faults at a chosen step: a proxy between a process and its neighbour, and the enumeration of every crash.

    process ─► Proxy ─► PostgreSQL or Redis
                 └── at the k-th step: kill the process, or cut the line, before or after the neighbour has done it

A step is what a client sends and then waits for: with PostgreSQL up to a Query, a Sync, or one portion of a COPY; with
Redis one command. So steps do not depend on how TCP cut the bytes up. "After" means that the neighbour has done it all
and nobody hears of it: a COMMIT whose answer is lost. What only passes by (a timed job of the same process) can be held
back by its words, so that it does not disturb the count.

And one byte on a broker's disk (`break_a_batch`).
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

Fault = Literal["kill before", "kill after", "cut before", "cut after"]
DONE_S_MAX = 30.0
HELD_STEP_S = 0.02
ROUNDS_MAX = 5
"""How often a round is made that must come to a step, and had too few."""


class Step(NamedTuple):
    """What a client sent up to the point where it waits; `who` is the connection's application, where it says."""

    data: bytes
    words: str
    who: str


class Framer:
    """Cuts what one client sends into steps. One for each connection."""

    def feed(self, data: bytes) -> list[Step]:
        raise NotImplementedError

    def answer(self) -> bytes:
        """What the proxy itself answers to what was fed."""
        return b""


class PostgresFramer(Framer):
    """The protocol of PostgreSQL, version 3, without TLS."""

    _ENCRYPT = (80877103, 80877104)
    _CANCEL = 80877102

    def __init__(self) -> None:
        self._rest = b""
        self._greeted = False
        self._step = b""
        self._words: list[str] = []
        self._prepared: dict[bytes, str] = {}
        self._who = ""
        self._answer = b""

    def feed(self, data: bytes) -> list[Step]:
        self._rest += data
        steps = []
        while (message := self._message()) is not None:
            kind, body = message
            if kind in (b"ssl", b"start", b"p"):
                if body:
                    steps.append(Step(body, "", self._who))
                continue
            self._step += body
            self._note(kind, body[5:])
            if kind in (b"Q", b"S", b"d", b"c", b"f", b"H", b"X"):
                steps.append(Step(self._step, " ".join(self._words), self._who))
                self._step, self._words = b"", []
        return steps

    def answer(self) -> bytes:
        answer, self._answer = self._answer, b""
        return answer

    def _message(self) -> tuple[bytes, bytes] | None:
        """(kind, the whole message); None where it is not whole yet."""
        first = 0 if not self._greeted else 1
        if len(self._rest) < first + 4:
            return None
        (length,) = struct.unpack_from("!i", self._rest, first)
        if len(self._rest) < first + length:
            return None
        message, self._rest = self._rest[: first + length], self._rest[first + length :]
        if self._greeted:
            return message[:1], message
        (code,) = struct.unpack_from("!i", message, 4)
        if code in self._ENCRYPT:
            self._answer += b"N"
            return b"ssl", b""
        self._greeted = True
        if code != self._CANCEL:
            told = message[8:].split(b"\0")
            self._who = dict(zip(told[::2], told[1::2], strict=False)).get(b"application_name", b"").decode()
        return b"start", message

    def _note(self, kind: bytes, body: bytes) -> None:
        if kind == b"Q":
            self._words.append(body.rstrip(b"\0").decode(errors="replace"))
        elif kind == b"P":
            name, words = body.split(b"\0")[:2]
            self._prepared[name] = words.decode(errors="replace")
        elif kind == b"B":
            name = body.split(b"\0")[1]
            self._words.append(self._prepared.get(name, ""))
        elif kind in (b"d", b"c"):
            self._words.append({b"d": "(rows of a COPY)", b"c": "(end of a COPY)"}[kind])


class RedisFramer(Framer):
    """RESP: a command is an array of strings."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Step]:
        self._rest += data
        steps = []
        while (end := self._command_end()) is not None:
            command, self._rest = self._rest[: end[0]], self._rest[end[0] :]
            steps.append(Step(command, end[1], ""))
        return steps

    def _command_end(self) -> tuple[int, str] | None:
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


@dataclass(eq=False)
class Crash:
    """One fault at one step: set on a proxy, until it has happened or is called off."""

    fault: Fault
    step: int
    counts: Callable[[Step], bool] = lambda step: True
    pid: int | None = None
    trace: list[str] = field(default_factory=list)
    happened: threading.Event = field(default_factory=threading.Event)

    @property
    def where(self) -> str:
        """At what it happened, for people."""
        return f"{self.fault} step {self.step}: {' '.join(self.trace[-1].split())[:90]}" if self.trace else "nowhere"

    @property
    def has_begun(self) -> bool:
        """Whether its step has come. Its effect may be seen elsewhere before it has `happened`."""
        return len(self.trace) >= self.step

    def is_due(self, step: Step) -> bool:
        if self.happened.is_set() or not step.words or not self.counts(step):
            return False
        self.trace.append(step.words)
        return len(self.trace) == self.step

    def kill(self) -> None:
        if self.fault.startswith("kill"):
            assert self.pid is not None, "nobody to kill"
            os.kill(self.pid, signal.SIGKILL)


class Proxy:
    """Stands before a server. Connections go through until a crash, a cut or a refusal."""

    def __init__(self, port: int, framer: Callable[[], Framer]) -> None:
        self._upstream = ("127.0.0.1", port)
        self._framer = framer
        self._listener = _bound()
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()
        self._crash: Crash | None = None
        self._held_back: re.Pattern[str] | None = None
        self.held = threading.Event()
        self._accepting: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.allow()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.refuse()
        self._listener.close()

    def leads_to(self, port: int) -> None:
        """From here on new connections go to this port: the server has come back elsewhere."""
        self._upstream = ("127.0.0.1", port)

    def allow(self) -> None:
        """Let connections in."""
        if self._accepting is None:
            self._listener.listen(128)
            self._accepting = threading.Thread(target=self._accept, daemon=True)
            self._accepting.start()

    def refuse(self) -> None:
        """Refuse new connections, as a machine without the server would, and cut those that are open."""
        if self._accepting is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # Linux: no longer listens, and keeps its port
            self._accepting.join()
            self._accepting = None
        self.cut()

    def cut(self) -> None:
        """Cut every open connection."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.cut()

    def holds_back(self, words: str) -> None:
        """From here on, steps with these words (a regular expression) get no further until `lets_go`."""
        with self._lock:
            self._held_back = re.compile(words)

    def lets_go(self) -> None:
        """Let through what is held back, in the order in which it came on each connection."""
        with self._lock:
            self._held_back = None
            self.held.clear()

    def waits_until_held(self, deadline_s: float = DONE_S_MAX) -> None:
        """Wait until some step is held back."""
        assert self.held.wait(deadline_s), "nothing came that is held back"

    @contextlib.contextmanager
    def set_for(self, crash: Crash, pid: int | None = None) -> Iterator[Crash]:
        """The crash happens at its step, within the block; one that has begun is waited for."""
        crash.pid = pid
        with self._lock:
            self._crash = crash
        try:
            yield crash
        finally:
            with self._lock:
                self._crash = None
            if crash.has_begun:
                assert crash.happened.wait(DONE_S_MAX), f"it began and did not happen: {crash.where}"

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
            line = _Line(client, server, self._framer(), self._due, self._is_held_back)
            with self._lock:
                self._lines = {other for other in self._lines if not other.ended} | {line}
            line.start()

    def _due(self, step: Step) -> Crash | None:
        with self._lock:
            return self._crash if self._crash is not None and self._crash.is_due(step) else None

    def _is_held_back(self, step: Step) -> bool:
        with self._lock:
            if self._held_back is None or self._held_back.search(step.words) is None:
                return False
            self.held.set()
            return True


class _Line:
    """One connection through the proxy: a thread each way."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        framer: Framer,
        due: Callable[[Step], Crash | None],
        held_back: Callable[[Step], bool],
    ) -> None:
        self._client, self._server = client, server
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._framer = framer
        self._due = due
        self._held_back = held_back
        self._deaf = False
        self._up = threading.Thread(target=self._upwards, daemon=True)
        self._down = threading.Thread(target=self._downwards, daemon=True)

    @property
    def ended(self) -> bool:
        return not (self._up.is_alive() or self._down.is_alive())

    def start(self) -> None:
        self._down.start()
        self._up.start()

    def cut(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _upwards(self) -> None:
        try:
            self._pass_on()
        finally:
            # The server sees the end that the client made, has its last word, and then both are closed.
            with contextlib.suppress(OSError):
                self._server.shutdown(socket.SHUT_WR)
            self._down.join(DONE_S_MAX)
            self._close()

    def _pass_on(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(65_536):
                steps = self._framer.feed(data)
                if answer := self._framer.answer():
                    self._client.sendall(answer)
                for step in steps:
                    while self._held_back(step):
                        # The client waits for the answer, so all that can come of it is its end.
                        if select.select([self._client], [], [], HELD_STEP_S)[0]:
                            return
                    crash = self._due(step)
                    if crash is not None:
                        self._crash(crash, step)
                        return
                    self._server.sendall(step.data)

    def _crash(self, crash: Crash, step: Step) -> None:
        self._deaf = True
        if crash.fault.endswith("after"):
            with contextlib.suppress(OSError):
                self._server.sendall(step.data)
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)
        # It ends the connection when it has done all that it was sent, so then it is done.
        self._down.join(DONE_S_MAX)
        assert not self._down.is_alive(), f"{step.words} was not done within {DONE_S_MAX} s"
        crash.kill()
        _reset(self._client)
        crash.happened.set()

    def _downwards(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(65_536):
                if not self._deaf:
                    self._client.sendall(data)
        if not self._deaf:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        self._client.close()
        self._server.close()


def _bound() -> socket.socket:
    """A socket on a port of its own, which it keeps also while it does not listen."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = probe.getsockname()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)  # Linux forgets a port that it has chosen itself when listening ends
        except OSError:
            listener.close()
            continue
        return listener


def _reset(end: socket.socket) -> None:
    """End a connection the hard way: its other side gets an error and no orderly end."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def no_crash(*, counts: Callable[[Step], bool] = lambda step: True) -> Crash:
    """A crash that never happens: its trace tells the steps of a round that runs through."""
    return Crash("cut before", sys.maxsize, counts)


def every_crash(
    fault: Fault, *, counts: Callable[[Step], bool] = lambda step: True, at_least: int = 0
) -> Iterator[Crash]:
    """Crashes at step 1, 2, 3 and so on, until a round has run through without one.

    Each must be set on a proxy (`Proxy.set_for`) and the work be done.

    Args:
        at_least: so many steps are crashed at, each. How many a round has depends on how its work falls into batches;
            one that has fewer than the step it is to crash at is made again.
    """
    for step in itertools.count(1):
        for _ in range(ROUNDS_MAX if step <= at_least else 1):
            yield (crash := Crash(fault, step, counts))
            if crash.happened.is_set():
                break
        else:
            assert step > at_least, f"none of {ROUNDS_MAX} rounds came to step {step} of {at_least}"
            return


def break_a_batch(segment: Path, offset: int) -> range:
    """Change one byte on a broker's disk, in the batch that holds this offset. Returns the offsets of that batch.

    The broker may run: it sends what stands in the file.
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
