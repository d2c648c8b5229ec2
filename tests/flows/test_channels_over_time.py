"""Channels and events that change while rounds run: late polls, totals that fall, events that begin and end."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from channel_rounds import Rounds
from world import SPRING, World

from hannun.channels.client import ChannelClient
from hannun.channels.reply import Reply
from hannun.domain.channel_totals import COUNTS
from hannun.domain.measurements import Outcome

OTHER = "5b0c2f64-0000-4000-8000-000000000002"
GOOD = {"changed", "unchanged"}


@dataclass
class Pause:
    """Stops the calls to a channel on their way, until a test has done something."""

    channel: str

    def __post_init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pauses the calls to one channel; the others go on."""
    fetch = ChannelClient.fetch

    def pause(channel: str) -> Pause:
        stop = Pause(channel)

        async def paused_fetch(self: ChannelClient, event_ids: Sequence[str]) -> Reply:
            if self.declaration.name == channel:
                stop.begun.set()
                await stop.go_on.wait()
            return await fetch(self, event_ids)

        monkeypatch.setattr(ChannelClient, "fetch", paused_fetch)
        return stop

    return pause


def run_with(rounds: Rounds, pause: Pause, in_the_middle: Any) -> dict[str, Any]:
    """A round in whose middle something happens: while calls to a channel are under way."""

    async def run() -> None:
        async with rounds.opened() as refresh, asyncio.timeout(60):
            working = asyncio.create_task(refresh.run_once())
            await pause.begun.wait()
            await asyncio.to_thread(in_the_middle)
            pause.go_on.set()
            await working

    asyncio.run(run())
    return rounds.counts()


def assert_history_adds_up(world: World) -> None:
    for name in COUNTS:
        for row in world.rows(
            f"SELECT coalesce(m.{name}, 0) AS total, "
            f"(SELECT coalesce(sum(i.{name}), 0) FROM hannun.increments i "
            " WHERE (i.event_no, i.channel_no) = (m.event_no, m.channel_no)) + "
            "(SELECT coalesce(sum(c.amount), 0) FROM hannun.corrections c "
            " WHERE (c.event_no, c.channel_no) = (m.event_no, m.channel_no) AND c.metric = %s) AS summed "
            "FROM hannun.channel_measurements m",
            name,
        ):
            assert row.total == row.summed
    assert world.drift() == []


def test_a_poll_that_arrives_after_a_newer_one_changes_nothing(rounds: Rounds, paused: Any) -> None:
    """Totals of one day later are recorded while the call is under way."""
    rounds.distribute(SPRING, channels=["NaverBlog", "Instagram"])
    world = rounds.world

    def a_newer_poll() -> None:
        later = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M}"
        (result,) = world.measure(world.measurement("NaverBlog", at=later, views=5_000_000, likes=7))
        assert result.outcome == Outcome.CHANGED

    counts = run_with(rounds, paused("NaverBlog"), a_newer_poll)
    assert counts["NaverBlog"]["older"] == 1
    assert counts["Instagram"]["changed"] == 1
    assert (world.measured().views, world.measured().likes) == (5_000_000, 7)
    assert_history_adds_up(world)


@pytest.mark.faults
def test_a_channel_that_changes_its_mind_for_weeks_ends_at_what_it_says_last(rounds: Rounds) -> None:
    """Three weeks with a round each day: the channel takes a random part of its totals back, again and again."""
    chance = random.Random(3)
    rounds.distribute(SPRING, channels=["WooriTV"])
    before = None
    for _ in range(21):
        rounds.control.forget("WooriTV")
        if chance.random() < 0.5:
            rounds.control.tell("WooriTV", "fall", {"options": {"by": chance.choice((0.1, 0.5, 1.0))}})
        rounds.pass_time(86_400)
        counts = rounds.run()["WooriTV"]
        assert sum(counts[outcome] for outcome in (*GOOD, "falling")) == 1
        measured = rounds.world.measured("WooriTV")
        if before is not None and before.falls is None:
            assert measured.views >= before.views, "one poll alone takes nothing back"
        before = measured
        assert_history_adds_up(rounds.world)
    assert len(rounds.world.rows("SELECT metric FROM hannun.corrections")) > 3, "it has changed its mind"
    rounds.control.forget("WooriTV")
    rounds.next()
    rounds.next()
    measured = rounds.world.measured("WooriTV")
    assert measured.falls is None
    assert measured.views == rounds.world.channel_stats()["WooriTV"].views == rounds.world.event_stats().total_views


@pytest.mark.parametrize("status", ["ENDED", "ARCHIVED"])
def test_an_event_that_ends_in_the_middle_of_a_round_keeps_what_was_measured(
    rounds: Rounds, paused: Any, status: str
) -> None:
    rounds.distribute(SPRING, OTHER, channels=["GenieTV", "Instagram"])
    world = rounds.world

    def end() -> None:
        now = datetime.now(UTC)
        at_us = round(now.timestamp() * 1_000_000)
        changed = {"status": status, "changedAt": now.isoformat()}
        world.count(world.message("event-status-changed", SPRING, at_us=at_us, **changed))

    counts = run_with(rounds, paused("GenieTV"), end)
    assert all(of_channel["changed"] == 2 for of_channel in counts.values()), counts
    assert rounds.newest().ended_at is not None
    assert world.event_row().status == status
    assert_history_adds_up(world)
    asked = rounds.next()
    measured = {name: sum(of_channel[outcome] for outcome in GOOD) for name, of_channel in asked.items()}
    final_later = 2 if status == "ENDED" else 1  # an ended event's numbers still change, as long as its channel says
    assert measured == {"GenieTV": 1, "Instagram": final_later}
    assert_history_adds_up(world)


def test_an_event_that_is_distributed_in_the_middle_of_a_round_is_measured_in_the_next_one(
    rounds: Rounds, paused: Any
) -> None:
    rounds.distribute(SPRING, channels=["GenieTV"])
    world = rounds.world

    def distribute() -> None:
        rounds.distribute(OTHER, channels=["GenieTV", "Instagram"])
        world.count(world.distributed(channelName="Instagram"))

    counts = run_with(rounds, paused("GenieTV"), distribute)
    assert counts["GenieTV"]["changed"] == 1 and "Instagram" not in counts
    counts = rounds.next()
    assert sum(counts["GenieTV"][outcome] for outcome in GOOD) == 2
    assert counts["Instagram"]["changed"] == 2
    assert_history_adds_up(world)
