"""The open event streams of a process: their connections, heartbeats, and the checks of who may still watch.

    request ─► EventStream: head, first frame ─► StreamConnection takes the connection over ─► closed
                                                    ▲ frames of LiveUpdates, written at once
                                                    └ one timer for all: heartbeats, expiry, checks

A stream waits for hours, and there are thousands. So it has no task, no timer, no parser, and nothing of its request. A
page that reads too slowly gets no frames until it reads again, then the newest one; if it takes no byte for the time of
an unread response, its connection is cut.
"""

import asyncio
import math
import socket
from collections import defaultdict
from functools import lru_cache
from typing import Any, Final, Protocol

from hannun import deadlines
from hannun.domain.answer import Topic
from hannun.flows.live_updates import LiveUpdates
from hannun.telemetry import log
from hannun.web.connections import ConnectionTable, UnreadLimit
from hannun.web.limits import StreamPlace

HEARTBEAT_S: Final = 15.0
"""A comment so often after the last frame keeps proxies from closing an idle connection."""
CHECK_INTERVAL_S = 1.0
"""How often a stream's token or share link is checked: a session may end, and a link be revoked, at any time."""
CHECK_S_MAX: Final = 4.0
"""How long a check may wait for PostgreSQL; without its answer the stream ends, and the page connects again."""
GROUPS: Final = 10
"""The streams are checked in so many groups, one after the other, so that no check of all holds up requests."""
UNSENT_BYTES_MAX: Final = 16_384
"""How much the process and the kernel each keep for a page that does not read: about a hundred frames."""
CLOSE_S: Final = 10.0
"""How long an ended stream may take to send what is left."""
INPUT_BYTES_MAX: Final = 65_536
"""How much a client may send on a stream, where nothing is expected from it, before it is cut."""


class Check(Protocol):
    """Whether a caller may still watch. Checks that are equal and take I/O are made once for all their streams."""

    def known(self) -> bool | None:
        """At once; None where it takes I/O."""

    async def find_out(self) -> bool:
        """With I/O."""


_HEARTBEAT = b": still here\n\n"
_LAST_CHUNK = b"0\r\n\r\n"


class StreamConnection(UnreadLimit, asyncio.Protocol):
    """The connection of one open stream.

    Args:
        ends_at: when the caller's token or share link expires, by the clock of the event loop.
        check: whether the caller may still watch.
        place: is released when the connection is closed.
    """

    __slots__ = (
        "_connections", "_input_bytes", "_missed", "_place", "_streams", "check", "checks_without_frame", "ends_at",
        "read_deadline", "topic",
    )  # fmt: skip

    def __init__(self, streams: "OpenStreams", topic: Topic, ends_at: float, check: Check, place: StreamPlace) -> None:
        self._streams = streams
        self.topic = topic
        self.ends_at = ends_at
        self.check = check
        self._place = place
        self.checks_without_frame = 0
        self.read_deadline = math.inf
        self.write_deadline = math.inf
        self._missed: bytes | None = None
        self._input_bytes = 0

    def connection_taken(self, transport: asyncio.Transport, table: ConnectionTable, connections: set[Any]) -> None:
        """The connection is this protocol's from here on."""
        self.transport = transport
        self._table = table
        self._connections = connections
        transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES_MAX)
        self._streams.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.remove(self)
        self._connections.discard(self)
        self._table.remove(self)
        self._place.release()

    # -- frames

    def send(self, frame: bytes) -> None:
        """Send a frame, or, while the page does not read, keep it in place of the one before it."""
        if self._is_paused:
            self._missed = frame
        elif not self.transport.is_closing():
            self.checks_without_frame = 0
            self.transport.write(_chunk(frame))

    def send_heartbeat(self) -> None:
        """Send a comment, unless frames wait already."""
        if not self._is_paused:
            self.send(_HEARTBEAT)

    @property
    def _is_paused(self) -> bool:
        return self.write_deadline != math.inf

    def pause_writing(self) -> None:
        self.start_unread()

    def resume_writing(self) -> None:
        self.stop_unread()
        if self._missed is not None:
            frame, self._missed = self._missed, None
            self.send(frame)

    # -- ends

    def data_received(self, data: bytes) -> None:
        """A client has nothing to send here: the head of the response said that this connection takes no request."""
        self._input_bytes += len(data)
        if self._input_bytes > INPUT_BYTES_MAX:
            self.transport.abort()

    def end(self) -> None:
        """End the response as a response should end, and close the connection."""
        if not self.transport.is_closing():
            self.transport.write(_LAST_CHUNK)
            self.transport.close()
            self.read_deadline = self._table.now + CLOSE_S

    shutdown = end  # the name in uvicorn

    def on_deadline(self) -> None:
        """Cut the connection of a page that does not read, or that does not take the end."""
        if self.transport.is_closing():
            self.transport.abort()
        else:
            self.on_unread_deadline()


@lru_cache(64)
def _chunk(frame: bytes) -> bytes:
    """A frame as a chunk of a response. A frame is encoded once for all pages that get it."""
    return b"%x\r\n%b\r\n" % (len(frame), frame)


class OpenStreams:
    """Every open stream of this process. For one event loop."""

    def __init__(self, live_updates: LiveUpdates) -> None:
        self._live_updates = live_updates
        self._groups: list[set[StreamConnection]] = [set() for _ in range(GROUPS)]
        self._group = 0
        self._timer: asyncio.TimerHandle | None = None
        self._checking: dict[Check, asyncio.Task[None]] = {}
        self._has_ended = False

    def add(self, stream: StreamConnection) -> None:
        """A stream has begun. After `end` it ends at once."""
        self._live_updates.watch(stream.topic, stream.send)
        min(self._groups, key=len).add(stream)
        if self._has_ended:
            stream.end()
        if self._timer is None:
            self._schedule_check()

    def remove(self, stream: StreamConnection) -> None:
        """The connection of a stream is closed."""
        self._live_updates.unwatch(stream.topic, stream.send)
        for group in self._groups:
            group.discard(stream)

    def end(self) -> None:
        """End every stream, those of later requests too: the process stops, and pages connect to another one."""
        self._has_ended = True
        for stream in [stream for group in self._groups for stream in group]:
            stream.end()

    # -- checks

    def _schedule_check(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(CHECK_INTERVAL_S / GROUPS, self._check_next_group) if any(self._groups) else None

    def _check_next_group(self) -> None:
        self._group = (self._group + 1) % GROUPS
        self._check(list(self._groups[self._group]))
        self._schedule_check()

    def _check(self, streams: list[StreamConnection]) -> None:
        """End the streams that must end, and send heartbeats to the others."""
        now = asyncio.get_running_loop().time()
        unknown: defaultdict[Check, list[StreamConnection]] = defaultdict(list)
        for stream in streams:
            valid = stream.ends_at > now and stream.check.known()
            if valid is False:
                stream.end()
                continue
            if valid is None:
                unknown[stream.check].append(stream)
            stream.checks_without_frame += 1
            if stream.checks_without_frame * CHECK_INTERVAL_S >= HEARTBEAT_S:
                stream.send_heartbeat()
        for check, of_check in unknown.items():
            if check not in self._checking:  # an earlier one may still wait for PostgreSQL
                self._checking[check] = asyncio.create_task(self._find_out(check, of_check))

    async def _find_out(self, check: Check, streams: list[StreamConnection]) -> None:
        """End these streams if their callers may no longer watch."""
        try:
            with deadlines.within(CHECK_S_MAX):
                valid = await check.find_out()
        except Exception as error:  # the page connects again, and gets the error as a response
            log.error("a stream could not be checked", error=type(error).__name__, exc_info=error)
            valid = False
        finally:
            del self._checking[check]
        if not valid:
            for stream in streams:
                stream.end()
