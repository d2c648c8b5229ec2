"""Readers that leave, a thousand of them, at any point: nothing of theirs stays behind."""

import asyncio
import json
import random
import threading
from collections.abc import Iterator

import pytest
from test_answer_cache import DASHBOARD, ME, Serve, plain
from world import World

from hannun.cache import AnswerCache
from hannun.domain.channels import load_table
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import CachedReader


class Leaving(Serve):
    """A `serve` with copies and a few connections."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.cache = AnswerCache(world.redis, lifetime_s=3_600, local_bytes_max=1_000_000)
        self.reports = Reports(self.reader, CachedReader(self.cache), self.reports._now, load_table())


@pytest.fixture
def world(world: World) -> World:
    with plain(world) as client:
        client.flushall()
    world.counts(world.created())
    return world


@pytest.fixture
def writing(world: World) -> Iterator[None]:
    """Somebody counts all the while, so that readers are met at every step of their way."""
    enough = threading.Event()
    counter = world.another_counter()

    def write() -> None:
        while not enough.is_set():
            counter.count([world.registered()])

    thread = threading.Thread(target=write)
    thread.start()
    yield
    enough.set()
    thread.join()


@pytest.mark.usefixtures("writing")
def test_a_thousand_cancelled_questions_leave_no_lease_no_connection_and_no_task(world: World) -> None:
    chance = random.Random(4)

    async def work() -> int:
        cancelled = 0
        async with Leaving(world) as serve, asyncio.timeout(90):

            async def hear() -> None:
                async for _ in serve.cache.announcements():
                    pass

            hearing = asyncio.create_task(hear())

            async def leaves() -> int:
                question = serve.reports.answer(ME, DASHBOARD, refresh=chance.random() < 0.3)
                asked = asyncio.create_task(question)
                await asyncio.sleep(chance.random() * 0.006)
                asked.cancel()
                (left,) = await asyncio.gather(asked, return_exceptions=True)
                assert isinstance(left, asyncio.CancelledError | tuple), left
                return isinstance(left, asyncio.CancelledError)

            for _ in range(50):
                cancelled += sum(await asyncio.gather(*(leaves() for _ in range(20))))
            await asyncio.gather(*serve.reports._running)
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            assert serve.reports._running == set()
            assert serve.cache._local._guards == {}
            pool = serve.cache._client.connection_pool
            assert not pool._in_use_connections
            assert serve.cache._get_pool._in_use == 0
            stats = serve.reader._pool.get_stats()
            assert stats["pool_available"] == stats["pool_size"]
            assert len(asyncio.all_tasks()) - stats["pool_size"] < 20, "but the pool's own"
            with plain(world) as client:
                assert client.keys("hannun:lease:*") == []
            answer, _ = await serve.reports.answer(ME, DASHBOARD, refresh=True)
            assert json.loads(answer.body)["summary"]["totalParticipants"] > 0
        return cancelled

    assert asyncio.run(work()) > 200
