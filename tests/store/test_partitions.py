"""The timeline's partitions: created ahead, created when a message needs one, detached, and re-attached."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner
from world import SPRING, World

from hannun.cli.application import app
from hannun.embedded import PostgresServer
from hannun.errors import OperatorError
from hannun.flows.partitions.months import (
    PartitionChanges,
    apply_partition_plan,
    attach_months,
    create_months_ahead,
    detach_old_months,
    invalidate_changed_months,
)
from hannun.store.partitions import create_months, existing_months
from hannun.store.shadow_comparison import digests, rows_of

NOVEMBER, DECEMBER, JANUARY = date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)
IN_DECEMBER_US = int(datetime(2026, 12, 2, tzinfo=UTC).timestamp()) * 1_000_000


def months(world: World) -> set[date]:
    with world.database.transaction() as conn:
        return existing_months(conn)


def detach(world: World, today: date, *, keep: int | None, dry_run: bool = False) -> list[date]:
    with psycopg.connect(world.owner_url, autocommit=True) as owner:
        return list(detach_old_months(owner, today, keep=keep, dry_run=dry_run))


def test_partitions_are_created_ahead_and_only_once(world: World) -> None:
    assert create_months_ahead(world.database, date(2026, 11, 23), ahead=2) == [NOVEMBER, DECEMBER, JANUARY]
    assert create_months_ahead(world.database, date(2026, 11, 30), ahead=2) == []
    assert create_months_ahead(world.database, date(2026, 12, 1), ahead=2) == [date(2027, 2, 1)]
    names = [row.relname for row in world.rows("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")]
    assert sorted(names) == [f"timeline_data_{month}" for month in ("2026_11", "2026_12", "2027_01", "2027_02")]


def test_a_message_of_the_earliest_possible_month_is_counted(world: World) -> None:
    assert months(world) == set()
    world.count(world.registered(at="2015-01-01T00:00:00Z"))
    assert months(world) == {date(2015, 1, 1)}
    assert [row.timestamp for row in world.timeline()] == [datetime(2015, 1, 1)]
    assert world.drift() == []


def test_a_message_a_day_ahead_is_counted_also_over_the_end_of_the_year(world: World) -> None:
    new_years_eve = datetime(2026, 12, 31, 12, tzinfo=UTC)
    received_at = int(new_years_eve.timestamp()) * 1_000_000
    ahead = (new_years_eve + timedelta(hours=24)).isoformat()
    world.count(world.registered(at=ahead, at_us=received_at))
    assert months(world) == {JANUARY}
    assert [row.timestamp for row in world.timeline()] == [datetime(2027, 1, 1, 12)]


def test_a_bucket_is_in_the_partition_of_its_month_in_utc(world: World) -> None:
    world.count(
        world.registered(at="2026-12-01T08:59:59+09:00", at_us=IN_DECEMBER_US),  # still November in UTC
        world.registered(at="2026-11-30T12:30:00-11:30", at_us=IN_DECEMBER_US),  # December already
    )
    (november,) = world.rows("SELECT count(*) AS found FROM public.timeline_data_2026_11")
    (december,) = world.rows("SELECT count(*) AS found FROM public.timeline_data_2026_12")
    assert (november.found, december.found) == (1, 1)


def test_two_transactions_that_need_the_same_month_at_the_same_time_both_get_it(world: World) -> None:
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
    created: dict[str, list[date]] = {}

    def second() -> None:
        with world.another_database().transaction() as conn:
            created["second"] = create_months(conn, [NOVEMBER, DECEMBER])

    thread = threading.Thread(target=second)
    with world.database.transaction() as conn:
        created["first"] = create_months(conn, [NOVEMBER])
        thread.start()
        world.wait_for("the second to wait", lambda: world.rows(waiting))
    thread.join(timeout=60)
    assert created == {"first": [NOVEMBER], "second": [DECEMBER]}
    assert months(world) == {NOVEMBER, DECEMBER}


def test_when_the_first_transaction_rolls_back_the_second_creates_the_month(world: World) -> None:
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
    created: list[date] = []

    def second() -> None:
        with world.another_database().transaction() as conn:
            created.extend(create_months(conn, [NOVEMBER]))

    thread = threading.Thread(target=second)
    with world.database.transaction() as conn:
        create_months(conn, [NOVEMBER])
        thread.start()
        world.wait_for("the second to wait", lambda: world.rows(waiting))
        raise psycopg.Rollback
    thread.join(timeout=60)
    assert created == [NOVEMBER]


def test_counting_goes_on_while_a_partition_is_created(world: World) -> None:
    world.count(world.registered(at="2026-11-20T10:00:00Z"))
    with world.database.transaction() as conn:
        create_months(conn, [JANUARY])
        with psycopg.connect(world.url, options="-c lock_timeout=20000") as other:
            other.execute("SELECT count(*) FROM public.timeline_data WHERE timestamp >= '2026-11-01'")
            other.execute("UPDATE public.timeline_data SET views = 0 WHERE timestamp = '2026-11-20 10:00'")


def test_old_months_stay_attached_without_a_retention_setting(world: World) -> None:
    create_months_ahead(world.database, date(2026, 11, 23), ahead=1)
    assert detach(world, date(2030, 1, 1), keep=None) == []
    assert months(world) == {NOVEMBER, DECEMBER}


def test_an_old_month_is_detached_and_its_table_stays(world: World) -> None:
    world.count(world.registered(at="2026-01-20T10:00:00Z"), world.registered(at="2026-11-20T10:00:00Z"))
    assert detach(world, date(2026, 11, 23), keep=9, dry_run=True) == [date(2026, 1, 1)]
    assert months(world) == {date(2026, 1, 1), NOVEMBER}, "only planned"
    assert detach(world, date(2026, 11, 23), keep=9) == [date(2026, 1, 1)]
    assert detach(world, date(2026, 11, 23), keep=9) == []
    assert months(world) == {NOVEMBER}
    assert [row.timestamp for row in world.timeline()] == [datetime(2026, 11, 20, 10)]
    (kept,) = world.rows("SELECT participants FROM public.timeline_data_2026_01")
    assert kept.participants == 1


@contextmanager
def interrupted_detachment(world: World, month: str) -> Iterator[None]:
    """A detachment waits for a reader, and its session is ended meanwhile. In the block, the reader still reads."""
    with psycopg.connect(world.url) as reader, psycopg.connect(world.owner_url, autocommit=True) as owner:
        reader.execute("SELECT count(*) FROM public.timeline_data")

        def detach_until_ended() -> None:
            with suppress(psycopg.OperationalError):
                owner.execute(f"ALTER TABLE public.timeline_data DETACH PARTITION public.{month} CONCURRENTLY")

        thread = threading.Thread(target=detach_until_ended)
        thread.start()
        pending = "SELECT 1 FROM pg_inherits WHERE inhdetachpending"
        world.wait_for("the detachment to wait for the reader", lambda: world.rows(pending))
        world.rows(f"SELECT pg_terminate_backend({owner.info.backend_pid}, 5000)")
        thread.join(timeout=60)
        assert world.rows(pending), "it is neither attached nor detached"
        yield


@pytest.mark.parametrize("keep", [9, None])
def test_an_interrupted_detachment_is_finished_by_the_next_run(world: World, keep: int | None) -> None:
    world.count(*(world.registered(at=f"2026-{month}-20T10:00:00Z") for month in ("01", "02", "11")))
    with interrupted_detachment(world, "timeline_data_2026_01"):
        pass
    january, february = date(2026, 1, 1), date(2026, 2, 1)
    wanted = [january] if keep is None else [january, february]
    assert detach(world, date(2026, 12, 23), keep=keep, dry_run=True) == wanted
    assert detach(world, date(2026, 12, 23), keep=keep) == wanted
    assert months(world) == {february, NOVEMBER} - set(wanted)
    assert detach(world, date(2026, 12, 23), keep=keep) == []
    (kept,) = world.rows("SELECT participants FROM public.timeline_data_2026_01")
    assert kept.participants == 1
    world.count_with_retries(world.registered(at="2026-01-20T11:00:00Z"))
    assert months(world) == {january, february, NOVEMBER} - (set(wanted) - {january})


def test_a_message_for_a_month_whose_detachment_was_interrupted_is_counted(world: World) -> None:
    world.count(world.created(), world.registered(at="2026-01-20T10:00:00Z"))
    with interrupted_detachment(world, "timeline_data_2026_01"):
        pass
    world.count_with_retries(world.registered(at="2026-01-20T11:00:00Z"))
    assert world.event_stats().total_participants == 2
    assert world.drift() == []


def test_detaching_a_month_is_no_drift(world: World) -> None:
    world.count(
        world.created(), world.registered(at="2026-01-20T10:00:00Z"), world.registered(at="2026-11-20T10:00:00Z")
    )
    assert world.drift() == []
    detach(world, date(2026, 11, 23), keep=9)
    assert world.drift() == []
    world.count(world.registered(at="2026-11-20T10:01:00Z"))
    assert world.drift() == []
    assert [row.cumulative_participants for row in world.timeline()] == [2, 3]


@pytest.mark.parametrize("restarted", [True, False])
def test_a_message_for_a_detached_month_is_counted_at_once(world: World, restarted: bool) -> None:
    """Also by a process that has cached that the month is attached: its caller gets no error."""
    world.count(world.created(), world.registered(at="2026-01-20T10:00:00Z"))
    detach(world, date(2026, 11, 23), keep=9)
    if restarted:
        world.restart()
    world.count(world.registered(at="2026-01-20T11:00:00Z"))
    assert world.event_stats().total_participants == 2


def test_a_message_for_a_month_that_is_being_detached_is_counted_when_that_is_done(world: World) -> None:
    world.count(world.created(), world.registered(at="2026-01-20T10:00:00Z"))
    with ThreadPoolExecutor(2) as threads:
        with psycopg.connect(world.readonly_url) as reader:
            reader.execute("SELECT count(*) FROM public.timeline_data")
            detaching = threads.submit(detach, world, date(2026, 11, 23), keep=9)
            pending = "SELECT 1 FROM pg_inherits WHERE inhdetachpending"
            world.wait_for("the detachment to wait for the reader", lambda: world.rows(pending))
            counting = threads.submit(world.count, world.registered(at="2026-01-20T11:00:00Z"))
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
            world.wait_for("the counter to wait for the detachment", lambda: world.rows(waits) or counting.done())
        counting.result(timeout=60)
        assert detaching.result(timeout=60) == [], "the message has attached the month again"
    assert world.event_stats().total_participants == 2
    assert world.drift() == []


# -- attaching months again, and the answers over them ---------------------------------------------------------------


def attach(world: World, *months: date, dry_run: bool = False) -> list[date]:
    with psycopg.connect(world.owner_url, autocommit=True) as owner:
        return list(attach_months(owner, months, by="a test", dry_run=dry_run))


JANUARY_2026, FEBRUARY_2026 = date(2026, 1, 1), date(2026, 2, 1)
TWO_MONTHS = ("2026-01-20T10:00:00Z", "2026-01-20T10:07:00Z", "2026-02-20T10:00:00Z", "2026-11-20T10:00:00Z")


def test_detached_and_dropped_months_are_attached_again_with_all_their_minutes(world: World) -> None:
    world.count(world.created(), world.distributed(channel="NAVER"), *(world.registered(at=at) for at in TWO_MONTHS))
    world.record_measurement(SPRING, "NaverBlog", "2026-02-20 10:01", {"views": 3, "likes": 2, "conversions": 1})
    assert world.drift() == []
    figures = "timestamp, participants, views, engagement, conversions, cumulative_participants"
    minutes = f"SELECT {figures} FROM public.timeline_data ORDER BY 1"
    before = [row.columns for row in world.rows(minutes)]
    assert detach(world, date(2026, 11, 23), keep=6) == [JANUARY_2026, FEBRUARY_2026]
    world.rows("DROP TABLE public.timeline_data_2026_02")
    assert attach(world, FEBRUARY_2026, JANUARY_2026, NOVEMBER, dry_run=True) == [JANUARY_2026, FEBRUARY_2026]
    assert len(world.rows(minutes)) == 1, "a dry run changes nothing"
    assert attach(world, FEBRUARY_2026, JANUARY_2026, NOVEMBER) == [JANUARY_2026, FEBRUARY_2026]
    assert world.drift() == []
    assert [row.columns for row in world.rows(minutes)] == before


def test_a_month_that_the_timeline_never_had_is_not_attached(world: World) -> None:
    world.count(world.created(), world.registered(at="2026-01-20T10:00:00Z"))
    detach(world, date(2026, 11, 23), keep=6)
    with pytest.raises(OperatorError, match="cannot attach 2019-05"):
        attach(world, JANUARY_2026, date(2019, 5, 1))
    assert JANUARY_2026 not in months(world)


@pytest.mark.parametrize("by", ["command", "hand"])
def test_events_with_something_in_a_month_get_a_new_version_when_it_is_detached_or_attached(
    world: World, by: str
) -> None:
    other = "5b0c2f64-0000-4000-8000-000000000002"
    world.count(world.created(), world.created(other), world.registered(at="2026-01-20T10:00:00Z"))
    world.count(world.registered(event=other, at="2026-11-20T10:00:00Z"), world.registered(at="2026-11-20T10:00:00Z"))

    def invalidated() -> set[str]:
        """The events that are invalidated now, each with a higher version than before."""
        before = {row.event_id: row.version for row in world.rows("SELECT event_id, version FROM hannun.events")}
        world.rows("DELETE FROM hannun.owed_invalidations")
        invalidate_changed_months(world.database.transaction)
        (entries,) = world.rows("SELECT coalesce(jsonb_agg(events), '[]') AS found FROM hannun.owed_invalidations")
        raised = {
            row.event_id
            for row in world.rows("SELECT event_id, version FROM hannun.events")
            if row.version > before[row.event_id]
        }
        assert {event for entry in entries.found for event in entry} == raised
        return raised

    assert invalidated() == set()
    if by == "hand":
        world.rows("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_01")
    else:
        detach(world, date(2026, 11, 23), keep=6)
    assert invalidated() == {SPRING}
    assert invalidated() == set()
    if by == "hand":
        world.rows(
            "ALTER TABLE public.timeline_data ATTACH PARTITION public.timeline_data_2026_01 "
            "FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')"
        )
    else:
        world.count(world.registered(event=other, at="2026-01-21T10:00:00Z"))
    assert invalidated() == ({SPRING} if by == "hand" else {SPRING, other})
    assert world.drift() == []


def test_a_replay_is_compared_over_the_months_that_both_databases_have_attached(world: World) -> None:
    """The shadow has every month. What the live database has detached is no difference."""
    world.count(world.created(), *(world.registered(at=at) for at in TWO_MONTHS))
    with psycopg.connect(world.owner_url) as conn:
        kept = existing_months(conn) - {JANUARY_2026}
        whole, of_kept = (digests(conn, "timeline_data", None, months) for months in (None, kept))
        assert [count for count, _ in (whole[SPRING], of_kept[SPRING])] == [4, 2]
    detach(world, date(2026, 11, 23), keep=9)
    with psycopg.connect(world.owner_url) as conn:
        assert digests(conn, "timeline_data", None, kept) == digests(conn, "timeline_data") == of_kept
        assert len(rows_of(conn, "timeline_data", SPRING, kept)) == 2


def test_the_commands_say_what_they_did_in_lines_of_80_columns(world: World) -> None:
    world.count(world.created(), *(world.registered(at=f"2020-{month}-20T10:00Z") for month in ("01", "02")))
    settings = {"DATABASE_URL": world.url, "HANNUN_OWNER_DATABASE_URL": world.owner_url, "COLUMNS": "80"}

    def run(*words: str, **more: str) -> list[str]:
        done = CliRunner().invoke(app, ["partitions", *words], env=settings | more, catch_exceptions=False)
        assert done.exit_code == 0
        lines = done.output.splitlines()
        assert all(len(line) <= 80 for line in lines), lines
        return lines

    kept = {"HANNUN_MONTHS_KEPT": "0", "HANNUN_MONTHS_AHEAD": "0"}
    assert "timeline_data_2020_01 would be detached" in run("--dry-run", **kept)
    assert "timeline_data_2020_01 detached" in run(**kept)
    world.rows("DROP TABLE public.timeline_data_2020_02")
    assert [line for line in run("list") if line < "2020-03"] == ["2020-01  detached", "2020-02  dropped"]
    assert run("attach", "2020-01", "--dry-run") == ["timeline_data_2020_01 would be attached, from its detached table"]
    assert run("attach", "2020-01", "2020-02", **kept)[:2] == [
        "timeline_data_2020_01 attached, from its detached table",
        "timeline_data_2020_02 attached, made from the ledgers",
    ]
    assert run("attach", "2020-01") == ["timeline_data_2020_01 was attached already"]
    assert world.drift() == []
    with pytest.raises(OperatorError, match="'january' is no month"):
        run("attach", "january")


# -- who creates the months ahead ------------------------------------------------------------------------------------


def test_a_months_end_without_a_scheduler_for_a_week_loses_nothing(world: World) -> None:
    """The scheduler dies on November 28 with no month ahead. Messages of the next nine days come, also late ones."""
    assert create_months_ahead(world.database, date(2026, 11, 28), ahead=0) == [NOVEMBER]
    world.count(world.created(), world.distributed(channel="NAVER"))
    days = [datetime(2026, 11, 28, 12, tzinfo=UTC) + timedelta(days=n) for n in range(10)]
    for now in days:
        at_us = int(now.timestamp()) * 1_000_000
        late = now - timedelta(days=6)
        world.count(*(world.registered(at=at.isoformat(), at_us=at_us) for at in (now, late)))
        world.record_measurement(SPRING, "NaverBlog", f"{now:%Y-%m-%d %H:%M}", {"views": 2})
        world.roll_up()
    assert months(world) == {NOVEMBER, DECEMBER}
    assert sum(row.participants for row in world.timeline()) == world.event_stats().total_participants == 20
    assert sum(row.views for row in world.timeline()) == 20
    assert world.drift() == []
    assert create_months_ahead(world.database, date(2026, 12, 7), ahead=2) == [JANUARY, date(2027, 2, 1)]


DOUBLE_OF_PG_CRON = """
    CREATE SCHEMA cron;
    CREATE TABLE cron.job (jobname text PRIMARY KEY, schedule text, command text, active boolean DEFAULT true);
    CREATE FUNCTION cron.schedule(name text, schedule text, command text) RETURNS bigint LANGUAGE sql AS $$
        INSERT INTO cron.job VALUES (name, schedule, command)
        ON CONFLICT (jobname) DO UPDATE SET schedule = excluded.schedule, command = excluded.command;
        SELECT 1::bigint $$
"""
"""The part of pg_cron that we call. It has no clock: the test runs the job's command itself."""


def apply(world: World, *, ahead: int, dry_run: bool = False) -> PartitionChanges:
    with psycopg.connect(world.owner_url) as owner:
        return apply_partition_plan(
            owner, datetime.now(UTC).date(), ahead=ahead, keep=None, by="a test", dry_run=dry_run
        )


def test_pg_cron_creates_the_months_ahead_where_the_database_has_it(world: World) -> None:
    assert apply(world, ahead=1).cron_job is False
    world.rows(DOUBLE_OF_PG_CRON)
    assert apply(world, ahead=1, dry_run=True).cron_job is True
    assert world.rows("SELECT FROM cron.job") == []
    assert apply(world, ahead=1).cron_job is True
    assert apply(world, ahead=1).cron_job is False, "a second run has nothing to do"
    assert apply(world, ahead=4).cron_job is True, "another number of months"
    (job,) = world.rows("SELECT * FROM cron.job")
    assert job.schedule == "17 * * * *"
    before = months(world)
    for month in before:
        world.rows(f"DROP TABLE public.timeline_data_{month:%Y_%m}")
    world.rows(job.command)
    assert months(world) == before
    assert len(before) == 5


def test_an_owner_who_may_not_use_pg_cron_is_told_what_to_grant(world: World, postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.url(world.name), autocommit=True) as superuser:
        superuser.execute(DOUBLE_OF_PG_CRON)
    with pytest.raises(OperatorError, match="the role hannun_owner may not use it") as refused:
        apply(world, ahead=1)
    assert refused.value.hint == "as a superuser: GRANT USAGE ON SCHEMA cron TO hannun_owner"
