"""The rebuild of many cached answers: the bytes of single reads, by few statements, under the leases of single fills.

Its clock stands in the far future, so that no answer expires by the clock of the cache while a test runs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from cache_readers import ME, Serve, answer, plain_client, serving
from world import OWNER, SPRING, World

from hannun.cache import keys
from hannun.domain.batch import ChangedEvent
from hannun.domain.channels import load_table
from hannun.domain.questions import EventDashboardQuestion, EventSubject, RoiQuestion
from hannun.embedded import ValkeyServer
from hannun.errors import StoreUnavailable
from hannun.flows.report import rebuild
from hannun.flows.report.rebuild import Rebuilder

NOW = datetime(2099, 11, 20, 10, 0, tzinfo=UTC)
STALE_AFTER = timedelta(minutes=10)


def rebuilder(serve: Serve) -> Rebuilder:
    return Rebuilder(serve.reader, serve.cache, lambda: NOW, load_table(), STALE_AFTER)


def rebuilding(world: World, work: Callable[[Serve, Rebuilder], Awaitable[None]]) -> None:
    """Run `work` with a process of its own, whose clock stands still at NOW."""

    async def run(serve: Serve) -> None:
        serve.reports._now = lambda: NOW
        await work(serve, rebuilder(serve))

    serving(world, run)


def several_events(world: World) -> list[str]:
    """Events with and without plan, participants, distributions, sales and measurements in each state."""
    ids = [f"event-{number}" for number in range(8)]
    for number, event in enumerate(ids):
        world.count(world.created(event), *(world.registered(f"p{i}", event, channel="NAVER") for i in range(number)))
        if number % 2:
            world.count(
                world.distributed(event, channelName="NAVER", distributionCost=3_000),
                world.distributed(event, channelName="RingoBiz", status="FAILED"),
                world.sold(120_000, event=event),
            )
        if number % 3:
            at = (NOW - timedelta(minutes=4 * number)).strftime("%Y-%m-%d %H:%M:%S")
            world.measure(world.measurement("NaverBlog", event, at=at, views=40 * number, clicks=3, impressions=900))
    world.measure(world.measurement("NaverBlog", ids[0], at="2026-11-20 09:45", views=7, likes=1))
    world.count(world.status_changed("ENDED", "2026-11-20T09:50:00Z", ids[0]))
    world.count(world.registered("q", "without-a-plan"))
    return [*ids, "without-a-plan", "unknown"]


def test_a_rebuilt_answer_has_the_bytes_and_the_etag_of_a_single_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "EVENTS_AT_ONCE", 3)
    ids = several_events(world)

    async def work(serve: Serve, rebuilder: Rebuilder) -> None:
        assert await rebuilder.rebuild(ids) == 2 * 8
        for id_ in ids[:8]:
            subject = EventSubject(id_)
            for key, question in (
                (keys.dashboard(id_), EventDashboardQuestion(subject)),
                (keys.roi(id_), RoiQuestion(subject)),
            ):
                assert await serve.cache.get(key) == await serve.reports.from_database(question)
                assert (await serve.reports.answer(ME, question))[1] == "cache"
        for id_ in ids[8:]:
            assert await serve.cache.get(keys.dashboard(id_)) is None

    rebuilding(world, work)
    assert not plain_client(world).keys("hannun:lease:*")


def test_the_rebuild_of_many_events_takes_one_statement_for_each_250(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = several_events(world)
    sent: list[Any] = []
    execute = psycopg.AsyncConnection.execute

    async def record(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        if query:
            sent.append(query)
        return await execute(self, query, *arguments, **named)

    async def work(serve: Serve, rebuilder: Rebuilder) -> None:
        monkeypatch.setattr(psycopg.AsyncConnection, "execute", record)
        await rebuilder.rebuild([*ids, *(f"unknown-{number}" for number in range(740))])
        assert len(sent) == 3

    rebuilding(world, work)


def test_what_a_commit_changes_during_a_rebuild_is_not_filled(world: World) -> None:
    ids = several_events(world)
    changed = ids[4]

    async def work(serve: Serve, rebuilder: Rebuilder) -> None:
        read = serve.reader.read

        async def read_and_be_overtaken(load: Any) -> Any:
            found = await read(load)
            await asyncio.to_thread(world.count, world.registered(None, changed))
            return found

        serve.reader.read = read_and_be_overtaken  # type: ignore[method-assign]
        assert await rebuilder.rebuild(ids) == 2 * 7
        assert await serve.cache.get(keys.dashboard(changed)) is None
        assert await serve.cache.get(keys.roi(changed)) is None
        assert await serve.cache.acquire_lease(keys.dashboard(changed)) is not None  # the next reader need not wait

    rebuilding(world, work)


def test_what_was_refused_because_of_one_commit_is_rebuilt_again(world: World) -> None:
    """As at the end of a round: the invalidations of what was recorded last arrive during the rebuild."""
    ids = several_events(world)
    changed = ids[4]

    async def work(serve: Serve, rebuilder: Rebuilder) -> None:
        read, reads = serve.reader.read, 0

        async def read_and_be_overtaken_once(load: Any) -> Any:
            nonlocal reads
            reads += 1
            found = await read(load)
            if reads == 1:
                await asyncio.to_thread(world.count, world.registered("late", changed))
            return found

        serve.reader.read = read_and_be_overtaken_once  # type: ignore[method-assign]
        assert await rebuilder.rebuild(ids) == 2 * 8
        assert reads == 2
        cached = await serve.cache.get(keys.dashboard(changed))
        assert cached is not None
        (version,) = (
            row.version for row in world.rows("SELECT version FROM hannun.events WHERE event_id = %s", changed)
        )
        assert cached.version == version

    rebuilding(world, work)


def test_a_key_that_another_reader_is_filling_is_left_to_them(world: World) -> None:
    ids = several_events(world)

    async def work(serve: Serve, rebuilder: Rebuilder) -> None:
        lease = await serve.cache.acquire_lease(keys.dashboard(ids[0]))
        assert lease is not None
        assert await rebuilder.rebuild(ids) == 2 * 8 - 1
        assert await serve.cache.get(keys.dashboard(ids[0])) is None
        assert await serve.cache.fill(lease, answer(1))

    rebuilding(world, work)


def test_a_rebuild_replaces_no_newer_answer(world: World) -> None:
    world.count(world.created())

    async def work(serve: Serve, rebuilder: Rebuilder) -> None:
        newer = answer(2**62)
        lease = await serve.cache.acquire_lease(keys.dashboard(SPRING))
        assert lease is not None
        assert await serve.cache.fill(lease, newer)
        assert await rebuilder.rebuild([SPRING]) == 1
        assert await serve.cache.get(keys.dashboard(SPRING)) == newer

    rebuilding(world, work)
    assert not plain_client(world).keys("hannun:lease:*")


def test_without_redis_a_rebuild_reads_nothing(own_valkey: tuple[World, ValkeyServer]) -> None:
    world, valkey = own_valkey
    world.count(world.created())

    async def work(serve: Serve, rebuilder: Rebuilder) -> None:
        await asyncio.to_thread(valkey.stop)
        try:
            assert await rebuilder.rebuild([SPRING]) == 0
            assert serve.reader.loads == 0
            assert not serve.cache.available
        finally:
            await asyncio.to_thread(valkey.start)
        assert await rebuilder.rebuild([SPRING]) == 2

    rebuilding(world, work)


def test_a_rebuild_that_cannot_read_releases_its_leases(world: World) -> None:
    world.count(world.created())

    async def work(serve: Serve, rebuilder: Rebuilder) -> None:
        async def fail(_: Any) -> Any:
            raise StoreUnavailable("away")

        serve.reader.read = fail  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await rebuilder.rebuild([SPRING])
        assert await serve.cache.acquire_lease(keys.dashboard(SPRING)) is not None
        assert await serve.cache.acquire_lease(keys.roi(SPRING)) is not None

    rebuilding(world, work)


def test_an_invalidation_before_the_fill_of_many_refuses_only_its_own_event(world: World) -> None:
    async def work(serve: Serve, _: Rebuilder) -> None:
        leases = await serve.cache.acquire_leases([keys.dashboard("a"), keys.dashboard("b")])
        assert world.invalidator.invalidate([ChangedEvent("a", OWNER, 2, ())])
        assert await serve.cache.fill_all([(lease, answer(1)) for lease in leases]) == {keys.dashboard("b")}
        assert (serve.cache.fills, serve.cache.refused_fills) == (1, 1)

    rebuilding(world, work)
