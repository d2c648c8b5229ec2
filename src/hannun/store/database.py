"""Connections to PostgreSQL, and the one place where psycopg's errors become ours.

Writing is synchronous (ingest, timed jobs, a POST's batch in a worker thread); reading in `serve` is asynchronous.
Nothing exists in both a synchronous and an asynchronous version.
"""

import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from hannun.errors import OperatorError, RowRefused, StoreUnavailable
from hannun.telemetry import log

Connection = psycopg.Connection[tuple[Any, ...]]
AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]

_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    PoolClosed,
    ConnectionError,
    # Another transaction won a lock or a serialization conflict: nothing was written, the same batch is retried.
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    # The server became a standby, or ended a transaction that was idle for too long.
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)

ROW_ERRORS = (psycopg.DataError, psycopg.IntegrityError)
"""What psycopg raises for a row that PostgreSQL will never accept."""


def describe_row_error(error: Exception) -> str:
    """The kind of error and the constraint, never the row's values: they may be personal data."""
    constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
    return f"{type(error).__name__}{f' of {constraint}' if constraint else ''}"


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The contract's pool: how many connections, and how long each may live, in seconds."""

    size_max: int = 20
    size_min: int = 5
    wait_s: float = 30.0
    idle_s: float = 600.0
    lifetime_s: float = 1_800.0
    lock_wait_s: float = 10.0


def _connection_options(url: str, application: str, lock_wait_s: float = 0) -> dict[str, Any]:
    """The options of every connection: UTC, and time-outs for a server that does not answer.

    Long-running processes also give up on a lock that is not free within `lock_wait_s`. 0 means no limit: a command
    waits as long as its operator does.
    """
    given = conninfo_to_dict(url)
    # The operator's own options come after ours and override them; only the time zone comes last.
    options = f"-c lock_timeout={round(lock_wait_s * 1000)} {given.get('options', '')} -c timezone=UTC"
    return {
        "options": options,
        "application_name": given.get("application_name", application),
        "connect_timeout": given.get("connect_timeout", 5),
        "keepalives_idle": 30,
        "tcp_user_timeout": 30_000,
    }


class Database:
    """The writing side: one connection, opened when it is needed, and one transaction at a time.

    It is not a pool, because a writer (a batch counter, a timed job) writes for as long as it lives. A pool would wait
    for a server that is away, and notice late that it is back. This raises at once, and connects again with the next
    transaction.
    """

    def __init__(self, url: str, limits: PoolLimits, *, application: str) -> None:
        self._url = url
        self._options = _connection_options(url, application, limits.lock_wait_s)
        self._lifetime_s = limits.lifetime_s
        self._lock = threading.Lock()
        self._conn: Connection | None = None
        self._renew_at = 0.0
        self._generation = 0

    def ensure_connected(self) -> int:
        """Connect where there is no connection. Returns the connection's generation, a number that grows with each one.

        A new connection may lead to a database that was restored, or to another one. So a caller that caches what it
        read drops its cache when the generation changes.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        with self._lock:
            try:
                self._connect()
            except _UNAVAILABLE as error:
                raise StoreUnavailable(_one_line(error)) from error
            return self._generation

    @property
    def generation(self) -> int:
        """How many connections were opened so far. Inside a transaction it names the transaction's own connection."""
        return self._generation

    def close(self) -> None:
        """Close the connection. Closing twice is fine; a later transaction opens a new connection."""
        with self._lock:
            self._disconnect()

    def abort(self) -> None:
        """Shut down the connection's socket, from any thread: a thread that waits on it gets StoreUnavailable."""
        conn = self._conn
        if conn is not None:
            with suppress(OSError, *_UNAVAILABLE), socket.socket(fileno=os.dup(conn.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        Raises:
            StoreUnavailable: PostgreSQL is away, or ended the transaction for a temporary reason. Whether the commit
                took place may be unknown: repeat the transaction, all our writing is idempotent.
            RowRefused: a row violates a constraint of its table, or does not fit a column. Nothing was written.
        """
        with self._lock:
            try:
                conn = self._connect()
                with conn.transaction():
                    yield conn
            except ROW_ERRORS as error:
                raise RowRefused(describe_row_error(error)) from None  # psycopg's text holds the row's values
            except _UNAVAILABLE as error:
                self._disconnect()
                raise _store_unavailable(error) from error

    def _connect(self) -> Connection:
        if self._conn is not None and time.monotonic() > self._renew_at:
            self._disconnect()
        if self._conn is None:
            self._conn = psycopg.connect(self._url, **self._options)
            self._generation += 1
            self._renew_at = time.monotonic() + self._lifetime_s
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


class ReadPool:
    """The reading side of `serve`: a pool of read-only connections, with one snapshot for each request."""

    def __init__(self, url: str, limits: PoolLimits, *, application: str) -> None:
        self._limits = limits
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            url,
            kwargs=_connection_options(url, application, limits.lock_wait_s),
            min_size=limits.size_min,
            max_size=limits.size_max,
            timeout=limits.wait_s,
            max_idle=limits.idle_s,
            max_lifetime=limits.lifetime_s,
            reconnect_timeout=5.0,
            configure=_read_only,
            open=False,
            name=application,
        )

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading. Each statement outside a transaction reads one snapshot; so does a transaction.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        try:
            conn = await self._get_live_connection()
            try:
                yield conn
            finally:
                await self._pool.putconn(conn)
        except _UNAVAILABLE as error:
            raise _store_unavailable(error) from error

    async def _get_live_connection(self) -> AsyncConnection:
        """Take a connection that answers from the pool.

        When one connection is dead, the others mostly are too, because PostgreSQL was restarted. So all are checked
        before the next is taken: the pool's own check tries them one by one, and waits longer each time.
        """
        conn = await self._pool.getconn()
        try:
            await AsyncConnectionPool.check_connection(conn)
        except _UNAVAILABLE:
            await self._pool.putconn(conn)
            await self._pool.check()
            conn = await self._pool.getconn()
        return conn


async def _read_only(conn: AsyncConnection) -> None:
    # A single statement reads one snapshot anyway. A request of several statements opens a transaction for one.
    await conn.set_autocommit(True)
    await conn.set_read_only(True)
    await conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """Read everything in the block from one snapshot. The connection stays read-only afterwards."""
    conn.rollback()
    conn.set_read_only(True)
    conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    with conn.transaction():
        yield


def connect(url: str, *, application: str) -> Connection:
    """Open a single connection, for a command or at the start of a process.

    Raises:
        OperatorError: PostgreSQL cannot be reached or refuses the connection, or the URL cannot be parsed.
    """
    try:
        return psycopg.connect(url, **_connection_options(url, application))
    except psycopg.OperationalError as error:
        where = conninfo_to_dict(url)
        raise OperatorError(
            f"cannot connect to PostgreSQL at {where.get('host', 'localhost')}:{where.get('port', 5432)} "
            f"as {where.get('user', '(no user)')}: {_one_line(error)}",
            hint="is it running, and is DATABASE_URL right (postgresql://user:password@host:port/analytics_db)? "
            "`hannun up` starts an embedded one",
        ) from error
    except psycopg.ProgrammingError as error:
        raise OperatorError(
            f"cannot read DATABASE_URL: {_one_line(error)}",
            hint="it looks like postgresql://user:password@host:port/analytics_db",
        ) from error


def translate_error(error: Exception) -> StoreUnavailable | None:
    """Our error for an error of psycopg's that means that PostgreSQL is away; None for any other, which is a bug."""
    return StoreUnavailable(_one_line(error)) if isinstance(error, _UNAVAILABLE) else None


def _store_unavailable(error: Exception) -> StoreUnavailable:
    if isinstance(error, psycopg.errors.LockNotAvailable):
        # Batches hold their locks for a short time: this is somebody's open transaction, or a change of the schema.
        hint = "SELECT pid, application_name, xact_start, query FROM pg_stat_activity WHERE pid IN (SELECT unnest("
        hint += "pg_blocking_pids(pid)) FROM pg_stat_activity); then pg_terminate_backend(pid)"
        log.warning("lock not available in time", error=_one_line(error), hint=hint)
    return StoreUnavailable(_one_line(error))


def _one_line(error: Exception) -> str:
    """The text of psycopg's error, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
