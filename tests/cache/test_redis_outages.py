"""Redis becomes unavailable and returns: the database answers, and old data that Redis brings back is a miss."""

from cache_readers import KEY, Serve, answer, plain_client, serving
from world import OWNER, World

from hannun.cache import keys
from hannun.embedded import ValkeyServer


def test_without_redis_the_database_answers_and_nothing_is_lost(own_valkey: tuple[World, ValkeyServer]) -> None:
    world, valkey = own_valkey
    world.count(world.created())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (0, "live")
        assert await serve.dashboard() == (0, "cache")
        valkey.stop()
        assert await serve.dashboard() == (0, "live")
        assert serve.cache.available is False
        world.count(world.registered("p1"))
        assert await serve.dashboard() == (1, "live")
        assert len(world.rows("SELECT * FROM hannun.owed_invalidations")) == 1
        valkey.start()
        assert await serve.dashboard() == (1, "live")
        assert serve.cache.available is True
        assert await serve.dashboard() == (1, "cache")
        assert world.deliver_pending() == 1
        assert await serve.dashboard() == (1, "live")
        assert world.rows("SELECT * FROM hannun.owed_invalidations") == []

    serving(world, work)
    assert world.drift() == []


def test_a_redis_that_returns_with_old_data_is_a_miss(own_valkey: tuple[World, ValkeyServer]) -> None:
    world, valkey = own_valkey
    world.count(world.created())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (0, "live")
        lease = await serve.cache.acquire_lease(keys.user(OWNER))
        assert lease is not None
        with plain_client(world) as client:
            client.save()  # what a restart, or a replica that was promoted, would return with
        world.count(world.registered("p1"))
        valkey.stop()
        valkey.start()
        with plain_client(world) as client:
            assert client.get(KEY) is not None  # the old answer is back
        assert await serve.cache.get(KEY) is None
        async with Serve(world) as another:
            assert await another.cache.get(KEY) is None
        await serve.cache.fill(lease, answer(1))  # the old lease is back too, and what it fills is a miss as well
        assert await serve.cache.get(keys.user(OWNER)) is None
        assert await serve.dashboard() == (1, "live")
        assert await serve.dashboard() == (1, "cache")

    serving(world, work)
