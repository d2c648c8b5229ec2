"""The jobs that keep the house: each is a `run_once`; the wiring's table says how often."""

import math
import time
from collections.abc import Callable

from hannun.errors import StoreUnavailable
from hannun.store import maintenance, outbox, positions
from hannun.store.database import Database
from hannun.telemetry import log, metrics, show

ROUND_S = 5.0
"""How long a round of settling may take: a quarter of the time between two of them (`wiring`)."""


class SettlingRounds:
    """Write the cumulative columns and quarters that are owed, in rounds that end in time: each goes on behind the
    event at which the one before had to end, also where that one still owes.

    What still owes is answered as rightly, from minutes instead of quarters. So however many events are busy, settling
    takes no more than its part of PostgreSQL.
    """

    def __init__(self, round_s: float = ROUND_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._round_s = round_s
        self._clock = clock
        self._last = 0

    def settle(self, database: Database) -> int:
        """One round. Returns the rows whose cumulative was wrong."""
        ends, repaired = self._clock() + self._round_s, 0
        for piece in maintenance.settle_timelines(database.transaction, after=self._last):
            repaired += piece.repaired
            if self._clock() > ends:
                self._last = piece.event_no
                return repaired
        self._last = 0
        return repaired


def attribute_typed_waiters(database: Database) -> int:
    """Give those who waited for a channel's type to their channel, where the table has learned it since."""
    with database.transaction() as conn:
        return maintenance.attribute_typed_waiters(conn)


def note_waiting_events(database: Database) -> int:
    """Say which events were counted for an hour and never created: their messages go astray. Returns how many."""
    with database.transaction() as conn:
        waiting = maintenance.waiting_events(conn)
    for event_id, participants in waiting:
        log.warning("an event was never created", event=event_id, participants=participants)
    return len(waiting)


def tell_gauges(database: Database) -> None:
    """Tell the gauges what waits in the database: for an operator, and for Redis.

    Raises:
        StoreUnavailable: PostgreSQL is away; then the gauges say that nothing is known.
    """
    try:
        with database.transaction() as conn:
            stopped, owed = positions.stopped_by_topic(conn), outbox.count(conn)
    except StoreUnavailable:
        show(metrics.stopped, {})
        metrics.owed.set(math.nan)
        raise
    show(metrics.stopped, {(topic,): count for topic, count in stopped.items()})
    metrics.owed.set(owed)
