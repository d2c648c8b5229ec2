"""No client and no process answers a version older than one it has seen, whatever Redis still holds."""

import asyncio
import json
from dataclasses import replace

from cache_readers import DASHBOARD, ME, MINE, OTHER, Serve, SlowToCommit, UnreachableInvalidator, serving
from world import World

from hannun.domain.answer import EncodedAnswer
from hannun.domain.questions import MerchantDashboardQuestion


def test_a_client_that_names_a_newer_version_than_is_cached_gets_no_older_one(world: World) -> None:
    world.count(world.created())

    async def work(serve: Serve) -> None:
        await serve.dashboard()
        cached, source = await serve.reports.answer(ME, DASHBOARD)
        assert source == "cache"
        # A commit whose invalidation is still pending; this client has seen it in another process.
        world.counter = world.counter_on(world.database, UnreachableInvalidator())
        await asyncio.to_thread(world.count, world.registered("p1"))
        assert (await serve.reports.answer(replace(ME, seen=cached.version), DASHBOARD))[0] == cached
        newer = world.event_row().version
        answer, source = await serve.reports.answer(replace(ME, seen=newer), DASHBOARD)
        assert answer.version == newer and source == "live"
        assert await serve.dashboard() == (1, "cache")  # and what it read is cached for all

    serving(world, work)


def test_a_merchants_numbers_do_not_run_backwards_when_the_older_change_commits_last(world: World) -> None:
    """A change of one event is made before that of another event, and committed after it.

    The newest change stays the same one, and yet the answer is another one.
    """
    world.count(world.created(), world.created(OTHER))
    slow = SlowToCommit(world)
    slow_counter = world.counter_on(slow, UnreachableInvalidator())
    slow_counter.count([world.registered("p0")])

    async def all_of_mine(serve: Serve, seen: int = 0) -> tuple[EncodedAnswer, int, str]:
        answer, source = await serve.reports.answer(replace(ME, seen=seen), MerchantDashboardQuestion(MINE))
        return answer, json.loads(answer.body)["summary"]["totalParticipants"], source

    async def work(serve: Serve) -> None:
        slow.written.clear()
        slow.may_commit.clear()
        writing = asyncio.create_task(asyncio.to_thread(slow_counter.count, [world.registered("p1")]))
        assert await asyncio.to_thread(slow.written.wait, 20)
        await asyncio.to_thread(world.count, world.registered("p2", OTHER))
        before, participants, source = await all_of_mine(serve)
        assert (participants, source) == (2, "live")
        slow.may_commit.set()
        await writing

        elsewhere = Serve(world)  # another process, which cannot reach Redis
        elsewhere.cache._cooldown_until = float("inf")
        await elsewhere.reader.open()
        after, participants, source = await all_of_mine(elsewhere)
        await elsewhere.reader.close()
        assert (participants, source) == (3, "live")
        assert json.loads(after.body)["lastUpdatedAt"] == json.loads(before.body)["lastUpdatedAt"]

        assert (await all_of_mine(serve, before.version))[1:] == (2, "cache")  # its invalidation is still pending
        assert (await all_of_mine(serve, after.version))[1:] == (3, "live")
        assert (await all_of_mine(serve))[1:] == (3, "cache")

    serving(world, work)
    slow.close()


def test_a_process_answers_the_merchant_with_everything_that_it_has_counted(world: World) -> None:
    world.count(world.created(), world.created(OTHER))

    async def participants(serve: Serve) -> tuple[int, str]:
        answer, source = await serve.reports.answer(ME, MerchantDashboardQuestion(MINE))
        return json.loads(answer.body)["summary"]["totalParticipants"], source

    async def work(serve: Serve) -> None:
        assert await participants(serve) == (0, "live")
        counter = world.counter_on(world.database, UnreachableInvalidator())
        counted = await asyncio.to_thread(counter.count, [world.registered("p1")])
        assert await participants(serve) == (0, "cache")
        serve.cache.require_versions([event for part in counted.parts for event in part.written.events])
        assert await participants(serve) == (1, "live")
        assert await participants(serve) == (1, "cache")

    serving(world, work)


def test_after_an_answer_past_redis_a_process_answers_no_older_one_from_redis(world: World) -> None:
    world.count(world.created())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (0, "live")
        world.counter = world.counter_on(world.database, UnreachableInvalidator())
        await asyncio.to_thread(world.count, world.registered("p1"))
        reachable, serve.cache._cooldown_until = serve.cache._cooldown_until, float("inf")
        serve.cache.available = False
        assert await serve.dashboard() == (1, "live")
        serve.cache._cooldown_until = reachable
        assert await serve.dashboard() == (1, "live")  # not the 0 that Redis still holds
        assert await serve.dashboard() == (1, "cache")

    serving(world, work)
