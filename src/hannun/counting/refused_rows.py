"""Finds the messages that PostgreSQL refuses, so that they cost their batch no other message.

    all of the batch refused ─► halve, each half in a savepoint ─► one message refused ─► dead letter

Every event of the batch is locked first, in one order, so that the parts cannot deadlock with another batch.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from hannun.domain.batch import BatchResult, ReceivedMessage
from hannun.domain.facts import Fact, Reason, Rejected
from hannun.domain.fold import FactsByEvent, group_by_event
from hannun.domain.forgotten import ForgottenIds
from hannun.domain.wire_formats import Decoder
from hannun.errors import RowRefused
from hannun.store.batches import BatchWriter
from hannun.store.database import Connection


class BatchPart(NamedTuple):
    """Messages that were written together, and the result."""

    facts: Sequence[Fact | Rejected]
    written: BatchResult

    @property
    def final_facts(self) -> list[Fact | Rejected]:
        """The facts, with a rejection where only PostgreSQL, or what is stored there, refused the message."""
        found = list(self.facts)
        for index, rejected in self.written.rejected:
            found[index] = rejected
        return found


class RefusedRowSearch:
    """Writes a batch in parts, without the messages that PostgreSQL refuses.

    Args:
        make_prerequisites: creates the partitions and surrogate keys of facts; raises RowRefused.
        forgotten: the ids that no dead letter may keep.
    """

    def __init__(
        self,
        decoder: Decoder,
        writer: BatchWriter,
        make_prerequisites: Callable[[FactsByEvent], None],
        forgotten: ForgottenIds,
    ) -> None:
        self._decoder = decoder
        self._writer = writer
        self._make_prerequisites = make_prerequisites
        self._forgotten = forgotten

    def accepted(self, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected]) -> list[Fact | Rejected]:
        """The facts, with a rejection where PostgreSQL refuses to create what a fact needs. Opens transactions."""
        return list(self._accepted(batch, facts))

    def write_parts(
        self, conn: Connection, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected]
    ) -> list[BatchPart]:
        """Write accepted facts in the caller's transaction, which stays usable whatever is refused."""
        self._writer.lock_events(conn, group_by_event(facts))
        return list(self._parts(conn, batch, facts))

    def _accepted(
        self, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected]
    ) -> Iterator[Fact | Rejected]:
        try:
            self._make_prerequisites(group_by_event(facts))
            yield from facts
        except RowRefused as refused:
            if len(batch) == 1:
                yield self._rejected(batch[0], str(refused))
                return
            half = len(batch) // 2
            yield from self._accepted(batch[:half], facts[:half])
            yield from self._accepted(batch[half:], facts[half:])

    def _parts(
        self, conn: Connection, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected]
    ) -> Iterator[BatchPart]:
        written = self._writer.write_or_refusal(conn, batch, group_by_event(facts))
        if isinstance(written, BatchResult):
            yield BatchPart(facts, written)
        elif len(batch) > 1:
            half = len(batch) // 2
            yield from self._parts(conn, batch[:half], facts[:half])
            yield from self._parts(conn, batch[half:], facts[half:])
        else:
            rejected = self._rejected(batch[0], written)
            yield BatchPart([rejected], self._writer.write(conn, batch, group_by_event([rejected])))

    def _rejected(self, message: ReceivedMessage, refusal: str) -> Rejected:
        rejected = self._decoder.reject(message.kind, message.raw, Reason.REFUSED, refusal)
        return self._forgotten.without(rejected)
