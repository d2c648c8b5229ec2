"""Connections to PostgreSQL, and the one place where psycopg's errors become ours.

Writing is synchronous (ingest, timed jobs, a POST's batch in a worker thread); reading in `serve` is asynchronous.
Nothing exists in both a synchronous and an asynchronous version.
"""

import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from hannun import deadlines
from hannun.errors import ConnectionLost, DiskFull, HannunError, RowRefused, StoreUnavailable
from hannun.store import connections
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.connections import (
    ANSWER_S,
    CHECK_AFTER_IDLE_S,
    CHECK_S_MAX,
    READ_S_MAX,
    Server,
    SyncConnection,
    UrlSource,
    is_lost,
    one_line,
    url_now,
)
from hannun.store.database_urls import parse_url
from hannun.store.pooled_connections import PooledUrl, begin
from hannun.store.refused_connections import refused_connection
from hannun.telemetry import Series, log, metrics

T = TypeVar("T")
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

CLOSE_S_MAX: Final = 1.0
"""How long closing waits for a transaction in progress, and for the tasks of a pool."""

ROW_ERRORS = (psycopg.DataError, psycopg.IntegrityError)
"""What psycopg raises for a row that PostgreSQL will never accept."""


def describe_row_error(error: Exception) -> str:
    """The kind of error and the constraint, never the row's values: they may be personal data."""
    constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
    return f"{type(error).__name__}{f' of {constraint}' if constraint else ''}"


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The contract's pool: how many connections, and how long each may live, in seconds.

    Args:
        lock_wait_s: how long a statement waits for a lock.
        statement_s: how long a statement may take; 0 is no limit for writers, and `READ_S_MAX` for readers.
        answer_s: how long the server may take to answer a new connection before it counts as silent.
    """

    size_max: int = 20
    size_min: int = 5
    wait_s: float = 30.0
    idle_s: float = 600.0
    lifetime_s: float = 1_800.0
    lock_wait_s: float = 10.0
    statement_s: float = 0.0
    answer_s: float = ANSWER_S


def _connection_options(url: str, application: str, lock_wait_s: float = 0, statement_s: float = 0) -> dict[str, Any]:
    """The options of every connection: UTC, and time-outs for a server that does not answer.

    Long-running processes also give up on a lock that is not free within `lock_wait_s`, and those that answer requests
    on a statement after `statement_s`: the server ends it then, too. 0 means no limit: a command waits as long as its
    operator does. PgBouncer in transaction mode takes no limits for a session, and keeps no prepared statements.
    """
    given = parse_url(url)
    common = {
        "application_name": given.get("application_name", application),
        "connect_timeout": given.get("connect_timeout", 5),
        "keepalives_idle": 30,
        "tcp_user_timeout": 30_000,
    }
    if isinstance(url, PooledUrl):
        return common | {"prepare_threshold": None}
    # The operator's own options come after ours and override them; only the time zone comes last.
    ours = f"-c lock_timeout={round(lock_wait_s * 1000)}"
    if statement_s:
        ours += f" -c statement_timeout={round(statement_s * 1000)}"
    return common | {"options": f"{ours} {given.get('options', '')} -c timezone=UTC"}


def _with_generic_plans(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a reader's connection, which plans each of its statements once.

    PostgreSQL otherwise plans those over many partitions at each execution, which takes longer than to execute them.
    The plan is right for all parameters: it finds the partitions when it runs, and rows by the keys of events.
    """
    if "options" not in options:
        return options  # through PgBouncer: no prepared statements
    return options | {"options": f"-c plan_cache_mode=force_generic_plan {options['options']}"}


class Database:
    """The writing side: one connection, opened when it is needed, and one transaction at a time.

    It is not a pool, because a writer (a batch counter, a timed job) writes for as long as it lives. A pool would wait
    for a server that is away, and notice late that it is back. This raises at once, and connects again with the next
    transaction. A connection that the server has closed meanwhile is replaced before a transaction begins on it.
    """

    def __init__(
        self, url: UrlSource, limits: PoolLimits, *, application: str, amounts: Amounts = WITHOUT_KEYS
    ) -> None:
        options = _connection_options(url_now(url), application, limits.lock_wait_s, limits.statement_s)
        self._server = Server(url, options, limits.answer_s, amounts)
        self._begun: Callable[[SyncConnection], None] = lambda _: None
        if isinstance(url_now(url), PooledUrl):
            self._begun = partial(begin, lock_wait_s=limits.lock_wait_s, statement_s=limits.statement_s)
        self._lifetime_s = limits.lifetime_s
        self._lock = threading.Lock()
        self._conn: SyncConnection | None = None
        self._opening: Future[SyncConnection] | None = None
        self._renew_at = 0.0
        self._used_at = 0.0
        self._generation = 0
        self._aborted = self._ended = False

    def ensure_connected(self) -> int:
        """Connect where there is no connection. Returns the connection's generation, a number that grows with each one.

        A new connection may lead to a database that was restored, or to another one. So a caller that caches what it
        read drops its cache when the generation changes.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        with self._exclusive():
            try:
                self._connect()
            except _UNAVAILABLE as error:
                raise _store_unavailable(error) from error
            return self._generation

    @property
    def generation(self) -> int:
        """How many connections were opened so far. Inside a transaction it names the transaction's own connection."""
        return self._generation

    def close(self) -> None:
        """Close the connection. Closing twice is fine; a later transaction opens a new connection.

        A transaction that another thread has not ended within `CLOSE_S_MAX` is aborted.
        """
        if not self._lock.acquire(timeout=CLOSE_S_MAX):
            self.abort()
            if not self._lock.acquire(timeout=CLOSE_S_MAX):
                return  # the thread is busy with something else, and closes nothing any more
        try:
            self._disconnect()
        finally:
            self._lock.release()

    def end(self) -> None:
        """Abort the transaction in progress, if there is one, and begin none from now on. For any thread."""
        self._ended = True
        self.abort()

    def abort(self) -> None:
        """Shut down the connection's socket, from any thread: a thread that waits on it gets StoreUnavailable."""
        self._aborted = True
        opening, conn = self._opening, self._conn
        if opening is not None:
            opening.cancel()
        if conn is not None:
            with suppress(*_UNAVAILABLE, OSError), socket.socket(fileno=os.dup(conn.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        Raises:
            ConnectionLost: the connection broke before the commit: nothing was written.
            StoreUnavailable: PostgreSQL is away, or ended the transaction for a temporary reason. Whether the commit
                took place may be unknown: repeat the transaction, all our writing is idempotent.
            RowRefused: a row violates a constraint of its table, or does not fit a column. Nothing was written.
        """
        committing = False
        with self._exclusive():
            try:
                conn = self._connect()
                with conn.transaction():
                    self._begun(conn)
                    yield conn
                    if conn.closed:  # and the block has gone on all the same: psycopg would skip the commit
                        raise ConnectionLost("the connection broke within a transaction")
                    committing = True
            except ROW_ERRORS as error:
                raise RowRefused(describe_row_error(error)) from None  # psycopg's text holds the row's values
            except ConnectionLost as error:
                if self._aborted:
                    raise StoreUnavailable("the transaction was aborted") from error
                if committing:
                    raise StoreUnavailable(f"the answer to a commit was lost: {error}") from error
                raise
            except StoreUnavailable:
                raise
            except _UNAVAILABLE as error:
                self._disconnect()
                raise _store_unavailable(error) from error
            finally:
                self._used_at = time.monotonic()

    def run(self, work: Callable[[Connection], T]) -> T:
        """The result of work in a transaction, which is tried once more where its connection broke before the commit.

        Raises as `transaction`.
        """
        try:
            with self.transaction() as conn:
                return work(conn)
        except ConnectionLost:
            with self.transaction() as conn:
                return work(conn)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """The right to use the connection.

        Raises:
            StoreUnavailable: another thread had it until the deadline.
        """
        if not self._lock.acquire(timeout=min(deadlines.remaining_s(), threading.TIMEOUT_MAX)):
            raise StoreUnavailable("another transaction held the connection until the deadline")
        self._aborted = False
        try:
            yield
        finally:
            self._lock.release()

    def _connect(self) -> SyncConnection:
        if self._conn is not None and not self._is_usable(self._conn):
            self._disconnect()
        if self._conn is None:
            self._conn = self._open()
            self._generation += 1
            self._used_at = time.monotonic()
            self._renew_at = self._used_at + self._lifetime_s
        return self._conn

    def _is_usable(self, conn: SyncConnection) -> bool:
        now = time.monotonic()
        if now > self._renew_at or is_lost(conn):
            return False
        if now - self._used_at < CHECK_AFTER_IDLE_S:
            return True
        with suppress(StoreUnavailable, *_UNAVAILABLE), deadlines.within(CHECK_S_MAX):
            conn.execute("SELECT 1")
            conn.rollback()
            return True
        return False

    def _open(self) -> SyncConnection:
        self._opening = Future()
        if self._ended or self._aborted:
            raise StoreUnavailable("the transaction was aborted")
        try:
            return self._server.connect(self._opening)
        finally:
            self._opening = None

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


class ReadPool:
    """The reading side of `serve`: a pool of read-only connections, with one snapshot for each request."""

    def __init__(
        self, url: UrlSource, limits: PoolLimits, *, application: str, amounts: Amounts = WITHOUT_KEYS
    ) -> None:
        self._wait_s = limits.wait_s
        self._pool: AsyncConnectionPool[connections.AsyncConnection] = AsyncConnectionPool(
            url,
            connection_class=connections.AsyncConnection,
            kwargs=_with_generic_plans(
                _connection_options(url_now(url), application, limits.lock_wait_s, limits.statement_s)
            ),
            min_size=limits.size_min,
            max_size=limits.size_max,
            max_idle=limits.idle_s,
            max_lifetime=limits.lifetime_s,
            reconnect_timeout=2.0,
            configure=partial(_read_only, limits.statement_s or READ_S_MAX, amounts),
            open=False,
            name=application,
        )

    async def open(self) -> None:
        metrics.pool_connections.add_source(self._count_connections)
        metrics.pool_waiting.add_source(self._count_waiting)
        metrics.pool_timeouts.add_source(self._count_timeouts)
        await self._pool.open()

    async def close(self) -> None:
        metrics.pool_connections.remove_source(self._count_connections)
        metrics.pool_waiting.remove_source(self._count_waiting)
        metrics.pool_timeouts.remove_source(self._count_timeouts)
        await self._pool.close(timeout=CLOSE_S_MAX)

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """The result of work on a connection, which is done once more where its connection broke.

        Raises as `connection`.
        """
        try:
            async with self.connection() as conn:
                return await work(conn)
        except ConnectionLost:
            async with self.connection() as conn:
                return await work(conn)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading. Each statement outside a transaction reads one snapshot; so does a transaction.

        Raises:
            ConnectionLost: it broke.
            StoreUnavailable: PostgreSQL is away.
        """
        try:
            conn = await self._get_live_connection()
            try:
                yield conn
            finally:
                conn.idle_since = time.monotonic()
                await self._pool.putconn(conn)
        except HannunError:
            raise
        except _UNAVAILABLE as error:
            raise _store_unavailable(error) from error

    async def _get_live_connection(self) -> connections.AsyncConnection:
        """Take a connection from the pool that the server has not closed.

        When one connection is dead, the others mostly are too, because PostgreSQL was restarted, or a firewall dropped
        them all. So all are checked, or replaced, before the next is taken. The pool's own check tries them one by one,
        and waits longer each time.
        """
        conn = await self._get_connection()
        if is_lost(conn):
            await self._discard(conn)
            await self._pool.check()
            return await self._get_connection()
        if time.monotonic() - conn.idle_since > CHECK_AFTER_IDLE_S and not await _answers(conn):
            await self._discard(conn)
            await self._pool.drain()
            return await self._get_connection()
        return conn

    async def _get_connection(self) -> connections.AsyncConnection:
        return await self._pool.getconn(timeout=min(self._wait_s, deadlines.remaining_s()))

    def _count_connections(self) -> Series:
        found = self._pool.get_stats()
        size, idle = found.get("pool_size", 0), found.get("pool_available", 0)
        counts = {"used": size - idle, "idle": idle, "max": found.get("pool_max", 0)}
        return {(self._pool.name, state): count for state, count in counts.items()}

    def _count_waiting(self) -> Series:
        return {(self._pool.name,): self._pool.get_stats().get("requests_waiting", 0)}

    def _count_timeouts(self) -> Series:
        return {(self._pool.name,): self._pool.get_stats().get("requests_errors", 0)}

    async def _discard(self, conn: connections.AsyncConnection) -> None:
        await conn.close()  # otherwise the pool would lend it again
        await self._pool.putconn(conn)


async def _answers(conn: connections.AsyncConnection) -> bool:
    with suppress(StoreUnavailable, *_UNAVAILABLE), deadlines.within(CHECK_S_MAX):
        await AsyncConnectionPool.check_connection(conn)
        return True
    return False


async def _read_only(read_s_max: float, amounts: Amounts, conn: connections.AsyncConnection) -> None:
    conn.read_s_max, conn.amounts, conn.idle_since = read_s_max, amounts, time.monotonic()
    # A single statement reads one snapshot anyway. A request of several statements opens a transaction for one.
    await conn.set_autocommit(True)
    await conn.set_read_only(True)
    await conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)


BeginTransaction = Callable[[], AbstractContextManager[Connection]]
"""Begins a transaction and gives its connection."""


def transactions_on(conn: Connection) -> BeginTransaction:
    """Begins one transaction after the other on a connection that nobody else uses."""

    @contextmanager
    def begin() -> Iterator[Connection]:
        with conn.transaction():
            yield conn

    return begin


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """Read everything in the block from one snapshot. The connection stays read-only afterwards."""
    conn.rollback()
    conn.set_read_only(True)
    conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    with conn.transaction():
        yield


def connect(url: UrlSource, *, application: str, amounts: Amounts = WITHOUT_KEYS) -> Connection:
    """Open a single connection, for a command or at the start of a process.

    Raises:
        StoreUnavailable: PostgreSQL cannot be reached, or refuses the connection for now.
        OperatorError: it refuses the login, or the URL cannot be parsed.
    """
    try:
        return Server(url, _connection_options(url_now(url), application), amounts=amounts).connect()
    except (StoreUnavailable, psycopg.OperationalError) as error:
        raise refused_connection(url_now(url), error) from error


@contextmanager
def connected(url: UrlSource, *, application: str, amounts: Amounts = WITHOUT_KEYS) -> Iterator[Connection]:
    """A single connection for the block, committed at its end.

    Raises:
        StoreUnavailable: PostgreSQL cannot be reached, refuses the connection for now, or ended it in the block.
        OperatorError: see `connect`.
    """
    try:
        with connect(url, application=application, amounts=amounts) as conn:
            yield conn
    except (ConnectionLost, *_UNAVAILABLE) as error:
        if isinstance(error, psycopg.errors.DiskFull):
            raise _store_unavailable(error) from error
        raise StoreUnavailable(f"PostgreSQL ended the connection or the transaction: {one_line(error)}") from error


def translate_error(error: Exception) -> StoreUnavailable | None:
    """Our error for an error of psycopg's that means that PostgreSQL is away; None for any other, which is a bug."""
    if isinstance(error, StoreUnavailable):
        return error
    return _store_unavailable(error) if isinstance(error, _UNAVAILABLE) else None


def _store_unavailable(error: Exception) -> StoreUnavailable:
    if isinstance(error, psycopg.errors.DiskFull):
        return DiskFull(f"PostgreSQL's disk is full: {one_line(error)}")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        # Batches hold their locks for a short time: this is somebody's open transaction, or a change of the schema.
        hint = "SELECT pid, application_name, xact_start, query FROM pg_stat_activity WHERE pid IN (SELECT unnest("
        hint += "pg_blocking_pids(pid)) FROM pg_stat_activity); then pg_terminate_backend(pid)"
        log.warning("lock not available in time", error=one_line(error), hint=hint)
    return StoreUnavailable(one_line(error))
