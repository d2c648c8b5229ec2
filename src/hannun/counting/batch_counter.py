"""Count a batch: the one road behind both doors.

    bytes ─► facts ─► by event ─► numbers and months ─► ONE TRANSACTION ─► pay what is owed to the cache

Everything that counts is in the transaction (`store.batches`). Before it only things are made that harm nobody if the
batch never lands: numbers for new events, partitions for new months. After it, the cache is told; a process that dies
there leaves a debt that the next one pays. A message that PostgreSQL will never take costs its batch some halving, and
nobody else a count.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from hannun.counting.outbox_relay import Invalidates
from hannun.domain.batch import BatchResult, ChangedEvent, MessageOutcome, OffsetRange, ReceivedMessage, outcomes
from hannun.domain.facts import Fact, Reason, Rejected
from hannun.domain.fold import FactsByEvent, group_by_event
from hannun.domain.partitions import months_of
from hannun.domain.wire_formats import Decoder, message_id
from hannun.errors import RowRefused, StoreUnavailable
from hannun.store import outbox
from hannun.store.batches import BatchWriter, LedgerText, advance, participant_key
from hannun.store.database import Connection, Database
from hannun.store.partitions import create_months
from hannun.store.surrogate_keys import SurrogateKeys
from hannun.telemetry import log

Inspect = Callable[[Sequence[ReceivedMessage], Sequence[Fact | Rejected]], None]
"""Looks at a batch before anything of it is written, once more before it is committed where more was refused by then,
and may raise: then nothing of it is kept."""


class Pays(Protocol):
    """What pays a debt now or in a moment (`OutboxRelay`)."""

    def pay(self, debt_no: int, events: Sequence[ChangedEvent]) -> None: ...


class PreparedBatch(NamedTuple):
    """A batch that is decoded and folded, by whom, and of which nothing is written yet; `text` is for its ledger."""

    batch: Sequence[ReceivedMessage]
    facts: Sequence[Fact | Rejected]
    gathered: FactsByEvent
    text: LedgerText | None
    decoder: Decoder


class BatchPart(NamedTuple):
    """Messages that were written together, and what that did."""

    facts: Sequence[Fact | Rejected]
    written: BatchResult

    @property
    def became(self) -> list[Fact | Rejected]:
        """What its messages were found to be: letters also where only the database, or what it knows, refused them."""
        found = list(self.facts)
        for index, letter in self.written.rejected:
            found[index] = letter
        return found


@dataclass(frozen=True, slots=True)
class CountedBatch:
    """A batch that is counted: in one part, or in more where PostgreSQL refused a message of it."""

    parts: Sequence[BatchPart]

    def outcomes(self) -> list[MessageOutcome]:
        """What became of each message, in the order of the batch."""
        return [outcome for part in self.parts for outcome in outcomes(part.facts, part.written)]

    def message_ids(self, batch: Sequence[ReceivedMessage]) -> Iterator[str]:
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


class BatchCounter:
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
        self._numbers = SurrogateKeys()
        self._writer = BatchWriter(self._numbers)
        self._months: set[date] = set()
        self._generation = 0

    def hang_up(self) -> None:
        """Let go of a PostgreSQL that does not answer: what is being written is given up. For any thread."""
        self._database.abort()

    def count(self, batch: Sequence[ReceivedMessage], spans: Sequence[OffsetRange] = ()) -> CountedBatch:
        """Count a batch: `prepare` and `write` in one."""
        return self.write(self.prepare(batch), spans)

    def prepare(self, batch: Sequence[ReceivedMessage]) -> PreparedBatch:
        """Decode a batch and sort it by event. Nothing is asked of anybody, so any thread may do it."""
        decoder = self._decoder
        facts = decoder.decode_all(batch)
        gathered = group_by_event(facts)
        return PreparedBatch(batch, facts, gathered, self._writer.text_of(gathered), decoder)

    def write(self, prepared: PreparedBatch, spans: Sequence[OffsetRange] = ()) -> CountedBatch:
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
        return CountedBatch(parts)

    def _meet(self) -> None:
        """See whose database this is, where the connection is a new one."""
        generation = self._database.ensure_connected()
        if generation == self._generation:
            return
        self._forget()
        self._generation = generation
        with self._transaction() as conn:
            self._decoder = self._decoder.under(participant_key(conn))

    def _forget(self) -> None:
        self._months.clear()
        self._numbers.clear()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction on the connection of which we remember something."""
        with self._database.transaction() as conn:
            if self._database.generation != self._generation:
                raise StoreUnavailable("the connection was renewed in the middle of a batch")
            yield conn

    def _write(self, prepared: PreparedBatch, spans: Sequence[OffsetRange]) -> list[BatchPart]:
        batch, facts, gathered, text, _ = prepared
        self._inspect(batch, facts)
        try:
            self._make_room(gathered)
            with self._transaction() as conn:
                part = BatchPart(facts, self._writer.write(conn, batch, gathered, spans, text))
                if len(part.written.rejected) > len(gathered.rejected):
                    self._inspect(batch, part.became)
                return [part]
        except RowRefused as refused:
            log.error("PostgreSQL refuses a message of a batch; looking for it", why=str(refused))
        return self._write_in_parts(batch, facts, spans)

    def _write_in_parts(
        self, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected], spans: Sequence[OffsetRange]
    ) -> list[BatchPart]:
        """Halve until the messages are found that PostgreSQL refuses; they go to the dead letters, the others land."""
        facts = list(self._with_room(batch, facts))
        with self._transaction() as conn:
            advance(conn, spans)
            self._writer.hold(conn, group_by_event(facts))
            parts = list(self._parts(conn, batch, facts))
            self._inspect(batch, [fact for part in parts for fact in part.became])
            return parts

    def _with_room(
        self, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected]
    ) -> Iterator[Fact | Rejected]:
        """The facts, all made that they stand on; where PostgreSQL refuses to make it, a letter in a fact's place."""
        try:
            self._make_room(group_by_event(facts))
            yield from facts
        except RowRefused as refused:
            if len(batch) == 1:
                yield self._decoder.rejected(batch[0].kind, batch[0].raw, Reason.REFUSED, str(refused))
                return
            half = len(batch) // 2
            yield from self._with_room(batch[:half], facts[:half])
            yield from self._with_room(batch[half:], facts[half:])

    def _parts(
        self, conn: Connection, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected]
    ) -> Iterator[BatchPart]:
        written = self._writer.write_or_refuse(conn, batch, group_by_event(facts))
        if isinstance(written, BatchResult):
            yield BatchPart(facts, written)
        elif len(batch) > 1:
            half = len(batch) // 2
            yield from self._parts(conn, batch[:half], facts[:half])
            yield from self._parts(conn, batch[half:], facts[half:])
        else:
            letter = self._decoder.rejected(batch[0].kind, batch[0].raw, Reason.REFUSED, written)
            yield BatchPart([letter], self._writer.write(conn, batch, group_by_event([letter])))

    def _make_room(self, gathered: FactsByEvent) -> None:
        """Make what the batch needs to stand on: numbers of new events and channels, partitions of new months."""
        months = months_of(gathered.minutes) - self._months
        if months:
            with self._transaction() as conn:
                create_months(conn, months)
            self._months |= months
        if not self._numbers.contain(gathered):
            try:
                with self._transaction() as conn:
                    self._numbers.load_or_assign(conn, gathered)
            except RowRefused:
                self._numbers.clear()  # what it learned in there was rolled back
                raise

    def _pay(self, written: BatchResult) -> None:
        """Tell the cache. A debt that cannot be paid now stays written, and whoever finds it pays it."""
        if written.debt_no is None:
            return
        if self._payer is not None:
            self._payer.pay(written.debt_no, written.events)
        elif self._invalidator.invalidate(written.events):
            # Paid twice does no harm; a batch that is counted must not look as if it were not.
            with suppress(StoreUnavailable), self._database.transaction() as conn:
                outbox.settle(conn, [written.debt_no])
