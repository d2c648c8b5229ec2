"""`examine`: the doctor over the servers of a test."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from world import World

from hannun.cache.server_statistics import ServerInspector
from hannun.domain.findings import CheckResult, Finding
from hannun.flows.doctor.examination import Examination
from hannun.flows.doctor.examined import CHECK_S_MAX, Expected, Servers
from hannun.flows.doctor.registry import CHECKS
from hannun.kafka.broker import Broker
from hannun.store.database import Database, PoolLimits, connected


@contextmanager
def examination(
    world: World,
    expected: Expected,
    *,
    url: str | None = None,
    bootstrap: str | None = None,
    redis_port: int | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Examination]:
    """An examination of a world; `url` and `redis_port` are other ways to its servers."""
    limits = PoolLimits(lock_wait_s=CHECK_S_MAX, statement_s=CHECK_S_MAX, answer_s=CHECK_S_MAX)
    at = url or world.url

    def connect() -> None:
        with connected(at, application="test-doctor"):
            pass

    redis = ServerInspector(replace(world.redis, timeout_s=1.0, port=redis_port or world.redis.port))
    broker = (lambda: Broker(bootstrap)) if bootstrap else None
    try:
        yield Examination(
            Servers(lambda: Database(at, limits, application="test-doctor"), connect, redis, broker), expected, now
        )
    finally:
        redis.close()


def found(results: list[CheckResult]) -> Mapping[str, list[Finding]]:
    """The findings by check, of those that found something. Every other check is fine, or skipped."""
    unfinished = [f"{each.check}: {each.reason}" for each in results if each.state == "unfinished"]
    assert not unfinished, unfinished
    return {each.check: list(each.findings) for each in results if each.findings}


def run(examination: Examination, *names: str) -> list[CheckResult]:
    """The results of these checks, or of all."""
    return examination.run([CHECKS[name] for name in names] or list(CHECKS.values()))
