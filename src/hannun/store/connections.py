"""Connections to PostgreSQL. Every wait for the server ends, also where the server is silent.

    a wait within a deadline (a request) ─────► ends with the deadline
    a reader's without one (a file's page) ───► ends after READ_S_MAX
    any other (a batch, a job, a command) ────► every ANSWER_S: does the server answer a new connection?
                                                 ├► yes: it is slow, wait on
                                                 └► no, not within ANSWER_S: it is silent, give up

A server that is frozen, or behind a network that drops packets, closes no connection. Its kernel may even acknowledge
what is sent, so neither `statement_timeout` nor the time-outs of TCP end the wait. Giving up closes the connection. The
outcome of a COMMIT is then unknown: the caller repeats the work, which counts nothing twice.
"""

import asyncio
import math
import select
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.waiting import READY_NONE

from hannun import deadlines, tracing
from hannun.errors import ConnectionLost, StoreUnavailable
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.refused_connections import refuses_login

T = TypeVar("T")

_WAIT_TIMEOUT = psycopg.errors._WaitTimeout
"""What `wait` raises after `timeout`. psycopg documents neither: it has no other way to interrupt a wait and go on
with it. test_connections.py says so where a new version has changed them."""

ANSWER_S: Final = 5.0
"""How long the server may take to answer a new connection before it counts as silent, by default."""
CONNECT_S_MAX: Final = 15.0
"""How long connecting may take without a deadline: the look-up of the name, and every host of the URL."""
READ_S_MAX: Final = 30.0
"""How long a reader's statement may take without a deadline, by default."""
CHECK_AFTER_IDLE_S: Final = 30.0
"""A connection that was idle for so long is checked with a round trip before it is used: a firewall may have dropped it
without a word. After a shorter time a look at its socket must do."""
CHECK_S_MAX: Final = 1.0
"""How long such a check may take."""
_WAKE_S: Final = 0.1
"""How often psycopg wakes during a wait."""


UrlSource = str | Callable[[], str]
"""The URL of a database, or what returns the present one: its password may be rotated while the process runs."""

ROTATION_S_MAX: Final = 2.0
"""How long a refused login waits for another URL: PostgreSQL has the new password a moment before the file has it."""


def url_now(source: UrlSource) -> str:
    """The URL for a connection that is opened now."""
    return source if isinstance(source, str) else source()


def masked_url(url: str) -> str:
    """Which database a URL names and as whom, without its password and its other options."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "*** (no URL of a database)"
    password = ":***" if parts.get("password") else ""
    user = f"{parts['user']}{password}@" if "user" in parts else ""
    host, port = parts.get("host", parts.get("hostaddr", "")), parts.get("port")
    return f"postgresql://{user}{host}{f':{port}' if port else ''}/{parts.get('dbname', '')}"


@dataclass(frozen=True, slots=True)
class Server:
    """Where PostgreSQL is, the options of connections to it, and after how many seconds it counts as silent.

    amounts: how its connections read and write amounts.
    """

    url: UrlSource
    options: dict[str, Any]
    answer_s: float = ANSWER_S
    amounts: Amounts = WITHOUT_KEYS

    def connect(self, opening: "Future[SyncConnection] | None" = None) -> "SyncConnection":
        """Open a connection, before the deadline.

        Names are looked up without a time-out, and one host is tried after the other. So a thread of its own connects,
        and closes what comes too late.

        Args:
            opening: another thread may cancel it, which ends the wait.

        Raises:
            StoreUnavailable: the server did not answer in time.
            psycopg.Error: it refused the connection, or the URL cannot be parsed.
        """
        try:
            return deadlines.open_in_thread(self._open, SyncConnection.close, s_max=CONNECT_S_MAX, opening=opening)
        except (TimeoutError, psycopg.errors.ConnectionTimeout) as error:
            raise StoreUnavailable("PostgreSQL does not answer a new connection") from error

    def _open(self) -> "SyncConnection":
        url = url_now(self.url)
        try:
            conn = SyncConnection.connect(url, **self.options)
        except psycopg.OperationalError as error:
            renewed = self._renewed_url(url) if refuses_login(error) else None
            if renewed is None:
                raise
            conn = SyncConnection.connect(renewed, **self.options)
        conn.server = self
        conn.amounts = self.amounts.of_connection()
        return conn

    def _renewed_url(self, refused: str) -> str | None:
        """Another URL than the one with which a login failed, as soon as there is one; None where there is none."""
        if isinstance(self.url, str):
            return None
        ends_at_s = time.monotonic() + min(ROTATION_S_MAX, deadlines.remaining_s())
        while True:
            url = self.url()
            if url != refused:
                return url
            if time.monotonic() >= ends_at_s:
                return None
            time.sleep(_WAKE_S)

    def check_answers(self) -> None:
        """
        Raises:
            StoreUnavailable: the server does not answer a new connection within `answer_s`. A refusal is an answer.
        """
        with deadlines.within(self.answer_s), suppress(psycopg.OperationalError):
            conn = self.connect()
            try:
                conn.execute("SELECT 1")
            finally:
                conn.close()


class SyncConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection for threads.

    Where it breaks, its methods raise ConnectionLost; where it gives up a wait, StoreUnavailable. It is closed then.
    """

    server: Server
    server_identity: Any = None
    """Where its transactions have run so far, behind a PgBouncer in transaction mode."""
    amounts: Amounts = WITHOUT_KEYS

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        with tracing.query(query):
            return super().execute(query, params, **options)

    def wait(self, gen: PQGen[T], interval: float = _WAKE_S, timeout: float | None = None) -> T:
        """psycopg waits here for everything that an open connection does."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            try:
                return super().wait(gen, interval, min(deadlines.remaining_s(), self.server.answer_s))
            except _WAIT_TIMEOUT:
                return super().wait(self._watched(gen), interval)
        except StoreUnavailable:
            self.pgconn.finish()
            raise
        except psycopg.OperationalError as error:
            _raise_if_lost(self, error)
            raise

    def _watched(self, gen: PQGen[T]) -> PQGen[T]:
        """The rest of a wait, which ends with the deadline, or when the server does not answer other connections."""
        answered_at = -math.inf
        ready: int = READY_NONE
        try:
            while True:
                if deadlines.remaining_s() == 0:
                    raise StoreUnavailable("PostgreSQL did not answer before the deadline")
                if time.monotonic() - answered_at > self.server.answer_s:
                    self.server.check_answers()
                    answered_at = time.monotonic()
                ready = yield gen.send(ready)
        except StopIteration as end:
            value: T = end.value
            return value


class AsyncConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection for readers in an event loop; it raises what `SyncConnection` raises.

    A cancelled wait closes it, and leaves the statement to the server: psycopg would wait up to ten seconds for the
    server to end it.
    """

    idle_since = 0.0
    """When it was last used, or opened."""
    read_s_max = READ_S_MAX
    amounts: Amounts = WITHOUT_KEYS

    async def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        with tracing.query(query):
            return await super().execute(query, params, **options)

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = _WAKE_S,
        timeout: float | None = None,  # noqa: ASYNC109  # psycopg's
    ) -> T:
        """psycopg waits here for everything that an open connection does."""
        limit_s = min(deadlines.remaining_s(), self.read_s_max) if timeout is None else timeout
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=limit_s)
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise
        except _WAIT_TIMEOUT:
            self.pgconn.finish()
            raise StoreUnavailable("PostgreSQL did not answer before the deadline") from None
        except psycopg.OperationalError as error:
            _raise_if_lost(self, error)
            raise


def is_lost(conn: SyncConnection | AsyncConnection) -> bool:
    """Whether a connection that is idle is closed, or the server has sent something: it says nothing but a farewell.

    Without a round trip, so it does not notice a server that has vanished without a word.
    """
    if conn.closed:
        return True
    poll = select.poll()
    poll.register(conn.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def _raise_if_lost(conn: SyncConnection | AsyncConnection, error: psycopg.OperationalError) -> None:
    # The server's last words may arrive before the end of the connection does.
    if conn.closed or error.diag.severity_nonlocalized in ("FATAL", "PANIC"):
        raise ConnectionLost(one_line(error)) from error


def one_line(error: Exception) -> str:
    """The text of psycopg's error, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
