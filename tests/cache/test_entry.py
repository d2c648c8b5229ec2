"""Cached entries: a public format with exact names and lifetimes, and a miss if an entry is not valid."""

import asyncio
import json
from datetime import datetime
from typing import Any

import msgspec
from cache_readers import CHANGED, DASHBOARD, KEY, ME, MINE, Serve, answer, plain_client, serving
from world import OWNER, SPRING, World

from hannun.cache import AnswerCache, keys
from hannun.domain.facts import EventStatus
from hannun.domain.granularity import Granularity
from hannun.domain.questions import (
    ChannelsQuestion,
    EventDashboardQuestion,
    EventSubject,
    MerchantDashboardQuestion,
    MerchantSubject,
    Metric,
    Order,
    RoiQuestion,
    SortBy,
    TimelineQuestion,
)
from hannun.domain.ranges import Range
from hannun.domain.response_schemas import SHAPE


def test_a_value_that_was_not_made_for_its_key_is_a_miss(world: World) -> None:
    world.count(world.created())

    async def work(serve: Serve) -> None:
        await serve.dashboard()
        with plain_client(world) as client:
            value = client.get(KEY)
            assert value is not None
            run = serve.cache._server.encode()
            assert run in value
            invalid = {
                "another key's": value.replace(SPRING.encode(), b"5b0c2f64-0000-4000-8000-00000000000f"),
                "another server's": value.replace(run, run[::-1]),
                "empty": b"",
                "no JSON": b"hello",
                "truncated": value[:40],
                "other JSON": b'{"eventId": 1}',
                "a list": b"[[[]]]",
                "the answer of another version of Hannun": value.replace(SHAPE.encode(), SHAPE[::-1].encode()),
                "other metadata": b'{"_size":     2,"_hannun":{},"a":1}',
            }
            for what, forged in invalid.items():
                client.set(KEY, forged)
                assert await serve.cache.get(KEY) is None, what
                assert await serve.dashboard() == (0, "live"), what  # and the right answer replaces it
                assert await serve.dashboard() == (0, "cache"), what
            client.delete(KEY)
            client.sadd(KEY, "another client's")
            assert await serve.dashboard() == (0, "live")
            assert serve.cache.available
            assert await serve.dashboard() == (0, "cache")
            client.set(keys.dashboard("another"), value)
            assert await serve.cache.get(keys.dashboard("another")) is None

    serving(world, work)


def test_an_entry_is_valid_no_longer_than_its_metadata_says(world: World) -> None:
    async def work(serve: Serve) -> None:
        for until_ms, found in ((0, True), (4_102_444_800_000, True), (1, False)):
            lease = await serve.cache.acquire_lease(KEY)
            assert lease is not None
            assert await serve.cache.fill(lease, msgspec.structs.replace(answer(1), until_ms=until_ms))
            assert (await serve.cache.get(KEY) is not None) is found

    serving(world, work)


def test_any_redis_client_can_read_the_cached_answers(world: World) -> None:
    """The contract of the keys: names, fields, lifetimes."""
    world.count(world.created(), world.registered("p1", channel="NAVER"))

    async def work(serve: Serve) -> None:
        await serve.dashboard()
        await serve.reports.answer(ME, MerchantDashboardQuestion(MINE))
        for granularity in Granularity:
            await serve.reports.answer(ME, TimelineQuestion(EventSubject(SPRING), granularity=granularity))
        await serve.reports.answer(ME, RoiQuestion(EventSubject(SPRING)))
        await serve.reports.answer(ME, ChannelsQuestion(EventSubject(SPRING), channels=("NAVER",)))

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
    with plain_client(world) as client:
        assert {key.decode() for key in client.scan_iter("analytics:*")} == fields.keys()
        for key, names in fields.items():
            assert client.type(key) == b"string"
            cached: Any = client.get(key)
            value = json.loads(cached)
            assert set(value) >= names
            assert 3_600 * 0.94 < client.ttl(key) <= 3_600 * 1.06
        dashboard: Any = client.get(f"analytics:dashboard:{SPRING}")
        assert json.loads(dashboard)["summary"]["totalParticipants"] == 1
        assert world.invalidator.invalidate([CHANGED])
        assert client.keys("analytics:*") == []


def test_lifetimes_differ_a_little_so_that_answers_do_not_expire_together(world: World) -> None:
    async def work() -> set[int]:
        cache = AnswerCache(world.redis, lifetime_s=100)
        found = set()
        for number in range(20):
            lease = await cache.acquire_lease(f"{KEY}{number}")
            assert lease is not None and await cache.fill(lease, answer(1))
            with plain_client(world) as client:
                found.add(int(client.pttl(lease.key)))  # type: ignore[arg-type]
        await cache.close()
        return found

    lifetimes_ms = asyncio.run(work())
    assert all(94_000 < lifetime <= 105_000 for lifetime in lifetimes_ms)
    assert max(lifetimes_ms) - min(lifetimes_ms) > 1_000


def test_only_the_plain_view_is_cached(world: World) -> None:
    world.count(world.created(), world.registered("p1", channel="NAVER"))
    moment, event = datetime(2026, 11, 1), EventSubject(SPRING)

    async def work(serve: Serve) -> None:
        for timeline in (
            TimelineQuestion(event, Range(tz="UTC"), Granularity.DAILY),
            TimelineQuestion(event, Range(start=moment), Granularity.DAILY),
            TimelineQuestion(event, Range(end=moment), Granularity.DAILY),
            TimelineQuestion(event, granularity=Granularity.DAILY, metrics=frozenset([Metric.VIEWS])),
            TimelineQuestion(MINE, granularity=Granularity.DAILY),
        ):
            assert (await serve.reports.answer(ME, timeline))[1] == "live"
        for user in (
            MerchantDashboardQuestion(MerchantSubject(OWNER, status=EventStatus.ACTIVE)),
            MerchantDashboardQuestion(MINE, limit=1),
        ):
            assert (await serve.reports.answer(ME, user))[1] == "live"
        assert (await serve.reports.answer(ME, EventDashboardQuestion(EventSubject(SPRING), Range(tz="UTC"))))[
            1
        ] == "live"
        for channels in (
            ChannelsQuestion(event),
            ChannelsQuestion(event, channels=("NAVER", "WooriTV")),
            ChannelsQuestion(event, channels=("NAVER",), order=Order(SortBy.VIEWS)),
            ChannelsQuestion(event, Range(start=moment), ("NAVER",)),
            ChannelsQuestion(event, channels=("WooriTV",)),  # a known channel that the event does not have
            ChannelsQuestion(MINE),
        ):
            assert (await serve.reports.answer(ME, channels))[1] == "live"
        for roi in (
            RoiQuestion(event, projection=True),
            RoiQuestion(event, Range(end=moment)),
            RoiQuestion(MINE),
        ):
            assert (await serve.reports.answer(ME, roi))[1] == "live"

    serving(world, work)
    with plain_client(world) as client:
        assert client.keys("analytics:*") == []


def test_an_answer_about_one_channel_is_the_same_live_and_cached(world: World) -> None:
    world.count(world.created(), world.registered("p0", channel="NAVER"), world.registered("p1", channel="WooriTV"))

    async def work(serve: Serve) -> None:
        question = ChannelsQuestion(EventSubject(SPRING), channels=("naver blog",))
        live, source = await serve.reports.answer(ME, question)
        assert source == "live"
        # Another channel changes: this one's answer stays true, and its ETag stays the same.
        world.count(world.registered("p2", channel="WooriTV"))
        cached, source = await serve.reports.answer(ME, question)
        assert source == "cache"
        fresh, _ = await serve.reports.answer(ME, question, refresh=True)
        assert live.body == cached.body == fresh.body
        assert live.etag == cached.etag == fresh.etag

    serving(world, work)


def test_a_cached_answer_is_marked_as_stale_while_the_database_is_unavailable(world: World) -> None:
    world.count(world.created())

    async def work(serve: Serve) -> None:
        unavailable = False
        reports = serve.reports_with(lambda: unavailable)
        for expected in (False, False, True):
            unavailable = expected
            answer, source = await reports.answer(ME, DASHBOARD)
            assert answer.stale is expected
        assert source == "cache"

    serving(world, work)
