"""The history checker of the model, over the parts of real processes: real Valkey, real PostgreSQL, random cuts."""

import asyncio
import json
import random
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from cache_readers import DASHBOARD, KEY, ME, Serve, plain_client
from faults import Proxy, RedisRequests
from history import ReadStart, broken_promise
from world import World

from hannun.cache import AnswerCache, Invalidator
from hannun.cache.local import LAG_S_MAX
from hannun.counting.outbox_relay import deliver_pending
from hannun.errors import Transient

WRITES = 150


@dataclass
class Acknowledged:
    """The totals whose invalidations were acknowledged, by the moment after which no answer may hold less."""

    at: list[float] = field(default_factory=lambda: [0.0])
    totals: list[int] = field(default_factory=lambda: [0])

    def record(self, total: int) -> None:
        self.at.append(time.monotonic())
        self.totals.append(max(total, self.totals[-1]))

    def before(self, moment: float) -> int:
        return self.totals[bisect_right(self.at, moment) - 1]


class ServeThroughProxy(Serve):
    """The reading side of one `serve`, which reaches Redis through a proxy of its own."""

    def __init__(self, world: World, port: int, local_bytes_max: int) -> None:
        address = replace(world.redis, port=port)
        cache = AnswerCache(address, lifetime_s=3_600, timeout_s=0.2, local_bytes_max=local_bytes_max)
        super().__init__(world, cache)

    async def receive_announcements(self) -> None:
        async for _ in self.cache.announcements():
            pass


@pytest.fixture
def proxies(world: World) -> Iterator[list[Proxy]]:
    """A proxy to Redis for each process: two that read, one that writes."""
    with (
        Proxy(world.redis.port, RedisRequests) as one,
        Proxy(world.redis.port, RedisRequests) as two,
        Proxy(world.redis.port, RedisRequests) as writing,
    ):
        yield [one, two, writing]


@pytest.mark.parametrize("local_bytes_max", [0, 1_000_000], ids=["without a local cache", "with a local cache"])
@pytest.mark.parametrize("cuts", [False, True], ids=["undisturbed", "with cuts"])
@pytest.mark.parametrize("seed", [1])
def test_no_answer_is_older_than_promised_and_none_runs_backwards(
    world: World, proxies: list[Proxy], seed: int, cuts: bool, local_bytes_max: int
) -> None:
    world.count(world.created())
    lag_s = LAG_S_MAX if local_bytes_max else 0.0
    chance = random.Random(seed)
    acknowledged, done = Acknowledged(), threading.Event()
    wrong: list[str] = []
    answered = {"local": 0, "cache": 0, "live": 0}

    def write() -> None:
        """Count; some invalidations do not reach Redis, and another process delivers those that it finds pending."""
        address = replace(world.redis, port=proxies[2].port)
        invalidator, other_invalidator = Invalidator(address), world.invalidator
        database, other_database = world.another_database(), world.another_database()
        counter = world.counter_on(database, invalidator)
        try:
            for total in range(1, WRITES + 1):
                counter.count([world.registered(f"p{total}")])
                # Its DEL may have reached Redis and its announcement not: then it is still pending.
                if chance.random() < 0.2:
                    with suppress(Transient):
                        deliver_pending(other_database, other_invalidator, older_than_s=0)
                if pending_count() == 0:
                    acknowledged.record(total)
                time.sleep(chance.random() * 0.02)  # the schedule itself
            deliver_pending(other_database, other_invalidator, older_than_s=0)
            acknowledged.record(WRITES)
        finally:
            invalidator.close()
            done.set()

    def pending_count() -> int:
        return len(world.rows("SELECT 1 FROM hannun.owed_invalidations"))

    def cut_connections() -> None:
        while cuts and not done.wait(chance.random() * 0.15):
            chance.choice(proxies).cut()

    async def read() -> None:
        async with (
            ServeThroughProxy(world, proxies[0].port, local_bytes_max) as one,
            ServeThroughProxy(world, proxies[1].port, local_bytes_max) as two,
        ):
            receiving = [asyncio.create_task(serve.receive_announcements()) for serve in (one, two)]

            async def client(number: int) -> None:
                """One read after the other, at either process; each names the version seen, as an ETag does."""
                chance = random.Random(seed * 100 + number)
                seen = version = 0
                while not done.is_set():
                    serve = chance.choice((one, two))
                    start = ReadStart(acknowledged.before(time.monotonic() - lag_s), seen)
                    local_hits = serve.cache.local_hits
                    refresh = chance.random() < 0.003  # seldom, since it also brings a local entry up to date
                    caller = replace(ME, seen=version)
                    if chance.random() < 0.02:  # and this one is cancelled half-way
                        task = asyncio.create_task(serve.reports.answer(caller, DASHBOARD))
                        await asyncio.sleep(chance.random() * 0.003)
                        task.cancel()
                        await asyncio.gather(task, return_exceptions=True)
                        continue
                    answer, source = await serve.reports.answer(caller, DASHBOARD, refresh=refresh)
                    seen = json.loads(answer.body)["summary"]["totalParticipants"]
                    answered["local" if serve.cache.local_hits > local_hits else source] += 1
                    if (why := broken_promise(start, seen)) is not None:
                        wrong.append(why)
                    version = answer.version
                    await asyncio.sleep(chance.random() * 0.006)

            await asyncio.gather(*(client(number) for number in range(6)))
            for task in receiving:
                task.cancel()
            await asyncio.gather(*receiving, return_exceptions=True)
            await asyncio.gather(*one.reports._running, *two.reports._running)
            assert one.cache._local._guards == two.cache._local._guards == {}

    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(write), pool.submit(cut_connections), pool.submit(asyncio.run, read())]
        for thread in threads:
            thread.result()
    assert wrong == []
    assert answered["cache"] > 20 and answered["live"] > 5, answered
    assert (answered["local"] > 20) == bool(local_bytes_max), answered
    with plain_client(world) as client:
        assert client.get(f"hannun:lease:{{{KEY}}}") is None
    assert world.drift() == []
