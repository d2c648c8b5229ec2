"""The pool for GET: each caller gets its own reply or none, whatever happens to other callers and to the server."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import redis
import uvloop
from cache_readers import plain_client
from faults import Crash, Fault, Proxy, RedisRequests
from redis.asyncio import Connection
from world import World

from hannun.cache import AnswerCache
from hannun.cache.asyncio_connection import AsyncioConnection
from hannun.cache.read_pool import ReadConnectionPool

KEYS = [f"key {number}" for number in range(20)]
TIMEOUT_S = 2.0
"""Within which a server answers that is not silent, also on a loaded machine."""


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    """A proxy to a Valkey in which each key holds its own name, a hundred times."""
    with plain_client(world) as client:
        client.mset({key: value_of(key) for key in KEYS})
    with Proxy(world.redis.port, RedisRequests) as proxy:
        yield proxy


def value_of(key: str) -> bytes:
    return key.encode() * 100


class CountingPool(ReadConnectionPool):
    """A pool that counts the connections it has made."""

    def __init__(self, port: int, *, count_max: int = 10, timeout_s: float = 5.0, **options: Any) -> None:
        self.made = 0

        def new_connection() -> Connection:
            self.made += 1
            return Connection(port=port, socket_timeout=None, protocol=3, **options)

        super().__init__(new_connection, count_max=count_max, timeout_s=timeout_s)


def through(world: World, proxy: Proxy, work: Callable[[CountingPool], Awaitable[None]], **options: Any) -> None:
    """Run `work` with a pool that connects through the proxy."""

    async def run() -> None:
        pool = CountingPool(proxy.port, **{"password": world.redis.password, **options})
        try:
            async with asyncio.timeout(60):
                await work(pool)
        finally:
            await pool.close()

    asyncio.run(run())


def test_many_callers_at_once_each_get_their_own_reply(world: World, proxy: Proxy) -> None:
    async def work(pool: CountingPool) -> None:
        for _ in range(20):
            assert await asyncio.gather(*map(pool.get, KEYS)) == [value_of(key) for key in KEYS]
        assert pool.made == len(KEYS)  # connections are reused
        assert await pool.get("no such key") is None

    through(world, proxy, work)


def test_the_reply_to_a_cancelled_caller_reaches_nobody(world: World, proxy: Proxy) -> None:
    async def work(pool: CountingPool) -> None:
        await pool.get(KEYS[0])
        proxy.hold("GET key 1$")
        leaving = asyncio.create_task(pool.get(KEYS[1]))
        await asyncio.to_thread(proxy.wait_until_held)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert leaving.cancelled()
        proxy.release()
        for key in KEYS:
            assert await pool.get(key) == value_of(key)
        assert pool.made == 2
        assert pool.has_capacity

    through(world, proxy, work)


def test_callers_cancelled_at_any_step_take_no_reply_from_the_others(world: World, proxy: Proxy) -> None:
    chance = random.Random(4)

    async def work(pool: CountingPool) -> None:
        async def leaves(key: str) -> bool:
            reply = asyncio.create_task(pool.get(key))
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            reply.cancel()
            with suppress(asyncio.CancelledError):
                assert await reply == value_of(key)
            return reply.cancelled()

        async def stays(key: str) -> bool:
            assert await pool.get(key) == value_of(key)
            return False

        cancelled = 0
        for _ in range(60):
            cancelled += sum(await asyncio.gather(*(chance.choice([leaves, stays])(key) for key in KEYS)))
        assert cancelled > 100
        assert pool.has_capacity
        assert pool._in_use == 0

    through(world, proxy, work)


def test_a_silent_server_costs_the_time_out_and_its_late_reply_reaches_nobody(world: World, proxy: Proxy) -> None:
    async def work(pool: CountingPool) -> None:
        await pool.get(KEYS[0])
        proxy.hold("GET key 1$")
        with pytest.raises(TimeoutError):
            await pool.get(KEYS[1])
        proxy.release()
        assert await asyncio.gather(*map(pool.get, KEYS)) == [value_of(key) for key in KEYS]

    through(world, proxy, work, timeout_s=TIMEOUT_S)


def test_a_server_that_is_silent_to_a_new_connection_costs_the_time_out(world: World, proxy: Proxy) -> None:
    async def work(pool: CountingPool) -> None:
        proxy.hold("HELLO")
        with pytest.raises((TimeoutError, redis.TimeoutError)):
            await pool.get(KEYS[0])
        assert pool.has_capacity
        proxy.release()
        assert await pool.get(KEYS[0]) == value_of(KEYS[0])

    through(world, proxy, work, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_get_whose_connection_is_cut_is_retried_once(world: World, proxy: Proxy, fault: Fault) -> None:
    """The cut comes before the server has read the command, or before its reply has arrived."""

    async def work(pool: CountingPool) -> None:
        assert await pool.get(KEYS[0]) == value_of(KEYS[0])
        with proxy.inject(Crash(fault, 1, lambda request: request.text.startswith("GET"))) as crash:
            assert await pool.get(KEYS[1]) == value_of(KEYS[1])
        assert crash.happened.is_set()

    through(world, proxy, work)


def test_idle_connections_that_were_cut_are_replaced(world: World, proxy: Proxy) -> None:
    async def work(pool: CountingPool) -> None:
        await asyncio.gather(*map(pool.get, KEYS))
        proxy.cut()
        for key in KEYS:
            assert await pool.get(key) == value_of(key)
        assert pool.made == len(KEYS)  # the one in use connects again, the others are dropped

    through(world, proxy, work)


def test_an_unavailable_server_is_an_error_until_it_is_back(world: World, proxy: Proxy) -> None:
    async def work(pool: CountingPool) -> None:
        await pool.get(KEYS[0])
        proxy.refuse()
        for _ in range(3):
            with pytest.raises(redis.ConnectionError):
                await pool.get(KEYS[0])
        proxy.allow()
        assert await pool.get(KEYS[0]) == value_of(KEYS[0])
        assert pool._in_use == 0

    through(world, proxy, work)


def test_a_wrong_password_raises_an_authentication_error(world: World, proxy: Proxy) -> None:
    async def work(pool: CountingPool) -> None:
        with pytest.raises(redis.AuthenticationError):
            await pool.get(KEYS[0])
        assert pool.has_capacity

    through(world, proxy, work, password="wrong")


def test_a_value_of_another_type_is_an_error_and_affects_no_other_caller(world: World, proxy: Proxy) -> None:
    with plain_client(world) as client:
        client.lpush("a list", "x")

    async def work(pool: CountingPool) -> None:
        for _ in range(2):
            with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
                await pool.get("a list")
            assert await pool.get(KEYS[0]) == value_of(KEYS[0])

    through(world, proxy, work)


def test_a_connection_in_use_while_the_pool_closes_is_closed_after_its_reply(world: World, proxy: Proxy) -> None:
    async def work(pool: CountingPool) -> None:
        await pool.get(KEYS[0])
        proxy.hold("GET")
        late = asyncio.create_task(pool.get(KEYS[0]))
        await asyncio.to_thread(proxy.wait_until_held)
        await pool.close()
        proxy.release()
        assert await late == value_of(KEYS[0])
        assert pool._idle == []

    through(world, proxy, work)


def test_a_reader_that_finds_all_connections_in_use_waits_for_one(world: World, proxy: Proxy) -> None:
    """An error instead would send all those readers to PostgreSQL."""

    async def work() -> None:
        address = replace(world.redis, port=proxy.port, connections_max=4)
        cache = AnswerCache(address, lifetime_s=60)
        try:
            proxy.hold("GET key")
            reads = [asyncio.create_task(cache.get(key)) for key in KEYS]
            await asyncio.to_thread(proxy.wait_until_held)
            proxy.release()
            await asyncio.gather(*reads)
            assert cache.available
            assert len(proxy._connections) == 4
        finally:
            await cache.close()

    asyncio.run(work())


def test_a_connection_that_was_closed_a_moment_ago_is_replaced_also_on_uvloop(world: World, proxy: Proxy) -> None:
    """uvloop refuses to write to it with an error that redis-py does not know."""

    def new_connection() -> Connection:
        return AsyncioConnection(port=proxy.port, password=world.redis.password, protocol=3, socket_timeout=None)

    async def run() -> None:
        pool = ReadConnectionPool(new_connection, count_max=1, timeout_s=5.0)
        assert await pool.get(KEYS[0]) == value_of(KEYS[0])
        writer = pool._idle[0]._writer
        assert writer is not None
        writer.transport.abort()
        while "closed=True" not in repr(writer.transport):  # noqa: ASYNC110  # uvloop has no event for it
            await asyncio.sleep(0)
        assert await pool.get(KEYS[0]) == value_of(KEYS[0])
        await pool.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
