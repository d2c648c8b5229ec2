"""Lines: each question gets its own answer or none, whatever becomes of the others and of the server."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import redis
from faults import Crash, Fault, Proxy, RedisFramer
from redis.asyncio import Connection
from test_answer_cache import plain
from world import World

from hannun.cache import AnswerCache
from hannun.cache.get_pool import GetConnectionPool

KEYS = [f"key {number}" for number in range(20)]


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    """The way to a Valkey where each key holds its own name, a hundred times."""
    with plain(world) as client:
        client.flushall()
        client.mset({key: told(key) for key in KEYS})
    with Proxy(world.redis.port, RedisFramer) as proxy:
        yield proxy


def told(key: str) -> bytes:
    return key.encode() * 100


class Asking(GetConnectionPool):
    """Lines that remember how many were made."""

    def __init__(self, port: int, *, count_max: int = 10, timeout_s: float = 5.0, **options: Any) -> None:
        self.made = 0

        def line() -> Connection:
            self.made += 1
            return Connection(port=port, socket_timeout=None, protocol=3, **options)

        super().__init__(line, count_max=count_max, timeout_s=timeout_s)


def over(world: World, proxy: Proxy, work: Callable[[Asking], Awaitable[None]], **limits: Any) -> None:
    async def run() -> None:
        lines = Asking(proxy.port, **{"password": world.redis.password, **limits})
        try:
            async with asyncio.timeout(60):
                await work(lines)
        finally:
            await lines.close()

    asyncio.run(run())


def test_many_ask_at_once_and_each_gets_their_own(world: World, proxy: Proxy) -> None:
    async def work(lines: Asking) -> None:
        for _ in range(20):
            assert await asyncio.gather(*map(lines.get, KEYS)) == [told(key) for key in KEYS]
        assert lines.made == len(KEYS)  # and are used again
        assert await lines.get("no such key") is None

    over(world, proxy, work)


def test_the_reply_to_one_who_has_left_reaches_nobody(world: World, proxy: Proxy) -> None:
    async def work(lines: Asking) -> None:
        await lines.get(KEYS[0])
        proxy.holds_back("GET key 1$")
        leaving = asyncio.create_task(lines.get(KEYS[1]))
        await asyncio.to_thread(proxy.waits_until_held)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert leaving.cancelled()
        proxy.lets_go()
        for key in KEYS:
            assert await lines.get(key) == told(key)
        assert lines.made == 2
        assert lines.free

    over(world, proxy, work)


def test_who_leaves_at_any_step_takes_nothing_from_those_who_stay(world: World, proxy: Proxy) -> None:
    chance = random.Random(4)

    async def work(lines: Asking) -> None:
        async def leaves(key: str) -> bool:
            asked = asyncio.create_task(lines.get(key))
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            asked.cancel()
            with suppress(asyncio.CancelledError):
                assert await asked == told(key)
            return asked.cancelled()

        async def stays(key: str) -> bool:
            assert await lines.get(key) == told(key)
            return False

        cancelled = 0
        for _ in range(60):
            cancelled += sum(await asyncio.gather(*(chance.choice([leaves, stays])(key) for key in KEYS)))
        assert cancelled > 100
        assert lines.free
        assert lines._lent == 0

    over(world, proxy, work)


def test_a_server_that_says_nothing_costs_the_time_out_and_its_late_reply_reaches_nobody(
    world: World, proxy: Proxy
) -> None:
    async def work(lines: Asking) -> None:
        await lines.get(KEYS[0])
        proxy.holds_back("GET key 1$")
        with pytest.raises(TimeoutError):
            await lines.get(KEYS[1])
        proxy.lets_go()
        assert await asyncio.gather(*map(lines.get, KEYS)) == [told(key) for key in KEYS]

    over(world, proxy, work, timeout_s=0.2)


def test_a_server_that_says_nothing_to_a_new_line_costs_the_same(world: World, proxy: Proxy) -> None:
    async def work(lines: Asking) -> None:
        proxy.holds_back("HELLO")
        with pytest.raises((TimeoutError, redis.TimeoutError)):
            await lines.get(KEYS[0])
        assert lines.free
        proxy.lets_go()
        assert await lines.get(KEYS[0]) == told(KEYS[0])

    over(world, proxy, work, timeout_s=0.2)


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_line_that_is_cut_is_tried_once_more(world: World, proxy: Proxy, fault: Fault) -> None:
    """Before the server has read the question, or before its answer has come."""

    async def work(lines: Asking) -> None:
        assert await lines.get(KEYS[0]) == told(KEYS[0])
        with proxy.set_for(Crash(fault, 1, lambda step: step.words.startswith("GET"))) as crash:
            assert await lines.get(KEYS[1]) == told(KEYS[1])
        assert crash.happened.is_set()

    over(world, proxy, work)


def test_lines_that_were_cut_while_nobody_asked_are_made_anew(world: World, proxy: Proxy) -> None:
    async def work(lines: Asking) -> None:
        await asyncio.gather(*map(lines.get, KEYS))
        proxy.cut()
        for key in KEYS:
            assert await lines.get(key) == told(key)
        assert lines.made == len(KEYS)  # the one that asks is connected anew, the others are let go

    over(world, proxy, work)


def test_a_server_that_is_away_is_an_error_until_it_is_back(world: World, proxy: Proxy) -> None:
    async def work(lines: Asking) -> None:
        await lines.get(KEYS[0])
        proxy.refuse()
        for _ in range(3):
            with pytest.raises(redis.ConnectionError):
                await lines.get(KEYS[0])
        proxy.allow()
        assert await lines.get(KEYS[0]) == told(KEYS[0])
        assert lines._lent == 0

    over(world, proxy, work)


def test_a_server_that_refuses_us_says_so(world: World, proxy: Proxy) -> None:
    async def work(lines: Asking) -> None:
        with pytest.raises(redis.AuthenticationError):
            await lines.get(KEYS[0])
        assert lines.free

    over(world, proxy, work, password="wrong")


def test_a_value_that_is_no_text_is_refused_and_costs_the_others_nothing(world: World, proxy: Proxy) -> None:
    with plain(world) as client:
        client.lpush("a list", "x")

    async def work(lines: Asking) -> None:
        for _ in range(2):
            with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
                await lines.get("a list")
            assert await lines.get(KEYS[0]) == told(KEYS[0])

    over(world, proxy, work)


def test_lines_that_come_back_after_the_end_are_closed_too(world: World, proxy: Proxy) -> None:
    async def work(lines: Asking) -> None:
        await lines.get(KEYS[0])
        proxy.holds_back("GET")
        late = asyncio.create_task(lines.get(KEYS[0]))
        await asyncio.to_thread(proxy.waits_until_held)
        await lines.close()
        proxy.lets_go()
        assert await late == told(KEYS[0])
        assert lines._idle == []

    over(world, proxy, work)


def test_whoever_finds_all_connections_in_use_waits_for_one(world: World, proxy: Proxy) -> None:
    """Refused, they would all ask PostgreSQL instead."""

    async def work() -> None:
        address = replace(world.redis, port=proxy.port, connections_max=4)
        cache = AnswerCache(address, lifetime_s=60)
        try:
            proxy.holds_back("GET key")
            asked = [asyncio.create_task(cache.get(key)) for key in KEYS]
            await asyncio.to_thread(proxy.waits_until_held)
            proxy.lets_go()
            await asyncio.gather(*asked)
            assert cache.available
            assert len(proxy._lines) == 4
        finally:
            await cache.close()

    asyncio.run(work())
