"""Everything that Redis holds of a database is deleted when another one is restored in its place."""

import pytest
from cache_readers import CHANGED, KEY, Serve, answer, plain_client, serving
from world import SPRING, World

from hannun.cache import RedisAddress, flush, keys
from hannun.errors import RedisUnavailable

ROI = keys.roi(SPRING)


def test_every_key_of_ours_is_deleted_and_no_other(world: World) -> None:
    ours = [*keys.invalidated_by(CHANGED), keys.processed("message"), keys.lease(KEY)]
    with plain_client(world) as client:
        for key in (*ours, "analytics:other", "of-another-application"):
            client.set(key, "1")
        for number in range(2 * flush.KEYS_PER_SCAN):
            client.set(keys.dashboard(str(number)), "1")
        assert flush.delete_everything(world.redis) == len(ours) + 2 * flush.KEYS_PER_SCAN
        assert sorted(client.keys()) == [b"analytics:other", b"of-another-application"]


def test_what_was_read_before_cannot_be_filled_afterwards(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        filled = await serve.cache.acquire_lease(ROI)
        assert lease is not None
        assert filled is not None
        assert await serve.cache.fill(filled, answer(1))
        flush.delete_everything(world.redis)
        assert await serve.cache.fill(lease, answer(1)) is False
        assert await serve.cache.get(KEY) is None
        assert await serve.cache.get(ROI) is None

    serving(world, work)


def test_what_is_filled_while_the_leases_are_deleted_is_deleted_too(world: World) -> None:
    with plain_client(world) as client:
        assert flush.delete_everything(world.redis) == 0
        client.set(keys.lease(KEY), "token")
        passes = iter(keys.PATTERNS)
        flush._delete(client, next(passes))  # of the leases
        client.set(KEY, "an answer, filled just before its lease was deleted")
        for pattern in passes:
            flush._delete(client, pattern)
        assert client.keys() == []


def test_an_unavailable_redis_is_reported(world: World) -> None:
    with pytest.raises(RedisUnavailable, match="cached answers"):
        flush.delete_everything(RedisAddress(world.redis.host, 1, timeout_s=0.5))
