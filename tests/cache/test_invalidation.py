"""Invalidation: a write deletes every answer that it makes false, before any later reader gets one."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from cache_readers import DASHBOARD, ME, MINE, Serve, plain_client, serving
from world import OWNER, SPRING, World

from hannun.domain.granularity import Granularity
from hannun.domain.questions import (
    ChannelsQuestion,
    EventSubject,
    MerchantDashboardQuestion,
    RoiQuestion,
    TimelineQuestion,
)

# What a write makes false (spec/2-cache.md, rule 2). Every write deletes the timelines: one deletion too many is
# cheaper than one wrong answer.
TIMELINES = {f"analytics:timeline:{SPRING}:{each}" for each in ("minute", "hourly", "daily", "weekly", "monthly")}
OF_EVENT = {f"analytics:dashboard:{SPRING}", f"analytics:roi:{SPRING}", f"analytics:user:{OWNER}", *TIMELINES}
NAVER, WOORI = (f"analytics:channel:{SPRING}:{name}" for name in ("NaverBlog", "WooriTV"))


def test_a_write_deletes_the_keys_of_the_table_and_no_other_channels(world: World) -> None:
    world.count(
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
        (world.status_changed("ENDED", "2026-11-22T00:00:00Z"), OF_EVENT),
        (world.created(at="2026-11-22T00:00:00Z", eventTitle="다시"), OF_EVENT),
        (world.registered("p2"), set()),
    ]

    async def fill(serve: Serve) -> None:
        await serve.dashboard()
        await serve.reports.answer(ME, MerchantDashboardQuestion(MINE))
        await serve.reports.answer(ME, RoiQuestion(EventSubject(SPRING)))
        for name in ("NAVER", "WOORIDONGNE_TV"):
            await serve.reports.answer(ME, ChannelsQuestion(EventSubject(SPRING), channels=(name,)))
        for granularity in Granularity:
            await serve.reports.answer(ME, TimelineQuestion(EventSubject(SPRING), granularity=granularity))

    for write, invalidated in writes:
        serving(world, fill)
        with plain_client(world) as client:
            before = {key.decode() for key in client.scan_iter("analytics:*")}
            assert before == OF_EVENT | {NAVER, WOORI}
            world.count(write)
            assert before - {key.decode() for key in client.scan_iter("analytics:*")} == invalidated, write


def test_after_every_write_the_answers_are_new(world: World) -> None:
    world.count(world.created())
    writes = (
        world.registered("p1", channel="NAVER"),
        world.distributed(channelName="NAVER", distributionCost=10),
        world.sold(100),
        world.status_changed("ENDED", "2026-11-22T00:00:00Z"),
        world.created(at="2026-11-22T00:00:00Z", eventTitle="다시", totalInvestment=500),
    )

    async def work(serve: Serve) -> list[bytes]:
        return [
            (await serve.reports.answer(ME, DASHBOARD))[0].body,
            (await serve.reports.answer(ME, MerchantDashboardQuestion(MINE)))[0].body,
        ]

    before = serving(world, work)
    for write in writes:
        assert world.count(write)[0].result == "counted"
        now = serving(world, work)
        assert now[0] != before[0] and now[1] != before[1]
        before = now


def test_no_reader_gets_an_older_answer_than_was_acknowledged_before_it_asked(world: World) -> None:
    world.count(world.created())
    acknowledged, done = 0, threading.Event()
    reads: list[int] = []
    wrong: list[tuple[int, int]] = []

    def write() -> None:
        nonlocal acknowledged
        try:
            for batch in range(1, 101):
                world.count(world.registered(f"p{batch}"))
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
