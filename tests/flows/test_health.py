"""A health report is quick, however slow a dependency is."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from faults import PostgresRequests, Proxy, RedisRequests
from psycopg.conninfo import make_conninfo
from world import World

from hannun.cache import Invalidator, RedisAddress
from hannun.flows import health_checks
from hannun.flows.health_checks import Health
from hannun.store.database import Database, PoolLimits

CHECK_S = 60.0
REPORT_S_MAX = 20.0


@contextmanager
def health_of(world: World, *, postgres: Proxy, valkey: Proxy) -> Iterator[Health]:
    database = Database(
        make_conninfo(world.url, host="127.0.0.1", port=postgres.port), PoolLimits(), application="test-health"
    )
    invalidator = Invalidator(RedisAddress(world.redis.host, valkey.port, world.redis.password, timeout_s=CHECK_S))
    try:
        yield Health(database, invalidator)
    finally:
        invalidator.close()
        database.close()


@pytest.fixture(autouse=True)
def lasting_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that hangs takes far longer than a report, and a report waits for a check on a loaded machine."""
    monkeypatch.setattr(health_checks, "CHECK_S_MAX", CHECK_S)
    monkeypatch.setattr(health_checks, "CHECK_WAIT_S", 1.0)


def report_of(health: Health) -> Any:
    """The health report; fails where it waits for a check that hangs."""
    started = time.monotonic()
    report = health.report()
    assert time.monotonic() - started < REPORT_S_MAX
    return report


def test_a_dependency_that_does_not_answer_delays_no_probe(world: World) -> None:
    with (
        Proxy(world.postgres.port, PostgresRequests) as postgres,
        Proxy(world.redis.port, RedisRequests) as valkey,
        health_of(world, postgres=postgres, valkey=valkey) as health,
    ):
        ready = {"status": "ready", "parts": {"postgresql": "ready", "redis": "ready"}}
        world.wait_for("all to be ready", lambda: report_of(health) == ready)
        valkey.hold("UNLINK")
        assert report_of(health)["status"] == "degraded"
        threads = threading.active_count()
        for _ in range(3):
            assert "no answer within" in report_of(health)["parts"]["redis"]
        assert threading.active_count() <= threads + 1, "a check that hangs is not started again"
        valkey.release()
        world.wait_for("Redis to answer", lambda: report_of(health)["status"] == "ready")
        postgres.hold("BEGIN")
        assert report_of(health)["status"] == "unavailable" and health.database_unavailable
        postgres.release()
        world.wait_for("PostgreSQL to answer", lambda: report_of(health)["status"] == "ready")
        assert not health.database_unavailable
        postgres.refuse()
        assert report_of(health)["status"] == "unavailable" and health.database_unavailable
        postgres.allow()
        world.wait_for("PostgreSQL to answer", lambda: health.check_postgres() == "ready")
