"""Health is told at once, however slow a neighbour is."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from faults import PostgresRequests, Proxy, RedisRequests
from psycopg.conninfo import make_conninfo
from world import World

from hannun.cache import Invalidator, RedisAddress
from hannun.flows.health_checks import CHECK_WAIT_S, Health
from hannun.store.database import Database, PoolLimits


@contextmanager
def health_of(world: World, *, postgres: Proxy, valkey: Proxy) -> Iterator[Health]:
    database = Database(
        make_conninfo(world.url, host="127.0.0.1", port=postgres.port), PoolLimits(), application="test-health"
    )
    invalidator = Invalidator(RedisAddress(world.redis.host, valkey.port, world.redis.password))
    try:
        yield Health(database, invalidator)
    finally:
        invalidator.close()
        database.close()


def told(health: Health) -> Any:
    """Its answer, which comes in time."""
    started = time.monotonic()
    answer = health.report()
    assert time.monotonic() - started < 2 * CHECK_WAIT_S + 0.5
    return answer


def test_a_neighbour_that_does_not_answer_makes_no_probe_wait(world: World) -> None:
    with (
        Proxy(world.postgres.port, PostgresRequests) as postgres,
        Proxy(world.redis.port, RedisRequests) as valkey,
        health_of(world, postgres=postgres, valkey=valkey) as health,
    ):
        assert told(health) == {"status": "ready", "parts": {"postgresql": "ready", "redis": "ready"}}
        valkey.hold("PING")
        assert told(health)["status"] == "degraded"
        threads = threading.active_count()
        for _ in range(3):
            assert "no answer within" in told(health)["parts"]["redis"]
        assert threading.active_count() <= threads + 1, "who hangs is not asked again and again"
        valkey.release()
        world.wait_for("Redis to answer", lambda: told(health)["status"] == "ready")
        postgres.hold("BEGIN")
        assert told(health)["status"] == "unavailable" and health.database_unavailable
        postgres.release()
        world.wait_for("PostgreSQL to answer", lambda: told(health)["status"] == "ready")
        assert not health.database_unavailable
        postgres.refuse()
        assert told(health)["status"] == "unavailable" and health.database_unavailable
        postgres.allow()
        world.wait_for("PostgreSQL to answer", lambda: health.check_postgres() == "ready")
