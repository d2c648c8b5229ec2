"""`bytes`: what a participant costs on the disk, with its index, after batches have put them there as always.

Nothing is packed afterwards: no VACUUM FULL, no REINDEX. Participants are random, as UUIDs of version 4 are.
"""

from contextlib import ExitStack

import psycopg

from bench.counting import BATCH, Counting
from bench.figures import Figure
from bench.messages import batches, registrations
from bench.servers import Ground

_SIZES = """
SELECT (SELECT count(*) FROM hannun.participants), pg_relation_size('hannun.participants'),
       pg_indexes_size('hannun.participants')
"""


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `bytes`."""
    wanted = 100_000 if quick else 1_000_000
    with ExitStack() as stack:
        site = ground.site("bench_bytes")
        stack.callback(ground.drop, site)
        counting = Counting(site, stack)
        for number, batch in enumerate(batches(registrations(30, events=100, count=wanted), BATCH)):
            counting.counter.count(batch, counting.spans(batch))
            if number % 40 == 39:
                ground.say(f"bytes: {BATCH * (number + 1):,} participants")
        with psycopg.connect(site.owner_url) as conn:
            row = conn.execute(_SIZES).fetchone()
    assert row is not None and row[0] == wanted
    rows, table, index = row
    samples = f"{rows:,} participants of 100 events, batches of {BATCH:,}"
    return [
        Figure("bytes", "of a participant with its index", (table + index) / rows, "bytes (wanted: 110)", samples),
        Figure("bytes", "  in the table", table / rows, "bytes", samples),
        Figure("bytes", "  in the index", index / rows, "bytes", samples),
    ]
