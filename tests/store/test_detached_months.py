"""Whatever months of the timeline are attached, every figure is what the ledger says, or is said to be unknown."""

import asyncio
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from world import SPRING, World

from hannun.domain.batch import ReceivedMessage
from hannun.domain.buckets import buckets_in, to_epoch_s
from hannun.domain.channels import load_table
from hannun.domain.granularity import Granularity
from hannun.domain.partitions import month_after
from hannun.domain.questions import EventSubject, TimelineQuestion
from hannun.domain.ranges import Range
from hannun.domain.response_schemas import EventTimeline
from hannun.domain.views import event_timeline
from hannun.flows.partitions.months import detach_old_months
from hannun.flows.report.snapshot import Snapshot
from hannun.flows.report.timeline_loaders import load_event_timeline
from hannun.store import timeline_rollup
from hannun.store.partitions import create_months, existing_months

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
BOTH = (SPRING, SUMMER)
FIRST_MONTH, MONTHS = date(2024, 11, 1), 14
NOW = datetime(2026, 1, 20, 12)
ZONES = ("UTC", "Asia/Seoul", "America/New_York")


class Ledger:
    """The minutes in which participants came, by event: what the service must never lose."""

    def __init__(self) -> None:
        self.minutes: dict[str, list[datetime]] = {event: [] for event in BOTH}
        self.messages: list[ReceivedMessage] = []

    def between(self, event: str, start: datetime | None, end: datetime | None) -> int:
        return sum((start is None or at >= start) and (end is None or at < end) for at in self.minutes[event])

    def months(self, event: str) -> set[date]:
        return {at.date().replace(day=1) for at in self.minutes[event]}


def random_minute(random_: random.Random) -> datetime:
    """In one of the months, and often near the beginning or the end of one."""
    start = datetime.combine(month_after(FIRST_MONTH, random_.randrange(MONTHS)), datetime.min.time())
    if random_.random() < 0.4:
        return start + timedelta(minutes=random_.randrange(-40, 40))
    return start + timedelta(minutes=random_.randrange(28 * 1_440))


def come(world: World, ledger: Ledger, random_: random.Random) -> None:
    """Participants register at minutes of some months, early or late. Their months are attached by it."""
    event, around = random_.choice(BOTH), random_minute(random_)
    minutes = [around + timedelta(minutes=random_.randrange(30)) for _ in range(random_.randint(1, 6))]
    if random_.random() < 0.5:
        minutes += [random_minute(random_) for _ in range(2)]
    messages = [world.registered(event=event, at=f"{at:%Y-%m-%dT%H:%MZ}") for at in minutes]
    world.count(*messages)
    ledger.minutes[event] += minutes
    ledger.messages += messages


def come_again(world: World, ledger: Ledger, random_: random.Random) -> None:
    """Messages are counted again, as by a replay into the live tables. They are repeats."""
    again = random_.sample(ledger.messages, min(5, len(ledger.messages)))
    assert {outcome.result for outcome in world.count(*again)} <= {"repeated"}


def attached(world: World) -> list[date]:
    with psycopg.connect(world.owner_url) as conn:
        return sorted(existing_months(conn))


def detach_by_hand(world: World, random_: random.Random) -> None:
    months = attached(world)
    if len(months) > 1:
        table = f"public.timeline_data_{random_.choice(months):%Y_%m}"
        world.rows(f"ALTER TABLE public.timeline_data DETACH PARTITION {table}")
        if random_.random() < 0.3:
            world.rows(f"DROP TABLE {table}")


def detach_by_retention(world: World, random_: random.Random) -> None:
    with psycopg.connect(world.owner_url, autocommit=True) as owner:
        detach_old_months(owner, NOW.date(), keep=random_.randrange(MONTHS), dry_run=False)


def attach(world: World, random_: random.Random) -> None:
    with psycopg.connect(world.url) as conn:
        create_months(conn, [month_after(FIRST_MONTH, random_.randrange(MONTHS))])


def roll_up(world: World, random_: random.Random) -> None:
    with world.database.transaction() as conn:
        for no in timeline_rollup.pending_events(conn):
            timeline_rollup.roll_up_event(conn, no, random_.choice([0, 5, 10_000]))


STEPS: list[Callable[[World, random.Random], None]] = [
    detach_by_hand,
    detach_by_retention,
    attach,
    roll_up,
    roll_up,
]


def answer(world: World, event: str, granularity: Granularity, range_: Range) -> EventTimeline:
    question = TimelineQuestion(EventSubject(event), range_, granularity)

    async def load() -> Any:
        async with await psycopg.AsyncConnection.connect(world.url) as conn:
            return await load_event_timeline(Snapshot(conn, NOW, load_table(), timedelta(minutes=10)), question)

    return event_timeline(question, asyncio.run(load()).figures)


def check(world: World, ledger: Ledger, event: str, granularity: Granularity, range_: Range) -> None:
    """Compare an answer with the ledger, point by point."""
    assert range_.start is not None
    assert range_.end is not None
    months = set(attached(world))
    gone = [
        (datetime.combine(each, datetime.min.time()), datetime.combine(month_after(each, 1), datetime.min.time()))
        for each in sorted(ledger.months(event) - months)
    ]
    found = answer(world, event, granularity, range_)
    grid = buckets_in(to_epoch_s(range_.start), to_epoch_s(range_.end), granularity, range_.tz)
    edges = [datetime(1970, 1, 1) + timedelta(seconds=at) for at in (*grid.starts, grid.end)]
    for point, starts, ends in zip(found.data_points, edges, edges[1:], strict=False):
        starts, ends = max(starts, range_.start), min(ends, range_.end)
        where = (event, granularity, range_, point)
        is_gone = any(starts < till and ends > since for since, till in gone)
        assert point.participants == (None if is_gone else ledger.between(event, starts, ends)), where
        is_unknown = any(since < ends < till for since, till in gone)
        assert point.cumulative_participants == (None if is_unknown else ledger.between(event, None, ends)), where
    assert found.totals.participants == ledger.between(event, range_.start, range_.end)
    not_kept = any(range_.start < till and range_.end > since for since, till in gone)
    assert bool(found.period.not_kept) == not_kept, (found.period, gone)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(1, 12))])
def test_whatever_months_are_attached_every_figure_is_what_the_ledger_says_or_unknown(world: World, seed: int) -> None:
    """Participants of any month in any order, months detached and attached in between, roll-ups in parts."""
    random_, ledger = random.Random(seed), Ledger()
    world.count(*(world.created(event) for event in BOTH))
    for _ in range(40):
        if (step := random_.random()) < 0.5:
            come(world, ledger, random_)
        elif step < 0.6:
            come_again(world, ledger, random_)
        else:
            random_.choice(STEPS)(world, random_)
        start, end = sorted(random_minute(random_) for _ in range(2))
        if random_.random() < 0.5:  # near something, so that a minute more or less makes a difference
            start = min([start, *ledger.minutes[SPRING], *ledger.minutes[SUMMER]]) - timedelta(minutes=5)
        granularity = random_.choice([Granularity.HOURLY, Granularity.DAILY, Granularity.WEEKLY, Granularity.MONTHLY])
        range_ = Range(start, end + timedelta(minutes=1), random_.choice(ZONES))
        check(world, ledger, random_.choice(BOTH), granularity, range_)
    assert world.drift() == []
    for event in BOTH:
        for row in world.timeline(event):
            expected = ledger.between(event, None, row.timestamp + timedelta(minutes=1))
            assert row.cumulative_participants == expected, (event, row)


def test_months_that_an_older_counter_did_not_write_are_counted_again_by_the_next_roll_up(world: World) -> None:
    """A process of a version before the table goes on counting while the new version starts."""
    people = [world.registered(at=f"2026-{month:02}-06T03:07Z") for month in (1, 1, 2, 3)]
    world.count(world.created(), *people)
    world.rows("UPDATE hannun.timeline_months SET participants = participants - 1 WHERE month = '2026-01-01'")
    world.rows("DELETE FROM hannun.timeline_months WHERE month = '2026-02-01'")
    assert world.drift() == []
    assert [row.cumulative_participants for row in world.timeline()] == [2, 3, 4]
