"""A batch into PostgreSQL, in one transaction: positions, ledgers and aggregates change together or not at all.

    positions ─► lock the events ─► registers ─► ledgers: who is new? ─► aggregates ─► dead letters ─► outbox entry

Every writer locks the events of its batch, in the order of their numbers, before it changes anything of them. From then
on what it reads of them stays true, and two batches cannot deadlock. Writers of different events never wait for each
other; that is the usual case, since Kafka keeps an event's messages in one partition.

The caller decides where the transaction begins and ends. The same messages, written again, change nothing.
"""

import hashlib
from collections.abc import Iterable, Sequence

from psycopg.types.json import Jsonb

from hannun.domain.batch import BatchResult, OffsetRange, ReceivedMessage
from hannun.domain.facts import Rejected
from hannun.domain.fold import FactsByEvent
from hannun.domain.forgotten import NOTHING_FORGOTTEN
from hannun.errors import StaleBatch
from hannun.store import amount_state, dead_letters, outbox, registers
from hannun.store.batch_changes import BatchChanges
from hannun.store.database import ROW_ERRORS, Connection, describe_row_error
from hannun.store.ledger_copy import LedgerRows, ledger_rows
from hannun.store.queries import load
from hannun.store.surrogate_keys import SurrogateKeys

SQL = load("batches")


def participant_key(conn: Connection) -> bytes:
    """The key that hashes participant ids which are not UUIDs (`domain.wire_formats.Rules`)."""
    row = conn.execute(SQL["participant_key"]).fetchone()
    assert row is not None
    return bytes(row[0])


class BatchWriter:
    """Writes batches. It keeps only what makes the next batch cheaper; all that counts is in the database.

    `forgotten` is what was known of forgotten ids when the batches were prepared that it writes.
    """

    def __init__(self, keys: SurrogateKeys) -> None:
        self._keys = keys
        self.forgotten = NOTHING_FORGOTTEN
        self._repeats_expected = False

    def ledger_rows(self, by_event: FactsByEvent) -> LedgerRows | None:
        """The batch's ledger rows for COPY, made while the batch before it is written. For any thread.

        None where the batch may contain repeats, which COPY cannot write, or where a surrogate key is missing.
        """
        return None if self._repeats_expected else ledger_rows(self._keys, by_event.registrations)

    def write(
        self,
        conn: Connection,
        batch: Sequence[ReceivedMessage],
        by_event: FactsByEvent,
        ranges: Sequence[OffsetRange] = (),
        prepared_rows: LedgerRows | None = None,
    ) -> BatchResult:
        """Write a batch in the caller's transaction. Its surrogate keys and months exist.

        Args:
            prepared_rows: what `ledger_rows` returned; made now where it is None or the surrogate keys have changed.

        Raises:
            StaleBatch: a position is no longer at the start of the batch, or has another owner. Roll back.
            OutdatedCaches: a cached surrogate key, or a cached month, is not one of this database, or an id was
                forgotten meanwhile. Prepare it anew, and write it again.
        """
        advance(conn, ranges)
        written = BatchResult(rejected=list(by_event.rejected))
        if by_event.event_ids:
            changes = BatchChanges(conn, self._keys, by_event, written, prepared_rows, self.forgotten)
            changes.lock_events()
            changes.settle_registers()
            self._repeats_expected = changes.add_participants(repeats_expected=self._repeats_expected)
            changes.add_sales()
            changes.publish_totals()
        _add_dead_letters(conn, batch, written.rejected)
        if written.events:
            written.outbox_no = outbox.add(conn, written.events)
        return written

    def write_or_refusal(
        self, conn: Connection, batch: Sequence[ReceivedMessage], by_event: FactsByEvent
    ) -> BatchResult | str:
        """Write a part of a batch in a savepoint, or return why PostgreSQL refuses a row of it."""
        try:
            with conn.transaction():
                return self.write(conn, batch, by_event)
        except ROW_ERRORS as error:
            return describe_row_error(error)

    def lock_events(self, conn: Connection, by_event: FactsByEvent) -> None:
        """Lock the events of a whole batch before its parts are written one by one, so that parts cannot deadlock."""
        BatchChanges(conn, self._keys, by_event, BatchResult(), forgotten=self.forgotten).lock_events()


def advance(conn: Connection, ranges: Iterable[OffsetRange]) -> None:
    """Move positions over the offsets of a batch, in the caller's transaction.

    Raises:
        StaleBatch: a position is no longer at the start of the batch, or its epoch is another owner's.
    """
    for covered in sorted(ranges):
        if conn.execute(SQL["advance_position"], covered._asdict()).rowcount != 1:
            raise StaleBatch(
                f"{covered.topic}[{covered.partition}] is no longer at offset {covered.start} under epoch "
                f"{covered.epoch}: another consumer owns it"
            )


def _add_dead_letters(
    conn: Connection, batch: Sequence[ReceivedMessage], rejected: Sequence[tuple[int, Rejected]]
) -> None:
    if not rejected:
        return
    seals = amount_state.seals(conn)
    rows = []
    for index, refused in rejected:
        message = batch[index]
        topic, topic_id, partition, offset = message.record_id or (None, None, None, None)
        hash_ = message.hash or hashlib.sha256(message.kind.encode() + b"\0" + message.raw).digest()
        kept = refused.fields
        fields, sealed = dead_letters.seal_amounts(conn, hash_, kept) if seals and kept else (kept, None)
        rows.append(
            {
                "kind": refused.kind,
                "reason": refused.reason,
                "detail": refused.detail,
                "event_id": refused.event_id,
                "topic": topic,
                "partition": partition,
                "topic_id": topic_id,
                "offset": offset,
                "received_at": registers.timestamp(message.received_at),
                "size_bytes": len(message.raw),
                "hash": hash_,
                "fields": None if fields is None else Jsonb(fields),
                "sealed_amounts": sealed,
            }
        )
    with conn.cursor() as cursor:
        cursor.executemany(SQL["add_dead_letter"], rows)
