"""Which events a round asks each channel for, and in which order."""

from datetime import timedelta

import pytest
from world import SPRING, World

from hannun.domain.budgets import Budget
from hannun.domain.rounds import POLL, SPACED_POLL, PlannedPiece
from hannun.flows.refresh.planning import Planner, PolledChannel, pieces, spaces_calls

PERIOD = timedelta(minutes=5)
SUMMER = "5b0c2f64-0000-4000-8000-000000000002"


def calls(units: int, window_s: float) -> list[Budget]:
    return [Budget(name="calls", scope="naverblog/app", units=units, window_s=window_s)]


@pytest.mark.parametrize(("window_s", "spaced"), [(5, True), (1_199, True), (1_200, False), (86_400, False)])
def test_a_budget_spaces_its_calls_where_its_window_is_shorter_than_four_periods(window_s: float, spaced: bool) -> None:
    assert spaces_calls(calls(1_000, window_s), PERIOD) is spaced


def test_a_channel_whose_budget_spaces_its_calls_has_pieces_of_its_own_kind() -> None:
    planned = pieces({"quick": [1], "slow": [2]}, active=[], spaced={"slow"})
    assert planned == [PlannedPiece(POLL, "quick", [1]), PlannedPiece(SPACED_POLL, "slow", [2])]


def planned_events(world: World, budgets: list[Budget]) -> list[str]:
    """The events in the order in which NaverBlog is asked for them."""
    planner = Planner({"naverblog": PolledChannel(0, budgets, 1)}, PERIOD)
    with world.database.transaction() as conn:
        numbers = [no for piece in planner(conn) if piece.channel == "naverblog" for no in piece.event_nos]
    ids = {row.event_no: row.event_id for row in world.rows("SELECT event_no, event_id FROM hannun.events")}
    return [ids[no] for no in numbers]


@pytest.fixture
def two_events(world: World) -> World:
    for event in (SPRING, SUMMER):
        world.count(world.created(event), world.distributed(event, channelName="NaverBlog"))
    return world


def polled(world: World, event: str, minutes_ago: int, *, moved: bool = False, failed: bool = False) -> None:
    """NaverBlog was asked for the event so many minutes ago. `moved`: it has measured an increment a minute ago."""
    world.rows(
        "INSERT INTO hannun.channel_measurements (event_no, channel_no, measured_at, polled_at)"
        " SELECT event_no, channel_no, CASE WHEN NOT %s THEN t END, t FROM hannun.events, hannun.channels,"
        " LATERAL (SELECT clock_timestamp()::timestamp - %s * interval '1 minute') AS at (t)"
        " WHERE event_id = %s AND key = 'naverblog' RETURNING event_no",
        failed,
        minutes_ago,
        event,
    )
    if moved:
        world.rows(
            "INSERT INTO hannun.increments (event_no, channel_no, minute, views)"
            " SELECT event_no, channel_no, date_trunc('minute', clock_timestamp()::timestamp - interval '1 minute'), 1"
            " FROM hannun.events, hannun.channels WHERE event_id = %s AND key = 'naverblog' RETURNING event_no",
            event,
        )


def test_the_event_that_was_asked_for_longest_ago_comes_first_also_after_a_failure(two_events: World) -> None:
    polled(two_events, SPRING, 10, failed=True)
    polled(two_events, SUMMER, 20)
    assert planned_events(two_events, []) == [SUMMER, SPRING]


def test_an_event_moves_where_the_channel_has_measured_an_increment(two_events: World) -> None:
    polled(two_events, SPRING, 15, moved=True)
    polled(two_events, SUMMER, 20)
    assert planned_events(two_events, []) == [SPRING, SUMMER]
    two_events.count(two_events.registered(event=SUMMER))
    assert planned_events(two_events, []) == [SPRING, SUMMER], "a registration tells nothing of the channel"


def test_an_overdue_event_comes_before_one_that_moves(two_events: World) -> None:
    polled(two_events, SPRING, 60, moved=True)
    polled(two_events, SUMMER, 100)
    a_call_in_half_an_hour = calls(1, 1_800)  # so all events take an hour
    assert planned_events(two_events, a_call_in_half_an_hour) == [SUMMER, SPRING]
