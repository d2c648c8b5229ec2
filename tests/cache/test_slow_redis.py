"""Redis sends a byte now and then, or its name is not looked up: a command ends with its time-out as a whole."""

import asyncio
import inspect
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from faults import Proxy, RedisRequests, silent_resolver
from world import World

from hannun import deadlines
from hannun.cache import AnswerCache, Invalidator, RedisAddress
from hannun.cache.processed_markers import ProcessedMarkers
from hannun.cache.pubsub import PubSubChannel
from hannun.domain.batch import ChangedEvent
from hannun.errors import RedisUnavailable

SOON_S = 5.0
BYTE_INTERVAL_S = 0.1
MANY = [ChangedEvent(f"event-{number}", None, 1, ()) for number in range(100)]
"""The replies to their invalidation have more than 400 bytes, so they take 40 s."""


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    with Proxy(world.valkey.port, RedisRequests) as proxy:
        yield proxy


@pytest.fixture
def address(world: World, proxy: Proxy) -> RedisAddress:
    return replace(world.redis, port=proxy.port, timeout_s=1.0)


@pytest.mark.parametrize("connection", [redis.Connection, redis.SSLConnection])
def test_a_connection_of_redis_py_makes_its_socket_in_the_method_that_is_overridden(connection: type) -> None:
    assert list(inspect.signature(vars(connection)["_connect"]).parameters) == ["self"]


def test_an_invalidation_ends_with_its_time_out(proxy: Proxy, address: RedisAddress) -> None:
    invalidator = Invalidator(address)
    assert invalidator.invalidate(MANY)
    for _ in range(2):  # on the connection that was open, and on a new one
        began = time.monotonic()
        with proxy.slow(BYTE_INTERVAL_S):
            assert not invalidator.invalidate(MANY, ignore_cooldown=True)
        assert time.monotonic() - began < SOON_S
    assert invalidator.invalidate(MANY, ignore_cooldown=True)
    invalidator.close()


def test_no_invalidation_begins_that_could_not_end_before_the_deadline(address: RedisAddress) -> None:
    invalidator = Invalidator(address)
    with deadlines.within(0.9):
        assert not invalidator.invalidate(MANY)
    assert invalidator.invalidate(MANY), "and Redis is not taken for unavailable"
    invalidator.close()


def test_commands_of_readers_end_with_their_time_out(proxy: Proxy, address: RedisAddress) -> None:
    async def run() -> None:
        cache = AnswerCache(address, lifetime_s=60)
        await cache.open()
        lease = await cache.acquire_lease("key")
        assert lease is not None
        with proxy.slow(1.0):
            began = time.monotonic()
            assert await cache.acquire_lease("other") is None
            await cache.release(lease)
            assert await cache.owner("key") is None
            assert await cache.check() is False
            assert time.monotonic() - began < 3 * SOON_S
        assert await cache.check() is True
        await cache.close()

    asyncio.run(run())


# -- the look-up of the name


@pytest.fixture
def named(world: World) -> RedisAddress:
    """The server by a name, with a time-out that is longer than that of a look-up for readers."""
    return replace(world.redis, host="localhost", timeout_s=0.5)


def test_writers_do_not_wait_for_a_name_that_is_not_looked_up(named: RedisAddress) -> None:
    invalidator = Invalidator(named)
    markers = ProcessedMarkers(named, per_second_max=10, lifetime_s=60)
    with silent_resolver():
        began = time.monotonic()
        assert not invalidator.invalidate(MANY, ignore_cooldown=True)
        with pytest.raises(RedisUnavailable):
            invalidator.check()
        with deadlines.within(0.1), pytest.raises(RedisUnavailable):
            invalidator.check()
        with pytest.raises(redis.TimeoutError):
            markers.write(["a message"])
        assert time.monotonic() - began < SOON_S
    assert invalidator.invalidate(MANY, ignore_cooldown=True)
    markers.write(["a message"])
    markers.close()
    invalidator.close()


def test_readers_do_not_wait_for_a_name_that_is_not_looked_up(named: RedisAddress) -> None:
    async def run() -> None:
        cache, channel = AnswerCache(named, lifetime_s=60), PubSubChannel(named, "a channel")
        with silent_resolver():
            began = time.monotonic()
            assert await cache.check() is False
            assert await cache.get("key") is None
            assert await cache.acquire_lease("key") is None
            await channel.publish(b"message")
            subscription = anext(channel.subscribe())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(subscription, 0.1)
            assert time.monotonic() - began < SOON_S
        assert await cache.check() is True
        await channel.close()
        await cache.close()

    asyncio.run(run())
