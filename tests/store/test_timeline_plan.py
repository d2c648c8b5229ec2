"""Which months a timeline opens."""

import re
from datetime import datetime

import pytest
from world import SPRING, World

from hannun.store.reports import SQL


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        (datetime(2026, 3, 10), datetime(2026, 5, 1), {"2026_03", "2026_04"}),
        (datetime(2026, 5, 1), datetime(2026, 5, 2), {"2026_05"}),
    ],
)
def test_a_timeline_opens_the_months_of_its_range_alone(
    world: World, start: datetime, end: datetime, months: set[str]
) -> None:
    world.counts(
        world.created(), *(world.registered(f"p{month}", at=f"2026-{month:02}-15T00:00:00Z") for month in range(1, 11))
    )
    asked = {"event_ids": [SPRING], "from": start, "to": end, "first": start, "grain": 900, "starts": "{0}"}
    with world.looking() as conn:
        plan = conn.execute("EXPLAIN " + SQL["timeline_filled"], asked).fetchall()  # type: ignore[operator]
    opened = set(re.findall(r"timeline_data_(\d{4}_\d{2})", "\n".join(row["QUERY PLAN"] for row in plan)))
    assert opened == months
