"""Connections to PostgreSQL, and the one place where the driver's errors become ours.

Writing is synchronous (ingest, timed jobs, a POST's batch in a worker thread), reading in `serve` is asynchronous;
nothing is written in both colours.
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

_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    PoolClosed,
    ConnectionError,
    # A row somebody else held too long, or a snapshot that lost: nothing was written, the same batch goes again.
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    # A server that became a standby, or ended a transaction that waited too long.
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)


REFUSALS = (psycopg.DataError, psycopg.IntegrityError)
"""What PostgreSQL raises when it will never take a row."""


def refusal(error: Exception) -> str:
    """Why a row was refused: the kind of error and the rule, never the values, which may be personal."""
    rule = getattr(getattr(error, "diag", None), "constraint_name", None)
    return f"{type(error).__name__}{f' of {rule}' if rule else ''}"


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The contract's pool: how many connections, and how long each may live. Seconds."""

    size_max: int = 20
    size_kept: int = 5
    wait_s: float = 30.0
    idle_s: float = 600.0
    lifetime_s: float = 1_800.0
    lock_wait_s: float = 10.0


def _session(url: str, application: str, lock_wait_s: float = 0) -> dict[str, Any]:
    """Every session of ours speaks UTC and gives up on a server that does not answer; what runs all the time also gives
    up on a lock that is not free within `lock_wait_s` (0: a command waits as long as its operator does)."""
    given = conninfo_to_dict(url)
    # The operator's own options stand behind ours, and win.
    options = f"-c lock_timeout={round(lock_wait_s * 1000)} {given.get('options', '')} -c timezone=UTC"
    return {
        "options": options,
        "application_name": given.get("application_name", application),
        "connect_timeout": given.get("connect_timeout", 5),
        "keepalives_idle": 30,
        "tcp_user_timeout": 30_000,
    }


class Database:
    """The writing side: one connection, one transaction at a time, opened when it is needed.

    Not a pool: who writes (a counter, a timed job) writes for as long as it lives. A pool would wait for a server that
    is away, and find out late that it is back; this says so at once, and tries again with the next transaction.
    """

    def __init__(self, url: str, limits: PoolLimits, *, application: str) -> None:
        self._url = url
        self._session = _session(url, application, limits.lock_wait_s)
        self._lifetime_s = limits.lifetime_s
        self._turn = threading.Lock()
        self._conn: Connection | None = None
        self._renew_at = 0.0
        self._generation = 0

    def connected(self) -> int:
        """Connect where there is no connection. Returns how many there have been: another number, another connection.

        Behind another connection there may be a database that was restored, or another one: whoever remembers what
        stood in it believes nothing of that any more.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        with self._turn:
            try:
                self._open()
            except _AWAY as error:
                raise StoreUnavailable(_told(error)) from error
            return self._generation

    @property
    def generation(self) -> int:
        """How many connections there have been. Inside a transaction, it is that of the transaction's own."""
        return self._generation

    def close(self) -> None:
        """Close the connection. Closing twice is fine; a transaction after it opens another."""
        with self._turn:
            self._drop()

    def hang_up(self) -> None:
        """Cut the connection under whoever waits for an answer on it, who finds PostgreSQL away. For any thread."""
        conn = self._conn
        if conn is not None:
            with suppress(OSError, *_AWAY), socket.socket(fileno=os.dup(conn.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        Raises:
            StoreUnavailable: PostgreSQL is away, or ended the transaction for a reason that passes. Whether the
                commit took place may be unknown: do the same again, all our writing is idempotent.
            Refused: a row breaks a rule of its table, or does not fit a column. Nothing was written.
        """
        with self._turn:
            try:
                conn = self._open()
                with conn.transaction():
                    yield conn
            except REFUSALS as error:
                raise RowRefused(refusal(error)) from None  # the driver's words hold the row's values
            except _AWAY as error:
                self._drop()
                raise _away(error) from error

    def _open(self) -> Connection:
        if self._conn is not None and time.monotonic() > self._renew_at:
            self._drop()
        if self._conn is None:
            self._conn = psycopg.connect(self._url, **self._session)
            self._generation += 1
            self._renew_at = time.monotonic() + self._lifetime_s
        return self._conn

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


class ReadPool:
    """The reading side of `serve`: each question in one read-only snapshot."""

    def __init__(self, url: str, limits: PoolLimits, *, application: str) -> None:
        self._limits = limits
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            url,
            kwargs=_session(url, application, limits.lock_wait_s),
            min_size=limits.size_kept,
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
        """A connection to ask on. Each statement is one snapshot; so is each `conn.transaction()`.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        try:
            conn = await self._alive()
            try:
                yield conn
            finally:
                await self._pool.putconn(conn)
        except _AWAY as error:
            raise _away(error) from error

    async def _alive(self) -> AsyncConnection:
        """A connection that answers. When one is dead the others mostly are too (PostgreSQL was restarted), so all are
        looked at before the next is taken: the pool's own check tries them one by one, and waits longer each time."""
        conn = await self._pool.getconn()
        try:
            await AsyncConnectionPool.check_connection(conn)
        except _AWAY:
            await self._pool.putconn(conn)
            await self._pool.check()
            conn = await self._pool.getconn()
        return conn


async def _read_only(conn: AsyncConnection) -> None:
    # One statement is one snapshot by itself; a question of several opens a transaction, which then is one.
    await conn.set_autocommit(True)
    await conn.set_read_only(True)
    await conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """All that is read in the block is of one moment. The connection is read-only from here on."""
    conn.rollback()
    conn.set_read_only(True)
    conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    with conn.transaction():
        yield


def connect(url: str, *, application: str) -> Connection:
    """One connection of its own, for a command or at the start of a process.

    Raises:
        OperatorError: PostgreSQL does not let us in, and why.
    """
    try:
        return psycopg.connect(url, **_session(url, application))
    except psycopg.OperationalError as error:
        where = conninfo_to_dict(url)
        raise OperatorError(
            f"cannot connect to PostgreSQL at {where.get('host', 'localhost')}:{where.get('port', 5432)} "
            f"as {where.get('user', '(no user)')}: {_told(error)}",
            hint="is it running, and is DATABASE_URL right (postgresql://user:password@host:port/analytics_db)? "
            "`hannun up` starts an embedded one",
        ) from error
    except psycopg.ProgrammingError as error:
        raise OperatorError(
            f"cannot read DATABASE_URL: {_told(error)}",
            hint="it looks like postgresql://user:password@host:port/analytics_db",
        ) from error


def translated(error: Exception) -> StoreUnavailable | None:
    """The error of ours that a driver's error stands for; None where it stands for a mistake."""
    return StoreUnavailable(_told(error)) if isinstance(error, _AWAY) else None


def _away(error: Exception) -> StoreUnavailable:
    if isinstance(error, psycopg.errors.LockNotAvailable):
        # Not for long between batches: a person's open transaction, or a change of the schema.
        hint = "SELECT pid, application_name, xact_start, query FROM pg_stat_activity WHERE pid IN (SELECT unnest("
        hint += "pg_blocking_pids(pid)) FROM pg_stat_activity); then pg_terminate_backend(pid)"
        log.warning("somebody holds a lock for too long", error=_told(error), hint=hint)
    return StoreUnavailable(_told(error))


def _told(error: Exception) -> str:
    """What the driver said, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
