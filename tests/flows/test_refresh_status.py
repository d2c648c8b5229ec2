"""What health and metrics say of the refresh: late rounds, open breakers, stale channels; else nothing."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from examining import examination
from faults import PostgresRequests, Proxy
from psycopg.conninfo import make_conninfo
from refresh_rounds import Round, age_rounds, ended_round
from world import SPRING, World, gauges

from hannun.domain.measurements import Outcome
from hannun.domain.refresh_status import STATES, pairs_by_state
from hannun.domain.rounds import REBUILD
from hannun.errors import StoreUnavailable
from hannun.flows import channel_breakers
from hannun.flows.doctor.examined import Expected
from hannun.flows.doctor.standing import HealthChecks
from hannun.flows.health_checks import Health
from hannun.flows.maintenance import update_refresh_gauges
from hannun.store.database import Database, PoolLimits
from hannun.telemetry import metrics

PERIOD = timedelta(minutes=5)
STALE_AFTER = 2 * PERIOD
OTHER = "5b0c2f64-0000-4000-8000-000000000002"


@contextmanager
def health_checks(world: World, watched_since: datetime | None = None) -> Iterator[HealthChecks]:
    """The checks of the health report, over a world whose months exist ahead."""
    with examination(world, Expected(months_ahead=-1)) as prepared:
        yield HealthChecks(replace(prepared, watched_since=watched_since))


def problems(world: World, watched_since: datetime | None = None) -> Mapping[str, str]:
    with health_checks(world, watched_since) as checks:
        checks.check()
        return checks.problems


def problem_series() -> set[tuple[str, ...]]:
    """The labels of the series of `hannun_health_problem`."""
    return {tuple(sample.labels.values()) for each in metrics.health_problem.collect() for sample in each.samples}


def measure(world: World, channel: str, ago: timedelta, event: str = SPRING) -> None:
    """A channel's first totals of an event, which were true so long ago."""
    at = world.measurement_counter.now() - ago
    (result,) = world.measure(world.measurement(channel, event, at=str(at), views=100))
    assert result.baseline


@pytest.fixture
def two_events(world: World) -> World:
    for event in (SPRING, OTHER):
        world.count(
            world.created(event),
            *(world.distributed(event, channelName=n, channelType="SNS") for n in ("Instagram", "NaverBlog")),
        )
    return world


def test_a_new_installation_is_ready_and_one_whose_first_round_never_ends_is_not(world: World) -> None:
    now = datetime.now(UTC)
    assert problems(world, now) == {}
    assert problems(world, now - 2 * PERIOD - timedelta(minutes=1)) == {
        "refresh": "no round of the refresh has ended for 11 minutes, and none runs: does a schedule run? "
        "(hannun doctor --only refresh)"
    }


def test_no_round_for_two_periods_degrades_and_the_next_end_makes_ready(world: World) -> None:
    ended_round(world)
    assert problems(world) == {}
    age_rounds(world, 2 * PERIOD)
    with health_checks(world) as checks:
        health = Health(world.database, world.invalidator, checks)
        assert health.report()["status"] == "ready", "nothing is known before the first check"
        checks.check()
        report = health.report()
        assert report["status"] == "degraded"
        assert problem_series() == {("refresh",)}, "the alerts read it"
        assert str(report["parts"]).count("no round of the refresh has ended for 10 minutes") == 1, report  # type: ignore[index]
        ended_round(world)
        checks.check()
        assert health.report()["status"] == "ready"
        assert problem_series() == set()


def test_what_was_found_last_stays_while_postgresql_is_away(world: World) -> None:
    ended_round(world)
    age_rounds(world, 3 * PERIOD)
    with Proxy(world.postgres.port, PostgresRequests) as postgres:
        url = make_conninfo(world.url, host="127.0.0.1", port=postgres.port)
        with examination(world, Expected(months_ahead=-1), url=url) as prepared:
            checks = HealthChecks(prepared)
            checks.check()
            found = dict(checks.problems)
            postgres.refuse()
            checks.check()
            assert checks.problems == found != {}


def test_a_breaker_that_is_open_degrades_while_rounds_ask_its_channel(world: World) -> None:
    ended_round(world, "instagram")
    with world.database.transaction() as conn:
        channel_breakers.hold_open(conn, "wooritv", "test")
    assert problems(world) == {}, "no round asks WooriTV"
    with world.database.transaction() as conn:
        channel_breakers.hold_open(conn, "instagram", "test")
    assert problems(world) == {
        "channels": "an operator holds the breaker of Instagram open: it is not called, and its figures grow old "
        "(hannun doctor --only channels)"
    }
    with world.database.transaction() as conn:
        channel_breakers.reset(conn, "instagram", "test")
    assert problems(world) == {}


def test_only_stale_measurements_of_a_channel_degrade_and_one_good_one_does_not(two_events: World) -> None:
    world = two_events
    ended_round(world, "instagram", "naverblog")
    assert problems(world) == {}, "nothing is measured yet"
    measure(world, "Instagram", STALE_AFTER + timedelta(minutes=1))
    world.measure(world.measurement("Instagram", at=str(world.measurement_counter.now()), failed="timeout"))
    assert "all 1 measurements of Instagram are stale" in problems(world)["channels"]
    measure(world, "Instagram", timedelta(0), OTHER)
    assert problems(world) == {}


def test_what_typed_totals_of_a_channel_that_no_round_asks_say_does_not_degrade(two_events: World) -> None:
    ended_round(two_events, "instagram")
    measure(two_events, "NaverBlog", timedelta(days=2))
    assert problems(two_events) == {}


def test_the_gauges_follow_the_newest_round_and_know_nothing_while_postgresql_is_away(two_events: World) -> None:
    world = two_events
    update = partial(update_refresh_gauges, world.database, STALE_AFTER)
    update()
    assert gauges("hannun_refresh_pieces_open") == {"": 0}
    assert math.isnan(gauges("hannun_refresh_last_end_timestamp_seconds")[""])
    measure(world, "Instagram", timedelta(minutes=3))
    measure(world, "Instagram", timedelta(minutes=1), OTHER)
    round_ = Round(world, "instagram", "naverblog")
    round_.finish(changed=1, breaker_open=1, calls=1)
    update()
    assert gauges("hannun_refresh_pieces_open") == {"": 2}
    pairs = {f'{{state="{state}"}}': 0.0 for state in STATES}
    assert gauges("hannun_refresh_pairs") == pairs | {'{state="measured"}': 1, '{state="skipped"}': 1}
    assert gauges("hannun_refresh_oldest_measurement_seconds")['{channel="Instagram"}'] >= 180
    round_.finish(failed=2)
    round_.finish(REBUILD)
    round_.end()
    update()
    assert gauges("hannun_refresh_pieces_open") == {"": 0}
    assert gauges("hannun_refresh_pairs")['{state="failed"}'] == 2
    (ended,) = world.rows("SELECT extract(epoch FROM ended_at)::float8 AS at FROM hannun.rounds")
    assert gauges("hannun_refresh_last_end_timestamp_seconds")[""] == pytest.approx(ended.at)

    away = Database("postgresql://127.0.0.1:1/nobody", PoolLimits(), application="test")
    with pytest.raises(StoreUnavailable):
        update_refresh_gauges(away, STALE_AFTER)
    assert gauges("hannun_refresh_pairs") == gauges("hannun_refresh_oldest_measurement_seconds") == {}
    assert math.isnan(gauges("hannun_refresh_pieces_open")[""])


def test_every_name_that_rounds_count_is_one_state_or_no_pair() -> None:
    for outcome in (*Outcome, "over-quota", "over-budget", "breaker-open", "too-late", "skipped"):
        assert sum(pairs_by_state({outcome: 3}).values()) == 3, outcome
    assert sum(pairs_by_state({"calls": 9, "rebuilt": 9, "overdue": 1}).values()) == 0
