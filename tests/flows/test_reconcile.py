"""Reconcile finds every falsified figure of every aggregate, and no other.

A test runs over all cases of its rule at once. Each case is a statement that falsifies something, and is undone. A
failure shows what was found and what was expected for each case that breaks the rule.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from world import NOTHING_PENDING, SPRING, World

from hannun.embedded import PostgresServer, ValkeyServer
from hannun.flows.reconcile import reconcile
from hannun.store import operation_runs
from hannun.store.database import connect
from hannun.store.reconciliation import CHECKS, find_drift

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
AUTUMN = "5b0c2f64-0000-4000-8000-000000000003"
MEASURED = ("impressions", "views", "clicks", "conversions", "likes", "comments", "shares")
CALLED = ("total_calls", "completed_calls")


@pytest.fixture(scope="module")
def busy_template(postgres: PostgresServer, valkey: ValkeyServer) -> Iterator[str]:
    """The name of a database with messages of every kind, to be copied."""
    name = f"busy_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests OWNER hannun_owner")
        with World(postgres, valkey, name) as world:
            send_some_of_everything(world)
        yield name
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def busy(postgres: PostgresServer, valkey: ValkeyServer, busy_template: str) -> Iterator[World]:
    """Two events with everything, one without its event-created message, and what their channels measured."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {busy_template} OWNER hannun_owner")
        with World(postgres, valkey, name) as world:
            yield world
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def send_some_of_everything(world: World) -> None:
    world.count(
        world.created(SPRING, totalInvestment=100, expectedRevenue=300, targetRoi=20, baselineRevenue=50),
        world.created(SUMMER, owner="another", totalInvestment=7),
        world.distributed(SPRING, channel="NAVER", distributionCost=20),
        world.distributed(SPRING, channel="RingoBiz", status="FAILED"),
        world.distributed(SUMMER, channel="Radio", channelType="TV", distributionCost="0.50"),
        world.sold(80, "s1", SPRING),
        world.sold(5, "s2", SPRING, refund=True),
        world.status_changed("ENDED", "2026-11-22T00:00:00Z", SUMMER),
        *(
            world.registered(f"p{number}", event, channel=channel, at=f"2026-1{number % 2}-20T10:0{number}:30Z")
            for event in (SPRING, SUMMER, AUTUMN)
            for number, channel in enumerate(("NAVER", "NAVER", "Radio", "Radio", "Poster", "KAKAO"))
        ),
        world.registered("p9", SPRING, at="2026-10-20T10:04:00Z"),
    )
    world.record_measurement(SPRING, "NaverBlog", "2026-11-20 10:01", dict.fromkeys(MEASURED, 4))
    world.record_measurement(SPRING, "NaverBlog", "2026-11-20 10:07", dict.fromkeys(MEASURED, 2))
    world.record_measurement(SPRING, "RingoBiz", "2026-11-20 10:01", {"total_calls": 5, "completed_calls": 3})
    corrects(world, SPRING, "NaverBlog", "views", -1)
    assert world.drift() == []


def corrects(world: World, event: str, channel: str, metric: str, amount: int) -> None:
    """A channel corrects a figure that it reported before."""
    world.rows(
        "INSERT INTO hannun.corrections (event_no, channel_no, corrected_at, metric, amount) "
        "SELECT event_no, channel_no, now(), %s, %s FROM hannun.events, hannun.channels "
        "WHERE event_id = %s AND name = %s",
        metric,
        amount,
        event,
        channel,
    )
    world.rows(
        f"UPDATE hannun.channel_measurements m SET {metric} = {metric} + %s FROM hannun.events e, hannun.channels c "
        "WHERE m.event_no = e.event_no AND m.channel_no = c.channel_no AND e.event_id = %s AND c.name = %s",
        amount,
        event,
        channel,
    )
    world.rows(
        f"UPDATE public.channel_stats SET {metric} = {metric} + %s WHERE event_id = %s AND channel_name = %s",
        amount,
        event,
        channel,
    )
    world.sum_views(event)


Found = set[tuple[str, str, str]]
"""Table, place and figure of each drift."""


def drift_after(world: World, *statements: str) -> Found:
    """What reconcile finds after statements, which are undone."""
    with connect(world.owner_url, application="test") as conn:
        for statement in statements:
            conn.execute(statement)  # type: ignore[arg-type]
        found = {(drift.table, drift.place, drift.figure) for check in CHECKS for drift in find_drift(conn, check)}
        conn.rollback()
    return found


def not_as_expected(world: World, cases: dict[str, Found]) -> dict[str, dict[str, Found]]:
    """The cases, by statement, in which reconcile finds something else than expected."""
    found = {statement: drift_after(world, statement) for statement in cases}
    return {
        statement: {"found": found[statement], "expected": expected}
        for statement, expected in cases.items()
        if found[statement] != expected
    }


def kinds(found: Found) -> set[tuple[str, str]]:
    return {(table, figure) for table, _, figure in found}


# -- without drift ---------------------------------------------------------------------------------------------------


def test_a_database_with_messages_of_every_kind_does_not_drift(busy: World) -> None:
    assert (
        busy.event_row(SPRING).unattributed,
        busy.event_row(SUMMER).unattributed,
        busy.event_row(AUTUMN).unattributed,
    ) == (4, 1, 3)
    assert busy.event_stats(SPRING).total_views == 5
    assert busy.drift() == []


def test_an_empty_database_does_not_drift(world: World) -> None:
    assert world.drift() == []


def test_an_event_with_only_a_status_message_does_not_drift(world: World) -> None:
    world.count(world.status_changed("ENDED", "2026-11-22T00:00:00Z"))
    assert world.drift() == []


def test_the_pending_roll_up_is_written_first(world: World) -> None:
    world.count(world.registered("p1", at="2026-11-20T10:00:00Z"), world.registered("p2", at="2026-11-20T10:09:00Z"))
    assert world.event_row().cumulative_owed_from < NOTHING_PENDING
    assert [row.cumulative_participants for row in world.timeline()] == [0, 0]
    steps: list[str] = []
    with connect(world.url, application="test") as conn:
        assert list(reconcile(conn, steps.append)) == []
    assert "cumulative" in steps[0] and len(steps) == 10
    assert [row.cumulative_participants for row in world.timeline()] == [1, 2]
    assert world.event_row().cumulative_owed_from == NOTHING_PENDING


# -- falsified figures -----------------------------------------------------------------------------------------------

STATS = {
    "event_title": "'another'",
    "user_id": "'another'",
    "total_participants": "total_participants + 1",
    "total_views": "total_views + 1",
    "estimated_roi": "estimated_roi + 0.01",
    "target_roi": "target_roi + 0.01",
    "sales_growth_rate": "sales_growth_rate - 0.01",
    "total_investment": "total_investment + 0.01",
    "expected_revenue": "expected_revenue + 0.01",
    "status": "'ARCHIVED'",
}
CHANNEL = {
    "channel_type": "'TV'",
    "distribution_cost": "distribution_cost + 0.01",
    **{name: f"{name} + 1" for name in ("participants", *MEASURED, "total_calls", "average_duration")},
}
BUCKET = ("participants", "views", "engagement", "conversions", "cumulative_participants")
NAVER = f"event_id = '{SPRING}' AND channel_name = 'NaverBlog'"
RINGO = f"event_id = '{SPRING}' AND channel_name = 'RingoBiz'"
QUARTER = BUCKET[:4]
AT_10 = f"quarter = '2026-11-20 10:00' AND event_no = (SELECT event_no FROM hannun.events WHERE event_id = '{SPRING}')"
AT_10_01 = f"event_id = '{SPRING}' AND timestamp = '2026-11-20 10:01'"
OURS = f"event_id = '{SPRING}'"


def update(table: str, change: str, where: str) -> str:
    return f"UPDATE {table} SET {change} WHERE {where}"


def test_a_falsified_figure_of_event_stats_is_found(busy: World) -> None:
    cases: dict[str, Found] = {
        update("public.event_stats", f"{figure} = {value}", OURS): {("event_stats", SPRING, figure)}
        for figure, value in STATS.items()
    }
    assert not_as_expected(busy, cases) == {}


def test_a_falsified_figure_of_channel_stats_is_found(busy: World) -> None:
    cases: dict[str, Found] = {
        update("public.channel_stats", f"{figure} = {value}", NAVER): {
            ("channel_stats", f"{SPRING} / NaverBlog", figure)
        }
        for figure, value in CHANNEL.items()
    }
    cases |= {
        update("public.channel_stats", f"{figure} = {figure} + 1", RINGO): {
            ("channel_stats", f"{SPRING} / RingoBiz", figure)
        }
        for figure in CALLED
    }
    assert not_as_expected(busy, cases) == {}


def test_a_falsified_total_of_a_channel_is_found_with_the_figure_that_is_derived_from_it(busy: World) -> None:
    of_naver = "channel_no = (SELECT channel_no FROM hannun.channels WHERE name = 'NaverBlog')"
    place = f"{SPRING} / NaverBlog"
    cases: dict[str, Found] = {
        update("hannun.channel_measurements", f"{figure} = coalesce({figure}, 0) + 1", of_naver): {
            ("channel_measurements", place, figure),
            ("channel_stats", place, figure),
        }
        for figure in (*MEASURED, *CALLED)
    }
    cases[update("hannun.channel_measurements", "average_duration = 7", of_naver)] = {
        ("channel_stats", place, "average_duration")
    }
    assert not_as_expected(busy, cases) == {}


def test_a_total_that_is_falsified_in_every_aggregate_of_a_channel_alike_is_found(busy: World) -> None:
    found = drift_after(
        busy,
        "UPDATE hannun.channel_measurements SET likes = likes + 1",
        "UPDATE public.channel_stats SET likes = likes + 1 WHERE likes > 0",
    )
    assert found == {("channel_measurements", f"{SPRING} / NaverBlog", "likes")}


def test_a_falsified_figure_of_the_timeline_is_found_with_the_roll_up_that_differs_from_it(busy: World) -> None:
    cases: dict[str, Found] = {}
    for figure in BUCKET:
        expected = {("timeline_data", f"{SPRING} at 2026-11-20T10:01Z", figure)}
        if figure in QUARTER:
            expected.add(("timeline_quarters", f"{SPRING} at 2026-11-20T10:00Z", figure))
        for change in ("+ 1", "- 1"):
            cases[update("public.timeline_data", f"{figure} = {figure} {change}", AT_10_01)] = expected
    assert not_as_expected(busy, cases) == {}


def test_a_falsified_figure_of_the_15_minute_roll_up_is_found(busy: World) -> None:
    cases: dict[str, Found] = {
        update("hannun.timeline_quarters", f"{figure} = {figure} {change}", AT_10): {
            ("timeline_quarters", f"{SPRING} at 2026-11-20T10:00Z", figure)
        }
        for figure in QUARTER
        for change in ("+ 1", "- 1")
    }
    assert not_as_expected(busy, cases) == {}


def test_a_falsified_total_of_an_event_is_found_with_the_figure_that_is_derived_from_it(busy: World) -> None:
    derived = {
        "participants = participants + 1": ("participants", "total_participants"),
        "unattributed = unattributed + 1": ("unattributed", None),
        "unattributed = unattributed - 1": ("unattributed", None),
        "sales = sales + 1": ("sales", None),
        "recorded_revenue = recorded_revenue + 0.01": ("recorded_revenue", "sales_growth_rate"),
    }
    cases: dict[str, Found] = {
        update("hannun.events", change, OURS): {("event_totals", SPRING, total)}
        | ({("event_stats", SPRING, follows)} if follows else set())
        for change, (total, follows) in derived.items()
    }
    assert not_as_expected(busy, cases) == {}


def test_a_total_that_is_falsified_in_every_aggregate_alike_is_found(busy: World) -> None:
    found = drift_after(
        busy,
        update("hannun.events", "participants = participants + 1", OURS),
        update("public.event_stats", "total_participants = total_participants + 1", OURS),
    )
    assert found == {("event_totals", SPRING, "participants")}


def test_a_falsified_count_of_untyped_participants_is_found(busy: World) -> None:
    found = drift_after(
        busy,
        "UPDATE hannun.untyped_participants u SET participants = u.participants + 1 "
        "FROM hannun.channels c, hannun.events e WHERE c.channel_no = u.channel_no AND e.event_no = u.event_no "
        f"AND c.name = 'Poster' AND e.event_id = '{SPRING}'",
    )
    assert kinds(found) == {("untyped_participants", "participants")}
    assert len(found) == 1


# -- missing and extra rows ------------------------------------------------------------------------------------------

ROWS = {
    f"DELETE FROM public.event_stats WHERE {OURS}": ("event_stats", "row"),
    f"DELETE FROM public.channel_stats WHERE {NAVER}": ("channel_stats", "row"),
    f"DELETE FROM public.timeline_data WHERE {AT_10_01}": ("timeline_data", "row"),
    f"DELETE FROM hannun.timeline_quarters WHERE {AT_10}": ("timeline_quarters", "row"),
    "INSERT INTO hannun.timeline_quarters SELECT event_no, '2026-11-21 22:00', 0, 0, 0, 0 FROM hannun.events": (
        "timeline_quarters",
        "row",
    ),
    "INSERT INTO hannun.timeline_quarters VALUES (999, '2026-11-20 22:00', 0, 0, 0, 0)": ("timeline_quarters", "row"),
    "INSERT INTO hannun.timeline_months VALUES (999, '2026-11-01', 0)": ("timeline_months", "row"),
    "DELETE FROM hannun.timeline_months WHERE month = '2026-11-01'": ("timeline_months", "row"),
    "UPDATE hannun.timeline_months SET participants = participants + 1": ("timeline_months", "participants"),
    "DELETE FROM hannun.untyped_participants": ("untyped_participants", "participants"),
    f"DELETE FROM hannun.events WHERE {OURS}": ("event_totals", "participants"),
    "INSERT INTO public.event_stats (event_id, event_title, user_id) VALUES ('x', 't', 'u')": ("event_stats", "row"),
    "INSERT INTO public.channel_stats (event_id, channel_name, channel_type) VALUES ('x', 'Radio', 'TV')": (
        "channel_stats",
        "row",
    ),
    f"INSERT INTO public.channel_stats (event_id, channel_name, channel_type) VALUES ('{SPRING}', 'Radio', 'TV')": (
        "channel_stats",
        "row",
    ),
    f"INSERT INTO public.timeline_data (event_id, timestamp) VALUES ('{SPRING}', '2026-11-20 22:00')": (
        "timeline_data",
        "row",
    ),
    "INSERT INTO public.timeline_data (event_id, timestamp) VALUES ('x', '2026-11-20 22:00')": ("timeline_data", "row"),
    "DELETE FROM hannun.channel_measurements": ("channel_measurements", "row"),
    "UPDATE hannun.channel_measurements SET measured_at = NULL": ("channel_measurements", "row"),
    "INSERT INTO hannun.increments (event_no, channel_no, minute, likes) VALUES (999, 999, '2026-11-20', 1)": (
        "channel_measurements",
        "row",
    ),
    "INSERT INTO hannun.untyped_participants VALUES (999, 999, 1)": ("untyped_participants", "participants"),
}
LEDGERS = {
    "DELETE FROM hannun.participants WHERE ctid = (SELECT min(ctid) FROM hannun.participants)": {
        ("event_totals", "participants"),
        ("timeline_data", "participants"),
        ("timeline_months", "participants"),
    },
    "INSERT INTO hannun.participants SELECT gen_random_uuid(), event_no, minute, channel_no, came "
    "FROM hannun.participants LIMIT 1": {("event_totals", "participants"), ("timeline_data", "participants")},
    "DELETE FROM hannun.sales WHERE sale_id = 's1'": {("event_totals", "sales"), ("event_totals", "recorded_revenue")},
    "UPDATE hannun.distributions SET cost = cost + 1 WHERE cost = 20": {
        ("channel_stats", "distribution_cost"),
        ("event_stats", "estimated_roi"),
    },
    "UPDATE hannun.increments SET views = views + 1 WHERE views = 4": {
        ("channel_measurements", "views"),
        ("event_stats", "total_views"),
        ("timeline_data", "views"),
    },
    "DELETE FROM hannun.corrections": {("channel_measurements", "views"), ("event_stats", "total_views")},
}


def test_a_missing_or_extra_row_is_found(busy: World) -> None:
    found = {statement: kinds(drift_after(busy, statement)) for statement in ROWS}
    assert {statement: found[statement] for statement, kind in ROWS.items() if kind not in found[statement]} == {}


def test_a_falsified_ledger_makes_every_figure_that_is_derived_from_it_drift(busy: World) -> None:
    found = {statement: kinds(drift_after(busy, statement)) for statement in LEDGERS}
    missed = {statement: expected - found[statement] for statement, expected in LEDGERS.items()}
    assert {statement: figures for statement, figures in missed.items() if figures} == {}


def test_a_drift_names_its_figure_what_was_found_and_what_was_expected(busy: World) -> None:
    busy.rows(f"UPDATE public.event_stats SET total_participants = 99 WHERE {OURS}")
    (drift,) = busy.drift()
    assert str(drift) == f"event_stats: {SPRING}: total_participants is 99, the ledgers say 7"


# -- roles and the command -------------------------------------------------------------------------------------------


@pytest.fixture
def auditor(busy: World) -> Iterator[str]:
    """The URL of a role that may read every table and write none."""
    role = f"auditor_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(busy.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'a' IN ROLE pg_read_all_data")
        yield busy.postgres.url(busy.name, role, "a")
        conn.execute(f"DROP ROLE {role}")


def drift_seen_from(url: str) -> set[tuple[str, str]]:
    with connect(url, application="test-auditor") as conn:
        return {(drift.table, drift.figure) for drift in reconcile(conn, lambda _: None)}


def test_a_role_that_may_only_read_can_reconcile(busy: World, auditor: str) -> None:
    assert drift_seen_from(auditor) == set()
    busy.count(busy.registered("late", at="2026-11-20T10:00:00Z"))
    assert drift_seen_from(auditor) == set(), "a pending roll-up is no drift"
    assert busy.event_row().cumulative_owed_from < NOTHING_PENDING, "and stays pending"
    busy.rows(f"UPDATE public.timeline_data SET participants = participants + 1 WHERE {AT_10_01}")
    assert drift_seen_from(auditor) == {("timeline_data", "participants")}


def test_a_read_only_session_can_reconcile(busy: World) -> None:
    """As on a replica: the role could write, the session may not."""
    busy.count(busy.registered("late", at="2026-11-20T10:00:00Z"))
    assert drift_seen_from(busy.url + "?options=-c%20default_transaction_read_only%3Don") == set()


def reconciles_as_a_process(url: str) -> subprocess.CompletedProcess[str]:
    ours = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {"DATABASE_URL": url, **ours}
    return subprocess.run(
        [sys.executable, "-m", "hannun", "reconcile"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_needs_only_the_database_and_exits_with_0_without_drift(busy: World) -> None:
    ran = reconciles_as_a_process(busy.url)
    assert (ran.returncode, ran.stdout.strip()) == (0, "drift: 0"), ran.stderr


def test_the_command_exits_with_1_and_prints_the_drift(busy: World) -> None:
    busy.rows(f"UPDATE public.channel_stats SET clicks = 99 WHERE {NAVER}")
    ran = reconciles_as_a_process(busy.url)
    assert ran.returncode == 1, ran.stderr
    assert f"channel_stats: {SPRING} / NaverBlog: clicks is 99, the ledgers say 6" in ran.stdout
    assert ran.stdout.strip().endswith("drift: 1")
    with busy.database.transaction() as conn:
        assert operation_runs.newest_drift(conn) == 1, "the metric hannun_drift_figures shows it"


def test_the_command_refuses_a_newer_schema_that_it_cannot_use(busy: World) -> None:
    busy.rows("UPDATE hannun.schema_version SET version_num = '9999'")
    busy.rows("UPDATE hannun.schema_compatibility SET oldest_version = '9999'")
    ran = reconciles_as_a_process(busy.url)
    assert ran.returncode == 2
    assert "newer Hannun" in ran.stderr


def test_the_command_refuses_a_role_that_may_not_read_the_internal_tables(busy: World) -> None:
    ran = reconciles_as_a_process(busy.readonly_url)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert "may not read" in ran.stderr
