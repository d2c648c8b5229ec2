"""A thousand reads are cancelled at any point, and nothing of theirs stays behind."""

import asyncio
import json
import random
import threading
from collections.abc import Iterator

import pytest
from cache_readers import DASHBOARD, ME, Serve, plain_client
from world import World

from hannun.cache import AnswerCache


@pytest.fixture
def world(world: World) -> World:
    world.count(world.created())
    return world


@pytest.fixture
def writing(world: World) -> Iterator[None]:
    """Messages are counted all the time, so that reads are cancelled at every step that a change may lead to."""
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
def test_a_thousand_cancelled_reads_leave_no_lease_no_connection_and_no_task(world: World) -> None:
    chance = random.Random(4)

    async def work() -> int:
        cancelled = 0
        cache = AnswerCache(world.redis, lifetime_s=3_600, local_bytes_max=1_000_000)
        async with Serve(world, cache) as serve, asyncio.timeout(90):

            async def receive_announcements() -> None:
                async for _ in serve.cache.announcements():
                    pass

            receiving = asyncio.create_task(receive_announcements())

            async def cancelled_read() -> int:
                read = asyncio.create_task(serve.reports.answer(ME, DASHBOARD, refresh=chance.random() < 0.3))
                await asyncio.sleep(chance.random() * 0.006)
                read.cancel()
                (result,) = await asyncio.gather(read, return_exceptions=True)
                assert isinstance(result, asyncio.CancelledError | tuple), result
                return isinstance(result, asyncio.CancelledError)

            for _ in range(50):
                cancelled += sum(await asyncio.gather(*(cancelled_read() for _ in range(20))))
            await asyncio.gather(*serve.reports._running)
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            assert serve.reports._running == set()
            assert serve.cache._local._guards == {}
            pool = serve.cache._client.connection_pool
            assert not pool._in_use_connections
            assert serve.cache._read_pool._in_use == 0
            stats = serve.reader._pool.get_stats()
            assert stats["pool_available"] == stats["pool_size"]
            assert len(asyncio.all_tasks()) - stats["pool_size"] < 20, "but the pool's own"
            with plain_client(world) as client:
                assert client.keys("hannun:lease:*") == []
            answer, _ = await serve.reports.answer(ME, DASHBOARD, refresh=True)
            assert json.loads(answer.body)["summary"]["totalParticipants"] > 0
        return cancelled

    assert asyncio.run(work()) > 200
