"""What channels have measured is in no log: it is copied to the shadow, with every aggregate that follows from it."""

from collections.abc import Iterator

import psycopg
import pytest
from world import SPRING, World, make_database

from hannun.domain.measurements import PieceResult
from hannun.domain.replay import Replayed
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.store.carry_over import carry_over
from hannun.store.database import connected
from hannun.store.measurement_copy import copy_measurements
from hannun.store.shadow_comparison import PARTS, digests

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
PEOPLE = [f"a0000000-0000-4000-8000-00000000000{number}" for number in range(3)]
"""UUIDs: other ids are hashed with a key of the database."""


@pytest.fixture
def shadow(postgres: PostgresServer, valkey: ValkeyServer, world: World) -> Iterator[World]:
    """A second database that has counted the same messages, in another order: its numbers differ."""
    name = f"{world.name}_shadow"
    make_database(postgres, name)
    with World(postgres, valkey, name) as other:
        yield other
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def both(world: World, shadow: World) -> tuple[World, World]:
    """A live database with measurements, and its shadow without."""
    messages = [
        world.created(SPRING),
        world.created(SUMMER),
        world.distributed(SPRING, channel="Radio", channelType="TV"),
        world.registered(PEOPLE[0], SPRING, at="2026-11-20T10:00:30Z", channel="NAVER"),
    ]
    world.count(*messages)
    for message in reversed(messages):
        shadow.count(message)
    measure(world, minute=0, views=(100, 7, 40))
    measure(world, minute=5, views=(90, 9, 40))
    measure(world, minute=10, views=(91, 12, 50))
    world.measure(world.measurement("Instagram", failed="timeout"))
    assert world.event_stats().total_views == 103
    return world, shadow


def measure(world: World, minute: int, views: tuple[int, int, int]) -> None:
    at = f"2026-11-20 10:{minute:02}"
    world.measure(
        world.measurement("NaverBlog", SPRING, views=views[0], likes=3, clicks=2, at=at),
        world.measurement("Radio", SPRING, views=views[1], conversions=minute, at=at),
        world.measurement(
            "RingoBiz", SUMMER, views=views[2], total_calls=5, completed_calls=2, average_duration=9, at=at
        ),
    )


def copy(live: World, shadow: World, *event_ids: str) -> None:
    with connected(live.owner_url, application="test") as one, connected(shadow.owner_url, application="test") as other:
        copy_measurements(one, other, event_ids or None)


def different_parts(live: World, shadow: World) -> set[str]:
    """The parts of the comparison in which the two databases differ."""
    with connected(live.owner_url, application="test") as one, connected(shadow.owner_url, application="test") as other:
        return {part for part in PARTS if digests(one, part) != digests(other, part)}


def test_after_the_copy_nothing_differs_and_nothing_drifts(both: tuple[World, World]) -> None:
    live, shadow = both
    assert different_parts(live, shadow) == {"measures", "event_stats", "channel_stats", "timeline_data"}
    copy(live, shadow)
    assert different_parts(live, shadow) == set()
    assert shadow.measured("Instagram").refused == "timeout"
    assert shadow.drift() == []


def test_the_copy_is_repeated_for_events_that_were_measured_meanwhile(both: tuple[World, World]) -> None:
    live, shadow = both
    copy(live, shadow)
    assert shadow.drift() == [], "and its roll-up is written"
    measure(live, minute=15, views=(95, 12, 60))
    live.measure(live.measurement("NaverBlog", SPRING, views=96, at="2026-12-01 10:00"))
    assert different_parts(live, shadow) != set()
    for _ in range(2):
        copy(live, shadow, SPRING, SUMMER)
        assert different_parts(live, shadow) == set()
        assert shadow.drift() == []


def test_counting_goes_on_in_the_shadow_where_the_live_database_stood(both: tuple[World, World]) -> None:
    live, shadow = both
    copy(live, shadow)
    measure(shadow, minute=20, views=(80, 12, 70))
    measure(shadow, minute=25, views=(80, 13, 70))
    assert (shadow.event_stats().total_views, shadow.event_stats(SUMMER).total_views) == (93, 70)
    numbers = [row.correction_no for row in shadow.rows("SELECT correction_no FROM hannun.corrections ORDER BY 1")]
    assert numbers == sorted(set(numbers)) and len(numbers) == 2
    assert shadow.drift() == []


def test_what_the_shadow_has_counted_itself_stays(both: tuple[World, World]) -> None:
    live, shadow = both
    at = "2026-11-20T10:05:10Z"  # a minute in which a channel was measured, and one in which none was
    for world in (live, shadow):
        world.count(
            world.registered(PEOPLE[1], SPRING, at=at), world.registered(PEOPLE[2], SPRING, at="2026-11-20T11:00:00Z")
        )
    copy(live, shadow)
    copy(live, shadow)
    assert different_parts(live, shadow) == set()
    assert shadow.drift() == []


def test_measurements_of_an_event_that_the_shadow_lacks_are_reported_as_different(both: tuple[World, World]) -> None:
    live, shadow = both
    live.count(live.created("event-3"))
    live.measurement_counter.record([PieceResult(None, [live.measurement(event="event-3", views=5)])])
    copy(live, shadow)
    assert "measures" in different_parts(live, shadow)
    assert shadow.drift() == []


def test_breakers_and_budgets_are_carried_over_also_again(both: tuple[World, World]) -> None:
    live, shadow = both
    live.rows("INSERT INTO hannun.channel_breakers VALUES ('naverblog', 3, 'open', '2026-11-20', '{\"trials\": 1}')")
    live.rows("INSERT INTO hannun.channel_outages VALUES ('naverblog', '2026-11-20', NULL, 'failures')")
    live.rows("INSERT INTO hannun.channel_budgets VALUES ('app', 'day', '2026-11-20', 70, NULL, '2026-11-21')")
    for units in (70, 80):
        live.rows(f"UPDATE hannun.channel_budgets SET units = {units}")
        with (
            connected(live.owner_url, application="test") as one,
            connected(shadow.owner_url, application="test") as other,
        ):
            carry_over(one, other, Replayed({}), "test")
        for table in ("channel_breakers", "channel_outages", "channel_budgets"):
            assert shadow.rows(f"SELECT * FROM hannun.{table}") == live.rows(f"SELECT * FROM hannun.{table}")
