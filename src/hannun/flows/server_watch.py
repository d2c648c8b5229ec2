"""What `hannun watch` shows of the servers: counting, sizes, slow queries, Redis. It reads and changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from hannun.cache.server_statistics import ServerStatistics, SlowCommand
from hannun.domain.operation_runs import Success
from hannun.domain.partitions import count_months_ahead
from hannun.domain.positions import Partition
from hannun.kafka.broker import Broker
from hannun.store import database_statistics, operation_runs, partitions, positions
from hannun.store.database import Connection, Database
from hannun.store.database_statistics import Counting, IndexSize, SlowQueries, TableSize

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


class _Inspects(Protocol):
    """Reads figures of a Redis server (`cache.server_statistics`)."""

    def statistics(self) -> ServerStatistics: ...

    def slow_commands(self, limit: int) -> Sequence[SlowCommand]: ...


def read_database(conn: Connection) -> DatabaseView:
    """The database now."""
    counting = database_statistics.counting(conn)
    return DatabaseView(
        counting,
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
    return RedisView(inspector.statistics(), inspector.slow_commands(SLOW_COMMANDS_SHOWN))


def read_lag(database: Database, broker: Broker) -> dict[Partition, int]:
    """The offsets that are not counted yet, of each partition that was ever counted and that a broker reports.

    Raises:
        StoreUnavailable: PostgreSQL is away.
        KafkaUnavailable: no broker answers.
    """
    known = database.run(lambda conn: [(each.topic, each.partition) for each in positions.list_positions(conn)])
    at = database.run(lambda conn: positions.known_positions(conn, known))
    logs = broker.partition_logs(known, allow_missing=True)
    return {partition: log.not_counted(at.get(partition)) for partition, log in logs.items()}
