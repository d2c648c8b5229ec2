"""`bytes`: the size of a participant on disk, table and index: as batches leave it, and packed.

Nothing is compacted: no VACUUM FULL, no REINDEX. Participant ids are random, as UUIDs of version 4 are. After packing,
plain VACUUM runs twice, as autovacuum does, and as many participants of other events take the space that was freed.
"""

import time
from contextlib import ExitStack

import psycopg

from bench.counting import BATCH_MESSAGES, InProcessIngestion
from bench.figures import Figure
from bench.messages import batches, registrations
from bench.servers import BenchDatabase, Servers
from hannun.store import packing
from hannun.store.database import connect, transactions_on

_SIZES = """
SELECT (SELECT count(*) FROM hannun.participants), pg_relation_size('hannun.participants'),
       pg_indexes_size('hannun.participants')
"""
_PACKED_SIZES = """
SELECT (SELECT sum(cardinality(participants)) FROM hannun.packed_participants),
       pg_table_size('hannun.packed_participants'), pg_indexes_size('hannun.packed_participants')
"""
_ALWAYS_QUIET_S = -3_600.0


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `bytes`."""
    participants = 100_000 if quick else 1_000_000
    with ExitStack() as stack:
        database = servers.create_database("bench_bytes")
        stack.callback(servers.drop_database, database)
        ingestion = InProcessIngestion(database, stack)
        _count(servers, ingestion, participants, seed=30, first_offset=0)
        rows, table, index = _row(database, _SIZES)
        assert rows == participants
        servers.log_progress("bytes: packing them")
        seconds = _pack(database)
        packed, packed_table, packed_index = _row(database, _PACKED_SIZES)
        assert packed == participants
        with psycopg.connect(database.owner_url, autocommit=True) as conn:
            # The index's empty pages can be used again after a later VACUUM, once no older transaction can still read
            # them: PostgreSQL compares with transactions that began since.
            for statement in ("VACUUM hannun.participants", "SELECT pg_current_xact_id()") * 2:
                conn.execute(statement)
        _count(servers, ingestion, participants, seed=31, first_offset=participants)
        _, table_again, index_again = _row(database, _SIZES)
    samples = f"{rows:,} participants of 100 events, batches of {BATCH_MESSAGES:,}"
    growth = (max(table, table_again) + max(index, index_again)) / (table + index) - 1
    return [
        Figure("bytes", "per participant, table and index", (table + index) / rows, "bytes (target: 110)", samples),
        Figure("bytes", "  in the table", table / rows, "bytes", samples),
        Figure("bytes", "  in the index", index / rows, "bytes", samples),
        Figure("bytes", "packed, table and index", (packed_table + packed_index) / rows, "bytes (target: 25)", samples),
        Figure("bytes", "  packing, longest transaction", max(seconds) * 1_000, "ms", f"{len(seconds)} transactions"),
        Figure("bytes", "  packing", sum(seconds) / rows * 1_000_000, "us a participant", samples),
        Figure("bytes", "  ledger after as many again", growth * 100, "% larger", "the space of packed rows is used"),
    ]


def _count(servers: Servers, ingestion: InProcessIngestion, participants: int, *, seed: int, first_offset: int) -> None:
    messages = registrations(seed, events=100, count=participants)
    for number, batch in enumerate(batches(messages, BATCH_MESSAGES, first_offset=first_offset)):
        ingestion.counter.count(batch, ingestion.offset_ranges(batch))
        if number % 40 == 39:
            servers.log_progress(f"bytes: {BATCH_MESSAGES * (number + 1):,} participants")


def _pack(database: BenchDatabase) -> list[float]:
    """Pack every event. Returns the seconds of each transaction."""
    seconds = []
    with connect(database.owner_url, application="bench") as conn:
        begin = transactions_on(conn)
        due = packing.due_events(conn, 0, quiet_s=_ALWAYS_QUIET_S, limit=1_000)
        conn.commit()
        for event in due:
            began = time.perf_counter()
            for _ in packing.pack_event(begin, event.event_no, quiet_s=_ALWAYS_QUIET_S):
                seconds.append(time.perf_counter() - began)
                began = time.perf_counter()
    return seconds


def _row(database: BenchDatabase, query: str) -> tuple[int, int, int]:
    with psycopg.connect(database.owner_url) as conn:
        row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])
