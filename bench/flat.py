"""`flat`: does counting slow down as more is counted?

    5,000,000 messages, one batch after the other ─► the last of them beside the first
    a ledger of 20,000,000 rows ─┬─► batches over it, in turns with batches over a new ledger
                                 └─► COPY of rows alone, in turns over the same two: what PostgreSQL itself slows down

The ledger is filled twice, by SQL: once with what a service looks back on, events that are over, while the batches are
about others; and once with the very events that the batches are about, all of them large. Then of nearly every row the
place in the index lies on a page of its own, which is as hard as it can be made.
"""

import random
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import psycopg

from bench.counting import BATCH, TURN, Counting, Lap, running_as_the_service_does
from bench.figures import Figure
from bench.messages import AT, batches, registrations
from bench.servers import Ground, Site
from hannun.store.batches import SQL
from hannun.store.database import connect
from hannun.store.ledger_copy import NO_CHANNEL
from hannun.store.packed_arrivals import CHANNELS, packed

WARM_UP = 4
EVENTS = 100
EVENTS_OVER = 10_000
FILLED_AT_ONCE = 1_000_000
FULL_TURNS = 9
"""For each turn over the new ledger, so many over the full one: 9,000,000 messages from a checkpoint on, which is about
how far the server comes to the next (2.1 of the 4 GB of log, 160 bytes a message). For after it each page of the index
is written whole once, 130,000 of them, and how much a message pays for that depends on how many share it."""
COPIES = 4
"""Batches that COPY puts in alone at each turn."""

CAME = packed(int(AT.timestamp()) // 60, NO_CHANNEL) or 0
_ROWS = "SELECT count(*) FROM hannun.participants"
_FILL = """
INSERT INTO hannun.participants (event_no, participant, came)
SELECT event_no, participant, %(came)s - %(channels)s * (random() * 40000)::int
  FROM (SELECT %(first)s + i %% %(events)s AS event_no, gen_random_uuid() AS participant
          FROM generate_series(1, %(rows)s) AS i ORDER BY 1, 2) AS made
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is counted: batches to a measurement, messages of the long run, rows of the full ledger."""

    window: int
    messages: int
    rows: int


@dataclass(frozen=True, slots=True)
class Filling:
    """Whose rows fill the ledger: events by their numbers; those that are counted are 1 to `EVENTS`."""

    name: str
    first_event: int
    events: int


FULL = Sizes(window=50, messages=5_000_000, rows=20_000_000)
QUICK = Sizes(window=10, messages=200_000, rows=1_000_000)
FILLINGS = (
    Filling("of events that are over", EVENTS + 1, EVENTS_OVER),
    Filling("of the events that are counted", 1, EVENTS),
)


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `flat`."""
    sizes = QUICK if quick else FULL
    with running_as_the_service_does():
        found = _long_run(ground, sizes)
        for filling in FILLINGS:
            found += _full_ledger(ground, sizes, filling)
    return found


def _long_run(ground: Ground, sizes: Sizes) -> list[Figure]:
    window = sizes.window
    in_all = sizes.messages // BATCH + window
    with ExitStack() as stack:
        ledger = Ledger(ground, "bench_flat", in_all, stack)
        first, last, between = ledger.lap(), ledger.lap(), ledger.lap()
        ledger.count(window, first)
        for done in range(window, in_all - 2 * window, window):
            ledger.count(window, between)
            ground.say(f"flat: {done * BATCH:,} of {sizes.messages:,} messages")
        ledger.count(window, last)
    samples = f"{window} batches of {BATCH:,} each"
    return [
        _figure(f"rate after {sizes.messages:,} messages", last.rate, "messages/s", samples),
        *_beside("the start", last, first, " (wanted: 0.75)", samples),
    ]


def _full_ledger(ground: Ground, sizes: Sizes, filling: Filling) -> list[Figure]:
    turns = sizes.window // TURN
    with ExitStack() as stack:
        new = Ledger(ground, "bench_new", turns * TURN, stack)
        full = Ledger(ground, "bench_full", turns * TURN * FULL_TURNS, stack)
        _fill(ground, full.site, sizes.rows, filling)
        counted, copied = (new.lap(), full.lap()), (new.copying_lap(), full.copying_lap())
        for turn in range(turns):
            full.count(TURN * FULL_TURNS, counted[1])
            full.copy(COPIES, copied[1])
            new.count(TURN, counted[0])
            new.copy(COPIES, copied[0])
            ground.say(f"flat: {sizes.rows:,} rows {filling.name}: turn {turn + 1} of {turns}")
    samples = f"{turns * TURN * FULL_TURNS} batches of {BATCH:,} beside {turns * TURN}"
    copies = f"{turns * COPIES} batches each"
    return [
        _figure(f"rate over {sizes.rows:,} rows {filling.name}", counted[1].rate, "messages/s", samples),
        *_beside("a new ledger", counted[1], counted[0], " (wanted: 0.75)", samples),
        _figure("  COPY alone over them", copied[1].rate, "rows/s", copies),
        *_beside("COPY into a new ledger", copied[1], copied[0], "", copies),
    ]


class Ledger:
    """A database of its own: batches that are counted in it, and rows that are only put into its ledger."""

    def __init__(self, ground: Ground, name: str, batch_count: int, stack: ExitStack) -> None:
        """With its events told, and the first batches counted."""
        self.site = ground.site(name)
        stack.callback(ground.drop, self.site)
        self._counting = Counting(self.site, stack)
        self._counting.begin(50, EVENTS)
        self._load = batches(registrations(50, events=EVENTS, count=BATCH * (WARM_UP + batch_count)), BATCH)
        self._copying = stack.enter_context(connect(self.site.url, application="bench-copy"))
        self._rng = random.Random(20)
        self.count(WARM_UP, self.lap())

    def lap(self) -> Lap:
        return Lap(self._counting.backend)

    def copying_lap(self) -> Lap:
        return Lap(self._copying.info.backend_pid)

    def count(self, batch_count: int, lap: Lap) -> None:
        """Count so many batches of the load, and add to the lap what they took."""
        for done in range(0, batch_count, TURN):
            turn = list(islice(self._load, min(TURN, batch_count - done)))
            with lap.of(sum(map(len, turn))):
                self._counting.count(turn)

    def copy(self, batch_count: int, lap: Lap) -> None:
        """Put so many batches of rows into the ledger, by nothing but COPY, and add to the lap what they took."""
        for _ in range(batch_count):
            rows = sorted((self._rng.randint(1, EVENTS), self._rng.randbytes(16).hex()) for _ in range(BATCH))
            text = "".join([f"{no}\t{who}\t{CAME}\n" for no, who in rows])
            copying = self._copying.cursor()
            with lap.of(BATCH), self._copying.transaction(), copying.copy(SQL["copy_participants"]) as copy:
                copy.write(text)


def _fill(ground: Ground, site: Site, wanted: int, filling: Filling) -> None:
    with psycopg.connect(site.owner_url, autocommit=True) as conn:
        row = conn.execute(_ROWS).fetchone()
        there = int(row[0]) if row else 0
        of_whom = {"came": CAME, "channels": CHANNELS, "first": filling.first_event, "events": filling.events}
        while there < wanted:
            rows = min(FILLED_AT_ONCE, wanted - there)
            conn.execute(_FILL, {"rows": rows} | of_whom)
            there += rows
            ground.say(f"flat: the ledger holds {there:,} of {wanted:,} rows {filling.name}")
        # What was written to fill it shall not be paid for by the batches that are measured.
        conn.execute("VACUUM (ANALYZE) hannun.participants")
    with psycopg.connect(ground.postgres.superuser_url, autocommit=True) as conn:
        conn.execute("CHECKPOINT")


def _beside(what: str, now: Lap, then: Lap, wanted: str, samples: str) -> list[Figure]:
    used, used_then = (lap.microseconds(lap.ours_s + lap.backend_s) for lap in (now, then))
    return [
        _figure(f"  beside {what}", now.rate / then.rate, f"ratio{wanted}", samples),
        _figure(f"  processor of {what} beside it", used_then / used, "ratio", samples),
    ]


def _figure(name: str, value: float, unit: str, samples: str) -> Figure:
    return Figure("flat", name, value, unit, samples)
