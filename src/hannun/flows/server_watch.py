"""What `hannun watch` shows of the servers: counting, sizes, slow queries, Redis. It reads and changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from hannun.cache.server_statistics import ServerStatistics, SlowCommand
from hannun.domain.operation_runs import Success
from hannun.domain.partitions import count_months_ahead
from hannun.domain.positions import Partition
from hannun.domain.refresh_status import RefreshStatus
from hannun.store import database_statistics, operation_runs, partitions, positions
from hannun.store.database import Connection, Database
from hannun.store.database_statistics import Counting, IndexSize, SlowQueries, TableSize
from hannun.store.positions import Position

if TYPE_CHECKING:
    from hannun.kafka.broker import Broker

INDEXES_MAX = 200
QUERIES_SHOWN = 10
SLOW_COMMANDS_SHOWN = 10


class Months(NamedTuple):
    """The timeline's months by state; `ahead` counts those after the current one, up to the first without."""

    attached: Sequence[date]
    detached: Sequence[date]
    ahead: int


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """What PostgreSQL says of counting and of itself."""

    counting: Counting
    positions: Sequence[Position]
    dead_letters_open: int
    months: Months
    operations: Mapping[str, Success]
    database_bytes: int
    tables: Sequence[TableSize]
    indexes: Sequence[IndexSize]
    slowest: SlowQueries


@dataclass(frozen=True, slots=True)
class RedisView:
    """What Redis says of itself."""

    statistics: ServerStatistics
    slow: Sequence[SlowCommand]
    consistent: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class OperationsNow:
    """What the page for operators shows: the newest readings, and those before them, which rates need.

    `redis` and `lag` are None where they could not be read; `unreachable` says why, by the server's name.
    """

    refresh: RefreshStatus
    database: DatabaseView
    database_before: DatabaseView | None
    redis: RedisView | None
    redis_before: RedisView | None
    lag: Mapping[Partition, int] | None
    unreachable: Mapping[str, str]


class _Inspects(Protocol):
    """Reads figures of a Redis server (`cache.server_statistics`)."""

    def statistics(self) -> ServerStatistics: ...

    def recorded_consistency(self) -> Mapping[float, float]: ...

    def slow_commands(self, limit: int) -> Sequence[SlowCommand]: ...


def read_database(conn: Connection) -> DatabaseView:
    """The database now."""
    counting = database_statistics.counting(conn)
    return DatabaseView(
        counting,
        positions.list_positions(conn),
        database_statistics.open_dead_letters(conn),
        _months(conn, counting.now.date()),
        operation_runs.newest_successes(conn),
        database_statistics.database_bytes(conn),
        database_statistics.table_sizes(conn),
        database_statistics.index_sizes(conn, INDEXES_MAX),
        database_statistics.slowest_queries(conn, QUERIES_SHOWN),
    )


def _months(conn: Connection, today: date) -> Months:
    states = partitions.month_states(conn)
    attached = [month for month, state in states.items() if state == "attached"]
    detached = [month for month, state in states.items() if state != "attached"]
    return Months(attached, detached, count_months_ahead(attached, today))


def read_redis(inspector: _Inspects) -> RedisView:
    """Redis now.

    Raises:
        RedisUnavailable: it does not answer, or refuses a command.
    """
    return RedisView(
        inspector.statistics(), inspector.slow_commands(SLOW_COMMANDS_SHOWN), inspector.recorded_consistency()
    )


def rate(now: Counting, before: Counting | None, figure: Literal["offsets", "ledger_rows"]) -> float | None:
    """How fast a figure rises, a second; None before the second reading and where it fell."""
    if before is None:
        return None
    seconds = (now.now - before.now).total_seconds()
    risen: int = getattr(now, figure) - getattr(before, figure)
    return risen / seconds if seconds > 0 and risen >= 0 else None


def recent_hit_ratio(now: ServerStatistics, before: ServerStatistics | None) -> float | None:
    """The share of key look-ups since the reading before that found a key; None where there were none."""
    if before is None:
        return None
    hits, misses = now.hits - before.hits, now.misses - before.misses
    return hits / (hits + misses) if hits >= 0 and misses >= 0 and hits + misses > 0 else None


def read_lag(database: Database, broker: "Broker") -> dict[Partition, int]:
    """The offsets that are not counted yet, of each partition that was ever counted and that a broker reports.

    Raises:
        StoreUnavailable: PostgreSQL is away.
        KafkaUnavailable: no broker answers.
    """
    known = database.run(lambda conn: [(each.topic, each.partition) for each in positions.list_positions(conn)])
    at = database.run(lambda conn: positions.known_positions(conn, known))
    logs = broker.partition_logs(known, allow_missing=True)
    return {partition: log.not_counted(at.get(partition)) for partition, log in logs.items()}
