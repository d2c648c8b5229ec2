"""What PostgreSQL does for a batch, in exact numbers: the part of `bench.gate` that needs no clock.

    batches of a fixed seed ─► BatchCounter.count ─► pg_stat_statements  statements, rows, buffers
                                                 └─► pg_walinspect       WAL records and bytes, index entries

On a server without autovacuum and full-page writes the same batches give the same numbers, on any machine.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice

import psycopg

from bench.counting import InProcessIngestion
from bench.messages import batches, registrations
from bench.servers import BenchDatabase, Servers

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "checkpoint_timeout": "1d",
    "wal_keep_size": "1GB",  # the WAL of the measured batches is read after a checkpoint
    "shared_preload_libraries": "pg_stat_statements",
}
SEEDS = {100: 160, 2_000: 161}
"""The number of events in the load, and the seed that makes them."""
MESSAGES = {100: 20_000, 2_000: 5_000}
"""Messages of a batch. With 2,000 events nearly all rows of a batch are upserts, with 100 events rows of the ledger."""
WARM_UPS, MEASURED = 2, 4

_STATEMENTS = """
SELECT sum(calls), sum(rows), sum(shared_blks_hit + shared_blks_read)
  FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
 WHERE rolname = 'analytics_readwrite'
"""
_WAL = """
SELECT "resource_manager/record_type", count, record_size FROM pg_get_wal_stats(%s, %s, true)
 WHERE "resource_manager/record_type" ~ '^(Heap2?|Btree)/'
"""


def create_events(servers: Servers) -> BenchDatabase:
    """A database with the events of all loads, and the extensions that count."""
    database = servers.create_database("bench_gate")
    with psycopg.connect(servers.postgres.url(database.name), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION pg_stat_statements")
        conn.execute("CREATE EXTENSION pg_walinspect")
    with ExitStack() as stack:
        ingestion = InProcessIngestion(database, stack)
        for events, seed in SEEDS.items():
            ingestion.create_events(seed, events)
    return database


def measure(servers: Servers, database: BenchDatabase) -> dict[str, float]:
    """The numbers of a batch, by name: the mean of `MEASURED` batches of each load."""
    values: dict[str, float] = {}
    with (
        ExitStack() as stack,
        psycopg.connect(servers.postgres.url(database.name), autocommit=True) as conn,
    ):
        ingestion = InProcessIngestion(database, stack)
        start = 0
        for events, seed in SEEDS.items():
            size = MESSAGES[events]
            messages = registrations(seed, events=events, count=size * (WARM_UPS + MEASURED))
            load = batches(messages, size, first_offset=start)
            start += size * (WARM_UPS + MEASURED)
            ingestion.count(list(islice(load, WARM_UPS)))
            measured = list(load)
            with _counted(conn) as counts:
                ingestion.count(measured)
            for name, value in counts.items():
                values[f"{name}, {events:,} events"] = value / MEASURED
    return values


@contextmanager
def _counted(conn: psycopg.Connection[tuple[object, ...]]) -> Iterator[dict[str, float]]:
    """What the service's statements of the block did, and the WAL that the block wrote: empty until the block ends."""
    counts: dict[str, float] = {}
    start = _flushed(conn)
    conn.execute("SELECT pg_stat_statements_reset()")
    yield counts
    counts |= zip(("statements", "rows", "buffers"), _one(conn, _STATEMENTS), strict=True)
    records = {
        str(name): (int(count), int(size))  # type: ignore[call-overload]
        for name, count, size in conn.execute(_WAL, (start, _flushed(conn))).fetchall()
    }
    counts["WAL records"] = sum(count for count, _ in records.values())
    counts["WAL bytes"] = sum(size for _, size in records.values())
    counts["index entries"] = records.get("Btree/INSERT_LEAF", (0, 0))[0]
    counts["updates that are not heap-only"] = sum(
        records.get(name, (0, 0))[0] for name in ("Heap/UPDATE", "Heap/UPDATE+INIT")
    )


def _flushed(conn: psycopg.Connection[tuple[object, ...]]) -> str:
    """The position in the WAL up to which all is written, also what commits without waiting for it."""
    conn.execute("CHECKPOINT")
    row = conn.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return str(row[0])


def _one(conn: psycopg.Connection[tuple[object, ...]], query: str) -> list[float]:
    row = conn.execute(query).fetchone()
    assert row is not None
    return [float(str(value)) for value in row]
