"""The history checker of the model, over real processes' parts: real Valkey, real PostgreSQL, cuts at random."""

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
from faults import Proxy, RedisFramer
from history import Asked, broken
from test_answer_cache import DASHBOARD, KEY, ME, Serve, plain
from world import World

from hannun.cache import AnswerCache, Invalidator
from hannun.cache.local import LAG_S_MAX
from hannun.counting.outbox_relay import deliver_pending
from hannun.domain.channels import load_table
from hannun.errors import Transient
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import CachedReader

WRITES = 150


@dataclass
class Acknowledged:
    """What was acknowledged when: totals by the moment after which nobody may say less."""

    at: list[float] = field(default_factory=lambda: [0.0])
    totals: list[int] = field(default_factory=lambda: [0])

    def note(self, total: int) -> None:
        self.at.append(time.monotonic())
        self.totals.append(max(total, self.totals[-1]))

    def before(self, moment: float) -> int:
        return self.totals[bisect_right(self.at, moment) - 1]


class Copying(Serve):
    """The reading side of one `serve` with copies, over an address of its own."""

    def __init__(self, world: World, port: int, local_bytes_max: int) -> None:
        super().__init__(world)
        self.cache = AnswerCache(
            replace(world.redis, port=port), lifetime_s=3_600, timeout_s=0.2, local_bytes_max=local_bytes_max
        )
        self.reports = Reports(self.reader, CachedReader(self.cache), self.reports._now, load_table())

    async def hears(self) -> None:
        async for _ in self.cache.announcements():
            pass


@pytest.fixture
def world(world: World) -> World:
    with plain(world) as client:
        client.flushall()
    return world


@pytest.fixture
def proxies(world: World) -> Iterator[list[Proxy]]:
    """A way to Redis for each process: two that read, one that writes."""
    with (
        Proxy(world.redis.port, RedisFramer) as one,
        Proxy(world.redis.port, RedisFramer) as two,
        Proxy(world.redis.port, RedisFramer) as writing,
    ):
        yield [one, two, writing]


@pytest.mark.parametrize("local_bytes_max", [0, 1_000_000], ids=["without copies", "with copies"])
@pytest.mark.parametrize("cuts", [False, True], ids=["undisturbed", "with cuts"])
@pytest.mark.parametrize("seed", [1])
def test_no_answer_is_older_than_promised_and_none_runs_backwards(
    world: World, proxies: list[Proxy], seed: int, cuts: bool, local_bytes_max: int
) -> None:
    world.counts(world.created())
    lag_s = LAG_S_MAX if local_bytes_max else 0.0
    chance = random.Random(seed)
    acknowledged, done = Acknowledged(), threading.Event()
    wrong: list[str] = []
    told = {"copy": 0, "cache": 0, "live": 0}

    def write() -> None:
        """Counts, dies now and then before it has paid; another process pays what it finds."""
        reaches = replace(world.redis, port=proxies[2].port)
        invalidator, payer = Invalidator(reaches), world.invalidator
        database, other = world.another_database(), world.another_database()
        counter = world.counter_on(database, invalidator)
        try:
            for total in range(1, WRITES + 1):
                counter.count([world.registered(f"p{total}")])
                if chance.random() < 0.2:  # its DEL may have come through and its announcement not: it is still owed
                    with suppress(Transient):
                        deliver_pending(other, payer, older_than_s=0)
                if world_owes(world) == 0:
                    acknowledged.note(total)
                time.sleep(chance.random() * 0.02)  # the schedule itself
            deliver_pending(other, payer, older_than_s=0)
            acknowledged.note(WRITES)
        finally:
            invalidator.close()
            done.set()

    def world_owes(world: World) -> int:
        return len(world.rows("SELECT 1 FROM hannun.owed_invalidations"))

    def disturb() -> None:
        while cuts and not done.wait(chance.random() * 0.15):
            chance.choice(proxies).cut()

    async def read() -> None:
        async with (
            Copying(world, proxies[0].port, local_bytes_max) as one,
            Copying(world, proxies[1].port, local_bytes_max) as two,
        ):
            hearing = [asyncio.create_task(serve.hears()) for serve in (one, two)]

            async def client(number: int) -> None:
                """One after the other, at either process; it says what it has seen, by its ETag."""
                chance = random.Random(seed * 100 + number)
                seen = version = 0
                while not done.is_set():
                    serve = chance.choice((one, two))
                    asked = Asked(acknowledged.before(time.monotonic() - lag_s), seen)
                    copied = serve.cache.local_hits
                    refresh = chance.random() < 0.003  # seldom: it brings a copy up to date, too
                    asker = replace(ME, seen=version)
                    if chance.random() < 0.02:  # and leaves in the middle of it
                        task = asyncio.create_task(serve.reports.answer(asker, DASHBOARD))
                        await asyncio.sleep(chance.random() * 0.003)
                        task.cancel()
                        await asyncio.gather(task, return_exceptions=True)
                        continue
                    answer, source = await serve.reports.answer(asker, DASHBOARD, refresh=refresh)
                    seen = json.loads(answer.body)["summary"]["totalParticipants"]
                    told["copy" if serve.cache.local_hits > copied else source] += 1
                    if (why := broken(asked, seen)) is not None:
                        wrong.append(why)
                    version = answer.version
                    await asyncio.sleep(chance.random() * 0.006)

            await asyncio.gather(*(client(number) for number in range(6)))
            for task in hearing:
                task.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)
            await asyncio.gather(*one.reports._running, *two.reports._running)
            assert one.cache._local._guards == two.cache._local._guards == {}

    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(write), pool.submit(disturb), pool.submit(asyncio.run, read())]
        for thread in threads:
            thread.result()
    assert wrong == []
    assert told["cache"] > 20 and told["live"] > 5 and (told["copy"] > 20) == bool(local_bytes_max), told
    with plain(world) as client:
        assert client.get(f"hannun:lease:{{{KEY}}}") is None
    assert world.drift() == []
