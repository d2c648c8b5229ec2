"""Delivers the invalidations that committed batches left in the outbox.

    commit ─► event not delivered lately ─► deliver in the thread that counted ─┐
          └─► delivered a moment ago ─► wait, merge with others ─► deliver ─────┴─► mark delivered, many in one
          transaction

An outbox entry is written in the transaction of its batch and deleted after Redis has acknowledged the invalidation. So
nothing is lost with a process: every process also delivers entries that are older than half a second, or than a
second where they have 1,000 events or more (`deliver_pending`). Delivering an entry twice is harmless.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from hannun import tracing
from hannun.domain.batch import ChangedEvent
from hannun.errors import StoreUnavailable
from hannun.store import outbox
from hannun.store.database import Database
from hannun.telemetry import log

INTERVAL_S = 0.05
"""The shortest time between two deliveries of the same event; later commits wait for its end and are merged."""
EVENTS_PER_DELIVERY_MAX = 5_000
"""The most events of one delivery by `deliver_pending`; above it the times of old deliveries are forgotten."""
EVENTS_AT_ONCE_MAX = 500
"""An entry of more events takes longer than 10 ms to deliver. The caller writes the next batch meanwhile."""
FAILURE_PAUSE_S = 1.0
"""How long the relay waits after an unforeseen error, so that it does not fill the log."""
PENDING_AFTER_S = 0.5
"""An entry of this age has lost its process, or Redis was unavailable: any process delivers it. An entry of many events
has more time (`store.outbox.pending`)."""


class Invalidates(Protocol):
    """Removes the answers that these changes make false, and announces the changes (`cache.Invalidator`)."""

    def invalidate(self, events: Sequence[ChangedEvent], *, ignore_cooldown: bool = False) -> bool:
        """Whether Redis has acknowledged all of it. `ignore_cooldown` tries also right after a failure."""


class Delivers(Protocol):
    """Delivers an outbox entry that was just committed."""

    def deliver(self, entry_no: int, events: Sequence[ChangedEvent]) -> None: ...


class DirectDelivery:
    """Delivers each entry at once, in the thread that counted. For commands and tests; see `OutboxRelay`."""

    def __init__(self, database: Database, invalidator: Invalidates) -> None:
        self._database = database
        self._invalidator = invalidator

    def deliver(self, entry_no: int, events: Sequence[ChangedEvent]) -> None:
        """Deliver an entry. One that cannot be delivered stays in the outbox."""
        if self._invalidator.invalidate(events):
            _mark_delivered(self._database, [entry_no])


class _Scheduled(NamedTuple):
    due_s: float
    entry_no: int
    events: Sequence[ChangedEvent]
    traceparent: str | None


class OutboxRelay:
    """Delivers the outbox entries of one process: at once, but the same event only once in `interval_s`.

    Any thread may call `deliver`; one thread calls `run`.

    Args:
        before_delivery: called with the events of each entry before its delivery. `serve` raises its version floors
        here, so that it answers nothing older, whatever Redis and its local cache still hold.
        interval_s: the shortest time between two deliveries of the same event; 0 delivers after each batch.
        now: a steady clock, in seconds.
    """

    def __init__(
        self,
        database: Database,
        invalidator: Invalidates,
        *,
        before_delivery: Callable[[Sequence[ChangedEvent]], None] = lambda _: None,
        interval_s: float = INTERVAL_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._invalidator = invalidator
        self._before_delivery = before_delivery
        self._interval_s = interval_s
        self._now = now
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._delivered_at: dict[str, float] = {}
        self._scheduled: list[_Scheduled] = []
        self._nothing_scheduled = threading.Event()
        self._nothing_scheduled.set()
        self._delivered: list[int] = []

    def deliver(self, entry_no: int, events: Sequence[ChangedEvent]) -> None:
        """Deliver an entry that was just committed, now or within `interval_s`.

        One of more than `EVENTS_AT_ONCE_MAX` events is left to `run`, which delivers it now where it is due.
        """
        self._before_delivery(events)
        with self._lock:
            now = self._now()
            due_s = (
                max((self._delivered_at.get(event.event_id, -self._interval_s) for event in events), default=now)
                + self._interval_s
            )
            at_once = due_s <= now and len(events) <= EVENTS_AT_ONCE_MAX
            if at_once:
                self._record_delivery(events, now)
            else:
                self._scheduled.append(_Scheduled(due_s, entry_no, events, tracing.traceparent()))
                self._nothing_scheduled.clear()
        if at_once and self._invalidate(events, [tracing.traceparent()]):
            with self._lock:
                self._delivered.append(entry_no)
        self._wake.set()

    def wait_until_delivered(self, timeout_s: float) -> bool:
        """Wait until no delivery is scheduled: what this process has committed before is delivered, or tried. Returns
        False after `timeout_s` seconds."""
        return self._nothing_scheduled.wait(timeout_s)

    def wake(self) -> None:
        """Make `run` look at its stop event now."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Deliver scheduled entries when they are due until `stop`; then deliver the rest."""
        while not stop.is_set():
            self._wake.wait(0.5)
            self._wake.clear()
            try:
                while not stop.is_set() and (wait_s := self.deliver_due()) is not None:
                    stop.wait(wait_s)
            except Exception as error:  # the entries are still in the outbox, and `deliver_pending` delivers them
                log.error("a delivery failed; its entries stay in the outbox", exc_info=error)
                stop.wait(FAILURE_PAUSE_S)
        self.deliver_due(all_scheduled=True)

    def deliver_due(self, *, all_scheduled: bool = False) -> float | None:
        """Deliver what is due and mark what is delivered. Returns the seconds until more is due; None where nothing is
        scheduled."""
        with self._lock:
            now = self._now()
            due = [entry for entry in self._scheduled if all_scheduled or entry.due_s <= now]
            self._scheduled = [entry for entry in self._scheduled if not all_scheduled and entry.due_s > now]
            events = merge_changes(entry.events for entry in due)
            self._record_delivery(events, now)
            delivered, self._delivered = self._delivered, []
        if due and self._invalidate(events, [entry.traceparent for entry in due]):
            delivered += [entry.entry_no for entry in due]
        with self._lock:
            if not self._scheduled:
                self._nothing_scheduled.set()
        if delivered:
            _mark_delivered(self._database, delivered)
        with self._lock:
            if self._scheduled:
                return max(0.0, min(entry.due_s for entry in self._scheduled) - self._now())
            return INTERVAL_S if self._delivered else None

    def _invalidate(self, events: Sequence[ChangedEvent], batches: Sequence[str | None]) -> bool:
        """Whether Redis has acknowledged the invalidation of what these batches, by their `traceparent`, changed."""
        with tracing.following(batches, "invalidate", **{"hannun.events": len(events)}):
            return self._invalidator.invalidate(events)

    def _record_delivery(self, events: Sequence[ChangedEvent], now: float) -> None:
        if len(self._delivered_at) > EVENTS_PER_DELIVERY_MAX:
            self._delivered_at = {id_: at for id_, at in self._delivered_at.items() if now - at < self._interval_s}
        self._delivered_at.update(dict.fromkeys([event.event_id for event in events], now))


def merge_changes(entries: Iterable[Sequence[ChangedEvent]]) -> list[ChangedEvent]:
    """The changes of several outbox entries, each event once: its newest version, and all its channels."""
    merged: dict[str, ChangedEvent] = {}
    for event in itertools.chain.from_iterable(entries):
        before = merged.get(event.event_id, event)
        merged[event.event_id] = ChangedEvent(
            event.event_id,
            before.user_id if event.user_id is None else event.user_id,
            max(event.version, before.version),
            event.channels if event.channels == before.channels else tuple({*event.channels, *before.channels}),
        )
    return list(merged.values())


def deliver_pending(database: Database, invalidator: Invalidates, older_than_s: float = PENDING_AFTER_S) -> int:
    """Deliver entries that a dead process, or an unavailable Redis, has left. Returns how many were delivered.

    Args:
        older_than_s: how old an entry must be, and twice that with 1,000 events or more; 0 delivers all.

    Raises:
        StoreUnavailable: PostgreSQL is unavailable; the entries stay.
    """
    delivered = 0
    while True:
        with database.transaction() as conn:
            pending = outbox.pending(conn, older_than_s)
        events = merge_changes(events for _, events in pending)
        for first in range(0, len(events), EVENTS_PER_DELIVERY_MAX):
            if not invalidator.invalidate(events[first : first + EVENTS_PER_DELIVERY_MAX], ignore_cooldown=True):
                return delivered
        with database.transaction() as conn:
            outbox.mark_delivered(conn, [entry_no for entry_no, _ in pending])
        delivered += len(pending)
        if len(pending) < outbox.READ_MAX:
            return delivered


def _mark_delivered(database: Database, entry_nos: Sequence[int]) -> None:
    # A counted batch must not look like a failed one, so an error here is dropped: the entries are delivered again.
    with suppress(StoreUnavailable), database.transaction() as conn:
        outbox.mark_delivered(conn, entry_nos)
