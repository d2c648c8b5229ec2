"""Delivers the invalidations that committed batches left in the outbox."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from hannun.cache import Invalidator
from hannun.domain.batch import ChangedEvent
from hannun.errors import StoreUnavailable
from hannun.store import outbox
from hannun.store.database import Database


class Invalidates(Protocol):
    """What tells the cache (`cache.Invalidator`): whether it was told."""

    def invalidate(self, events: Sequence[ChangedEvent]) -> bool: ...


APART_S = 0.05

"""An event is paid at most once in so long; what is committed meanwhile waits for its end, and is paid together."""

EVENTS_AT_ONCE = 5_000


class _Waiting(NamedTuple):
    due_s: float
    debt_no: int
    events: Sequence[ChangedEvent]


class OutboxRelay:
    """Pays what the batches of a process owe: at once, but the same event again only `apart_s` after it was paid.

        commit ─► not paid lately ─► pay in the thread that counted ─┐
              └─► paid a moment ago ─► wait for the others ─► pay ───┴─► settle, many debts in one transaction

    A debt stays in the database until it is paid, so nothing is lost with this process. For any thread; one thread
    calls `run`.

    Args:
        owes: told of each debt before it is paid, so that this process answers nothing older from then on, whatever
            Redis and its own copies still hold.
        apart_s: an event is paid at most once in so long; 0 pays each batch at once.
    """

    def __init__(
        self,
        database: Database,
        invalidator: Invalidates,
        *,
        owes: Callable[[Sequence[ChangedEvent]], None] = lambda _: None,
        apart_s: float = APART_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._invalidator = invalidator
        self._apart_s = apart_s
        self._owes = owes
        self._now = now
        self._turn = threading.Lock()
        self._wake = threading.Event()
        self._paid_at: dict[str, float] = {}
        self._waiting: list[_Waiting] = []
        self._settled: list[int] = []

    def pay(self, debt_no: int, events: Sequence[ChangedEvent]) -> None:
        """Pay a debt that was just committed, now or within `apart_s`."""
        self._owes(events)
        with self._turn:
            now = self._now()
            due_s = (
                max((self._paid_at.get(event.event_id, -self._apart_s) for event in events), default=now)
                + self._apart_s
            )
            if due_s > now:
                self._waiting.append(_Waiting(due_s, debt_no, events))
            else:
                self._note(events, now)
        if due_s <= now and self._invalidator.invalidate(events):
            with self._turn:
                self._settled.append(debt_no)
        self._wake.set()

    def wake(self) -> None:
        """Let `run` see that it was told to stop."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Pay what waits, when it is due, until told to stop; then all of it."""
        while not stop.is_set():
            self._wake.wait(0.5)
            self._wake.clear()
            while not stop.is_set() and (wait_s := self.pay_due()) is not None:
                stop.wait(wait_s)
        self.pay_due(everything=True)

    def pay_due(self, *, everything: bool = False) -> float | None:
        """Pay what is due, settle what is paid. Returns in how many seconds more is due; None where nothing waits."""
        with self._turn:
            now = self._now()
            due = [one for one in self._waiting if everything or one.due_s <= now]
            self._waiting = [one for one in self._waiting if not everything and one.due_s > now]
            events = together(one.events for one in due)
            self._note(events, now)
            settled, self._settled = self._settled, []
        if due and self._invalidator.invalidate(events):
            settled += [one.debt_no for one in due]
        if settled:
            with suppress(StoreUnavailable), self._database.transaction() as conn:
                outbox.settle(conn, settled)
        with self._turn:
            if self._waiting:
                return max(0.0, min(one.due_s for one in self._waiting) - self._now())
            return APART_S if self._settled else None

    def _note(self, events: Sequence[ChangedEvent], now: float) -> None:
        if len(self._paid_at) > EVENTS_AT_ONCE:
            self._paid_at = {id_: at for id_, at in self._paid_at.items() if now - at < self._apart_s}
        self._paid_at.update(dict.fromkeys([event.event_id for event in events], now))


def together(debts_events: Iterable[Sequence[ChangedEvent]]) -> list[ChangedEvent]:
    """What several debts owe, each event once."""
    merged: dict[str, ChangedEvent] = {}
    for event in itertools.chain.from_iterable(debts_events):
        before = merged.get(event.event_id, event)
        merged[event.event_id] = ChangedEvent(
            event.event_id,
            before.user_id if event.user_id is None else event.user_id,
            max(event.version, before.version),
            event.channels if event.channels == before.channels else tuple({*event.channels, *before.channels}),
        )
    return list(merged.values())


def pay_old_debts(database: Database, invalidator: Invalidator, older_than_s: float = 0.5) -> int:
    """Pay the invalidations that a dead writer, or Redis' absence, has left. Returns how many were paid."""
    paid = 0
    while True:
        with database.transaction() as conn:
            owed = outbox.old(conn, older_than_s)
        events = together(events for _, events in owed)
        for first in range(0, len(events), EVENTS_AT_ONCE):
            if not invalidator.invalidate(events[first : first + EVENTS_AT_ONCE], ignore_cooldown=True):
                return paid
        with database.transaction() as conn:
            outbox.settle(conn, [debt_no for debt_no, _ in owed])
        paid += len(owed)
        if len(owed) < outbox.AT_ONCE:
            return paid
