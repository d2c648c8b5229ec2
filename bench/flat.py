"""`flat`: does counting slow down as more is counted?

    5,000,000 messages, one batch after the other ─► the last of them beside the first
    then the ledger is filled to 20,000,000 rows  ─► the same batches beside the first

The rows that fill the ledger are put there by SQL, in the order of its index, spread over the events that the batches
are about: so every batch writes into pages that are already full of neighbours.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice

import psycopg

from bench.counting import BATCH, TURN, Counting, Lap, running_as_the_service_does
from bench.figures import Figure
from bench.messages import AT, batches, registrations
from bench.servers import Ground
from hannun.domain.batch import Received
from hannun.store.arrivals import CHANNELS, packed
from hannun.store.batches import NO_CHANNEL

WARM_UP = 4
EVENTS = 100
FILLED_AT_ONCE = 1_000_000
FULL_WINDOWS = 3
"""Over the full ledger so many times as many batches are measured, from a checkpoint on: after it each page of the
index is written whole once, 130,000 of them. The server takes one every 12,000,000 messages or 5 minutes."""

_ROWS = "SELECT count(*) FROM hannun.participants"
_FILL = """
INSERT INTO hannun.participants (event_no, participant, came)
SELECT event_no, participant, %(came)s - %(channels)s * (random() * 40000)::int
  FROM (SELECT 1 + i %% %(events)s AS event_no, gen_random_uuid() AS participant
          FROM generate_series(1, %(rows)s) AS i ORDER BY 1, 2) AS made
"""


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `flat`."""
    window, messages, ledger = (10, 200_000, 1_000_000) if quick else (50, 5_000_000, 20_000_000)
    with ExitStack() as stack:
        stack.enter_context(running_as_the_service_does())
        site = ground.site("bench_flat")
        stack.callback(ground.drop, site)
        counting = Counting(site, stack)
        counting.begin(50, EVENTS)
        in_all = messages // BATCH + window
        load = batches(
            registrations(50, events=EVENTS, count=BATCH * (WARM_UP + in_all + (FULL_WINDOWS - 1) * window)), BATCH
        )
        _count(counting, load, WARM_UP)
        first = _count(counting, load, window)
        for done in range(window, in_all - 2 * window, window):
            _count(counting, load, window)
            ground.say(f"flat: {done * BATCH:,} of {messages:,} messages")
        last = _count(counting, load, window)
        with psycopg.connect(site.owner_url, autocommit=True) as conn:
            _fill(ground, conn, ledger)
        with psycopg.connect(ground.postgres.superuser_url, autocommit=True) as conn:
            conn.execute("CHECKPOINT")
        full = _count(counting, load, FULL_WINDOWS * window)
    return [
        *_beside(f"after {messages:,} messages", last, first, f"{window} batches of {BATCH:,} each"),
        *_beside(
            f"over a ledger of {ledger:,} rows",
            full,
            first,
            f"{FULL_WINDOWS * window} batches of {BATCH:,} after {window}",
        ),
    ]


def _count(counting: Counting, load: Iterator[Sequence[Received]], batch_count: int) -> Lap:
    lap = Lap(counting.backend)
    for done in range(0, batch_count, TURN):
        turn = list(islice(load, min(TURN, batch_count - done)))
        with lap.of(sum(map(len, turn))):
            counting.count(turn)
    return lap


def _fill(ground: Ground, conn: psycopg.Connection, wanted: int) -> None:
    row = conn.execute(_ROWS).fetchone()
    there = int(row[0]) if row else 0
    came = packed(int(AT.timestamp()) // 60, NO_CHANNEL)
    while there < wanted:
        rows = min(FILLED_AT_ONCE, wanted - there)
        conn.execute(_FILL, {"rows": rows, "events": EVENTS, "came": came, "channels": CHANNELS})
        there += rows
        ground.say(f"flat: the ledger holds {there:,} of {wanted:,} rows")
    # What was written to fill it shall not be paid for by the batches that are measured.
    conn.execute("VACUUM (ANALYZE) hannun.participants")


def _beside(when: str, now: Lap, start: Lap, samples: str) -> list[Figure]:
    used, at_first = (lap.microseconds(lap.ours_s + lap.backend_s) for lap in (now, start))
    return [
        Figure("flat", f"rate {when}", now.rate, "messages/s", samples),
        Figure("flat", "  beside the start", now.rate / start.rate, "ratio (wanted: 0.75)", samples),
        Figure("flat", "  processor of the start beside it", at_first / used, "ratio (wanted: 0.75)", samples),
    ]
