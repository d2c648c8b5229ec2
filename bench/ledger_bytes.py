"""`bytes`: the size of a participant on disk, table and index, after batches have inserted it as in operation.

Nothing is compacted afterwards: no VACUUM FULL, no REINDEX. Participant ids are random, as UUIDs of version 4 are.
"""

from contextlib import ExitStack

import psycopg

from bench.counting import BATCH_MESSAGES, InProcessIngestion
from bench.figures import Figure
from bench.messages import batches, registrations
from bench.servers import Servers

_SIZES = """
SELECT (SELECT count(*) FROM hannun.participants), pg_relation_size('hannun.participants'),
       pg_indexes_size('hannun.participants')
"""


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `bytes`."""
    participants = 100_000 if quick else 1_000_000
    with ExitStack() as stack:
        database = servers.create_database("bench_bytes")
        stack.callback(servers.drop_database, database)
        ingestion = InProcessIngestion(database, stack)
        load = batches(registrations(30, events=100, count=participants), BATCH_MESSAGES)
        for number, batch in enumerate(load):
            ingestion.counter.count(batch, ingestion.offset_ranges(batch))
            if number % 40 == 39:
                servers.log_progress(f"bytes: {BATCH_MESSAGES * (number + 1):,} participants")
        with psycopg.connect(database.owner_url) as conn:
            row = conn.execute(_SIZES).fetchone()
    assert row is not None and row[0] == participants
    rows, table, index = row
    samples = f"{rows:,} participants of 100 events, batches of {BATCH_MESSAGES:,}"
    return [
        Figure("bytes", "per participant, table and index", (table + index) / rows, "bytes (target: 110)", samples),
        Figure("bytes", "  in the table", table / rows, "bytes", samples),
        Figure("bytes", "  in the index", index / rows, "bytes", samples),
    ]
