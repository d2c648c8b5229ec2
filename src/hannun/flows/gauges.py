"""Sets the gauges of what only a server knows: sizes, partitions ahead, operations on record, Redis's memory.

Each is one function, run once; `processes.jobs` says how often. While the server is away a gauge has no value.
"""

import math
from datetime import UTC, date
from typing import Protocol

from hannun.cache.server_statistics import ServerStatistics
from hannun.domain.partitions import count_months_ahead
from hannun.errors import RedisUnavailable, StoreUnavailable
from hannun.store import database_statistics, operation_runs, partitions, wal_slots
from hannun.store.database import Connection, Database
from hannun.telemetry import metrics, replace_series


def update_database_gauges(database: Database, today: date) -> None:
    """Set the gauges of sizes, of the timeline's months, of dead letters and of operations.

    Raises:
        StoreUnavailable: PostgreSQL is away; the gauges then show no value, or not a number.
    """
    try:
        with database.transaction() as conn:
            _set_sizes(conn)
            _set_operations(conn)
            metrics.months_ahead.set(count_months_ahead(partitions.existing_months(conn), today))
            metrics.dead_letters_open.set(database_statistics.open_dead_letters(conn))
            metrics.log_archive_slot.set(bool(wal_slots.state(conn, wal_slots.ARCHIVE).status))
    except StoreUnavailable:
        _clear_database_gauges()
        raise


def _set_sizes(conn: Connection) -> None:
    sizes = database_statistics.table_sizes(conn)
    series: dict[tuple[str, ...], float] = {}
    for each in sizes:
        series[each.name, "table"] = each.bytes
        series[each.name, "indexes"] = each.index_bytes
    replace_series(metrics.relation_bytes, series)
    metrics.database_bytes.set(database_statistics.database_bytes(conn))


def _set_operations(conn: Connection) -> None:
    ended: dict[tuple[str, ...], float] = {}
    seconds: dict[tuple[str, ...], float] = {}
    sizes: dict[tuple[str, ...], float] = {}
    for kind, each in operation_runs.newest_successes(conn).items():
        ended[kind,] = each.ended_at.replace(tzinfo=UTC).timestamp()
        seconds[kind,] = each.seconds
        if each.size_bytes is not None:
            sizes[kind,] = each.size_bytes
    replace_series(metrics.operation_last_success, ended)
    replace_series(metrics.operation_last_seconds, seconds)
    replace_series(metrics.operation_last_bytes, sizes)
    drift = operation_runs.newest_drift(conn)
    metrics.drift.set(math.nan if drift is None else drift)


def _clear_database_gauges() -> None:
    for labelled in (
        metrics.relation_bytes,
        metrics.operation_last_success,
        metrics.operation_last_seconds,
        metrics.operation_last_bytes,
    ):
        replace_series(labelled, {})
    for single in (
        metrics.database_bytes,
        metrics.months_ahead,
        metrics.dead_letters_open,
        metrics.log_archive_slot,
        metrics.drift,
    ):
        single.set(math.nan)


class _Inspects(Protocol):
    """Reads the figures of a Redis server (`cache.server_statistics`)."""

    def statistics(self) -> ServerStatistics: ...


def update_redis_gauges(inspector: _Inspects) -> None:
    """Set the gauges of Redis.

    Raises:
        RedisUnavailable: Redis is away; the gauges are then not a number.
    """
    gauges = (metrics.redis_used_bytes, metrics.redis_max_bytes, metrics.redis_evicted_keys, metrics.redis_hit_ratio)
    try:
        found = inspector.statistics()
    except RedisUnavailable:
        for gauge in gauges:
            gauge.set(math.nan)
        raise
    ratio = math.nan if found.hit_ratio is None else found.hit_ratio
    for gauge, value in zip(gauges, (found.used_bytes, found.max_bytes, found.evicted_keys, ratio), strict=True):
        gauge.set(value)
