"""Answers from the 15-minute roll-up are the sums of the minutes, whatever part of the roll-up is pending."""

import asyncio
import itertools
import random
import re
from bisect import bisect_right
from collections.abc import Callable
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path

import psycopg
import pytest
from world import DATABASE_OWNER, NOTHING_PENDING, OWNER, PASSWORD, SPRING, World

from hannun.domain.buckets import buckets_in, to_epoch_s
from hannun.domain.channels import load_table
from hannun.domain.granularity import Granularity
from hannun.domain.ranges import ALL_TIME, Range
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import RowRefused
from hannun.flows.partitions.months import detach_old_months
from hannun.flows.timeline_rollup import RollUpRounds
from hannun.store import reports, timeline_rollup
from hannun.store.migrate import migrate
from hannun.store.queries import load
from hannun.store.roles import ROLES

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
# Zones of half hours and quarter hours, half-hour summer time, and one that was no multiple of a quarter until 1972.
ZONES = ("UTC", "Asia/Seoul", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "Africa/Monrovia")
FIRST, LAST = datetime(2026, 3, 6), datetime(2026, 4, 9)
"""Around the changes to and from summer time on Lord Howe and in New York, in two months."""
MINUTE = timedelta(minutes=1)
STALE_AFTER = 10 * MINUTE
Counted = tuple[list[tuple[int, ...]], int]


def answer_of(
    world: World, events: list[str], granularity: Granularity, zone: str, start: datetime, end: datetime
) -> Counted:
    """What the service answers: figures of each bucket, and participants after the last bucket.

    Of one event it is also read by one statement, which must find the same.
    """
    grid = buckets_in(to_epoch_s(start), to_epoch_s(end), granularity, zone)
    nos = [world.event_row(event).event_no for event in events]

    async def query() -> Counted:
        async with await psycopg.AsyncConnection.connect(world.url) as conn:
            found = await reports.timeline(conn, nos, grid, start, end)
            answer = [tuple(bucket) for bucket in found], await reports.participants_from(conn, nos, end)
            if len(events) == 1:
                (event,) = events
                head = await reports.timeline_head(conn, event, STALE_AFTER)
                at_once = await reports.event_timeline(conn, event, grid, start, end, STALE_AFTER)
                if at_once is None:
                    assert head is None, "an event whose creation has not arrived has no timeline"
                    return answer
                assert at_once.head == head
                assert at_once.detached == await reports.detached_months(conn, nos)
                if not any(span.end > start for span in at_once.detached):
                    assert (sorted(map(tuple, at_once.filled)), at_once.after) == (sorted(answer[0]), answer[1])
                    ranges = [Range(start, end), Range(start + MINUTE, end)]
                    before = sum(row.participants for row in world.timeline(event) if row.timestamp == start)
                    total = sum(participants for _, participants, *_ in found)
                    assert await reports.participants_within(conn, nos[0], ranges) == [total, total - before]
            return answer

    return asyncio.run(query())


def sum_of_minutes(
    world: World, events: list[str], granularity: Granularity, zone: str, start: datetime, end: datetime
) -> Counted:
    """The same, computed minute by minute."""
    grid = buckets_in(to_epoch_s(start), to_epoch_s(end), granularity, zone)
    filled: dict[int, list[int]] = {}
    after = 0
    for row in (row for event in events for row in world.timeline(event)):
        if row.timestamp >= end:
            after += row.participants
        elif row.timestamp >= start:
            bucket = filled.setdefault(bisect_right(grid.starts, to_epoch_s(row.timestamp)) - 1, [0, 0, 0, 0])
            for place, figure in enumerate((row.participants, row.views, row.engagement, row.conversions)):
                bucket[place] += figure
    return [(place, *figures) for place, figures in sorted(filled.items())], after


def random_minute(random_: random.Random) -> datetime:
    return FIRST + timedelta(minutes=random_.randrange(int((LAST - FIRST).total_seconds()) // 60))


def roll_up_step(world: World, event: str, minutes: int) -> bool:
    """Run one step of an event's roll-up. Returns whether more is pending."""
    with world.database.transaction() as conn:
        return timeline_rollup.roll_up_event(conn, world.event_row(event).event_no, minutes).more


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.faults), pytest.param(2, marks=pytest.mark.faults)]
)
def test_an_answer_is_the_sum_of_its_minutes_whatever_roll_up_is_pending(world: World, seed: int) -> None:
    """Participants at random minutes, also late ones, and measurements of channels, mixed with steps of the job."""
    random_ = random.Random(seed)
    both = [SPRING, SUMMER]
    for event in both:
        months = [world.registered(event=event, at=f"2026-{month}T00:00Z") for month in ("03-06", "04-08")]
        world.count(world.created(event), world.distributed(event, channel="NAVER"), *months)
    for _ in range(40):
        step = random_.random()
        event = random_.choice(both)
        if step < 0.5:
            around = random_minute(random_)
            come = [around + timedelta(minutes=random_.randrange(-20, 20)) for _ in range(random_.randint(1, 30))]
            world.count(*(world.registered(event=event, at=f"{at:%Y-%m-%dT%H:%MZ}") for at in come))
        elif step < 0.6:
            world.record_measurement(
                event, "NaverBlog", f"{random_minute(random_)}", {"views": 3, "likes": 2, "conversions": 1}
            )
        else:
            roll_up_step(world, event, minutes=random_.choice([0, 5, 40, 10_000]))
        # Ranges mostly end where something happened, so that a minute more or less makes a difference.
        there = [row.timestamp for row in world.timeline(event)] or [random_minute(random_)]
        nearby = [random_.choice(there) + timedelta(minutes=random_.randint(-3, 3)) for _ in range(2)]
        starts, ends = sorted(nearby if random_.random() < 0.8 else [random_minute(random_), random_minute(random_)])
        granularity = random_.choice([each for each in Granularity if each != "minute"] * 3 + [Granularity.MINUTE])
        question = (
            random_.choice([[SPRING], both]),
            granularity,
            random_.choice(ZONES),
            starts,
            ends + timedelta(minutes=1),
        )
        assert answer_of(world, *question) == sum_of_minutes(world, *question), question
    assert world.drift() == []
    question = (both, Granularity.DAILY, "Asia/Seoul", FIRST, LAST)
    assert answer_of(world, *question) == sum_of_minutes(world, *question)


def quarters(world: World, event: str = SPRING) -> dict[str, int]:
    """Participants by 15-minute row, valid or not."""
    rows = world.rows(
        "SELECT quarter, q.participants FROM hannun.timeline_quarters q JOIN hannun.events USING (event_no) "
        "WHERE event_id = %s ORDER BY 1",
        event,
    )
    return {f"{row.quarter:%m-%d %H:%M}": row.participants for row in rows}


def test_each_step_of_a_long_roll_up_leaves_answers_and_figures_right(world: World) -> None:
    minutes = [FIRST + timedelta(minutes=minute) for minute in range(7, 100)]
    world.count(world.created(), *(world.registered(at=f"{at:%Y-%m-%dT%H:%MZ}") for at in minutes))
    question = ([SPRING], Granularity.HOURLY, "Asia/Seoul", FIRST, FIRST + timedelta(hours=3))
    expected = sum_of_minutes(world, *question)
    watermarks: list[datetime] = []
    while roll_up_step(world, SPRING, minutes=20):
        watermarks.append(world.event_row().cumulative_owed_from)
        assert answer_of(world, *question) == expected
        settled = [row for row in world.timeline() if row.timestamp < watermarks[-1]]
        assert [row.cumulative_participants for row in settled] == list(range(1, len(settled) + 1))
    assert watermarks == [FIRST + timedelta(minutes=minute) for minute in (30, 60, 90)], "at the start of a quarter"
    assert world.event_row().cumulative_owed_from == NOTHING_PENDING
    assert list(quarters(world).values()) == [8, 15, 15, 15, 15, 15, 10]
    assert answer_of(world, *question) == expected
    assert world.drift() == []


def test_a_late_participant_is_in_the_next_answer_and_in_the_roll_up_after_the_next_round(world: World) -> None:
    world.count(world.created(), *(world.registered(at=f"2026-03-06T{hour:02}:05Z") for hour in range(10)))
    assert world.roll_up() == 10
    world.count(world.registered(at="2026-03-06T03:07Z"))
    question = ([SPRING], Granularity.HOURLY, "UTC", FIRST, FIRST + timedelta(days=1))
    assert answer_of(world, *question)[0][3] == (3, 2, 0, 0, 0)
    assert quarters(world)["03-06 03:00"] == 1
    world.roll_up()
    assert quarters(world)["03-06 03:00"] == 2
    assert answer_of(world, *question)[0][3] == (3, 2, 0, 0, 0)


def test_a_late_participant_in_the_middle_of_a_quarter_is_counted_once(world: World) -> None:
    """The watermark then lies inside a quarter. Its 15-minute row holds later minutes too, so it is not valid."""
    world.count(world.created(), *(world.registered(at=f"2026-03-06T03:{minute:02}Z") for minute in (2, 5, 9, 20)))
    world.roll_up()
    world.count(world.registered(at="2026-03-06T03:05Z"))
    assert world.event_row().cumulative_owed_from == datetime(2026, 3, 6, 3, 5)
    day = timedelta(days=1)
    assert answer_of(world, [SPRING], Granularity.HOURLY, "UTC", FIRST, FIRST + day) == ([(3, 5, 0, 0, 0)], 0)
    assert answer_of(world, [SPRING], Granularity.HOURLY, "UTC", FIRST - day, FIRST) == ([], 5)


def test_the_next_round_deletes_a_roll_up_row_without_minutes(world: World) -> None:
    world.count(world.created(), world.registered(at="2026-03-06T03:07Z"))
    world.roll_up()
    world.rows(
        "INSERT INTO hannun.timeline_quarters SELECT event_no, '2026-03-06 04:00', 1, 0, 0, 0 FROM hannun.events"
    )
    assert {drift.figure for drift in world.drift()} >= {"row"}
    world.rows("UPDATE hannun.events SET cumulative_owed_from = '1970-01-01'")
    world.roll_up()
    assert quarters(world) == {"03-06 03:00": 1}


def test_attached_months_are_found_with_every_join_plan_of_the_catalog(world: World) -> None:
    """With some plans the catalog yields tables of all kinds before the join leaves only the months."""
    world.count(world.created(), world.registered(at="2026-03-06T03:07Z"))
    asked = "SELECT begins::text FROM hannun.timeline_spans('2026-03-06', '2026-03-07')"
    with psycopg.connect(world.url) as conn:
        for way in ("nestloop", "hashjoin", "mergejoin"):
            conn.execute("SET enable_nestloop = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
            conn.execute(f"SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_{way} = on")
            assert conn.execute(asked).fetchall() == [("2026-03-06 00:00:00",)], way


def test_a_round_rolls_up_every_pending_event_over_several_pages(world: World) -> None:
    world.count(*(world.registered(event=f"event-{number}", at="2026-03-06T03:07Z") for number in range(7)))
    assert sum(step.repaired for step in timeline_rollup.roll_up_pending(world.database.transaction, page=3)) == 7
    pending = "SELECT count(*) AS pending FROM hannun.events WHERE cumulative_owed_from < %s"
    assert world.rows(pending, NOTHING_PENDING)[0].pending == 0


def test_a_round_ends_in_time_and_the_next_continues_behind_it(world: World) -> None:
    world.count(*(world.registered(event=f"event-{number}", at="2026-03-06T03:07Z") for number in range(5)))
    rounds = RollUpRounds(round_s=2.5, clock=itertools.count().__next__)  # each step takes a second
    pending = "SELECT event_no FROM hannun.events WHERE cumulative_owed_from < %s ORDER BY event_no"
    assert rounds.run_once(world.database) == 3
    assert [row.event_no for row in world.rows(pending, NOTHING_PENDING)] == [4, 5]
    world.count(world.registered("p2", event="event-0", at="2026-03-06T03:09Z"))
    assert rounds.run_once(world.database) == 2
    assert [row.event_no for row in world.rows(pending, NOTHING_PENDING)] == [1]
    assert rounds.run_once(world.database) == 1
    assert world.rows(pending, NOTHING_PENDING) == []


def test_an_event_with_a_long_pending_roll_up_neither_lengthens_a_round_nor_delays_other_events(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline_rollup, "STEP_MINUTES", 15)  # of 30 minutes, then
    minutes = [FIRST + timedelta(minutes=minute) for minute in range(120)]
    world.count(*(world.registered(f"p{at:%H%M}", event="event-0", at=f"{at:%Y-%m-%dT%H:%MZ}") for at in minutes))
    world.count(world.registered(event="event-1", at="2026-03-06T03:07Z"))
    rounds = RollUpRounds(round_s=1.5, clock=itertools.count().__next__)
    pending = "SELECT event_no FROM hannun.events WHERE cumulative_owed_from < %s ORDER BY event_no"

    def round_() -> tuple[int, list[int]]:
        return rounds.run_once(world.database), [row.event_no for row in world.rows(pending, NOTHING_PENDING)]

    assert round_() == (60, [1, 2])
    assert round_() == (1, [1])
    assert round_() == (60, [])


def test_the_last_hours_of_a_merchants_events_are_the_sum_of_their_minutes(world: World) -> None:
    """Whatever is pending. The hours of a detached month are unknown."""
    random_ = random.Random(3)
    hour = datetime(2026, 4, 1, 9)
    for event in (SPRING, SUMMER):
        world.count(world.created(event))
        come = [hour + timedelta(minutes=random_.randrange(-30 * 60, 60)) for _ in range(200)]
        world.count(*(world.registered(event=event, at=f"{at:%Y-%m-%dT%H:%MZ}") for at in come))

    async def lines() -> dict[str, tuple[int | None, ...]]:
        async with await psycopg.AsyncConnection.connect(world.url) as conn:
            nos = [world.event_row(event).event_no for event in (SPRING, SUMMER)]
            page = await reports.merchant_page(
                conn, OWNER, nos, ALL_TIME, before=None, limit=50, hour=hour, stale_after=timedelta(minutes=10)
            )
            return {line.event_id: line.last_hours for line in page}

    def expected(unknown: int = 0) -> dict[str, tuple[int | None, ...]]:
        found = {event: [0] * 24 for event in (SPRING, SUMMER)}
        for event, hours in found.items():
            for row in world.timeline(event):
                ago = (hour + timedelta(hours=1) - row.timestamp - timedelta(minutes=1)) // timedelta(hours=1)
                if 0 <= ago < 24:
                    hours[23 - ago] += row.participants
        return {event: (*[None] * unknown, *hours[unknown:]) for event, hours in found.items()}

    assert asyncio.run(lines()) == expected()
    assert not roll_up_step(world, SPRING, minutes=10_000)
    roll_up_step(world, SUMMER, minutes=60)
    assert asyncio.run(lines()) == expected()
    assert world.roll_up() > 0
    assert asyncio.run(lines()) == expected()
    recent = [row.timestamp for row in world.timeline(SUMMER) if row.timestamp >= hour - timedelta(hours=2)]
    late = next(at for at in recent if at.minute % 15)  # the row of its quarter holds this minute too
    world.count(world.registered(event=SUMMER, at=f"{late:%Y-%m-%dT%H:%MZ}"))
    assert asyncio.run(lines()) == expected(), "a late participant, in a 15-minute row that is no longer valid"
    world.rows("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_03")
    assert asyncio.run(lines()) == expected(unknown=14)


WRITERS = {
    ("batches", "add_timeline_participants"),  # `add_to_events` lowers the watermark in the same transaction
    ("measurements", "add_timeline_measured"),  # `raise_versions` lowers the watermark in the same transaction
    # `owe_roll_up` lowers the watermark to the first measured minute, in the same transaction
    ("measurement_copy", "clear_timeline"),
    ("measurement_copy", "remove_measured_minutes"),
    ("measurement_copy", "put_timeline"),
    ("timeline_rollup", "roll_up_event"),  # writes the roll-up, and changes no figure that it sums
}


def test_every_statement_that_writes_the_timeline_is_known_to_lower_the_watermark() -> None:
    """A new statement is added here, together with a test that it lowers the watermark."""
    folder = Path(str(resources.files("hannun.store").joinpath("sql")))
    writes = re.compile(
        r"(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|TRUNCATE|COPY)\s+(ONLY\s+)?public\.timeline_data\b"
    )
    subjects = [path.stem for path in sorted(folder.glob("*.sql"))]
    found = {(subject, name) for subject in subjects for name, text in load(subject).items() if writes.search(text)}
    assert found == WRITERS


# -- detached months -------------------------------------------------------------------------------------------------


def detach_months(world: World, keep: int) -> list[date]:
    with psycopg.connect(world.owner_url, autocommit=True) as owner:
        return list(detach_old_months(owner, date(2026, 4, 23), keep=keep, dry_run=False))


def test_a_detached_month_leaves_no_roll_up_and_a_re_attached_month_has_all_of_it_again(world: World) -> None:
    people = [world.registered(at=f"2026-{month:02}-06T03:{minute:02}Z") for month in (1, 2, 3, 4) for minute in (1, 2)]
    world.count(world.created(), *people)
    world.roll_up()
    question = ([SPRING], Granularity.MONTHLY, "UTC", datetime(2026, 1, 1), datetime(2026, 5, 1))
    assert answer_of(world, *question)[0] == [(place, 2, 0, 0, 0) for place in range(4)]

    assert detach_months(world, keep=1) == [date(2026, 1, 1), date(2026, 2, 1)]
    assert answer_of(world, *question) == sum_of_minutes(world, *question)
    assert answer_of(world, *question)[0] == [(2, 2, 0, 0, 0), (3, 2, 0, 0, 0)]
    assert list(quarters(world)) == ["03-06 03:00", "04-06 03:00"], "and takes no space"
    assert world.drift() == []

    world.count_with_retries(world.registered(at="2026-02-20T03:07Z"))  # re-attaches its month
    for _ in range(2):
        assert answer_of(world, *question) == sum_of_minutes(world, *question)
        assert answer_of(world, *question)[0] == [(1, 3, 0, 0, 0), (2, 2, 0, 0, 0), (3, 2, 0, 0, 0)]
        world.roll_up()
    assert quarters(world)["02-06 03:00"] == 2
    assert world.drift() == []


def test_re_attaching_a_month_for_one_event_restores_it_for_other_events_too(world: World) -> None:
    world.count(*(world.registered(event=event, at="2026-01-06T03:07Z") for event in (SPRING, SUMMER)))
    world.count(*(world.registered(event=event, at="2026-04-06T03:07Z") for event in (SPRING, SUMMER)))
    world.roll_up()
    detach_months(world, keep=1)
    world.count_with_retries(world.registered(at="2026-01-20T03:07Z"))
    question = ([SUMMER], Granularity.MONTHLY, "UTC", datetime(2026, 1, 1), datetime(2026, 5, 1))
    for _ in range(2):
        assert answer_of(world, *question) == ([(0, 1, 0, 0, 0), (3, 1, 0, 0, 0)], 0)
        world.roll_up()
    assert world.drift() == []


def test_the_roll_up_of_a_detached_month_is_not_read_before_it_is_deleted(world: World) -> None:
    """The roll-up of a month is deleted some time after its detachment. Queries must not read it in between."""
    world.count(world.created(), *(world.registered(at=f"2026-{month:02}-06T03:07Z") for month in (1, 4)))
    world.roll_up()
    world.rows("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_01")
    assert len(quarters(world)) == 2
    question = ([SPRING], Granularity.MONTHLY, "UTC", datetime(2026, 1, 1), datetime(2026, 5, 1))
    assert answer_of(world, *question) == ([(3, 1, 0, 0, 0)], 0)
    assert answer_of(world, [SPRING], Granularity.DAILY, "UTC", datetime(2025, 12, 1), datetime(2025, 12, 2)) == ([], 1)
    assert world.drift() == []


def test_participants_of_a_detached_month_count_in_the_cumulative_of_later_months(world: World) -> None:
    """The cumulative figure of the minute before is used only where no detached month lies between."""
    people = [world.registered(at=f"2026-{month:02}-06T03:07Z") for month in (1, 2, 3) for _ in range(month)]
    world.count(world.created(), *people)
    world.roll_up()
    world.rows("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_02")
    world.rows("DELETE FROM hannun.timeline_quarters WHERE quarter >= '2026-02-01' AND quarter < '2026-03-01'")
    world.count(world.registered(at="2026-03-06T03:08Z"))
    world.roll_up()
    assert [row.cumulative_participants for row in world.timeline()] == [1, 6, 7]
    assert world.drift() == []


# -- migration -------------------------------------------------------------------------------------------------------


def test_a_migrated_timeline_is_answered_from_minutes_until_the_job_has_run(
    postgres: PostgresServer, valkey: ValkeyServer, before: Callable[[str], str]
) -> None:
    old = before("0009")
    url = postgres.url(old, DATABASE_OWNER, PASSWORD)
    with psycopg.connect(url) as conn:
        conn.execute("SELECT hannun.make_timeline_month('2026-03-01')")
        conn.execute(
            "INSERT INTO hannun.events (event_id, participants, cumulative_owed_from) "
            "VALUES (%s, 2, NULL), (%s, 2, '2026-03-06 03:20')",
            [SPRING, SUMMER],
        )
        conn.execute(
            "INSERT INTO public.timeline_data (event_id, timestamp, participants, cumulative_participants) "
            "SELECT event_id, at, 1, 1 + (at > '2026-03-06 03:10')::int FROM hannun.events, "
            "(VALUES (timestamp '2026-03-06 03:07'), ('2026-03-06 03:20')) AS minutes (at)"
        )
    migrate(url, load_table(), dict.fromkeys(ROLES, PASSWORD))
    with World(postgres, valkey, old) as world:
        for event in (SPRING, SUMMER):
            question = ([event], Granularity.HOURLY, "UTC", FIRST, FIRST + timedelta(days=1))
            assert answer_of(world, *question) == ([(3, 2, 0, 0, 0)], 0)
            assert quarters(world, event) == {}
        assert world.roll_up() == 0, "the cumulative column was right"
        for event in (SPRING, SUMMER):
            question = ([event], Granularity.HOURLY, "UTC", FIRST, FIRST + timedelta(days=1))
            assert answer_of(world, *question) == ([(3, 2, 0, 0, 0)], 0)
            assert quarters(world, event) == {"03-06 03:00": 1, "03-06 03:15": 1}


def test_a_job_of_the_previous_version_cannot_mark_a_roll_up_as_done(world: World) -> None:
    """It knows only the cumulative column."""
    world.count(world.registered(at="2026-03-06T03:07Z"))
    with pytest.raises(RowRefused), world.database.transaction() as conn:
        conn.execute("UPDATE hannun.events SET cumulative_owed_from = NULL")
    assert world.event_row().cumulative_owed_from == datetime(2026, 3, 6, 3, 7)
