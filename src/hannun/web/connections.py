"""The HTTP connections of a process: how many there may be, and how much and how long each may cost.

    accept ─► too many of this address, or in all? ─► 503 and closed
                └─ else open ─► every CHECK_EVERY_S: is a deadline over? ─► `on_deadline` of the connection

One timer looks at all connections. A timer for each would cost each request two operations of the event loop.
"""

import asyncio
import math
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hannun.telemetry import log, metrics
from hannun.web.limits import network_of

CHECK_EVERY_S: Final = 0.5
LOG_EVERY_S: Final = 60.0
REFUSED_MAX: Final = 256
"""How many refused connections may stay open until their client has read why. Further ones are closed at once."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection may cost. The service ends it within a second after a time is over.

    Args:
        count_max: open connections in all.
        address_count_max: open connections of one address; 0 is no limit.
        trusted_proxies: as HANNUN_TRUSTED_PROXIES. Behind their addresses are many clients, so only `count_max` limits
            their connections.
        head_bytes_max: the largest request line with headers.
        head_s: from the first byte of a head, or from the start of the connection, to the end of the head.
        body_s: from the end of the head to the end of the body.
        idle_s: from the end of a response to the next request.
        unread_s: how long a client may take no byte of a response.
    """

    count_max: int = 12_000
    address_count_max: int = 256
    trusted_proxies: str = ""
    head_bytes_max: int = 32_768
    head_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 65.0
    unread_s: float = 30.0


class BoundedConnection(Protocol):
    """What the table of connections needs of each. The deadlines are times of the event loop, or infinite."""

    read_deadline: float
    write_deadline: float

    def on_deadline(self) -> None:
        """A deadline is over."""


class ConnectionTable:
    """Every open connection of one server, for one event loop."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.set_limits(limits)
        self.now = 0.0
        """The time of the last check. While a connection is open it is at most `CHECK_EVERY_S` old."""
        self._open: dict[BoundedConnection, str] = {}  # with the network of each
        self._refused: set[BoundedConnection] = set()
        self._by_network: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._refusals = RefusalLog()

    def set_limits(self, limits: ConnectionLimits) -> None:
        """Use these limits for new connections."""
        self.limits = limits
        # uvicorn's own reading of the setting, by which it decides whose forwarded address it believes
        self._proxies = ProxyHeadersMiddleware(_no_application, limits.trusted_proxies or []).trusted_hosts

    def admit(self, connection: BoundedConnection, host: str | None, loop: asyncio.AbstractEventLoop) -> str | None:
        """Add a new connection. Returns None, or the reason why it must be refused: it must then end by itself."""
        if self._timer is None:
            self.now = loop.time()
            self._timer = loop.call_later(CHECK_EVERY_S, self._check, loop)
        network = "" if host is None or host in self._proxies else network_of(host)
        reason = self._reason_against(network)
        if reason is None:
            self._open[connection] = network
            self._by_network[network] += 1
        else:
            self._refused.add(connection)
        return reason

    @property
    def has_too_many_refused(self) -> bool:
        """Whether so many refused connections are open that further ones must be closed at once."""
        return len(self._refused) > REFUSED_MAX

    def replace(self, connection: BoundedConnection, successor: BoundedConnection) -> None:
        """Another object stands for this open connection from here on."""
        self._open[successor] = self._open.pop(connection)

    def remove(self, connection: BoundedConnection) -> None:
        """Remove a connection that is closed."""
        self._refused.discard(connection)
        network = self._open.pop(connection, None)
        if network is not None:
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]

    def record_refusal(self, reason: str) -> None:
        """Count a refusal, and log it, at most once a minute for each reason."""
        self._refusals.record(reason, self.now)

    def _reason_against(self, network: str) -> str | None:
        limits = self.limits
        if len(self._open) >= limits.count_max:
            return "connections"
        if network and limits.address_count_max and self._by_network[network] >= limits.address_count_max:
            return "connections-of-address"
        return None

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time()
        over = self.now - CHECK_EVERY_S  # deadlines were set with a time up to so old: none is early
        for connection in [*self._open, *self._refused]:
            if connection.read_deadline < over or connection.write_deadline < over:
                connection.on_deadline()
        more = self._open or self._refused
        self._timer = loop.call_later(CHECK_EVERY_S, self._check, loop) if more else None


class UnreadLimit:
    """For a protocol of asyncio: ends the connection when its client takes no byte of a response for `unread_s`."""

    __slots__ = ("_table", "_unread_bytes", "transport", "write_deadline")
    transport: asyncio.Transport
    write_deadline: float
    _table: ConnectionTable
    _unread_bytes: int

    def start_unread(self) -> None:
        """The client has not taken what was written to it so far."""
        self._unread_bytes = self.transport.get_write_buffer_size()
        self.write_deadline = self._table.now + self._table.limits.unread_s

    def stop_unread(self) -> None:
        """The client has taken it."""
        self.write_deadline = math.inf

    def on_unread_deadline(self) -> None:
        """Wait on if the client has taken something since `start_unread`, else end the connection."""
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes < self._unread_bytes:
            self.start_unread()
        else:
            self._table.record_refusal("unread")
            self.transport.abort()


async def _no_application(*_: object) -> None:
    raise NotImplementedError


class RefusalLog:
    """Counts refusals in the metrics; logs each reason at most once in `LOG_EVERY_S`, with the number since then."""

    def __init__(self) -> None:
        self._unlogged: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}

    def record(self, reason: str, now: float) -> None:
        metrics.http_refusals.labels(reason).inc()
        self._unlogged[reason] += 1
        if now - self._logged_at.get(reason, -math.inf) >= LOG_EVERY_S:
            self._logged_at[reason] = now
            log.warning("HTTP connections refused", reason=reason, count=self._unlogged.pop(reason))
