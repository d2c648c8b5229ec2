"""The cache does not lie: leases, fills, invalidations, on a real Valkey beside a real PostgreSQL."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import pytest
import redis
from world import OWNER, SPRING, World

from hannun.cache import AnswerCache, keys
from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.batch import ChangedEvent
from hannun.domain.channels import load_table
from hannun.domain.facts import EventStatus
from hannun.domain.granularity import Granularity
from hannun.domain.questions import (
    ChannelsQuestion,
    EventDashboardQuestion,
    MerchantDashboardQuestion,
    Metric,
    OfEvent,
    OfMerchant,
    Order,
    RoiQuestion,
    SortBy,
    TimelineQuestion,
)
from hannun.domain.ranges import Range
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import CachedReader
from hannun.store.database import AsyncConnection, Connection, Database, PoolLimits, ReadPool

OTHER = "5b0c2f64-0000-4000-8000-000000000002"
KEY = keys.dashboard(SPRING)
ME = Principal(OWNER, frozenset({"MERCHANT"}))
DASHBOARD = EventDashboardQuestion(OfEvent(SPRING))
MINE = OfMerchant(OWNER)
CHANGED = ChangedEvent(SPRING, OWNER, 1, ("NaverBlog",))
T = TypeVar("T")


class CountingReader(ReadPool):
    """Counts questions to PostgreSQL. `hold` lets a test keep one under way."""

    loads = 0
    hold: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        self.loads += 1
        if self.hold is not None:
            await self.hold()
        async with super().connection() as conn:
            yield conn


class Unpaid:
    """Redis cannot be told."""

    def invalidate(self, events: object) -> bool:
        return False


class SlowToCommit(Database):
    """All is written, and then somebody else commits first: until `may_commit` is set."""

    def __init__(self, world: World) -> None:
        super().__init__(world.url, PoolLimits(wait_s=5), application="test-slow")
        self.written, self.may_commit = threading.Event(), threading.Event()
        self.may_commit.set()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as conn:
            yield conn
            self.written.set()
            assert self.may_commit.wait(20)


class Serve:
    """The reading side of one `serve` process."""

    def __init__(self, world: World) -> None:
        self.reader = CountingReader(world.url, PoolLimits(size_min=1, wait_s=5), application="test-read")
        self.cache = AnswerCache(world.redis, lifetime_s=3_600)
        self.reports = Reports(self.reader, CachedReader(self.cache), lambda: datetime.now(UTC), load_table())

    async def __aenter__(self) -> "Serve":
        await self.reader.open()
        await self.cache.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cache.close()
        await self.reader.close()

    async def dashboard(self) -> tuple[int, str]:
        """The total of the event's dashboard, and where it came from."""
        answer, source = await self.reports.answer(ME, DASHBOARD)
        return json.loads(answer.body)["summary"]["totalParticipants"], source


@pytest.fixture
def world(world: World) -> World:
    with plain(world) as client:
        client.flushall()
    return world


@pytest.fixture
def own(
    postgres: PostgresServer, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, ValkeyServer]]:
    """A world with a Valkey of its own, which may go away and come back."""
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as valkey, World(postgres, valkey, database) as world:
        yield world, valkey


def plain(world: World) -> redis.Redis:
    """A plain client, as any other team would use."""
    return redis.Redis(host=world.redis.host, port=world.redis.port, password=world.redis.password)


def serving(world: World, work: Callable[[Serve], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Serve(world) as serve, asyncio.timeout(60):
            return await work(serve)

    return asyncio.run(run())


def answer(version: int, says: str = "it") -> EncodedAnswer:
    return EncodedAnswer(b'{"says":"%b"}' % says.encode(), version, OWNER, f'"{version}"')


# -- the lease


def test_what_was_read_before_an_invalidation_is_not_kept(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None
        assert world.invalidator.invalidate([CHANGED])
        assert await serve.cache.fill(lease, answer(1)) is False
        assert await serve.cache.get(KEY) is None
        again = await serve.cache.acquire_lease(KEY)  # the way is free for whoever reads now
        assert again is not None
        assert await serve.cache.fill(lease, answer(1)) is False  # and the late one does not take it from them
        await serve.cache.release(lease)
        assert await serve.cache.fill(again, answer(2)) is True
        assert (await serve.cache.get(KEY)) == answer(2)

    serving(world, work)


def test_only_one_at_a_time_may_fill(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None
        assert await serve.cache.acquire_lease(KEY) is None
        assert serve.cache.available
        await serve.cache.release(lease)
        assert await serve.cache.acquire_lease(KEY) is not None

    serving(world, work)


def test_an_older_version_never_covers_a_newer_one(world: World) -> None:
    async def work(serve: Serve) -> None:
        for version, kept in ((1_795_402_800_000_002, True), (1_795_402_800_000_001, False)):
            lease = await serve.cache.acquire_lease(KEY)
            assert lease is not None
            assert await serve.cache.fill(lease, answer(version)) is kept
            assert (await serve.cache.get(KEY)) == answer(1_795_402_800_000_002)
        assert await serve.cache.acquire_lease(KEY) is not None  # a refused fill gives its lease back
        # A merchant's version has more digits than a number of Lua can hold.
        for version, kept in ((2**62, True), (2**62 + 2, True), (2**62 + 1, False), (10**18, False), (10**19, True)):
            lease = await serve.cache.acquire_lease(OTHER)
            assert lease is not None
            assert await serve.cache.fill(lease, answer(version)) is kept, version

    serving(world, work)


def test_a_fill_that_was_refused_in_the_flow_leaves_no_lease_behind(world: World) -> None:
    world.counts(world.created())

    async def work(serve: Serve) -> None:
        async def counted_meanwhile() -> None:
            serve.reader.hold = None
            await asyncio.to_thread(world.counts, world.registered("p1"))

        serve.reader.hold = counted_meanwhile
        assert await serve.dashboard() == (1, "live")
        assert serve.cache.refused_fills == 1
        with plain(world) as client:
            assert client.keys() == []
        assert await serve.dashboard() == (1, "live")
        assert await serve.dashboard() == (1, "cache")

    serving(world, work)


def test_a_load_that_fails_gives_its_lease_back(world: World) -> None:
    world.counts(world.created())

    async def work(serve: Serve) -> None:
        async def broken() -> None:
            raise RuntimeError("by hand")

        serve.reader.hold = broken
        with pytest.raises(RuntimeError):
            await serve.dashboard()
        serve.reader.hold = None
        assert await serve.dashboard() == (0, "live")
        assert await serve.dashboard() == (0, "cache")

    serving(world, work)


def test_fifty_cold_readers_cost_one_load(world: World) -> None:
    world.counts(world.created(), world.registered("p1"))

    async def work(serve: Serve) -> None:
        async def until_all_have_missed() -> None:
            while serve.cache.misses < 50:  # noqa: ASYNC110  a counter has no event
                await asyncio.sleep(0)

        serve.reader.hold = until_all_have_missed
        seen = await asyncio.gather(*(serve.dashboard() for _ in range(50)))
        assert {total for total, _ in seen} == {1}
        assert sorted(source for _, source in seen) == ["cache"] * 49 + ["live"]
        assert serve.reader.loads == 1

    serving(world, work)


def test_a_reader_that_waits_takes_what_was_filled_since_it_looked(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None
        look = serve.cache.get
        looked = False

        async def filled_just_after_the_first_look(key: str, seen: int = 0) -> EncodedAnswer | None:
            nonlocal looked
            found = await look(key, seen)
            if not looked:
                looked = True
                await serve.cache.fill(lease, answer(1))
            return found

        serve.cache.get = filled_just_after_the_first_look  # type: ignore[method-assign]
        assert await serve.cache.wait_for_fill(KEY) == answer(1)

    serving(world, work)


def test_who_takes_a_lease_that_was_just_given_back_finds_what_was_filled(world: World) -> None:
    """Their look and their lease are two steps: in between, another may have filled."""
    world.counts(world.created(), world.registered("p1"))

    async def work(serve: Serve) -> None:
        look = serve.cache.get

        async def filled_just_after_the_first_look(key: str, seen: int = 0) -> EncodedAnswer | None:
            found = await look(key, seen)
            serve.cache.get = look  # type: ignore[method-assign]
            assert await serve.dashboard() == (1, "live")
            return found

        serve.cache.get = filled_just_after_the_first_look  # type: ignore[method-assign]
        assert await serve.dashboard() == (1, "cache")
        assert serve.reader.loads == 1

    serving(world, work)
    with plain(world) as client:
        assert not client.exists(keys.lease(KEY)), "what was taken in vain is given back"


def test_those_who_wait_look_together_and_never_at_what_was_read_before_they_came(world: World) -> None:
    async def work(serve: Serve) -> None:
        lease = await serve.cache.acquire_lease(KEY)
        assert lease is not None
        look, looks = serve.cache.get, 0
        asked: list[asyncio.Task[EncodedAnswer | None]] = []

        async def one_comes_while_it_is_looked(key: str, seen: int = 0) -> EncodedAnswer | None:
            nonlocal looks
            looks += 1
            found = await look(key, seen)
            if looks == 1:
                asked.append(asyncio.create_task(serve.cache.wait_for_fill(KEY)))
                await asyncio.sleep(0)
                await serve.cache.fill(lease, answer(1))
            return found

        serve.cache.get = one_comes_while_it_is_looked  # type: ignore[method-assign]
        first = await asyncio.gather(*(serve.cache.wait_for_fill(KEY) for _ in range(50)))
        assert first == [answer(1)] * 50
        assert looks <= 3, "the first look, the one after the lease has gone, and that of who came late"
        assert await asked[0] == answer(1)

    serving(world, work)


def test_when_a_reader_dies_with_the_lease_the_others_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.counts(world.created(), world.registered("p1"))
    monkeypatch.setattr("hannun.cache.answer_cache.LEASE_MS", 200)

    async def work(serve: Serve) -> None:
        assert await serve.cache.acquire_lease(KEY) is not None  # and nothing more is heard of who took it
        assert await serve.dashboard() == (1, "live")
        assert await serve.dashboard() == (1, "live")  # now with a lease
        assert await serve.dashboard() == (1, "cache")

    serving(world, work)


def test_a_reader_that_leaves_breaks_nothing_for_the_next(world: World) -> None:
    world.counts(world.created(), world.registered("p1"))

    async def work(serve: Serve) -> None:
        under_way, go_on = asyncio.Event(), asyncio.Event()

        async def held() -> None:
            under_way.set()
            await go_on.wait()

        serve.reader.hold = held
        leaving = asyncio.create_task(serve.dashboard())
        await under_way.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        next_one = asyncio.create_task(serve.dashboard())
        go_on.set()
        assert (await next_one)[0] == 1
        assert await serve.dashboard() == (1, "cache")
        assert serve.reader.loads == 1  # what was begun for the one who left served the other

    serving(world, work)


# -- what is believed


def test_a_value_that_was_not_made_for_this_question_is_not_believed(world: World) -> None:
    world.counts(world.created())

    async def work(serve: Serve) -> None:
        await serve.dashboard()
        with plain(world) as client:
            value = client.get(KEY)
            assert value is not None
            run = serve.cache._server.encode()
            assert run in value
            false = {
                "another key's": value.replace(SPRING.encode(), b"5b0c2f64-0000-4000-8000-00000000000f"),
                "another server's": value.replace(run, run[::-1]),
                "nothing": b"",
                "no JSON": b"hello",
                "cut off": value[:40],
                "other JSON": b'{"eventId": 1}',
                "a list": b"[[[]]]",
                "another form": b'{"_size":     2,"_hannun":{},"a":1}',
            }
            for what, lie in false.items():
                client.set(KEY, lie)
                assert await serve.cache.get(KEY) is None, what
                assert await serve.dashboard() == (0, "live"), what  # and the truth takes its place
                assert await serve.dashboard() == (0, "cache"), what
            client.delete(KEY)
            client.sadd(KEY, "somebody else's")
            assert await serve.dashboard() == (0, "live")
            assert serve.cache.available
            assert await serve.dashboard() == (0, "cache")
            client.set(keys.dashboard("another"), value)
            assert await serve.cache.get(keys.dashboard("another")) is None

    serving(world, work)


def test_a_value_is_true_no_longer_than_it_says(world: World) -> None:
    async def work(serve: Serve) -> None:
        for until_ms, found in ((0, True), (4_102_444_800_000, True), (1, False)):
            lease = await serve.cache.acquire_lease(KEY)
            assert lease is not None
            assert await serve.cache.fill(lease, msgspec.structs.replace(answer(1), until_ms=until_ms))
            assert (await serve.cache.get(KEY) is not None) is found

    serving(world, work)


def test_what_is_kept_is_readable_by_anybody(world: World) -> None:
    """The contract of the keys: names, fields, lifetimes."""
    world.counts(world.created(), world.registered("p1", channel="NAVER"))

    async def work(serve: Serve) -> None:
        await serve.dashboard()
        await serve.reports.answer(ME, MerchantDashboardQuestion(MINE))
        for granularity in Granularity:
            await serve.reports.answer(ME, TimelineQuestion(OfEvent(SPRING), granularity=granularity))
        await serve.reports.answer(ME, RoiQuestion(OfEvent(SPRING)))
        await serve.reports.answer(ME, ChannelsQuestion(OfEvent(SPRING), channels=("NAVER",)))

    serving(world, work)
    fields = {
        f"analytics:channel:{SPRING}:NaverBlog": {"channelName", "metrics", "performance"},
        f"analytics:roi:{SPRING}": {"currentRoi", "targetRoi", "investment"},
        f"analytics:dashboard:{SPRING}": {"eventId", "eventTitle", "summary", "channelPerformance", "roi"},
        f"analytics:user:{OWNER}": {"totalEvents", "summary", "events"},
        **{
            f"analytics:timeline:{SPRING}:{name}": {"dataPoints", "trend"}
            for name in ("minute", "hourly", "daily", "weekly", "monthly")
        },
    }
    with plain(world) as client:
        assert {key.decode() for key in client.scan_iter()} == fields.keys()
        for key, names in fields.items():
            assert client.type(key) == b"string"
            kept: Any = client.get(key)
            value = json.loads(kept)
            assert set(value) >= names
            assert 3_600 * 0.94 < client.ttl(key) <= 3_600 * 1.06
        dashboard: Any = client.get(f"analytics:dashboard:{SPRING}")
        assert json.loads(dashboard)["summary"]["totalParticipants"] == 1
        assert world.invalidator.invalidate([CHANGED])
        assert client.keys() == []


def test_an_answer_lives_as_long_as_is_set_a_little_less_or_more(world: World) -> None:
    async def work() -> set[int]:
        cache = AnswerCache(world.redis, lifetime_s=100)
        found = set()
        for number in range(20):
            lease = await cache.acquire_lease(f"{KEY}{number}")
            assert lease is not None and await cache.fill(lease, answer(1))
            with plain(world) as client:
                found.add(int(client.pttl(lease.key)))  # type: ignore[arg-type]
        await cache.close()
        return found

    lives_ms = asyncio.run(work())
    assert all(94_000 < life <= 105_000 for life in lives_ms)
    assert max(lives_ms) - min(lives_ms) > 1_000, "so that not all end at once"


def test_who_has_seen_more_than_is_kept_gets_no_less(world: World) -> None:
    world.counts(world.created())

    async def work(serve: Serve) -> None:
        await serve.dashboard()
        kept, source = await serve.reports.answer(ME, DASHBOARD)
        assert source == "cache"
        # A commit whose invalidation is still owed, seen by this client in another process.
        world.counter = world.counter_on(world.database, Unpaid())
        await asyncio.to_thread(world.counts, world.registered("p1"))
        assert (await serve.reports.answer(replace(ME, seen=kept.version), DASHBOARD))[0] == kept
        newer = world.ours().version
        seen, source = await serve.reports.answer(replace(ME, seen=newer), DASHBOARD)
        assert seen.version == newer and source == "live"
        assert await serve.dashboard() == (1, "cache")  # and what it found serves all

    serving(world, work)


def test_a_merchants_numbers_do_not_run_backwards_when_the_older_change_commits_last(world: World) -> None:
    """A change of one event is made before that of another, and committed after it: the newest change stays the same
    one, and yet the answer is another one."""
    world.counts(world.created(), world.created(OTHER))
    slow = SlowToCommit(world)
    behind = world.counter_on(slow, Unpaid())
    behind.count([world.registered("p0")])

    async def all_of_mine(serve: Serve, seen: int = 0) -> tuple[EncodedAnswer, int, str]:
        answer, source = await serve.reports.answer(replace(ME, seen=seen), MerchantDashboardQuestion(MINE))
        return answer, json.loads(answer.body)["summary"]["totalParticipants"], source

    async def work(serve: Serve) -> None:
        slow.written.clear()
        slow.may_commit.clear()
        writing = asyncio.create_task(asyncio.to_thread(behind.count, [world.registered("p1")]))
        assert await asyncio.to_thread(slow.written.wait, 20)
        await asyncio.to_thread(world.counts, world.registered("p2", OTHER))
        before, came, source = await all_of_mine(serve)
        assert (came, source) == (2, "live")
        slow.may_commit.set()
        await writing

        elsewhere = Serve(world)  # in another process, where Redis is away
        elsewhere.cache._cooldown_until = float("inf")
        await elsewhere.reader.open()
        after, came, source = await all_of_mine(elsewhere)
        await elsewhere.reader.close()
        assert (came, source) == (3, "live")
        assert json.loads(after.body)["lastUpdatedAt"] == json.loads(before.body)["lastUpdatedAt"]

        assert (await all_of_mine(serve, before.version))[1:] == (2, "cache")  # its invalidation is still owed
        assert (await all_of_mine(serve, after.version))[1:] == (3, "live")
        assert (await all_of_mine(serve))[1:] == (3, "cache")

    serving(world, work)
    slow.close()


def test_what_this_process_has_counted_is_in_all_that_it_tells_of_the_merchant(world: World) -> None:
    world.counts(world.created(), world.created(OTHER))

    async def came(serve: Serve) -> tuple[int, str]:
        answer, source = await serve.reports.answer(ME, MerchantDashboardQuestion(MINE))
        return json.loads(answer.body)["summary"]["totalParticipants"], source

    async def work(serve: Serve) -> None:
        assert await came(serve) == (0, "live")
        counter = world.counter_on(world.database, Unpaid())
        counted = await asyncio.to_thread(counter.count, [world.registered("p1")])
        assert await came(serve) == (0, "cache")
        serve.cache.require_versions([event for part in counted.parts for event in part.written.events])
        assert await came(serve) == (1, "live")
        assert await came(serve) == (1, "cache")

    serving(world, work)


def test_refresh_takes_the_lease_by_force_and_who_had_it_keeps_nothing(world: World) -> None:
    async def work(serve: Serve) -> None:
        slow = await serve.cache.acquire_lease(KEY)
        forced = await serve.cache.acquire_lease(KEY, by_force=True)
        assert slow is not None and forced is not None
        assert await serve.cache.fill(slow, answer(1)) is False
        assert await serve.cache.fill(forced, answer(2)) is True
        assert await serve.cache.get(KEY) == answer(2)

    serving(world, work)


def test_what_was_told_past_redis_is_the_least_that_is_told_from_then_on(world: World) -> None:
    world.counts(world.created())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (0, "live")
        world.counter = world.counter_on(world.database, Unpaid())
        await asyncio.to_thread(world.counts, world.registered("p1"))
        reachable, serve.cache._cooldown_until = serve.cache._cooldown_until, float("inf")
        serve.cache.available = False
        assert await serve.dashboard() == (1, "live")
        serve.cache._cooldown_until = reachable
        assert await serve.dashboard() == (1, "live")  # not the 0 that Redis still holds
        assert await serve.dashboard() == (1, "cache")

    serving(world, work)


def test_an_answer_that_was_kept_says_so_while_the_database_is_away(world: World) -> None:
    world.counts(world.created())

    async def work(serve: Serve) -> None:
        away = False
        reports = Reports(serve.reader, CachedReader(serve.cache, lambda: away), serve.reports._now, load_table())
        for expected in (False, False, True):
            away = expected
            answer, source = await reports.answer(ME, DASHBOARD)
            assert answer.stale is expected
        assert source == "cache"

    serving(world, work)


def test_only_the_plain_view_is_kept(world: World) -> None:
    world.counts(world.created(), world.registered("p1", channel="NAVER"))
    moment, event = datetime(2026, 11, 1), OfEvent(SPRING)

    async def work(serve: Serve) -> None:
        for question in (
            TimelineQuestion(event, Range(tz="UTC"), Granularity.DAILY),
            TimelineQuestion(event, Range(start=moment), Granularity.DAILY),
            TimelineQuestion(event, Range(end=moment), Granularity.DAILY),
            TimelineQuestion(event, granularity=Granularity.DAILY, metrics=frozenset([Metric.VIEWS])),
            TimelineQuestion(MINE, granularity=Granularity.DAILY),
        ):
            assert (await serve.reports.answer(ME, question))[1] == "live"
        for asked in (
            MerchantDashboardQuestion(OfMerchant(OWNER, status=EventStatus.ACTIVE)),
            MerchantDashboardQuestion(MINE, limit=1),
        ):
            assert (await serve.reports.answer(ME, asked))[1] == "live"
        assert (await serve.reports.answer(ME, EventDashboardQuestion(OfEvent(SPRING), Range(tz="UTC"))))[1] == "live"
        for listed in (
            ChannelsQuestion(event),
            ChannelsQuestion(event, channels=("NAVER", "WooriTV")),
            ChannelsQuestion(event, channels=("NAVER",), order=Order(SortBy.VIEWS)),
            ChannelsQuestion(event, Range(start=moment), ("NAVER",)),
            ChannelsQuestion(event, channels=("never heard of",)),
            ChannelsQuestion(MINE),
        ):
            assert (await serve.reports.answer(ME, listed))[1] == "live"
        for money in (
            RoiQuestion(event, projection=True),
            RoiQuestion(event, Range(end=moment)),
            RoiQuestion(MINE),
        ):
            assert (await serve.reports.answer(ME, money))[1] == "live"

    serving(world, work)
    with plain(world) as client:
        assert client.keys() == []


# What a write makes false (spec/2-cache.md, rule 2). Timelines go with every write: one deleted too much is cheaper
# than one kept that is wrong.
TIMELINES = {f"analytics:timeline:{SPRING}:{each}" for each in ("minute", "hourly", "daily", "weekly", "monthly")}
OF_EVENT = {f"analytics:dashboard:{SPRING}", f"analytics:roi:{SPRING}", f"analytics:user:{OWNER}", *TIMELINES}
NAVER, WOORI = (f"analytics:channel:{SPRING}:{name}" for name in ("NaverBlog", "WooriTV"))


def test_a_write_removes_the_keys_of_the_table_and_leaves_other_channels(world: World) -> None:
    world.counts(
        world.created(),
        world.distributed(channelName="WooriTV"),
        world.registered("p0", channel="NAVER"),
        world.registered("p1", channel="WooriTV"),
    )
    writes = [
        (world.registered("p2", channel="네이버블로그"), OF_EVENT | {NAVER}),
        (world.registered("p3"), OF_EVENT),
        (
            world.distributed(channelName="우리동네TV", at="2026-11-05T00:00:00Z", distributionCost=5),
            OF_EVENT | {WOORI},
        ),
        (world.distributed(channelName="WooriTV", at="2026-11-06T00:00:00Z", status="FAILED"), OF_EVENT | {WOORI}),
        (world.sold(100, channel="WooriTV"), OF_EVENT),
        (world.status("ENDED", "2026-11-22T00:00:00Z"), OF_EVENT),
        (world.created(at="2026-11-22T00:00:00Z", eventTitle="다시"), OF_EVENT),
        (world.registered("p2"), set()),
    ]

    async def fill(serve: Serve) -> None:
        await serve.dashboard()
        await serve.reports.answer(ME, MerchantDashboardQuestion(MINE))
        await serve.reports.answer(ME, RoiQuestion(OfEvent(SPRING)))
        for name in ("NAVER", "WOORIDONGNE_TV"):
            await serve.reports.answer(ME, ChannelsQuestion(OfEvent(SPRING), channels=(name,)))
        for granularity in Granularity:
            await serve.reports.answer(ME, TimelineQuestion(OfEvent(SPRING), granularity=granularity))

    for write, false in writes:
        serving(world, fill)
        with plain(world) as client:
            before = {key.decode() for key in client.scan_iter()}
            assert before == OF_EVENT | {NAVER, WOORI}
            world.counts(write)
            assert before - {key.decode() for key in client.scan_iter()} == false, write


def test_an_answer_about_one_channel_is_the_same_live_and_cached(world: World) -> None:
    world.counts(world.created(), world.registered("p0", channel="NAVER"), world.registered("p1", channel="WooriTV"))

    async def work(serve: Serve) -> None:
        asked = ChannelsQuestion(OfEvent(SPRING), channels=("naver blog",))
        live, source = await serve.reports.answer(ME, asked)
        assert source == "live"
        # another channel changes: this one's answer is as true as before, and its ETag says so
        world.counts(world.registered("p2", channel="WooriTV"))
        cached, source = await serve.reports.answer(ME, asked)
        assert source == "cache"
        fresh, _ = await serve.reports.answer(ME, asked, refresh=True)
        assert live.body == cached.body == fresh.body
        assert live.etag == cached.etag == fresh.etag

    serving(world, work)


def test_a_write_removes_every_answer_that_it_makes_false(world: World) -> None:
    world.counts(world.created())
    writes = (
        world.registered("p1", channel="NAVER"),
        world.distributed(channelName="NAVER", distributionCost=10),
        world.sold(100),
        world.status("ENDED", "2026-11-22T00:00:00Z"),
        world.created(at="2026-11-22T00:00:00Z", eventTitle="다시", totalInvestment=500),
    )

    async def work(serve: Serve) -> list[bytes]:
        return [
            (await serve.reports.answer(ME, DASHBOARD))[0].body,
            (await serve.reports.answer(ME, MerchantDashboardQuestion(MINE)))[0].body,
        ]

    seen = serving(world, work)
    for write in writes:
        assert world.counts(write)[0].result == "counted"
        now = serving(world, work)
        assert now[0] != seen[0] and now[1] != seen[1]
        seen = now


# -- Redis goes and comes back


def test_without_redis_the_database_answers_and_nothing_is_lost(own: tuple[World, ValkeyServer]) -> None:
    world, valkey = own
    world.counts(world.created())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (0, "live")
        assert await serve.dashboard() == (0, "cache")
        valkey.stop()
        assert await serve.dashboard() == (0, "live")
        assert serve.cache.available is False
        world.counts(world.registered("p1"))
        assert await serve.dashboard() == (1, "live")
        assert len(world.rows("SELECT * FROM hannun.owed_invalidations")) == 1
        valkey.start()
        assert await serve.dashboard() == (1, "live")
        assert serve.cache.available is True
        assert await serve.dashboard() == (1, "cache")
        assert world.delivers_pending() == 1
        assert await serve.dashboard() == (1, "live")
        assert world.rows("SELECT * FROM hannun.owed_invalidations") == []

    serving(world, work)
    assert world.drift() == []


def test_a_redis_that_comes_back_with_old_data_is_not_believed(own: tuple[World, ValkeyServer]) -> None:
    world, valkey = own
    world.counts(world.created())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (0, "live")
        lease = await serve.cache.acquire_lease(keys.user(OWNER))
        assert lease is not None
        with plain(world) as client:
            client.save()  # what a restart, or a replica that became the master, would come back with
        world.counts(world.registered("p1"))
        valkey.stop()
        valkey.start()
        with plain(world) as client:
            assert client.get(KEY) is not None  # there it is again
        assert await serve.cache.get(KEY) is None
        async with Serve(world) as another:
            assert await another.cache.get(KEY) is None
        await serve.cache.fill(lease, answer(1))  # an old lease that came back: what it fills is not believed either
        assert await serve.cache.get(keys.user(OWNER)) is None
        assert await serve.dashboard() == (1, "live")
        assert await serve.dashboard() == (1, "cache")

    serving(world, work)


# -- no answer is older than the acknowledged invalidation


def test_no_reader_gets_an_older_answer_than_was_acknowledged_before_it_asked(world: World) -> None:
    world.counts(world.created())
    acknowledged, done = 0, threading.Event()
    reads: list[int] = []
    wrong: list[tuple[int, int]] = []

    def write() -> None:
        nonlocal acknowledged
        try:
            for batch in range(1, 101):
                world.counts(world.registered(f"p{batch}"))
                acknowledged = batch
        finally:
            done.set()

    def read() -> None:
        async def work(serve: Serve) -> None:
            count = newest = 0

            async def one() -> None:
                nonlocal newest, count
                expected = max(acknowledged, newest)
                total, _ = await serve.dashboard()
                if total < expected:
                    wrong.append((total, expected))
                newest = max(newest, total)
                count += 1

            while not (done.is_set() and count >= 1_000):
                await asyncio.gather(one(), one(), one())
            assert await serve.dashboard() == (100, "cache")
            reads.append(count)

        serving(world, work)

    with ThreadPoolExecutor(3) as pool:
        reading = [pool.submit(read) for _ in range(3)]
        write()
        for reader in reading:
            reader.result()
    assert wrong == []
    assert len(reads) == 3 and sum(reads) >= 3_000
