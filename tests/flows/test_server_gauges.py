"""The gauges of sizes, months ahead, operations on record, Redis's memory, pools and the cache."""

import asyncio
import math
from datetime import UTC, date, datetime

import pytest
from world import World, gauges

from hannun.cache import AnswerCache, RedisAddress
from hannun.cache.server_statistics import ServerInspector
from hannun.domain.partitions import count_months_ahead, month_after
from hannun.errors import RedisUnavailable, StoreUnavailable
from hannun.flows.gauges import update_database_gauges, update_redis_gauges
from hannun.store import database_statistics, operation_runs
from hannun.store.database import Database, PoolLimits, ReadPool

NOWHERE = "postgresql://127.0.0.1:1/nobody"


def today(world: World) -> date:
    return world.measurement_counter.now().date()


def test_a_partitioned_table_is_the_sum_of_its_partitions(world: World) -> None:
    world.count(world.created(), world.registered())
    with world.database.transaction() as conn:
        sizes = {each.name: each for each in database_statistics.table_sizes(conn)}
    of_partitions = world.rows(
        "SELECT sum(pg_table_size(inhrelid)) AS bytes, sum(pg_indexes_size(inhrelid)) AS index_bytes, count(*) AS n "
        "FROM pg_inherits WHERE inhparent = 'public.timeline_data'::regclass"
    )[0]
    timeline = sizes["timeline_data"]
    assert (timeline.bytes, timeline.index_bytes, timeline.partitions) == (
        of_partitions.bytes,
        of_partitions.index_bytes,
        of_partitions.n,
    )
    assert not [name for name in sizes if name.startswith("timeline_data_")]
    assert list(sizes.values()) == sorted(sizes.values(), key=lambda each: -(each.bytes + each.index_bytes))


def test_detached_months_are_one_table_so_that_the_series_are_bounded(world: World) -> None:
    with world.owner_connection() as owner:
        owner.execute("CREATE TABLE timeline_data_1999_01 (LIKE timeline_data)")
        owner.execute("CREATE TABLE timeline_data_1999_02 (LIKE timeline_data)")
    with world.database.transaction() as conn:
        names = [each.name for each in database_statistics.table_sizes(conn)]
    assert names.count("timeline_data, detached months") == 1
    assert not [name for name in names if "1999" in name]


def test_the_gauges_of_the_database_show_sizes_months_and_operations(world: World) -> None:
    world.count(world.created(), world.registered())
    with world.database.transaction() as conn:
        run = operation_runs.begin(conn, "backup-logical", "20261127T180000Z")
        operation_runs.end(conn, run, "succeeded", size_bytes=4096)
        operation_runs.end(conn, operation_runs.begin(conn, "drill"), "failed")
        run = operation_runs.begin(conn, "reconcile")
        operation_runs.end(conn, run, "succeeded", detail={"drift": 3})
    before = datetime.now(UTC)
    update_database_gauges(world.database, today(world))
    assert gauges("hannun_relation_bytes")['{part="table",table="hannun.participants"}'] > 0
    assert gauges("hannun_database_bytes")[""] > 1_000_000
    assert gauges("hannun_timeline_months_ahead")[""] >= 0
    assert gauges("hannun_dead_letters_open")[""] == 0
    assert gauges("hannun_log_archive_slot")[""] == 0, "nobody archives the write-ahead log of this server"
    ended = gauges("hannun_operation_last_success_timestamp_seconds")
    assert set(ended) == {'{kind="backup-logical"}', '{kind="reconcile"}'}, "a failed drill is no success"
    assert abs(ended['{kind="backup-logical"}'] - before.timestamp()) < 60
    assert gauges("hannun_operation_last_bytes") == {'{kind="backup-logical"}': 4096}
    assert gauges("hannun_drift_figures")[""] == 3


def test_while_postgresql_is_away_no_gauge_of_it_has_a_value(world: World) -> None:
    update_database_gauges(world.database, today(world))
    with pytest.raises(StoreUnavailable):
        update_database_gauges(Database(NOWHERE, PoolLimits(), application="test"), today(world))
    assert gauges("hannun_relation_bytes") == {}
    singles = ("database_bytes", "timeline_months_ahead", "dead_letters_open", "log_archive_slot")
    for name in (f"hannun_{single}" for single in singles):
        assert math.isnan(gauges(name)[""]), name


def test_months_ahead_end_at_the_first_month_without_a_partition() -> None:
    day = date(2026, 11, 27)
    months = {month_after(date(2026, 11, 1), count) for count in (0, 1, 2, 4)}
    assert count_months_ahead(months, day) == 2
    assert count_months_ahead(set(), day) == 0


def test_the_gauges_of_redis_show_its_memory_and_none_while_it_is_away(world: World) -> None:
    update_redis_gauges(ServerInspector(world.redis))
    assert gauges("hannun_redis_used_bytes")[""] > 100_000
    assert gauges("hannun_redis_evicted_keys")[""] == 0
    with pytest.raises(RedisUnavailable):
        update_redis_gauges(ServerInspector(RedisAddress(port=1)))
    assert math.isnan(gauges("hannun_redis_used_bytes")[""])


def test_the_slow_log_is_shown_without_keys_or_values(world: World) -> None:
    inspector = ServerInspector(world.redis)
    inspector._execute("CONFIG SET", "slowlog-log-slower-than", "0")
    try:
        inspector._execute("SET", "a-private-key", "a-private-value")
        shown = inspector.slow_commands(10)
    finally:
        inspector._execute("CONFIG SET", "slowlog-log-slower-than", "10000")
    assert any(each.command == "SET with 2 arguments" for each in shown)
    assert "private" not in str(shown)


def test_reads_and_fills_of_the_cache_are_counted_by_result(world: World) -> None:
    async def read_twice() -> None:
        cache = AnswerCache(world.redis, lifetime_s=60)
        await cache.open()
        before = gauges("hannun_cache_reads_total")
        assert await cache.get("analytics:event:none") is None
        after = gauges("hannun_cache_reads_total")
        assert after['{result="miss"}'] == before['{result="miss"}'] + 1
        await cache.close()
        away = AnswerCache(RedisAddress(port=1), lifetime_s=60)
        await away.open()
        assert await away.get("analytics:event:none") is None
        assert gauges("hannun_cache_reads_total")['{result="unavailable"}'] >= 1
        await away.close()
        assert gauges("hannun_cache_reads_total") == {}, "a closed cache is read no more"

    asyncio.run(read_twice())


def test_the_connections_of_a_pool_are_shown_while_it_is_open(world: World) -> None:
    async def use_pool() -> None:
        pool = ReadPool(world.url, PoolLimits(size_max=3, size_min=1), application="test-read")
        await pool.open()
        async with pool.connection():
            shown = gauges("hannun_pool_connections")
            assert shown['{pool="test-read",state="used"}'] >= 1
            assert shown['{pool="test-read",state="max"}'] == 3
            assert gauges("hannun_pool_waiting_requests") == {'{pool="test-read"}': 0}
        await pool.close()
        assert gauges("hannun_pool_connections") == {}

    asyncio.run(use_pool())
