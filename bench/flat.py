"""`flat`: whether counting slows down as more is counted.

    5,000,000 messages, one batch after the other ─► the last batches compared with the first
    a ledger of 20,000,000 rows ─┬─► batches over it, in turns with batches over a new ledger
                                 └─► COPY of rows alone, in turns over the same two: the share of PostgreSQL itself

SQL fills the ledger in two variants. In one its rows are of events that are over, while the batches are of other
events: the ordinary case. In the other its rows are of the counted events themselves, all of them large. Then nearly
every new row belongs on an index page of its own, which is the worst case.
"""

import random
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import psycopg

from bench.counting import (
    BATCH_MESSAGES,
    BATCHES_PER_TURN,
    InProcessIngestion,
    WorkTime,
    interpreter_settings_of_ingest,
)
from bench.figures import Figure
from bench.messages import AT, batches, registrations
from bench.servers import BenchDatabase, Servers
from hannun.store.batches import SQL
from hannun.store.database import connect
from hannun.store.ledger_copy import NO_CHANNEL
from hannun.store.packed_arrivals import CHANNELS, packed

WARM_UP_BATCHES = 4
EVENTS = 100
PAST_EVENTS = 10_000
ROWS_PER_FILL = 1_000_000
FULL_TURNS = 9
"""Turns over the full ledger for each turn over the new one.

That makes 9,000,000 messages from a checkpoint on, about as many as the server counts until the next (2.1 of the 4 GB
of WAL, 160 bytes a message). After a checkpoint PostgreSQL writes each of the 130,000 index pages to the WAL once as a
whole. What that costs a message depends on how many messages share it.
"""
COPY_BATCHES = 4
"""Batches that COPY alone writes at each turn."""

ARRIVAL = packed(int(AT.timestamp()) // 60, NO_CHANNEL) or 0
_COUNT_ROWS = "SELECT count(*) FROM hannun.participants"
_FILL = """
INSERT INTO hannun.participants (event_no, participant, came)
SELECT event_no, participant, %(came)s - %(channels)s * (random() * 40000)::int
  FROM (SELECT %(first)s + i %% %(events)s AS event_no, gen_random_uuid() AS participant
          FROM generate_series(1, %(rows)s) AS i ORDER BY 1, 2) AS made
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Batches in a measurement (`window`), messages of the long run, and rows of the full ledger."""

    window: int
    messages: int
    rows: int


@dataclass(frozen=True, slots=True)
class Filling:
    """The events whose rows fill the ledger, by event number. The counted events have the numbers 1 to `EVENTS`."""

    name: str
    first_event: int
    events: int


FULL = Sizes(window=50, messages=5_000_000, rows=20_000_000)
QUICK = Sizes(window=10, messages=200_000, rows=1_000_000)
FILLINGS = (
    Filling("of past events", EVENTS + 1, PAST_EVENTS),
    Filling("of the counted events", 1, EVENTS),
)


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `flat`."""
    sizes = QUICK if quick else FULL
    with interpreter_settings_of_ingest():
        figures = _measure_long_run(servers, sizes)
        for filling in FILLINGS:
            figures += _measure_full_ledger(servers, sizes, filling)
    return figures


def _measure_long_run(servers: Servers, sizes: Sizes) -> list[Figure]:
    window = sizes.window
    batch_count = sizes.messages // BATCH_MESSAGES + window
    with ExitStack() as stack:
        ledger = Ledger(servers, "bench_flat", batch_count, stack)
        first, last, between = ledger.counting_time(), ledger.counting_time(), ledger.counting_time()
        ledger.count(window, first)
        for done in range(window, batch_count - 2 * window, window):
            ledger.count(window, between)
            servers.log_progress(f"flat: {done * BATCH_MESSAGES:,} of {sizes.messages:,} messages")
        ledger.count(window, last)
    samples = f"{window} batches of {BATCH_MESSAGES:,} each"
    return [
        _figure(f"rate after {sizes.messages:,} messages", last.rate, "messages/s", samples),
        *_compare("the start", last, first, " (target: 0.75)", samples),
    ]


def _measure_full_ledger(servers: Servers, sizes: Sizes, filling: Filling) -> list[Figure]:
    turns = sizes.window // BATCHES_PER_TURN
    with ExitStack() as stack:
        new = Ledger(servers, "bench_new", turns * BATCHES_PER_TURN, stack)
        full = Ledger(servers, "bench_full", turns * BATCHES_PER_TURN * FULL_TURNS, stack)
        fill(servers, full.database, sizes.rows, filling)
        counting_new, counting_full = new.counting_time(), full.counting_time()
        copying_new, copying_full = new.copying_time(), full.copying_time()
        for turn in range(turns):
            full.count(BATCHES_PER_TURN * FULL_TURNS, counting_full)
            full.copy(COPY_BATCHES, copying_full)
            new.count(BATCHES_PER_TURN, counting_new)
            new.copy(COPY_BATCHES, copying_new)
            servers.log_progress(f"flat: {sizes.rows:,} rows {filling.name}: turn {turn + 1} of {turns}")
    samples = f"{turns * BATCHES_PER_TURN * FULL_TURNS} and {turns * BATCHES_PER_TURN} batches of {BATCH_MESSAGES:,}"
    copy_samples = f"{turns * COPY_BATCHES} batches each"
    return [
        _figure(f"rate over {sizes.rows:,} rows {filling.name}", counting_full.rate, "messages/s", samples),
        *_compare("a new ledger", counting_full, counting_new, " (target: 0.75)", samples),
        _figure("  COPY alone over them", copying_full.rate, "rows/s", copy_samples),
        *_compare("COPY into a new ledger", copying_full, copying_new, "", copy_samples),
    ]


class Ledger:
    """A database in which batches are counted, and to whose ledger COPY also adds rows that are not counted."""

    def __init__(self, servers: Servers, name: str, batch_count: int, stack: ExitStack) -> None:
        """Create the database and its events, and count the warm-up batches."""
        self.database = servers.create_database(name)
        stack.callback(servers.drop_database, self.database)
        self._ingestion = InProcessIngestion(self.database, stack)
        self._ingestion.create_events(50, EVENTS)
        message_count = BATCH_MESSAGES * (WARM_UP_BATCHES + batch_count)
        self._load = batches(registrations(50, events=EVENTS, count=message_count), BATCH_MESSAGES)
        self._copy_conn = stack.enter_context(connect(self.database.url, application="bench-copy"))
        self._rng = random.Random(20)
        self.count(WARM_UP_BATCHES, self.counting_time())

    def counting_time(self) -> WorkTime:
        """A new measurement of `count`."""
        return WorkTime(self._ingestion.backend_pid)

    def copying_time(self) -> WorkTime:
        """A new measurement of `copy`."""
        return WorkTime(self._copy_conn.info.backend_pid)

    def count(self, batch_count: int, time: WorkTime) -> None:
        """Count the next batches of the load, and add the time that they take."""
        for done in range(0, batch_count, BATCHES_PER_TURN):
            turn = list(islice(self._load, min(BATCHES_PER_TURN, batch_count - done)))
            with time.measure(sum(map(len, turn))):
                self._ingestion.count(turn)

    def copy(self, batch_count: int, time: WorkTime) -> None:
        """Add batches of random rows to the ledger with COPY alone, and add the time that they take."""
        for _ in range(batch_count):
            rows = sorted((self._rng.randint(1, EVENTS), self._rng.randbytes(16).hex()) for _ in range(BATCH_MESSAGES))
            text = "".join([f"{event_no}\t{participant}\t{ARRIVAL}\n" for event_no, participant in rows])
            cursor = self._copy_conn.cursor()
            with (
                time.measure(BATCH_MESSAGES),
                self._copy_conn.transaction(),
                cursor.copy(SQL["copy_participants"]) as copy,
            ):
                copy.write(text)


def fill(servers: Servers, database: BenchDatabase, row_count: int, filling: Filling) -> None:
    """Add rows to the ledger until it holds `row_count`."""
    with psycopg.connect(database.owner_url, autocommit=True) as conn:
        row = conn.execute(_COUNT_ROWS).fetchone()
        present = int(row[0]) if row else 0
        arguments = {"came": ARRIVAL, "channels": CHANNELS, "first": filling.first_event, "events": filling.events}
        while present < row_count:
            rows = min(ROWS_PER_FILL, row_count - present)
            conn.execute(_FILL, {"rows": rows} | arguments)
            present += rows
            servers.log_progress(f"flat: the ledger holds {present:,} of {row_count:,} rows {filling.name}")
        # The measured batches must not pay for the vacuum and the checkpoint of what the filling wrote.
        conn.execute("VACUUM (ANALYZE) hannun.participants")
    with psycopg.connect(servers.postgres.superuser_url, autocommit=True) as conn:
        conn.execute("CHECKPOINT")


def _compare(baseline_name: str, time: WorkTime, baseline: WorkTime, target: str, samples: str) -> list[Figure]:
    cpu_us, baseline_cpu_us = (each.own_cpu_us + each.backend_cpu_us for each in (time, baseline))
    return [
        _figure(f"  rate / {baseline_name}", time.rate / baseline.rate, f"ratio{target}", samples),
        _figure(f"  CPU, {baseline_name} / this", baseline_cpu_us / cpu_us, "ratio", samples),
    ]


def _figure(name: str, value: float, unit: str, samples: str) -> Figure:
    return Figure("flat", name, value, unit, samples)
