"""uvicorn's HTTP/1.1 protocol with bounds: on the size and time of heads, the time of bodies, idle and unread time.

    connection ─► head ─────► body ─────► response ─► idle ─► next head ...
       503         431, 408    408, 400    closed      closed
                   400                     unread      silently

uvicorn and httptools bound none of them; only its time-out of idle connections exists, which any byte ends for ever. A
refusal is a problem in JSON with the security headers, and ends the connection. Requests behind a running one are
parsed a few kilobytes ahead. Other protocols (WebSocket) are not offered.
"""

import asyncio
import math
import weakref
from functools import partial
from typing import Any, Final

import httptools
from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from hannun.errors import BadRequest, LocalizedError, TooManyConnections
from hannun.web.connections import ConnectionTable, UnreadLimit
from hannun.web.direct_write import header_bytes
from hannun.web.open_streams import StreamConnection
from hannun.web.problems import problem_of
from hannun.web.security import ONLY_OVER_TLS, SECURITY_HEADERS
from hannun.web.uvicorn_internals import STATUS_LINE, HttpToolsProtocol

PIECE_BYTES: Final = 4_096
"""How much is parsed at once. Behind a request that is not answered yet no further piece is parsed."""
LAST_READ_S: Final = 2.0
"""How long a refused client has to read why. Closing at once, while it sends, would destroy the response on its way."""
LAST_READ_BYTES_MAX: Final = 1_000_000
CONNECTION: Final = "hannun.connection"
"""The key of a scope that has a weak reference to the connection, for a response that takes it over."""
CLOSE_S: Final = 10.0
"""How long a closed connection may take to send what is left of the last response."""

_RETRY_S: Final = 5.0
_REFUSALS: Final[dict[str, LocalizedError]] = {
    "malformed": BadRequest("this is not a request of HTTP/1.1", code="malformed-request"),
    "head-bytes": BadRequest("the request line and headers are too long", code="head-too-large"),
    "head-time": BadRequest("the request line and headers did not arrive in time", code="request-too-slow"),
    "body-time": BadRequest("the body did not arrive in time", code="request-too-slow"),
    "connections": TooManyConnections("too many connections are open", retry_after_s=_RETRY_S),
    "connections-of-address": TooManyConnections(
        "too many connections of your address are open", retry_after_s=_RETRY_S
    ),
}
"""The errors by the reason that the metric has."""


class BoundedHttpProtocol(UnreadLimit, HttpToolsProtocol):
    """One connection. `table` counts the connections, and calls `on_deadline` when one of the deadlines is over."""

    def __init__(
        self,
        table: ConnectionTable,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._table = table
        self._limits = table.limits
        self.read_deadline = math.inf
        self.write_deadline = math.inf
        self._in_head = False
        self._in_body = False
        self._bytes_without_progress = 0  # since a head began or a byte of a body came
        self._unparsed: memoryview | None = None
        self._ignores_input = False
        self._pending_refusal: str | None = None
        self._unread_bytes = 0
        self._reference = weakref.ref(self)  # in each scope; a strong one would keep both until a garbage collection

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        reason = self._table.admit(self, self.client[0] if self.client else None, self.loop)
        self.read_deadline = self._table.now + self._limits.head_s
        if reason is not None and self._table.has_too_many_refused:
            self._table.record_refusal(reason)
            transport.abort()
        elif reason is not None:
            self._refuse(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        super().connection_lost(exc)

    def hand_over(self, successor: StreamConnection) -> bool:
        """Give the connection, whose response has begun, to a stream, which writes the rest of the response.

        What belongs to the request is freed when its task ends. Returns False where the client has disconnected.
        """
        if self.cycle.disconnected or self.transport.is_closing():
            return False
        self.cycle.disconnected = True  # for uvicorn, which would close the connection of an incomplete response
        self._table.replace(self, successor)
        self.connections.discard(self)
        self.connections.add(successor)  # type: ignore[arg-type]  # uvicorn only calls `shutdown`
        self.transport.set_protocol(successor)
        successor.connection_taken(self.transport, self._table, self.connections)
        if self.flow.write_paused:
            successor.pause_writing()
        self.flow.resume_reading()
        self.parser = None  # type: ignore[assignment]  # as in `connection_lost`: it refers to this object
        return True

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            self._bytes_without_progress += len(data)
            if self._bytes_without_progress > LAST_READ_BYTES_MAX:
                self.transport.abort()
        elif self._unparsed is None and len(data) <= PIECE_BYTES:
            self._parse(data)
        else:
            self._unparsed = memoryview(data if self._unparsed is None else bytes(self._unparsed) + data)
            self._parse_pieces()

    # -- the parser

    def _parse_pieces(self) -> None:
        """Parse what has arrived, up to a request that waits for the response to an earlier one."""
        while self._unparsed is not None and not self.pipeline:
            piece, rest = self._unparsed[:PIECE_BYTES], self._unparsed[PIECE_BYTES:]
            self._unparsed = rest or None
            self._parse(piece)
        if self._unparsed is not None:
            self.flow.pause_reading()

    def _parse(self, data: bytes | memoryview) -> None:
        self._bytes_without_progress += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request is answered as if it named no other protocol. What follows it may be that protocol.
            self.cycle.keep_alive = False
            self._ignore_input()
        except httptools.HttpParserError:
            self._refuse_in_turn("malformed")
        else:
            if self._bytes_without_progress > self._limits.head_bytes_max:  # a head, trailers, or chunk extensions
                self._refuse_in_turn("head-bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTION] = self._reference  # type: ignore[typeddict-unknown-key]  # a key of ours
        self._in_head = True
        self._bytes_without_progress = 0
        self.read_deadline = self._table.now + self._limits.head_s

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self._in_body = True
        self.read_deadline = self._table.now + self._limits.body_s

    def on_body(self, body: bytes) -> None:
        self._bytes_without_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_body = False
        self.read_deadline = self._table.now + self._limits.idle_s if self.cycle.response_complete else math.inf

    # -- responses

    def on_response_complete(self) -> None:
        """As uvicorn's, without a timer for each response, and without reading on while a request waits."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.read_deadline = self._table.now + CLOSE_S
            return
        if self._pending_refusal is not None and len(self.pipeline) <= self._in_body:
            self._refuse(self._pending_refusal)
        elif self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif not (self._in_head or self._in_body):
            self.read_deadline = self._table.now + self._limits.idle_s
        if self._unparsed is not None:
            self._parse_pieces()
        if self._unparsed is None and not self.pipeline:
            self.flow.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.start_unread()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stop_unread()

    # -- ends

    def on_deadline(self) -> None:
        """Refuse or end what is late."""
        now = self._table.now
        if self.write_deadline < now:
            self.on_unread_deadline()
        elif self._ignores_input or self.transport.is_closing():
            self.transport.abort()
        elif self.flow.read_paused or (self._in_body and self.pipeline):
            self.read_deadline = now + self._limits.head_s  # the client cannot be late with what is not read from it
        elif self._in_body:
            self._refuse("body-time")
        elif self._in_head:
            self._refuse_in_turn("head-time")
        else:
            self.transport.close()
            self.read_deadline = now + CLOSE_S

    def _refuse_in_turn(self, reason: str) -> None:
        """Refuse as soon as the requests before this one are answered."""
        earlier = self.pipeline if self._in_body else self.cycle and not self.cycle.response_complete
        if earlier:
            self._pending_refusal = reason
            self._ignore_input()
        else:
            self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        """Answer an error and end the connection, now."""
        self._table.record_refusal(reason)
        self._ignore_input()
        self._pending_refusal = None
        self.read_deadline = self._table.now + LAST_READ_S
        scope = None
        if self._in_body:
            cycle, scope = self.cycle, self.cycle.scope
            self.pipeline.clear()
            if cycle.response_started:
                self.transport.abort()
                return
            cycle.disconnected = True  # for the application that waits for the body
            cycle.message_event.set()
        self.transport.write(self._refusal_bytes(reason, scope))
        self.transport.write_eof()
        self.flow.resume_reading()

    def _ignore_input(self) -> None:
        self._ignores_input = True
        self._unparsed = None
        self._bytes_without_progress = 0
        self.read_deadline = math.inf

    def _refusal_bytes(self, reason: str, scope: Any) -> bytes:
        response = problem_of(_REFUSALS[reason], Request(scope or _unknown_request()))
        security = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
        headers = header_bytes([*self.server_state.default_headers, *response.raw_headers, *security])
        return b"".join((STATUS_LINE[response.status_code], headers, b"connection: close\r\n\r\n", response.body))


def _unknown_request() -> dict[str, Any]:
    """The scope of a request of which nothing is known yet."""
    return {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "scheme": "http"}


def server_config(
    app: ASGIApp,
    table: ConnectionTable,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    drain_s: int = 1,
    behind_tls: bool = False,
) -> Config:
    """The configuration of an HTTP server: uvicorn with our bounds on connections and requests.

    Args:
        drain_s: how long requests in progress may take when the server stops.
        behind_tls: browsers reach the server over TLS, which ends at a proxy.
    """
    return Config(
        app,
        interface="asgi3",
        host=host,
        port=port,
        loop="none",
        http=partial(BoundedHttpProtocol, table),  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        headers=[ONLY_OVER_TLS] if behind_tls else [],
        timeout_graceful_shutdown=drain_s,
    )
