"""`Scene`: the doctor over the servers of a test."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import redis
from world import World

from hannun.cache.server_statistics import ServerInspector
from hannun.domain.findings import CheckResult, Finding
from hannun.flows.doctor.examination import Examination
from hannun.flows.doctor.examined import Expected, Servers
from hannun.flows.doctor.registry import CHECKS
from hannun.kafka.address import KafkaAddress
from hannun.kafka.broker import Broker
from hannun.service_bus.inspection import QueueInspector
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.database import Database, PoolLimits, connected

PATIENT_S = 60.0
"""How long a check, and all of them, may take: a loaded machine is no finding. Only what hangs takes so long."""


@contextmanager
def examination(
    world: World,
    expected: Expected,
    *,
    url: str | None = None,
    bootstrap: str | None = None,
    redis_port: int | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    amounts: Amounts = WITHOUT_KEYS,
    queues: QueueInspector | None = None,
    reads_kafka: bool = True,
) -> Iterator[Examination]:
    """An examination of a world; `url` and `redis_port` are other ways to its servers."""
    limits = PoolLimits(wait_s=PATIENT_S, lock_wait_s=PATIENT_S, statement_s=PATIENT_S, answer_s=PATIENT_S)
    at = url or world.url

    def connect() -> None:
        with connected(at, application="test-doctor"):
            pass

    redis = ServerInspector(replace(world.redis, timeout_s=PATIENT_S, port=redis_port or world.redis.port))
    broker = (lambda: Broker(KafkaAddress(bootstrap))) if bootstrap else None
    try:
        yield Examination(
            Servers(
                lambda: Database(at, limits, application="test-doctor", amounts=amounts),
                connect,
                redis,
                broker,
                queues,
                reads_kafka,
            ),
            expected,
            now,
        )
    finally:
        redis.close()


def found(results: list[CheckResult]) -> Mapping[str, list[Finding]]:
    """The findings by check, of those that found something. Every other check is fine, skipped, or cannot be finished
    because Redis is away."""
    unfinished = {each.check: each.reason_text for each in results if each.state == "unfinished"}
    assert set(unfinished.values()) <= {"see redis"}, unfinished
    return {each.check: list(each.findings) for each in results if each.findings}


def run(examination: Examination, *names: str) -> list[CheckResult]:
    """The results of these checks, or of all."""
    checks = [CHECKS[name] for name in names] or list(CHECKS.values())
    return examination.run(checks, total_s_max=PATIENT_S, check_s_max=PATIENT_S)


@dataclass
class Scene:
    """A healthy system, and how the doctor reaches it. A trouble changes either."""

    world: World
    undo: ExitStack
    expected: Expected = field(default_factory=Expected)
    clock_ahead: timedelta = timedelta()
    redis_port: int | None = None
    bootstrap: str | None = None
    amounts: Amounts = WITHOUT_KEYS
    queues: QueueInspector | None = None

    def expect(self, **limits: object) -> None:
        self.expected = replace(self.expected, **limits)  # type: ignore[arg-type]

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead

    def examine(self, *names: str) -> dict[str, list[Finding]]:
        """The findings, by check. Every other check finds nothing, or is skipped."""
        with examination(
            self.world,
            self.expected,
            redis_port=self.redis_port,
            bootstrap=self.bootstrap,
            now=self.now,
            amounts=self.amounts,
            queues=self.queues,
        ) as prepared:
            return dict(found(run(prepared, *names)))


def redis_client(world: World) -> redis.Redis:
    """A client of a world's Redis, for what an operator does to it."""
    return redis.Redis(world.redis.host, world.redis.port, password=world.redis.password)
