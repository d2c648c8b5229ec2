"""What the tests of the cache share: the reading side of a `serve` process, and databases and relays that misbehave."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Self, TypeVar

import redis
from world import OWNER, SPRING, World

from hannun.cache import AnswerCache, keys, opening
from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.batch import ChangedEvent
from hannun.domain.channels import load_table
from hannun.domain.questions import EventDashboardQuestion, EventSubject, MerchantSubject
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import CachedReader
from hannun.store.database import AsyncConnection, Connection, Database, PoolLimits, ReadPool

OTHER = "5b0c2f64-0000-4000-8000-000000000002"
KEY = keys.dashboard(SPRING)
ME = Principal(OWNER, frozenset({"MERCHANT"}))
DASHBOARD = EventDashboardQuestion(EventSubject(SPRING))
MINE = MerchantSubject(OWNER)
CHANGED = ChangedEvent(SPRING, OWNER, 1, ("NaverBlog",))
T = TypeVar("T")


class CountingReadPool(ReadPool):
    """Counts the reads of PostgreSQL. A test sets `before_read` to delay one."""

    loads = 0
    before_read: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        self.loads += 1
        if self.before_read is not None:
            await self.before_read()
        async with super().connection() as conn:
            yield conn


class UnreachableInvalidator:
    """An invalidator that never reaches Redis, so that every invalidation stays pending."""

    def invalidate(self, events: object) -> bool:
        return False


class SlowToCommit(Database):
    """Sets `written` when a transaction has written all, and commits only once `may_commit` is set."""

    def __init__(self, world: World) -> None:
        super().__init__(world.url, PoolLimits(wait_s=5), application="test-slow")
        self.written, self.may_commit = threading.Event(), threading.Event()
        self.may_commit.set()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as conn:
            yield conn
            self.written.set()
            assert self.may_commit.wait(20)


class Serve:
    """The reading side of one `serve` process."""

    def __init__(self, world: World, cache: AnswerCache | None = None) -> None:
        self.reader = CountingReadPool(world.url, PoolLimits(size_min=1, wait_s=5), application="test-read")
        self.cache = cache or opening.answer_cache(world.redis, lifetime_s=3_600)
        self.reports = self.reports_with(lambda: False)

    def reports_with(self, database_away: Callable[[], bool]) -> Reports:
        reader = CachedReader(self.cache, database_away)
        return Reports(self.reader, reader, lambda: datetime.now(UTC), load_table(), timedelta(minutes=10))

    async def __aenter__(self) -> Self:
        await self.reader.open()
        await self.cache.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cache.close()
        await self.reader.close()

    async def dashboard(self) -> tuple[int, str]:
        """The total of the event's dashboard, and its source."""
        answer, source = await self.reports.answer(ME, DASHBOARD)
        return json.loads(answer.body)["summary"]["totalParticipants"], source


def plain_client(world: World) -> redis.Redis:
    """A plain Redis client, as another team would use."""
    return redis.Redis(host=world.redis.host, port=world.redis.port, password=world.redis.password)


def serving(world: World, work: Callable[[Serve], Awaitable[T]]) -> T:
    """Run `work` with a `serve` process of its own."""

    async def run() -> T:
        async with Serve(world) as serve, asyncio.timeout(60):
            return await work(serve)

    return asyncio.run(run())


def answer(version: int, says: str = "it") -> EncodedAnswer:
    return EncodedAnswer(b'{"says":"%b"}' % says.encode(), version, OWNER, f'"{version}"')
