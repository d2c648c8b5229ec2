"""Which partitions the timeline's queries read."""

import re
from datetime import datetime
from typing import Any

import pytest
from world import SPRING, World

from hannun.store.reports import SQL


def months_read(
    world: World, query: str, start: datetime, end: datetime, *, quarters: bool
) -> tuple[set[str], set[str]]:
    """The months that a query's plan names, and those that were read when it ran."""
    asked: dict[str, Any] = {"event_nos": [world.event_row(SPRING).event_no], "from": start, "to": end}
    asked |= {"rollup_from": start, "rollup_to": end if quarters else start}
    asked |= {"first": start, "step_s": 900, "starts": "{0}"}
    with world.owner_connection() as conn:
        rows = conn.execute("EXPLAIN (ANALYZE, TIMING OFF) " + SQL[query], asked).fetchall()  # type: ignore[operator]
    lines = [row["QUERY PLAN"] for row in rows]
    named = {line: re.findall(r" on timeline_data_(\d{4}_\d{2})", line) for line in lines}
    return (
        {month for months in named.values() for month in months},
        {month for line, months in named.items() for month in months if "never executed" not in line},
    )


@pytest.fixture
def of_a_year(world: World) -> World:
    """An event with one minute in each of ten months."""
    world.count(
        world.created(), *(world.registered(f"p{month}", at=f"2026-{month:02}-15T00:00:00Z") for month in range(1, 11))
    )
    return world


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        (datetime(2026, 3, 10), datetime(2026, 5, 1), {"2026_03", "2026_04"}),
        (datetime(2026, 5, 1), datetime(2026, 5, 2), {"2026_05"}),
    ],
)
def test_a_timeline_query_reads_only_the_months_of_its_range(
    of_a_year: World, start: datetime, end: datetime, months: set[str]
) -> None:
    assert months_read(of_a_year, "timeline_filled", start, end, quarters=False) == (months, months)


def test_a_rolled_up_timeline_reads_no_month_at_all(of_a_year: World) -> None:
    assert of_a_year.drift() == []
    _, read = months_read(of_a_year, "timeline_filled", datetime(2026, 1, 1), datetime(2026, 10, 1), quarters=True)
    assert read == set()
    _, read = months_read(of_a_year, "timeline_after", datetime(2026, 2, 1), datetime(2026, 2, 1), quarters=True)
    assert read == set()


def test_a_pending_timeline_reads_only_the_months_from_its_watermark_on(of_a_year: World) -> None:
    assert of_a_year.drift() == []
    of_a_year.count(of_a_year.registered(at="2026-08-15T00:00:00Z"))
    _, read = months_read(of_a_year, "timeline_filled", datetime(2026, 1, 1), datetime(2026, 11, 1), quarters=True)
    assert read == {"2026_08", "2026_09", "2026_10"}


def test_finding_the_start_of_a_timeline_does_not_read_the_minutes_of_other_events(world: World) -> None:
    """Another event has 40,000 consecutive minutes; the event in question has one minute, at their end."""
    world.count(
        world.created(),
        world.registered(event="busy", at="2026-03-01T00:00Z"),
        world.registered(at="2026-03-31T23:59:00Z"),
    )
    world.rows(
        "INSERT INTO public.timeline_data (event_id, timestamp) "
        "SELECT 'busy', timestamp '2026-03-01 00:01' + m * interval '1 minute' FROM generate_series(1, 40000) AS m"
    )
    world.rows("ANALYZE public.timeline_data")
    with world.owner_connection() as conn:
        asked = {"event_id": SPRING, "event_ids": [SPRING], "event_nos": [world.event_row().event_no]}
        for query in ("timeline_head", "timeline_ends", "first_minute"):
            rows = conn.execute("EXPLAIN " + SQL[query], asked).fetchall()  # type: ignore[operator]
            assert "timestamp_idx" not in "\n".join(row["QUERY PLAN"] for row in rows), query
            assert datetime(2026, 3, 31, 23, 59) in conn.execute(SQL[query], asked).fetchone().values()  # type: ignore[union-attr,arg-type]
