"""A streaming replica, for reads that are not cached.

    primary: up to where is the log written? ─► replica: has it replayed so far? ─► a connection to read on
                                                  └► not within `wait_s`: StoreUnavailable, and nobody asks for REST_S

So what is read on the replica holds every commit from before the read began, as on the primary, however far the replica
lags otherwise. One that is away, lags for longer, was promoted, follows another timeline, or belongs to another server
or database is not read. The replica may still end a read, where it replays a change that the read's snapshot excludes
(`canceling statement due to conflict with recovery`): that is a StoreUnavailable, too.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final, NamedTuple

import psycopg

from hannun import deadlines
from hannun.errors import StoreUnavailable
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.connections import UrlSource, one_line
from hannun.store.database import AsyncConnection, Connection, PoolLimits, ReadPool, connected
from hannun.store.queries import load
from hannun.telemetry import log

SQL = load("replica")
REST_S: Final = 5.0
"""How long a replica that could not be read is left alone, so that not every read waits for it."""
ASK_EVERY_S: Final = 0.02
HINT: Final = "`SELECT * FROM pg_stat_replication` on the primary says whether the replica follows, and how far it is"
CONFLICT_HINT: Final = (
    "try again; where it happens again, set hot_standby_feedback on the replica, or raise its "
    "max_standby_streaming_delay above the time of the longest read"
)


class Written(NamedTuple):
    """The log of a primary.

    Args:
        system: PostgreSQL's number of the server, which its replicas share.
        database: its number in that server.
        timeline: which grows when a replica is promoted.
        position: up to where the log is written.
    """

    system: int
    database: int
    timeline: int
    position: str


class Replayed(NamedTuple):
    """What a replica has replayed. `is_there`: the position that was asked for."""

    is_replica: bool
    system: int
    database: int
    timeline: int
    is_there: bool


def why_not(written: Written, replayed: Replayed) -> str | None:
    """Why what the primary has written cannot be read on the replica; None where it can."""
    if not replayed.is_replica:
        return "it is no replica: it may have been promoted"
    if replayed.system != written.system:
        return "it is a replica of another server"
    if replayed.database != written.database:
        return "it shows another database"
    if replayed.timeline != written.timeline:
        return f"it does not follow timeline {written.timeline} of the primary"
    return None if replayed.is_there else "it lags behind the primary"


class ReplicaPool(ReadPool):
    """A pool of read-only connections to the replica. Each is as far as the primary was when it was asked for."""

    def __init__(
        self,
        primary: ReadPool,
        url: UrlSource,
        limits: PoolLimits,
        *,
        wait_s: float,
        application: str,
        amounts: Amounts = WITHOUT_KEYS,
    ) -> None:
        super().__init__(url, limits, application=application, amounts=amounts)
        self._primary = primary
        self._wait_replica_s = wait_s
        self._rests_until = 0.0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading, see `ReadPool.connection`.

        Raises:
            ConnectionLost: it broke.
            StoreUnavailable: the replica cannot be read now, or ended the read.
        """
        async with AsyncExitStack() as stack:
            yield await self._usable_connection(stack)

    async def _usable_connection(self, stack: AsyncExitStack) -> AsyncConnection:
        if time.monotonic() < self._rests_until:
            raise StoreUnavailable("the replica could not be read a moment ago", hint=HINT)
        written = await self._primary.read(_written)
        try:
            with deadlines.within(self._wait_replica_s):
                conn = await stack.enter_async_context(super().connection())
                await _wait_until_replayed(conn, written)
                return conn
        except (StoreUnavailable, psycopg.Error) as error:
            self._rests_until = time.monotonic() + REST_S
            log.warning("the replica is not read now", error=one_line(error), hint=HINT)
            raise _unusable(error) from error


def written_by(primary: Connection) -> Written:
    """What the primary has written by now. It begins a transaction where none is open."""
    row = primary.execute(SQL["written"]).fetchone()
    assert row is not None, "a connection has a database"
    return Written(*row)


@contextmanager
def connected_replica(written: Written, url: UrlSource, *, wait_s: float, application: str) -> Iterator[Connection]:
    """A connection to the replica, which has replayed what the primary has written.

    Raises:
        StoreUnavailable: the replica cannot be read now, or ended the read.
        OperatorError: it refuses the login, or the URL cannot be parsed.
    """
    with connected(url, application=application) as conn:
        try:
            _wait_in_thread(conn, written, wait_s)
        except psycopg.Error as error:
            raise _unusable(error) from error
        yield conn


async def _written(conn: AsyncConnection) -> Written:
    row = await (await conn.execute(SQL["written"])).fetchone()
    assert row is not None, "a connection has a database"
    return Written(*row)


async def _wait_until_replayed(conn: AsyncConnection, written: Written) -> None:
    while True:
        row = await (await conn.execute(SQL["replayed"], {"position": written.position})).fetchone()
        assert row is not None, "a connection has a database"
        if (reason := why_not(written, Replayed(*row))) is None:
            return
        if deadlines.remaining_s() <= ASK_EVERY_S:
            raise StoreUnavailable(reason)
        await asyncio.sleep(ASK_EVERY_S)


def _wait_in_thread(conn: Connection, written: Written, wait_s: float) -> None:
    ends_at = time.monotonic() + wait_s
    while True:
        row = conn.execute(SQL["replayed"], {"position": written.position}).fetchone()
        conn.rollback()
        assert row is not None, "a connection has a database"
        if (reason := why_not(written, Replayed(*row))) is None:
            return
        if time.monotonic() >= ends_at:
            raise StoreUnavailable(f"the replica cannot be read: {reason}", hint=HINT)
        time.sleep(ASK_EVERY_S)


def _unusable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"the replica cannot be read: {one_line(error)}", hint=HINT)
