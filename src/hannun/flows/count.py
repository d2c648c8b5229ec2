"""Count a batch: the one road behind both doors.

    bytes ─► facts ─► by event ─► numbers and months ─► ONE TRANSACTION ─► pay what is owed to the cache

Everything that counts is in the transaction (`store.batches`). Before it only things are made that harm nobody if the
batch never lands: numbers for new events, partitions for new months. After it, the cache is told; a process that dies
there leaves a debt that the next one pays. A message that PostgreSQL will never take costs its batch some halving, and
nobody else a count.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from hannun.cache import Invalidator
from hannun.domain.batch import ChangedEvent, Outcome, Received, Span, Written, outcomes
from hannun.domain.fold import Gathered, gather
from hannun.domain.messages import Decoder, Fact, Reason, Rejected, message_id
from hannun.domain.partitions import months_of
from hannun.errors import Refused, StoreUnavailable
from hannun.store import debts
from hannun.store.batches import LedgerText, Writer, advance, participant_key
from hannun.store.database import Connection, Database
from hannun.store.numbers import Numbers
from hannun.store.partitions import make_months
from hannun.telemetry import log

Inspect = Callable[[Sequence[Received], Sequence[Fact | Rejected]], None]
"""Looks at a batch before anything of it is written, once more before it is committed where more was refused by then,
and may raise: then nothing of it is kept."""


class Invalidates(Protocol):
    """What tells the cache (`cache.Invalidator`): whether it was told."""

    def invalidate(self, events: Sequence[ChangedEvent]) -> bool: ...


class Pays(Protocol):
    """What pays a debt now or in a moment (`Payer`)."""

    def pay(self, debt_no: int, events: Sequence[ChangedEvent]) -> None: ...


class Prepared(NamedTuple):
    """A batch that is decoded and folded, by whom, and of which nothing is written yet; `text` is for its ledger."""

    batch: Sequence[Received]
    facts: Sequence[Fact | Rejected]
    gathered: Gathered
    text: LedgerText | None
    decoder: Decoder


class Part(NamedTuple):
    """Messages that were written together, and what that did."""

    facts: Sequence[Fact | Rejected]
    written: Written

    @property
    def became(self) -> list[Fact | Rejected]:
        """What its messages were found to be: letters also where only the database, or what it knows, refused them."""
        found = list(self.facts)
        for index, letter in self.written.rejected:
            found[index] = letter
        return found


@dataclass(frozen=True, slots=True)
class Counted:
    """A batch that is counted: in one part, or in more where PostgreSQL refused a message of it."""

    parts: Sequence[Part]

    def outcomes(self) -> list[Outcome]:
        """What became of each message, in the order of the batch."""
        return [outcome for part in self.parts for outcome in outcomes(part.facts, part.written)]

    def message_ids(self, batch: Sequence[Received]) -> Iterator[str]:
        """The ids of the messages of the batch that are counted by now, as far as they have one."""
        messages = iter(batch)
        for part in self.parts:
            rejected = {index for index, _ in part.written.rejected}
            for index, message in zip(range(len(part.facts)), messages, strict=False):
                if index not in rejected and (id_ := message_id(message.raw)) is not None:
                    yield id_

    @property
    def rejected(self) -> int:
        """How many messages went to the dead letters."""
        return sum(len(part.written.rejected) for part in self.parts)


class Counter:
    """Counts batches. One for each thread that writes: it remembers what makes the next batch cheaper.

    A batch may be prepared by another thread, while the one before it is being written.

    What it remembers is true of one database. It is believed on one connection only, and not after anything went wrong
    there: behind the next one the database may have been restored from a backup, or be another.
    """

    def __init__(
        self,
        database: Database,
        decoder: Decoder,
        invalidator: Invalidates,
        inspect: Inspect = lambda *_: None,
        payer: Pays | None = None,
    ) -> None:
        """
        Args:
            payer: pays what batches owe; without one each batch is paid by itself, before it is answered.
        """
        self._database = database
        self._inspect = inspect
        self._decoder = decoder
        self._invalidator = invalidator
        self._payer = payer
        self._numbers = Numbers()
        self._writer = Writer(self._numbers)
        self._months: set[date] = set()
        self._generation = 0

    def hang_up(self) -> None:
        """Let go of a PostgreSQL that does not answer: what is being written is given up. For any thread."""
        self._database.hang_up()

    def count(self, batch: Sequence[Received], spans: Sequence[Span] = ()) -> Counted:
        """Count a batch: `prepare` and `write` in one."""
        return self.write(self.prepare(batch), spans)

    def prepare(self, batch: Sequence[Received]) -> Prepared:
        """Decode a batch and sort it by event. Nothing is asked of anybody, so any thread may do it."""
        decoder = self._decoder
        facts = decoder.decode_all(batch)
        gathered = gather(facts)
        return Prepared(batch, facts, gathered, self._writer.text_of(gathered), decoder)

    def write(self, prepared: Prepared, spans: Sequence[Span] = ()) -> Counted:
        """Write a batch and, over Kafka, move the positions that it covers: all of it, or nothing.

        Raises:
            StaleBatch: another consumer owns a position. Drop the batch.
            StoreUnavailable: PostgreSQL is away, or the answer to our commit was lost. Count the same batch again.
            Unusable: the inspection found that too much of a partition cannot be used.
        """
        try:
            self._meet()
            if prepared.decoder is not self._decoder:  # this database has another key
                prepared = self.prepare(prepared.batch)
            parts = self._write(prepared, spans)
        except StoreUnavailable:
            self._forget()
            raise
        for part in parts:
            self._pay(part.written)
        return Counted(parts)

    def _meet(self) -> None:
        """See whose database this is, where the connection is a new one."""
        generation = self._database.connected()
        if generation == self._generation:
            return
        self._forget()
        self._generation = generation
        with self._transaction() as conn:
            self._decoder = self._decoder.under(participant_key(conn))

    def _forget(self) -> None:
        self._months.clear()
        self._numbers.forget()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction on the connection of which we remember something."""
        with self._database.transaction() as conn:
            if self._database.generation != self._generation:
                raise StoreUnavailable("the connection was renewed in the middle of a batch")
            yield conn

    def _write(self, prepared: Prepared, spans: Sequence[Span]) -> list[Part]:
        batch, facts, gathered, text, _ = prepared
        self._inspect(batch, facts)
        try:
            self._make_room(gathered)
            with self._transaction() as conn:
                part = Part(facts, self._writer.write(conn, batch, gathered, spans, text))
                if len(part.written.rejected) > len(gathered.rejected):
                    self._inspect(batch, part.became)
                return [part]
        except Refused as refused:
            log.error("PostgreSQL refuses a message of a batch; looking for it", why=str(refused))
        return self._write_in_parts(batch, facts, spans)

    def _write_in_parts(
        self, batch: Sequence[Received], facts: Sequence[Fact | Rejected], spans: Sequence[Span]
    ) -> list[Part]:
        """Halve until the messages are found that PostgreSQL refuses; they go to the dead letters, the others land."""
        facts = list(self._with_room(batch, facts))
        with self._transaction() as conn:
            advance(conn, spans)
            self._writer.hold(conn, gather(facts))
            parts = list(self._parts(conn, batch, facts))
            self._inspect(batch, [fact for part in parts for fact in part.became])
            return parts

    def _with_room(self, batch: Sequence[Received], facts: Sequence[Fact | Rejected]) -> Iterator[Fact | Rejected]:
        """The facts, all made that they stand on; where PostgreSQL refuses to make it, a letter in a fact's place."""
        try:
            self._make_room(gather(facts))
            yield from facts
        except Refused as refused:
            if len(batch) == 1:
                yield self._decoder.rejected(batch[0].kind, batch[0].raw, Reason.REFUSED, str(refused))
                return
            half = len(batch) // 2
            yield from self._with_room(batch[:half], facts[:half])
            yield from self._with_room(batch[half:], facts[half:])

    def _parts(self, conn: Connection, batch: Sequence[Received], facts: Sequence[Fact | Rejected]) -> Iterator[Part]:
        written = self._writer.write_or_refuse(conn, batch, gather(facts))
        if isinstance(written, Written):
            yield Part(facts, written)
        elif len(batch) > 1:
            half = len(batch) // 2
            yield from self._parts(conn, batch[:half], facts[:half])
            yield from self._parts(conn, batch[half:], facts[half:])
        else:
            letter = self._decoder.rejected(batch[0].kind, batch[0].raw, Reason.REFUSED, written)
            yield Part([letter], self._writer.write(conn, batch, gather([letter])))

    def _make_room(self, gathered: Gathered) -> None:
        """Make what the batch needs to stand on: numbers of new events and channels, partitions of new months."""
        months = months_of(gathered.minutes) - self._months
        if months:
            with self._transaction() as conn:
                make_months(conn, months)
            self._months |= months
        if not self._numbers.cover(gathered):
            try:
                with self._transaction() as conn:
                    self._numbers.learn(conn, gathered)
            except Refused:
                self._numbers.forget()  # what it learned in there was rolled back
                raise

    def _pay(self, written: Written) -> None:
        """Tell the cache. A debt that cannot be paid now stays written, and whoever finds it pays it."""
        if written.debt_no is None:
            return
        if self._payer is not None:
            self._payer.pay(written.debt_no, written.events)
        elif self._invalidator.invalidate(written.events):
            # Paid twice does no harm; a batch that is counted must not look as if it were not.
            with suppress(StoreUnavailable), self._database.transaction() as conn:
                debts.settle(conn, [written.debt_no])


APART_S = 0.05
"""An event is paid at most once in so long; what is committed meanwhile waits for its end, and is paid together."""
EVENTS_AT_ONCE = 5_000


class _Waiting(NamedTuple):
    due_s: float
    debt_no: int
    events: Sequence[ChangedEvent]


class Payer:
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
                debts.settle(conn, settled)
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
            owed = debts.old(conn, older_than_s)
        events = together(events for _, events in owed)
        for first in range(0, len(events), EVENTS_AT_ONCE):
            if not invalidator.invalidate(events[first : first + EVENTS_AT_ONCE], at_rest_too=True):
                return paid
        with database.transaction() as conn:
            debts.settle(conn, [debt_no for debt_no, _ in owed])
        paid += len(owed)
        if len(owed) < debts.AT_ONCE:
            return paid
