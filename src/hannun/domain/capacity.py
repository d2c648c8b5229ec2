"""What a load needs: pods, cores, memory, partitions, storage and connections, from what was measured.

Every figure of the service is a named constant with the section of docs/performance.md that measured it. Where nothing
was measured, the constant is an assumption and says so. The result is an upper bound for the busiest second. What users
cost is the larger of two: every page is open on an event that changes each second, if anything changes at all; or users
read as people do, each page its own event and its own range.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

GIB: Final = 2**30

# docs/performance.md, "Counting"
LEDGER_BYTES: Final = 104.3
"""A participant in the ledger, with its index."""
INGEST_US: Final = (11, 54)
"""Processor of `ingest` a message, with 100 and with 10,000 events."""
POSTGRES_US: Final = (5, 41)
"""Processor of PostgreSQL a message, likewise."""
FULL_LEDGER: Final = 23 / 12.6
"""How much more a message costs PostgreSQL where `shared_buffers` do not hold the index of the ledger."""
WAL_BYTES: Final = 3_000
"""WAL a message in the worst case: its pages are written in full, once after each checkpoint."""
# docs/performance.md, "Cached answers" and "Uncached answers"
CACHED_US: Final = 106
"""Processor of `serve` for an answer from Redis."""
MISS_US: Final = (2_900, 500)
"""Processor of `serve` and of PostgreSQL for an answer that is in no cache."""
MERCHANT_US: Final = (6_200, 15_500)
"""The same for a merchant with 1,000 events."""
ROLLUP_US: Final = 2_500
ROLLUP_PERIOD_S: Final = 20
ROLLUP_SHARE_MAX: Final = 0.25
"""The roll-up: processor of PostgreSQL for each changed event a round, and the share of the time that it ends after."""
# docs/performance.md, "Pages that wait for changes" and "Watching"
NOTIFY_US: Final = 60_000 / 5_000
STREAM_BYTES: Final = 4_000
STREAM_CORES: Final = 0.023 / 10_000
FRAMEWORK_US: Final = 735
# docs/performance.md, "Measuring channels"
CALL_US: Final = (1_030, 100)
"""Processor of `schedule` and of PostgreSQL for one call of a channel."""
# docs/performance.md, "An open page"
PAGE_REQUESTS: Final = 11
# docs/performance.md, "Users at the same time"
READER_US: Final = (405, 163)
"""Processor of `serve` and of PostgreSQL a second for a user who reads as people do."""
# docs/performance.md, "Backup and drill"
DUMP_BYTES: Final = 23.8
# docs/performance.md, "Bytes of the timeline"
MINUTE_BYTES: Final = 203.3
QUARTER_BYTES: Final = 144.7

# How the service works
PAGE_ANSWERS: Final = 3
"""Answers that a page reads again after a change, at most once a second."""
CHANNELS: Final = 6
REFRESH_PERIOD_S: Final = 300
"""HANNUN_REFRESH_AT by default."""
POOL_SIZE: Final = 20
"""HANNUN_POOL_SIZE_MAX by default."""
TOPICS: Final = 5
DUMPS_KEPT: Final = 11
"""HANNUN_BACKUP_DAILY_KEPT and HANNUN_BACKUP_WEEKLY_KEPT by default."""

# Assumed, not measured
PAGE_OPENED_EVERY_S: Final = 300
CACHE_BYTES: Final = 64_000
"""The cached answers of an event."""
SYSTEM_GIB: Final = 4
"""What PostgreSQL has besides our rows: its catalog, WAL between two checkpoints, logs."""
GROWTH: Final = 1.3
"""Room for bloat and for the days until somebody reacts to a full disk."""
PITR_DAYS: Final = 7
UNIT_MESSAGES: Final = 1_000
"""Messages a second of a throughput unit of Event Hubs."""
NODE_USABLE: Final = 0.8
"""The share of a node's cores that the system leaves to pods."""

SERVER_VCORES: Final = (2, 4, 8, 16, 32, 48, 64, 96)
PARTITIONS_MAX: Final = 32
SERVE_PODS_MAX: Final = 12
MEASURED_EVENTS_MAX: Final = 10_000
STORAGE_GIB_MIN: Final = 32
STORAGE_GIB_MAX: Final = 32_768

USERS_MAX: Final = 1_000_000
EVENTS_MAX: Final = 1_000_000
PARTICIPANTS_MAX: Final = 1_000_000_000
DAYS_MAX: Final = 3_660
PEAK_MAX: Final = 1_000


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in and who reads it.

    Args:
        users: with a page open, at the same time.
        events: that run at the same time.
        participants_a_day: of all events.
        days_kept: how long the ledger and the timeline are kept.
        peak: how many times the mean rate the busiest second has.
    """

    users: int
    events: int
    participants_a_day: int
    days_kept: int = 365
    peak: int = 10

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: a number is out of its bounds.
        """
        for name, (least, most) in LOAD_BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} {value} is not within {least} and {most}")

    @property
    def messages_a_second(self) -> float:
        """Registrations in the busiest second."""
        return self.participants_a_day * self.peak / 86_400


LOAD_BOUNDS: Final = {
    "users": (0, USERS_MAX),
    "events": (0, EVENTS_MAX),
    "participants_a_day": (0, PARTICIPANTS_MAX),
    "days_kept": (1, DAYS_MAX),
    "peak": (1, PEAK_MAX),
}


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of one process; cores and memory are what each requests."""

    pods: int
    cores: float
    memory_mib: int


@dataclass(frozen=True, slots=True)
class BusyCores:
    """Cores that are busy in the busiest second, of each process and of PostgreSQL."""

    serve: float
    ingest: float
    schedule: float
    postgres: float


@dataclass(frozen=True, slots=True)
class Storage:
    """What lies on disks, in GiB."""

    ledger: float
    timeline: float
    provisioned: int
    wal_a_day: float
    dumps: float
    backups_beyond: float
    """Backups for point-in-time recovery, beyond what the server's own storage includes."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """What one environment needs for a load."""

    busy: BusyCores
    serve: Pods
    ingest: Pods
    schedule: Pods
    postgres_vcores: int
    postgres_memory_gib: int
    redundant: bool
    """Two PostgreSQL and two Redis, in two zones."""
    redis_gib: float
    partitions: int
    """Of each topic."""
    event_hubs_units: int
    connections: int
    storage: Storage
    warnings: tuple[str, ...]

    @property
    def pod_cores(self) -> float:
        return sum(each.pods * each.cores for each in (self.serve, self.ingest, self.schedule))


@dataclass(frozen=True, slots=True)
class _Rules:
    """What an environment has at least, and how busy it may be."""

    busy_share: float
    pods_min: tuple[int, int, int]  # serve, ingest, schedule
    cores: tuple[float, float, float]
    memory_mib: tuple[int, int, int]
    vcores_min: int
    redundant: bool


# The least pods, cores and memory are those of deploy/helm/hannun/values-*.yaml.
_RULES: Final = {
    Environment.DEVELOPMENT: _Rules(0.7, (1, 1, 1), (0.25, 0.25, 0.1), (384, 384, 256), 1, redundant=False),
    Environment.PRODUCTION: _Rules(0.5, (3, 2, 2), (1, 0.5, 0.1), (768, 512, 256), 2, redundant=True),
}


def busy_cores(load: Load) -> BusyCores:
    """The cores that a load keeps busy, before any reserve."""
    peak = load.messages_a_second
    read_again = load.users * min(1.0, peak)
    opened = load.users / PAGE_OPENED_EVERY_S
    misses = min(load.users, load.events, peak) * PAGE_ANSWERS
    calls = load.events * CHANNELS / REFRESH_PERIOD_S
    serve_us = max(
        read_again * (PAGE_ANSWERS * CACHED_US + NOTIFY_US)
        + misses * MISS_US[0]
        + opened * (PAGE_REQUESTS * FRAMEWORK_US + MERCHANT_US[0]),
        load.users * READER_US[0],
    )
    postgres_us = (
        peak * _us_a_message(POSTGRES_US, load.events) * FULL_LEDGER
        + max(misses * MISS_US[1] + opened * MERCHANT_US[1], load.users * READER_US[1])
        + calls * CALL_US[1]
    )
    rollup = min(load.events * ROLLUP_US / 1e6 / ROLLUP_PERIOD_S, ROLLUP_SHARE_MAX)
    return BusyCores(
        serve=serve_us / 1e6 + load.users * STREAM_CORES,
        ingest=peak * _us_a_message(INGEST_US, load.events) / 1e6,
        schedule=calls * CALL_US[0] / 1e6,
        postgres=postgres_us / 1e6 + rollup,
    )


def size(load: Load, environment: Environment) -> Sizing:
    """What an environment needs for a load."""
    rules, busy = _RULES[environment], busy_cores(load)
    serve, ingest, schedule = (
        _pods(cores, rules, index) for index, cores in enumerate((busy.serve, busy.ingest, busy.schedule))
    )
    serve = Pods(serve.pods, serve.cores, serve.memory_mib + math.ceil(load.users * STREAM_BYTES / serve.pods / 2**20))
    vcores = _server_vcores(busy.postgres / rules.busy_share, rules.vcores_min)
    pods = serve.pods + ingest.pods + schedule.pods
    storage = _storage(load)
    return Sizing(
        busy,
        serve,
        ingest,
        schedule,
        postgres_vcores=vcores,
        postgres_memory_gib=2 if vcores == 1 else 4 * vcores,
        redundant=rules.redundant,
        redis_gib=max(0.5, math.ceil(load.events * CACHE_BYTES * 2 / GIB) / 2),
        partitions=max(4, 2 * ingest.pods),
        event_hubs_units=max(1, math.ceil(load.messages_a_second / UNIT_MESSAGES)),
        connections=pods * POOL_SIZE,
        storage=storage,
        warnings=tuple(_warnings(load, serve, ingest, vcores, storage)),
    )


def _us_a_message(measured: tuple[int, int], events: int) -> float:
    """Between 100 and 10,000 events on a straight line, outside of them as at the nearer end."""
    share = (min(max(events, 100), MEASURED_EVENTS_MAX) - 100) / (MEASURED_EVENTS_MAX - 100)
    return measured[0] + (measured[1] - measured[0]) * share


def _pods(busy: float, rules: _Rules, index: int) -> Pods:
    """A process of Python uses one core at most, so a pod is busy up to `busy_share` of one."""
    pods = max(rules.pods_min[index], math.ceil(busy / rules.busy_share))
    cores = max(rules.cores[index], math.ceil(busy / pods * 20) / 20)
    return Pods(pods, cores, rules.memory_mib[index])


def _server_vcores(needed: float, least: int) -> int:
    """The smallest server that is enough; where none is, what is needed."""
    sizes = (1, *SERVER_VCORES) if least == 1 else SERVER_VCORES
    return next((vcores for vcores in sizes if vcores >= max(needed, least)), math.ceil(needed))


def _storage(load: Load) -> Storage:
    participants = load.participants_a_day * load.days_kept
    minutes = min(load.participants_a_day, load.events * 1_440) * load.days_kept
    quarters = min(load.participants_a_day, load.events * 96) * load.days_kept
    ledger = participants * LEDGER_BYTES / GIB
    timeline = (minutes * MINUTE_BYTES + quarters * QUARTER_BYTES) / GIB
    rows = ledger + timeline
    needed = rows * GROWTH + SYSTEM_GIB
    provisioned = max(STORAGE_GIB_MIN, 2 ** math.ceil(math.log2(needed)))
    wal_a_day = load.participants_a_day * WAL_BYTES / GIB
    return Storage(
        ledger,
        timeline,
        provisioned,
        wal_a_day,
        dumps=participants * DUMP_BYTES * DUMPS_KEPT / GIB,
        backups_beyond=max(0.0, rows + PITR_DAYS * wal_a_day - provisioned),
    )


def _warnings(load: Load, serve: Pods, ingest: Pods, vcores: int, storage: Storage) -> list[str]:
    found = []
    if load.events > MEASURED_EVENTS_MAX:
        found.append(f"nothing was measured with more than {MEASURED_EVENTS_MAX:,} events")
    if serve.pods > SERVE_PODS_MAX:
        found.append(f"the chart starts {SERVE_PODS_MAX} `serve` at most: raise serve.replicas.max")
    if 2 * ingest.pods > PARTITIONS_MAX:
        found.append(f"Event Hubs Standard has {PARTITIONS_MAX} partitions a topic at most")
    if vcores > SERVER_VCORES[-1] or storage.provisioned > STORAGE_GIB_MAX:
        found.append("no single PostgreSQL is large enough: see decision 0026")
    return found
