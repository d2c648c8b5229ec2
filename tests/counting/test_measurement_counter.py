"""What channels measure becomes increments, corrections and aggregates, in one transaction, and drifts nowhere."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from world import SPRING, Row, World, gauges

from hannun.counting.measurement_counter import MeasurementCounter
from hannun.domain.channel_totals import COUNTS, ChannelTotals
from hannun.domain.field_values import COUNT_MAX
from hannun.domain.increments import NEVER_MEASURED, Measured, settle
from hannun.domain.measurements import Outcome, PieceResult, outcomes_by_channel
from hannun.domain.rounds import WorkToken
from hannun.store import measurements
from hannun.store.database import Connection

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
LATER = "2026-11-20 10:05"
LAST = "2026-11-20 10:10"


@pytest.fixture
def spring(world: World) -> World:
    """An event with a plan."""
    world.count(world.created())
    return world


def increments(world: World) -> list[tuple[Any, ...]]:
    rows = world.rows("SELECT minute, baseline, views, likes FROM hannun.increments ORDER BY minute")
    return [(f"{row.minute:%H:%M}", row.baseline, row.views, row.likes) for row in rows]


def corrections(world: World) -> list[tuple[str, int]]:
    return [(row.metric, row.amount) for row in world.rows("SELECT * FROM hannun.corrections ORDER BY correction_no")]


# -- increments and corrections ----------------------------------------------------------------------------------------


def test_totals_become_increments_at_the_minute_of_the_poll_and_reach_every_aggregate(spring: World) -> None:
    (first,) = spring.measure(spring.measurement(views=100, likes=3, clicks=2, conversions=1, at="2026-11-20 10:00:59"))
    (second,) = spring.measure(spring.measurement(views=130, likes=3, clicks=4, conversions=1, at=LATER))
    assert (first.outcome, first.baseline, second.outcome, second.baseline) == ("changed", True, "changed", False)
    assert increments(spring) == [("10:00", True, 100, 3), ("10:05", False, 30, 0)]
    stats = spring.channel_stats()["NaverBlog"]
    assert (stats.channel_type, stats.views, stats.likes, stats.clicks, stats.conversions) == ("SNS", 130, 3, 4, 1)
    assert spring.event_stats().total_views == 130
    assert [(row.views, row.engagement, row.conversions) for row in spring.timeline()] == [(100, 5, 1), (30, 2, 0)]
    assert spring.drift() == []


def test_a_fall_changes_nothing_until_a_second_poll_confirms_it(spring: World) -> None:
    spring.measure(spring.measurement(views=100))
    (fallen,) = spring.measure(spring.measurement(views=90, at=LATER))
    assert (fallen.outcome, dict(fallen.falls)) == ("falling", {"views": 90})
    assert (spring.event_stats().total_views, corrections(spring)) == (100, [])
    (confirmed,) = spring.measure(spring.measurement(views=91, at=LAST))
    assert (confirmed.outcome, confirmed.corrections) == ("changed", {"views": -9})
    assert (spring.event_stats().total_views, corrections(spring)) == (91, [("views", -9)])
    assert spring.measured().falls is None
    assert spring.drift() == []


def test_an_unchanged_poll_is_newer_all_the_same(spring: World) -> None:
    spring.measure(spring.measurement(views=100))
    version = spring.event_row().version
    (again,) = spring.measure(spring.measurement(views=100, at=LATER))
    assert again.outcome == "unchanged"
    assert spring.measured().measured_at == datetime.fromisoformat(LATER)
    assert spring.event_row().version > version, "answers say when a channel was measured"
    assert len(increments(spring)) == 1


def test_an_older_measurement_is_never_written_over_a_newer_one(spring: World) -> None:
    spring.measure(spring.measurement(views=100, at=LATER))
    version = spring.event_row().version
    (late,) = spring.measure(spring.measurement(views=90))
    (same,) = spring.measure(spring.measurement(views=120, at=LATER))
    assert (late.outcome, same.outcome) == ("older", "older")
    assert (spring.measured().views, spring.event_row().version) == (100, version)
    assert spring.drift() == []


def test_several_measurements_of_one_channel_are_applied_the_oldest_first(spring: World) -> None:
    results = spring.measure(
        spring.measurement(views=90, at=LATER), spring.measurement(views=100), spring.measurement(views=89, at=LAST)
    )
    assert [result.outcome for result in results] == ["falling", "changed", "changed"]
    assert (spring.measured().views, corrections(spring)) == (89, [("views", -11)])
    assert spring.drift() == []


def test_the_views_of_an_event_are_those_of_its_channels_also_when_a_message_rewrites_its_row(spring: World) -> None:
    spring.measure(spring.measurement(views=100), spring.measurement("Instagram", views=7))
    assert spring.event_stats().total_views == 107
    spring.count(spring.sold(10))
    assert spring.event_stats().total_views == 107
    assert spring.drift() == []


def test_an_event_that_was_not_created_is_measured_and_shows_its_views_once_it_is(world: World) -> None:
    world.count(world.registered("p1"))
    world.measure(world.measurement(views=100))
    assert world.event_stats() is None
    world.count(world.created())
    assert world.event_stats().total_views == 100
    assert world.drift() == []


def test_an_event_archived_in_the_middle_keeps_what_was_measured(spring: World) -> None:
    spring.count(spring.status_changed("ARCHIVED", "2026-11-22T00:00:00Z"))
    assert [result.outcome for result in spring.measure(spring.measurement(views=100))] == ["changed"]
    assert spring.drift() == []


def test_the_mean_is_the_newest(spring: World) -> None:
    spring.measure(spring.measurement("RingoBiz", total_calls=4, completed_calls=2, average_duration=40))
    spring.measure(spring.measurement("RingoBiz", total_calls=5, completed_calls=2, average_duration=35.5, at=LATER))
    stats = spring.channel_stats()["RingoBiz"]
    assert (stats.total_calls, stats.completed_calls, stats.average_duration) == (5, 2, 36)
    assert spring.drift() == []


# -- attempts that bring nothing ---------------------------------------------------------------------------------------


def test_a_failed_or_refused_attempt_leaves_the_last_good_numbers_and_says_why(spring: World) -> None:
    spring.measure(spring.measurement(views=100))
    before = spring.event_row().version
    failed, refused = spring.measure(
        spring.measurement(failed="timeout", at=LATER), spring.measurement(views=-1, at=LAST)
    )
    assert (failed.outcome, refused.outcome) == ("failed", "refused")
    row = spring.measured()
    assert (row.views, row.measured_at.minute, row.polled_at.minute, row.refused) == (100, 0, 10, "negative: views")
    assert spring.event_row().version == before, "no answer is outdated"
    spring.measure(spring.measurement(views=101, at="2026-11-20 10:15"))
    assert (spring.measured().refused, spring.measured().polled_at.minute) == (None, 15)
    assert spring.drift() == []


def test_what_became_of_each_measurement_is_counted(spring: World) -> None:
    def counted() -> dict[str, float]:
        series = gauges("hannun_channel_measurements_total")
        return {outcome: series.get(f'{{channel="naverblog",outcome="{outcome}"}}', 0) for outcome in before}

    before = dict.fromkeys(("changed", "unchanged", "failed", "refused"), 0.0)
    before = counted()
    spring.measure(spring.measurement(views=100))
    spring.measure(spring.measurement(failed="timeout", at=LATER), spring.measurement(views=-1, at=LAST))
    assert {outcome: now - before[outcome] for outcome, now in counted().items()} == {
        "changed": 1,
        "unchanged": 0,
        "failed": 1,
        "refused": 1,
    }


def test_a_channel_that_never_answered_has_an_attempt_and_no_totals(spring: World) -> None:
    spring.measure(spring.measurement(failed="connect"))
    assert (spring.measured().measured_at, spring.measured().refused) == (None, "connect")
    assert spring.channel_stats() == {}
    assert spring.drift() == []


def test_a_late_answer_does_not_hide_a_newer_failure(spring: World) -> None:
    spring.measure(spring.measurement(failed="timeout", at=LATER))
    spring.measure(spring.measurement(views=100))
    row = spring.measured()
    assert (row.views, row.measured_at.minute, row.polled_at.minute, row.refused) == (100, 0, 5, "timeout")


def test_a_late_failure_does_not_hide_a_newer_answer(spring: World) -> None:
    spring.measure(spring.measurement(views=100, at=LATER))
    spring.measure(spring.measurement(failed="timeout"))
    assert (spring.measured().polled_at.minute, spring.measured().refused) == (5, None)


def test_a_channel_without_a_type_keeps_its_numbers_out_until_it_has_one(spring: World) -> None:
    spring.count(spring.registered("p1", channel="Radio"))
    (untyped,) = spring.measure(spring.measurement("Radio", views=100))
    assert (untyped.outcome, spring.measured("Radio").refused) == ("no-type", "no-type")
    assert spring.drift() == []
    spring.count(spring.distributed(channel="Radio", channelType="TV"))
    (typed,) = spring.measure(spring.measurement("Radio", views=120, at=LATER))
    assert (typed.outcome, spring.event_stats().total_views) == ("changed", 120)
    assert spring.drift() == []


def test_an_unknown_event_or_channel_is_named_and_costs_the_others_nothing(spring: World) -> None:
    results = spring.measure(
        spring.measurement(views=1, event=SUMMER), spring.measurement("Nowhere", views=1), spring.measurement(views=5)
    )
    assert [result.outcome for result in results] == ["unknown-event", "unknown-channel", "changed"]
    assert spring.event_stats().total_views == 5


# -- what the tables can hold ------------------------------------------------------------------------------------------


def test_whatever_is_accepted_is_refused_by_no_table(spring: World) -> None:
    channels = ("NaverBlog", "Instagram", "KakaoChannel", "WooriTV", "GenieTV", "RingoBiz")
    highest = dict.fromkeys(COUNTS, COUNT_MAX) | {"likes": 0, "comments": 0, "shares": 0, "average_duration": COUNT_MAX}
    falls = dict.fromkeys(ChannelTotals._fields, 0)
    for minute in range(11):  # one channel a minute fits the timeline's columns
        for channel in channels:
            said = falls if minute in (3, 4) else highest
            spring.measure(spring.measurement(channel, at=f"2026-11-20 10:{minute:02}", **said))
    assert spring.event_stats().total_views == COUNT_MAX, "the column's highest; channel_stats has the channels'"
    assert {stats.views for stats in spring.channel_stats().values()} == {COUNT_MAX}
    assert spring.drift() == []


def test_what_a_minute_cannot_hold_is_taken_by_the_next_one(spring: World) -> None:
    both = [spring.measurement(channel, views=COUNT_MAX) for channel in ("NaverBlog", "Instagram")]
    assert [result.outcome for result in spring.measure(*both)] == ["changed", "minute-full"]
    assert spring.measured("Instagram").refused == "minute-full"
    again = [one._replace(measured_at=one.measured_at + timedelta(minutes=1)) for one in both]
    assert [result.outcome for result in spring.measure(*again)] == ["unchanged", "changed"]
    assert spring.drift() == []


def test_a_channel_that_falls_and_rises_within_one_minute_overflows_no_row(spring: World) -> None:
    said = itertools.cycle([COUNT_MAX, 0, 0])
    seconds = [spring.measurement(impressions=next(said), at=f"2026-11-20 10:00:{second:02}") for second in range(12)]
    outcomes = [result.outcome for one in seconds for result in spring.measure(one)]
    assert outcomes[:4] == ["changed", "falling", "changed", "minute-full"]
    assert spring.drift() == []


# -- many at once ------------------------------------------------------------------------------------------------------


def events(world: World, count: int) -> list[str]:
    ids = [f"event-{number}" for number in range(count)]
    world.count(*(world.created(event) for event in ids))
    return ids


class Statements:
    """How many statements a database's transactions have run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        execute = psycopg.Connection.execute

        def counted(conn: Connection, *arguments: Any, **options: Any) -> Any:
            self.count += 1
            return execute(conn, *arguments, **options)

        monkeypatch.setattr(psycopg.Connection, "execute", counted)


def test_the_number_of_statements_does_not_grow_with_the_measurements(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = events(world, 60)

    def statements(count: int, at: str) -> int:
        counted.count = 0
        world.measure(
            *(
                world.measurement(channel, event, at=at, views=number + count)
                for number, event in enumerate(ids[:count])
                for channel in ("NaverBlog", "RingoBiz")
            )
        )
        return counted.count

    world.measure(world.measurement(event=ids[0], at="2026-11-20 09:00", views=0))  # makes the month
    counted = Statements(monkeypatch)
    assert statements(1, "2026-11-20 10:00") == statements(60, LATER) <= 12


def test_a_history_of_random_polls_is_what_the_pure_rules_make_of_it(world: World) -> None:
    """Of every outcome, over several events and channels, in batches whose polls are partly late."""
    chance = random.Random(12)
    ids, channels = events(world, 3), ("NaverBlog", "RingoBiz", "WooriTV")
    expected: dict[tuple[str, str], Measured] = {}
    seen = Counter[Outcome]()
    for _ in range(12):
        batch = []
        for _ in range(25):
            channel = chance.choice(channels)
            counts = {name: chance.choice([None, 0, 1, 5, 9, COUNT_MAX // 5]) for name in ChannelTotals._fields}
            at = f"2026-11-{chance.choice((20, 30))} 10:{chance.randrange(60):02}:{chance.randrange(60):02}"
            failed = {"failed": "timeout"} if chance.random() < 0.1 else counts
            batch.append(world.measurement(channel, chance.choice(ids), at=at, **failed))
        for one, result in zip(batch, world.measure(*batch), strict=True):
            seen[result.outcome] += 1
            assert result.outcome not in (Outcome.UNKNOWN_EVENT, Outcome.UNKNOWN_CHANNEL, Outcome.NO_TYPE), one
        for one in sorted(batch, key=lambda one: one.measured_at):
            key = one.event_id, one.channel
            if isinstance(one.totals, ChannelTotals):
                expected[key] = settle(expected.get(key, NEVER_MEASURED), one.totals, one.measured_at).after
    assert {"changed", "falling", "older", "refused", "failed"} <= seen.keys()
    assert Outcome.MINUTE_FULL not in seen
    for (event, channel), measured in expected.items():
        name = {"naverblog": "NaverBlog", "ringobiz": "RingoBiz", "wooritv": "WooriTV"}[channel]
        row = world.measured(name, event)
        assert (row.measured_at, row.falls or {}) == (measured.measured_at, dict(measured.falls))
        assert ChannelTotals(*(row.columns[count] for count in ChannelTotals._fields)) == measured.totals
    assert world.drift() == []


def test_measurements_and_batches_of_the_same_events_wait_for_each_other_and_never_deadlock(world: World) -> None:
    ids = events(world, 20)
    failures: list[BaseException] = []

    def run(work: Callable[[int], object]) -> None:
        try:
            for turn in range(15):
                work(turn)
        except BaseException as error:
            failures.append(error)

    def measuring(order: int) -> Callable[[int], object]:
        counter = world.measurement_counter_on(world.another_database())
        return lambda turn: counter.record(
            [
                PieceResult(
                    None,
                    [
                        world.measurement(event=event, views=turn, at=f"2026-11-20 1{order}:{turn:02}")
                        for event in ids[::order]
                    ],
                )
            ]
        )

    counter = world.another_counter()
    works: list[Callable[[int], object]] = [
        measuring(1),
        measuring(2),
        lambda turn: counter.count([world.registered(f"p{turn}", event) for event in reversed(ids)]),
    ]
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert world.drift() == []


def test_a_measurement_waits_for_the_one_before_it_and_goes_on_from_there(spring: World) -> None:
    spring.measure(spring.measurement(views=0, at="2026-11-20 09:00"))  # makes the month
    waiting = "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = %s"
    second = threading.Thread(target=spring.measure, args=(spring.measurement(views=130, at=LATER),))
    with spring.another_database().transaction() as conn:
        measurements.write(conn, [PieceResult(None, [spring.measurement(views=100)])])
        second.start()
        spring.wait_for("the second measurement to wait", lambda: spring.rows(waiting, spring.name))
    second.join()
    assert increments(spring) == [("10:00", False, 100, 0), ("10:05", False, 30, 0)]
    assert spring.drift() == []


# -- rounds, caches, months --------------------------------------------------------------------------------------------


def piece(world: World, epoch: int, work_no: int = 1) -> WorkToken:
    """A piece of a round's work that is taken under this epoch."""
    due_at = datetime(2026, 11, 20, 10)
    world.rows(
        "INSERT INTO hannun.round_work (job, due_at, work_no, kind, channel, event_nos, owner, epoch) "
        "VALUES ('refresh', %s, %s, 'poll', 'naverblog', '{}', 'a', %s)",
        due_at,
        work_no,
        epoch,
    )
    return WorkToken("refresh", due_at, work_no, epoch)


def work(world: World) -> list[tuple[bool, dict[str, int] | None]]:
    """Whether each piece of the round is done, and its result."""
    rows = world.rows("SELECT done_at, result FROM hannun.round_work ORDER BY work_no")
    return [(row.done_at is not None, row.result) for row in rows]


def test_pieces_of_work_are_done_with_their_measurements(spring: World) -> None:
    pieces = [
        PieceResult(piece(spring, epoch=3), [spring.measurement(views=5), spring.measurement(views=-1)], {"units": 2}),
        PieceResult(piece(spring, epoch=1, work_no=2), [spring.measurement("Instagram", failed="timeout")]),
    ]
    written = spring.measurement_counter.record(pieces)
    assert work(spring) == [(True, {"changed": 1, "refused": 1, "units": 2}), (True, {"failed": 1})]
    assert outcomes_by_channel(pieces, written) == {
        ("naverblog", "changed"): 1,
        ("naverblog", "refused"): 1,
        ("instagram", "failed"): 1,
    }


@pytest.mark.parametrize("taken", ["epoch = 4", "done_at = now(), result = '{}'"])
def test_a_piece_that_another_process_has_taken_writes_nothing(spring: World, taken: str) -> None:
    stale, own = piece(spring, epoch=3), piece(spring, epoch=3, work_no=2)
    spring.rows(f"UPDATE hannun.round_work SET {taken} WHERE work_no = 1")
    before = work(spring)[0]
    pieces = [
        PieceResult(stale, [spring.measurement(views=5)]),
        PieceResult(own, [spring.measurement("Instagram", views=1)]),
    ]
    left_out, written = spring.measurement_counter.record(pieces).results
    assert left_out is None and [result.outcome for result in written or ()] == ["changed"]
    assert work(spring) == [before, (True, {"changed": 1})]
    assert spring.rows("SELECT c.name FROM hannun.channel_measurements JOIN hannun.channels c USING (channel_no)") == [
        Row({"name": "Instagram"})
    ]
    assert spring.event_stats().total_views == 1
    assert spring.measurement_counter.record(pieces[:1]).results == [None]
    assert spring.event_stats().total_views == 1
    assert spring.drift() == []


def test_the_cached_answers_of_measured_events_are_invalidated_after_the_commit(spring: World) -> None:
    spring.count(spring.created(SUMMER))
    polls = [spring.measurement(views=5), spring.measurement(event=SUMMER, failed="timeout")]
    written = spring.measurement_counter.record([PieceResult(None, polls)])
    assert [(event.event_id, event.channels, event.version) for event in written.events] == [
        (SPRING, ("NaverBlog",), spring.event_row().version)
    ]
    assert spring.rows("SELECT owed_no FROM hannun.owed_invalidations") == [], "it was delivered"


def test_an_invalidation_that_was_not_delivered_stays_in_the_outbox(spring: World) -> None:
    MeasurementCounter(spring.another_database(), None).record([PieceResult(None, [spring.measurement(views=5)])])
    (entry,) = spring.rows("SELECT events FROM hannun.owed_invalidations")
    assert entry.events[SPRING]["channels"] == ["NaverBlog"]
    assert spring.deliver_pending() == 1


def test_a_month_that_is_missing_or_detached_meanwhile_is_made_again(spring: World) -> None:
    spring.measure(spring.measurement(views=5, at="2026-07-10 10:00"))
    spring.rows("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_07")
    spring.measure(spring.measurement(views=7, at="2026-07-10 10:01"))
    assert [row.views for row in spring.timeline()] == [5, 2]
    assert spring.drift() == []


def test_the_month_of_a_measurement_is_recorded_and_its_roll_up_pending(spring: World) -> None:
    spring.measure(spring.measurement(views=5, at="2026-07-10 10:00"))
    assert [f"{row.month:%Y-%m}" for row in spring.rows("SELECT month FROM hannun.timeline_months")] == ["2026-07"]
    assert spring.event_row().cumulative_owed_from == datetime(2026, 7, 10, 10)


def test_nothing_is_written_when_the_transaction_breaks_at_any_statement(
    spring: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crash at each statement in turn, until one run goes through; then every table has the numbers exactly once."""

    class Crashed(Exception):
        pass

    execute = psycopg.Connection.execute
    state = {"left": 0, "armed": False}

    def crashing(conn: Connection, *arguments: Any, **options: Any) -> Any:
        if state["armed"]:
            if state["left"] == 0:
                raise Crashed
            state["left"] -= 1
        return execute(conn, *arguments, **options)

    spring.measure(spring.measurement(views=9, likes=4, at="2026-11-20 09:00"))
    spring.measure(spring.measurement(views=9, likes=3, at="2026-11-20 09:05"))
    token = piece(spring, epoch=1)
    counter = MeasurementCounter(spring.another_database(), None)
    counter.now()  # is connected
    monkeypatch.setattr(psycopg.Connection, "execute", crashing)
    crashes = 0
    while True:
        state.update(left=crashes, armed=True)
        try:
            counter.record([PieceResult(token, [spring.measurement(views=20, likes=2)])])
            break
        except Crashed:
            crashes += 1
        finally:
            state["armed"] = False
        assert (spring.measured().views, len(increments(spring)), corrections(spring)) == (9, 1, [])
        assert work(spring) == [(False, None)]
    assert crashes >= 9
    assert (spring.measured().views, spring.measured().likes, corrections(spring)) == (20, 2, [("likes", -2)])
    assert spring.drift() == []


def test_a_poll_after_a_restore_goes_on_from_what_the_backup_holds(spring: World) -> None:
    spring.measure(spring.measurement(views=100))
    backup = f"{spring.name}_backup"
    server = spring.postgres.superuser_url

    def end_sessions(conn: psycopg.Connection[Any]) -> None:
        conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [spring.name])

    with psycopg.connect(server, autocommit=True) as conn:
        end_sessions(conn)
        conn.execute(f"CREATE DATABASE {backup} TEMPLATE {spring.name} STRATEGY file_copy OWNER hannun_owner")
        spring.measure(spring.measurement(views=150, at=LATER))
        end_sessions(conn)
        conn.execute(f"DROP DATABASE {spring.name}")
        conn.execute(f"ALTER DATABASE {backup} RENAME TO {spring.name}")
    assert spring.measured().views == 100
    (result,) = spring.measure(spring.measurement(views=160, at=LAST))
    assert (result.outcome, result.increments) == ("changed", {"views": 60})
    assert spring.drift() == []
