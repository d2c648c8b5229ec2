"""Fixtures of the tests of flows."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from channel_rounds import Rounds, open_rounds
from examining import Scene, redis_client
from world import World

from hannun.cache import keys
from hannun.domain.partitions import month_after
from hannun.store import operation_runs
from hannun.store.database import connect
from hannun.store.partitions import create_months


@pytest.fixture(autouse=True)
def patient_health_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A health report waits longer for a dependency than a loaded machine stands still, and finds it ready."""
    monkeypatch.setattr("hannun.flows.health_checks.CHECK_WAIT_S", 5.0)


@pytest.fixture
def rounds(world: World, tmp_path: Path) -> Iterator[Rounds]:
    """Rounds of the refresh over simulated channels."""
    with open_rounds(world, tmp_path) as rounds:
        yield rounds


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    """A system with an event, months ahead, a backup and a drill."""
    world.rows(f"ALTER DATABASE {world.name} SET timezone = 'UTC'")  # a copy of a template has no settings
    world.count(world.created(), world.distributed(channelName="Instagram"), *(world.registered() for _ in range(3)))
    this_month = datetime.now(UTC).date().replace(day=1)
    with connect(world.url, application="test") as conn:
        create_months(conn, [month_after(this_month, ahead) for ahead in range(4)])
        for kind in ("backup-logical", "drill"):
            operation_runs.end(conn, operation_runs.begin(conn, kind, "a backup"), "succeeded")
    redis = redis_client(world)
    redis.execute_command("CONFIG RESETSTAT")  # type: ignore[no-untyped-call]
    redis.delete(keys.LOOKUPS)
    with ExitStack() as undo:
        undo.callback(redis.close)
        yield Scene(world, undo)
