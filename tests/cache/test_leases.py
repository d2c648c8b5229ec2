"""Leases: of many readers that miss one reads PostgreSQL, and what was read before an invalidation is not cached."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from cache_readers import CHANGED, KEY, OTHER, Serve, answer, plain_client, serving
from faults import Crash, Fault, Proxy, RedisRequests, Request
from world import World

from hannun.cache import AnswerCache, keys
from hannun.cache.lease import Lease
from hannun.domain.answer import EncodedAnswer


def test_what_was_read_before_an_invalidation_is_not_cached(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None
        assert world.invalidator.invalidate([CHANGED])
        assert await serve.cache.fill(lease, answer(1)) is False
        assert await serve.cache.get(KEY) is None
        next_lease = await serve.cache.acquire_lease(KEY)  # the next reader need not wait
        assert next_lease is not None
        assert await serve.cache.fill(lease, answer(1)) is False  # and keeps its lease when the late fill is refused
        await serve.cache.release(lease)
        assert await serve.cache.fill(next_lease, answer(2)) is True
        assert (await serve.cache.get(KEY)) == answer(2)

    serving(world, work)


def test_only_one_reader_at_a_time_holds_the_lease(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None
        assert await serve.cache.acquire_lease(KEY) is None
        assert serve.cache.available
        await serve.cache.release(lease)
        assert await serve.cache.acquire_lease(KEY) is not None

    serving(world, work)


def test_an_older_version_never_replaces_a_newer_one(world: World) -> None:
    async def work(serve: Serve) -> None:
        for version, filled in ((1_795_402_800_000_002, True), (1_795_402_800_000_001, False)):
            lease = await serve.cache.acquire_lease(KEY)
            assert lease is not None
            assert await serve.cache.fill(lease, answer(version)) is filled
            assert (await serve.cache.get(KEY)) == answer(1_795_402_800_000_002)
        assert await serve.cache.acquire_lease(KEY) is not None  # a refused fill releases its lease
        # A merchant's version has more digits than a number of Lua can hold.
        for version, filled in ((2**62, True), (2**62 + 2, True), (2**62 + 1, False), (10**18, False), (10**19, True)):
            lease = await serve.cache.acquire_lease(OTHER)
            assert lease is not None
            assert await serve.cache.fill(lease, answer(version)) is filled, version

    serving(world, work)


def test_a_refused_fill_leaves_no_lease_behind(world: World) -> None:
    world.count(world.created())

    async def work(serve: Serve) -> None:
        async def count_meanwhile() -> None:
            serve.reader.before_read = None
            await asyncio.to_thread(world.count, world.registered("p1"))

        serve.reader.before_read = count_meanwhile
        assert await serve.dashboard() == (1, "live")
        assert serve.cache.refused_fills == 1
        with plain_client(world) as client:
            assert client.keys() == []
        assert await serve.dashboard() == (1, "live")
        assert await serve.dashboard() == (1, "cache")

    serving(world, work)


def test_a_failed_read_of_the_database_releases_its_lease(world: World) -> None:
    world.count(world.created())

    async def work(serve: Serve) -> None:
        async def fail() -> None:
            raise RuntimeError("by hand")

        serve.reader.before_read = fail
        with pytest.raises(RuntimeError):
            await serve.dashboard()
        serve.reader.before_read = None
        assert await serve.dashboard() == (0, "live")
        assert await serve.dashboard() == (0, "cache")

    serving(world, work)


def test_fifty_readers_that_miss_at_once_read_the_database_once(world: World) -> None:
    world.count(world.created(), world.registered("p1"))

    async def work(serve: Serve) -> None:
        async def until_all_have_missed() -> None:
            while serve.cache.misses < 50:  # noqa: ASYNC110  a counter has no event
                await asyncio.sleep(0)

        serve.reader.before_read = until_all_have_missed
        answered = await asyncio.gather(*(serve.dashboard() for _ in range(50)))
        assert {total for total, _ in answered} == {1}
        assert sorted(source for _, source in answered) == ["cache"] * 49 + ["live"]
        assert serve.reader.loads == 1

    serving(world, work)


def test_a_waiting_reader_gets_what_was_filled_between_its_two_commands(world: World) -> None:
    """It reads the answer first and the lease second: in between, the holder may have filled."""

    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None
        get = serve.cache.get
        filled = False

        async def fill_after_the_first_get(key: str, version_min: int = 0) -> EncodedAnswer | None:
            nonlocal filled
            found = await get(key, version_min)
            if not filled:
                filled = True
                await serve.cache.fill(lease, answer(1))
            return found

        serve.cache.get = fill_after_the_first_get  # type: ignore[method-assign]
        assert await serve.cache.wait_for_fill(KEY) == answer(1)

    serving(world, work)


def test_a_reader_that_takes_a_lease_just_released_finds_what_was_filled(world: World) -> None:
    """Where an answer is cached that cannot be used, the lease takes a second command: before it, another reader may
    have filled."""
    world.count(world.created(), world.registered("p1"))

    async def work(serve: Serve) -> None:
        acquire_lease = serve.cache.acquire_lease
        lease = await acquire_lease(KEY)
        assert lease is not None and await serve.cache.fill(lease, msgspec.structs.replace(answer(1), until_ms=1))

        async def acquire_after_another_has_filled(key: str) -> Lease | None:
            serve.cache.acquire_lease = acquire_lease  # type: ignore[method-assign]
            assert await serve.dashboard() == (1, "live")
            return await acquire_lease(key)

        serve.cache.acquire_lease = acquire_after_another_has_filled  # type: ignore[method-assign,assignment]
        assert await serve.dashboard() == (1, "cache")
        assert serve.reader.loads == 1
        assert await acquire_lease(KEY) is not None  # that of the second reader is released

    serving(world, work)


@pytest.mark.parametrize("connections", ["its own connections", "those of redis-py"])
def test_a_read_gets_the_answer_or_the_lease_in_one_command(world: World, connections: str) -> None:
    async def work(serve: Serve) -> None:
        if connections == "those of redis-py":
            serve.cache._read_pool._count_max = 0
        found, lease = await serve.cache.get_or_acquire(KEY)
        assert found is None and lease is not None
        assert await serve.cache.get_or_acquire(KEY) == (None, None), "another reader holds it"
        assert await serve.cache.fill(lease, answer(1)) is True
        assert await serve.cache.get_or_acquire(KEY) == (answer(1), None)
        assert await serve.cache.acquire_lease(KEY) is not None, "a hit takes no lease"
        assert (serve.cache.hits, serve.cache.misses) == (1, 2)

    serving(world, work)


def test_a_cold_read_sends_two_commands_and_a_hit_one(world: World) -> None:
    world.count(world.created())
    commands: list[str] = []

    def record(request: Request) -> bool:
        commands.append(request.text.split()[0])
        return False

    with Proxy(world.redis.port, RedisRequests) as proxy:

        async def work() -> None:
            cache = AnswerCache(replace(world.redis, port=proxy.port), lifetime_s=60)
            async with Serve(world, cache) as serve:
                assert await serve.dashboard() == (0, "live")
                assert world.invalidator.invalidate([CHANGED])
                for source, sent in (("live", ["EVALSHA", "EVALSHA"]), ("cache", ["EVALSHA"])):
                    commands.clear()
                    with proxy.inject(Crash("cut before", 1, record)):
                        assert await serve.dashboard() == (0, source)
                    assert commands == sent

        asyncio.run(work())


def test_a_read_takes_the_lease_beside_an_answer_that_is_not_accepted(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None and await serve.cache.fill(lease, answer(1))
        found, lease = await serve.cache.get_or_acquire(KEY, lambda cached: cached.version > 1)
        assert found is None and lease is not None
        assert await serve.cache.get_or_acquire(KEY, lambda cached: cached.version > 1) == (None, None)
        assert await serve.cache.fill(lease, answer(2)) is True

    serving(world, work)


def test_a_server_that_has_forgotten_the_scripts_is_sent_them_again(world: World) -> None:
    async def work(serve: Serve) -> None:
        with plain_client(world) as client:
            for version in (1, 2):
                client.script_flush()
                _, lease = await serve.cache.get_or_acquire(KEY)
                client.script_flush()
                assert lease is not None and await serve.cache.fill(lease, answer(version)) is True
                client.delete(KEY)

    serving(world, work)


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_lease_whose_reply_is_lost_is_that_of_the_repeated_command(world: World, fault: Fault) -> None:
    with Proxy(world.redis.port, RedisRequests) as proxy:

        async def work() -> None:
            cache = AnswerCache(replace(world.redis, port=proxy.port), lifetime_s=60)
            async with Serve(world, cache):
                await cache.get_or_acquire(OTHER)  # so that the server knows the script
                with proxy.inject(Crash(fault, 1, lambda request: request.text.startswith("EVALSHA"))) as crash:
                    _, lease = await cache.get_or_acquire(KEY)
                assert crash.happened.is_set()
                assert lease is not None and await cache.fill(lease, answer(1)) is True

        asyncio.run(work())


def test_a_lease_of_a_server_that_was_restarted_fills_for_its_new_run(world: World) -> None:
    """The command that acquires it opens the connection by which the new run becomes known."""

    async def work(serve: Serve) -> None:
        await serve.cache.get(KEY)
        await serve.cache._read_pool._close_idle()
        run, serve.cache._server = serve.cache._server, "the run before"
        _, lease = await serve.cache.get_or_acquire(KEY)
        assert lease is not None and lease.server == run
        assert await serve.cache.fill(lease, answer(1)) is True
        assert await serve.cache.get_or_acquire(KEY) == (answer(1), None)

    serving(world, work)
    with plain_client(world) as client:
        assert not client.exists(keys.lease(KEY)), "the reader that did not need its lease has released it"


def test_waiting_readers_poll_together_and_never_get_what_was_read_before_they_came(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None
        get, gets = serve.cache.get, 0
        late: list[asyncio.Task[EncodedAnswer | None]] = []

        async def one_more_comes_during_the_first_poll(key: str, version_min: int = 0) -> EncodedAnswer | None:
            nonlocal gets
            gets += 1
            found = await get(key, version_min)
            if gets == 1:
                late.append(asyncio.create_task(serve.cache.wait_for_fill(KEY)))
                await asyncio.sleep(0)
                await serve.cache.fill(lease, answer(1))
            return found

        serve.cache.get = one_more_comes_during_the_first_poll  # type: ignore[method-assign]
        first = await asyncio.gather(*(serve.cache.wait_for_fill(KEY) for _ in range(50)))
        assert first == [answer(1)] * 50
        assert gets <= 3, "the first poll, the second GET when the lease is gone, and the poll of the late reader"
        assert await late[0] == answer(1)

    serving(world, work)


def test_when_the_holder_of_a_lease_dies_the_other_readers_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.count(world.created(), world.registered("p1"))
    monkeypatch.setattr("hannun.cache.answer_cache.LEASE_MS", 200)

    async def work(serve: Serve) -> None:
        assert await serve.cache.acquire_lease(KEY) is not None  # and its holder neither fills nor releases
        assert await serve.dashboard() == (1, "live")
        assert await serve.dashboard() == (1, "live")  # this time with a lease
        assert await serve.dashboard() == (1, "cache")

    serving(world, work)


def test_a_cancelled_reader_breaks_nothing_for_the_next(world: World) -> None:
    world.count(world.created(), world.registered("p1"))

    async def work(serve: Serve) -> None:
        under_way, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            under_way.set()
            await go_on.wait()

        serve.reader.before_read = wait
        cancelled = asyncio.create_task(serve.dashboard())
        await under_way.wait()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        next_reader = asyncio.create_task(serve.dashboard())
        go_on.set()
        assert (await next_reader)[0] == 1
        assert await serve.dashboard() == (1, "cache")
        assert serve.reader.loads == 1  # the read begun for the cancelled reader served the next one

    serving(world, work)


def test_refresh_takes_the_lease_by_force_and_the_former_holder_fills_nothing(world: World) -> None:
    async def work(serve: Serve) -> None:
        slow = await serve.cache.acquire_lease(KEY)
        forced = await serve.cache.acquire_lease(KEY, by_force=True)
        assert slow is not None and forced is not None
        assert await serve.cache.fill(slow, answer(1)) is False
        assert await serve.cache.fill(forced, answer(2)) is True
        assert await serve.cache.get(KEY) == answer(2)

    serving(world, work)
