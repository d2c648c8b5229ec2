"""A swap keeps what channels measure between its comparison and its lock."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from world import SPRING, World, make_database

from hannun.embedded import PostgresServer, ValkeyServer
from hannun.flows.replay.swap import swap
from hannun.store.shadow import MARK, Shadow

SOMEBODY = "a0000000-0000-4000-8000-000000000001"


@pytest.fixture
def shadowed(postgres: PostgresServer, valkey: ValkeyServer, world: World) -> Iterator[World]:
    """A live database with measurements, beside a shadow that has counted the same messages."""
    name = f"{world.name}_shadow"
    make_database(postgres, name)
    messages = [world.created(SPRING), world.registered(SOMEBODY, SPRING)]
    world.count(*messages)
    with World(postgres, valkey, name) as shadow:
        shadow.count(*messages)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        conn.execute(f"COMMENT ON DATABASE {name} IS '{MARK}test'")
        yield world
        conn.execute(f"DROP DATABASE IF EXISTS {world.name}_before WITH (FORCE)")
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_what_is_measured_after_the_comparison_is_kept(shadowed: World) -> None:
    shadowed.measure(shadowed.measurement(views=100, at="2026-11-20 10:00"))
    # The logs are read by other tests: here they hold nothing more than the shadow has counted.
    replay: Any = SimpleNamespace(
        shadow=Shadow(shadowed.owner_url, shadowed.url), catch_up=lambda live: None, recount=SimpleNamespace(by="test")
    )

    def measure_before_the_lock(step: str) -> None:
        if step == "locking out the writers":
            shadowed.measure(shadowed.measurement(views=130, at="2026-11-20 10:05"))

    compared = swap(replay, measure_before_the_lock, lambda: None, accept=False)
    assert compared.found == []
    assert (shadowed.measured().views, shadowed.event_stats().total_views) == (130, 130)
    shadowed.measure(shadowed.measurement(views=131, at="2026-11-20 10:10"))
    assert shadowed.event_stats().total_views == 131
    assert shadowed.drift() == []
