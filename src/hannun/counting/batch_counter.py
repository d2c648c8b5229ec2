"""Counts a batch of messages exactly once: the same path for Kafka, Service Bus, HTTP, replay and retry.

    bytes ─► facts ─► by event ─► surrogate keys, months ─► ONE TRANSACTION ─► deliver the outbox entry to the cache

The transaction (`store.batches`) holds everything that counts. What is created before it harms nobody if the batch
never commits: surrogate keys of new events, partitions of new months. After it the cached answers are invalidated; if
the process dies before that, the outbox entry stays and another process delivers it. A message that PostgreSQL refuses
costs its batch some halving (`refused_rows`), and no other message.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import NamedTuple

from hannun.cache.processed_markers import ProcessedMarkers
from hannun.counting.outbox_relay import Delivers
from hannun.counting.refused_rows import BatchPart, RefusedRowSearch
from hannun.domain.batch import MessageOutcome, OffsetRange, ReceivedMessage, message_outcomes
from hannun.domain.decoded_batch import DecodedBatch, DecodedBatchBuilder
from hannun.domain.facts import Fact, Rejected
from hannun.domain.fold import FactsByEvent, group_by_event
from hannun.domain.forgotten import NOTHING_FORGOTTEN, ForgottenIds
from hannun.domain.partitions import months_of
from hannun.domain.quarantine import Quarantine
from hannun.domain.wire_formats import Decoder, message_id
from hannun.errors import ConnectionLost, OutdatedCaches, RowRefused, StoreUnavailable
from hannun.key_ring import KeyRing
from hannun.store import amount_state
from hannun.store import forgotten as forgotten_ids
from hannun.store.amounts import amounts_of
from hannun.store.batches import BatchWriter, advance, participant_key
from hannun.store.database import Connection, Database
from hannun.store.ledger_copy import LedgerRows
from hannun.store.partitions import create_months
from hannun.store.surrogate_keys import SurrogateKeys
from hannun.telemetry import log, metrics


class PreparedBatch(NamedTuple):
    """A decoded batch, grouped by event, of which nothing is written; `ledger_rows` are its ledger rows for COPY."""

    messages: list[ReceivedMessage]
    facts: DecodedBatch
    by_event: FactsByEvent
    ledger_rows: LedgerRows | None
    decoder: Decoder
    forgotten: ForgottenIds


class OpenBatch:
    """A batch to which messages are still added; each is decoded at once. Made by `BatchCounter.begin`.

    One thread uses it.
    """

    def __init__(self, decoder: Decoder, forgotten: ForgottenIds) -> None:
        self.messages: list[ReceivedMessage] = []
        self.decoder, self.forgotten = decoder, forgotten
        self._facts = DecodedBatchBuilder()

    def add(self, messages: Sequence[ReceivedMessage]) -> None:
        """Decode messages, and add them to the batch."""
        self.messages += messages
        self.decoder.decode_into(self._facts, messages)

    def facts(self) -> DecodedBatch:
        """What all messages of the batch state."""
        return self._facts.build()


@dataclass(frozen=True, slots=True)
class CountedBatch:
    """A committed batch: in one part, or in several where PostgreSQL refused a message.

    `quarantine` is the one that the caller gave, after this batch.
    """

    parts: Sequence[BatchPart]
    quarantine: Quarantine | None = None

    def outcomes(self) -> list[MessageOutcome]:
        """What became of each message, in the order of the batch."""
        return [outcome for part in self.parts for outcome in message_outcomes(part.facts, part.written)]

    @property
    def final_facts(self) -> list[Fact | Rejected]:
        """The facts in the order of the batch, with a rejection for each message that became a dead letter."""
        return [fact for part in self.parts for fact in part.final_facts]

    def counted_message_ids(self, batch: Sequence[ReceivedMessage]) -> Iterator[str]:
        """The ids of the batch's messages that are counted, as far as they have one."""
        messages = iter(batch)
        for part in self.parts:
            rejected = {index for index, _ in part.written.rejected}
            for index, message in zip(range(len(part.facts)), messages, strict=False):
                if index not in rejected and (id_ := message_id(message.raw)) is not None:
                    yield id_

    @property
    def rejected(self) -> int:
        """How many messages became dead letters."""
        return sum(len(part.written.rejected) for part in self.parts)


class BatchCounter:
    """Counts batches on one connection. Each writing thread has its own; another thread may prepare the next batch.

    It caches surrogate keys and months of one database. The cache holds for one connection only, and is dropped after
    any error on it: behind the next connection the database may be restored from a backup, or be another one.

    Args:
        delivery: delivers the outbox entry of each batch; None leaves the entries to `deliver_pending`.
        source: label of the metrics of messages: "http", "kafka" or "servicebus"; None records no metrics.
        markers: marks counted messages in Redis for other applications; None marks none.
        key_ring: tells forgotten ids by their digests; needed where any was forgotten.
    """

    def __init__(
        self,
        database: Database,
        decoder: Decoder,
        delivery: Delivers | None,
        *,
        source: str | None = None,
        markers: ProcessedMarkers | None = None,
        key_ring: KeyRing | None = None,
    ) -> None:
        self._database = database
        self._decoder = decoder
        self._delivery = delivery
        self._source = source
        self._markers = markers
        self._key_ring = key_ring
        self._forgotten = NOTHING_FORGOTTEN
        self._keys = SurrogateKeys()
        self._writer = BatchWriter(self._keys)
        self._months: set[date] = set()
        self._generation = 0

    def abort(self) -> None:
        """Close the connection under a transaction that gets no answer. For any thread."""
        self._database.abort()

    def count(
        self,
        batch: Sequence[ReceivedMessage],
        ranges: Sequence[OffsetRange] = (),
        quarantine: Quarantine | None = None,
    ) -> CountedBatch:
        """Count a batch: `prepare` and `write` in one."""
        return self.write(self.prepare(batch), ranges, quarantine)

    def prepare(self, batch: Sequence[ReceivedMessage]) -> PreparedBatch:
        """Decode a batch and group it by event: `begin`, `OpenBatch.add` and `close`. For any thread."""
        open_batch = self.begin()
        open_batch.add(batch)
        return self.close(open_batch)

    def begin(self) -> OpenBatch:
        """A batch without messages. For any thread."""
        return OpenBatch(self._decoder, self._forgotten)

    def close(self, *parts: OpenBatch) -> PreparedBatch:
        """Make one batch of these: group it by event, and make its ledger rows. Nothing is added to them any more. No
        I/O, so any thread may call it."""
        decoder, forgotten = parts[0].decoder, parts[0].forgotten
        messages = list(chain.from_iterable([part.messages for part in parts]))
        if any((part.decoder, part.forgotten) != (decoder, forgotten) for part in parts):
            return self.prepare(messages)  # the database was another one when the first of them were decoded
        facts = DecodedBatch.concatenated([part.facts() for part in parts])
        by_event = group_by_event(facts)
        if forgotten.concern(by_event):
            facts = forgotten.substituted(facts)
            by_event = group_by_event(facts)
        rows = self._writer.ledger_rows(by_event)
        return PreparedBatch(messages, facts, by_event, rows, decoder, forgotten)

    def write(
        self, prepared: PreparedBatch, ranges: Sequence[OffsetRange] = (), quarantine: Quarantine | None = None
    ) -> CountedBatch:
        """Commit a batch and, for Kafka, move the positions that it covers: all of it, or nothing.

        Args:
            ranges: the offsets that the batch covers; none over HTTP and Service Bus.
            quarantine: limits the unusable messages of each partition.

        Raises:
            StaleBatch: another consumer owns a position. Drop the batch.
            ConnectionLost: the connection broke, and nothing was written. Count the batch again.
            StoreUnavailable: PostgreSQL is unavailable, or the answer to the commit was lost. Count the batch again.
            PartitionUnusable: a partition exceeds a limit of the quarantine. Nothing is written.
        """
        started = time.perf_counter()
        try:
            self._check_connection()
            if (prepared.decoder, prepared.forgotten) != (self._decoder, self._forgotten):  # those of another database
                prepared = self.prepare(prepared.messages)
            counted = self._write_with_present_caches(prepared, ranges, quarantine)
        except StoreUnavailable:
            self._clear_caches()
            raise
        for part in counted.parts:
            if part.written.outbox_no is not None and self._delivery is not None:
                self._delivery.deliver(part.written.outbox_no, part.written.events)
        self._record(prepared.messages, counted, time.perf_counter() - started)
        return counted

    def _check_connection(self) -> None:
        """Drop the caches and read the participant key where the connection is a new one."""
        generation = self._database.ensure_connected()
        if generation == self._generation:
            return
        self._clear_caches()
        self._generation = generation
        with self._transaction() as conn:
            self._decoder = self._decoder.with_participant_key(participant_key(conn))
            self._use_forgotten(forgotten_ids.load(conn, self._key_ring))

    def _use_forgotten(self, forgotten: ForgottenIds) -> None:
        """Let batches from here on be prepared, and written, with these ids forgotten."""
        self._forgotten = self._writer.forgotten = forgotten

    def _clear_caches(self) -> None:
        self._months.clear()
        self._keys.clear()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction on the connection for which the caches hold."""
        with self._database.transaction() as conn:
            if self._database.generation != self._generation:
                raise ConnectionLost("the connection was renewed in the middle of a batch")
            yield conn
            used = amount_state.record_used_keys(conn)
        amounts_of(conn).recorded(used)

    def _write_with_present_caches(
        self, prepared: PreparedBatch, ranges: Sequence[OffsetRange], quarantine: Quarantine | None
    ) -> CountedBatch:
        """Write a batch. If a cached key or month no longer holds, or an id was forgotten since, drop the caches, then
        prepare the batch anew and write it once more: the caller learns nothing of it."""
        try:
            return self._write(prepared, ranges, quarantine)
        except OutdatedCaches as outdated:
            log.info("the cached keys and months are outdated and are read again", why=str(outdated))
            self._clear_caches()
        with self._transaction() as conn:
            self._use_forgotten(forgotten_ids.load(conn, self._key_ring))
        return self._write(self.prepare(prepared.messages), ranges, quarantine)

    def _write(
        self, prepared: PreparedBatch, ranges: Sequence[OffsetRange], quarantine: Quarantine | None
    ) -> CountedBatch:
        batch, facts, by_event, ledger_rows, *_ = prepared
        after = quarantine and quarantine.after(batch, dict(by_event.rejected))
        try:
            self._make_prerequisites(by_event)
            with self._transaction() as conn:
                part = BatchPart(facts, self._writer.write(conn, batch, by_event, ranges, ledger_rows))
                if quarantine is not None and len(part.written.rejected) > len(by_event.rejected):
                    after = quarantine.after(
                        batch, dict(part.written.rejected)
                    )  # before the commit: nothing of the batch is kept
            return CountedBatch([part], after)
        except RowRefused as refused:
            log.error("PostgreSQL refuses a message of a batch; searching for it", why=str(refused))
        return self._write_in_parts(batch, facts, ranges, quarantine)

    def _write_in_parts(
        self,
        batch: Sequence[ReceivedMessage],
        facts: Sequence[Fact | Rejected],
        ranges: Sequence[OffsetRange],
        quarantine: Quarantine | None,
    ) -> CountedBatch:
        """Write the batch without the messages that PostgreSQL refuses; those become dead letters."""
        search = RefusedRowSearch(self._decoder, self._writer, self._make_prerequisites, self._forgotten)
        facts = search.accepted(batch, facts)
        with self._transaction() as conn:
            advance(conn, ranges)
            parts = search.write_parts(conn, batch, facts)
            final = DecodedBatch.of(fact for part in parts for fact in part.final_facts)
            after = quarantine and quarantine.after(batch, dict(final.rejected))
        return CountedBatch(parts, after)

    def _make_prerequisites(self, by_event: FactsByEvent) -> None:
        """Create what the batch's rows refer to: surrogate keys of events and channels, partitions of months."""
        months = months_of(by_event.minutes) - self._months
        if months:
            with self._transaction() as conn:
                create_months(conn, months)
            self._months |= months
        if not self._keys.contain(by_event):
            try:
                with self._transaction() as conn:
                    self._keys.load_or_assign(conn, by_event)
            except RowRefused:
                self._keys.clear()  # the keys of the transaction were rolled back
                raise

    def _record(self, batch: Sequence[ReceivedMessage], counted: CountedBatch, seconds: float) -> None:
        """Record a committed batch in the metrics, and mark its messages."""
        if self._source is not None:
            if batch:  # without messages only positions moved
                metrics.batch_seconds.observe(seconds)
            metrics.messages.labels(self._source, "dead-letter").inc(counted.rejected)
            metrics.messages.labels(self._source, "read").inc(len(batch) - counted.rejected)
        if self._markers is not None and self._markers.remaining():
            self._markers.enqueue(counted.counted_message_ids(batch))
