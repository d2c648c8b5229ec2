"""One batch is written while the next one is read and decoded, and never more than that one.

    this thread:   poll, decode ─► poll, decode, poll, decode ... ─► poll, decode, poll ...
    database thread:              └─ write 1, invalidate ─┘└─ write 2, invalidate ─┘

What is polled is added to the next batch. It is written as soon as the batch before it is counted, with all that was
polled until then: alone a message waits for nobody, and behind a backlog batches become as large as they may. A batch
has limits of messages and of bytes; at them polling waits.

A start, a revocation and the end need to know how far the partitions are counted, so they write and finish all that was
polled. If a batch fails, what was polled behind it is dropped with it, and read again.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import NamedTuple

from hannun import tracing
from hannun.counting.batch_counter import BatchCounter, CountedBatch
from hannun.domain.batch import OffsetRange
from hannun.domain.batch_size import SIZE_AT_START, next_batch_size
from hannun.domain.positions import Partition
from hannun.errors import PartitionUnusable, StaleBatch
from hannun.flows.kafka_ingestion.assignments import PartitionAssignments
from hannun.flows.kafka_ingestion.database_thread import DatabaseThread
from hannun.kafka.records import ConsumedBatch
from hannun.telemetry import log

POLL_MESSAGES_MAX = 4_000
"""The most messages of one poll: few enough that a batch that could be written does not wait long for it."""
POLL_WHILE_WRITING_S = 0.005
"""How long a poll waits for messages while a batch is written behind which others wait."""
BYTES_MAX = 32 * 1024 * 1024
"""A batch of more bytes takes no more messages. With the one that is written they are twice in memory."""
REVOKE_S_MAX = 10.0
"""How long a revocation waits until all that was polled is counted. Without the wait it is counted once all the same:
the claim of the next owner ends its epoch."""


class _TimedBatch(NamedTuple):
    counted: CountedBatch
    seconds: float


class _InFlight(NamedTuple):
    batch: ConsumedBatch
    events: int
    writing: Future[_TimedBatch]


class _NextBatch:
    """What was polled and is not yet written."""

    def __init__(self, counter: BatchCounter) -> None:
        self.open_batch = counter.begin()
        self.bytes = 0
        self._ranges: dict[Partition, OffsetRange] = {}
        self._traceparents: list[bytes] = []

    def __len__(self) -> int:
        return len(self.open_batch.messages)

    @property
    def is_empty(self) -> bool:
        """Whether it covers no offset; offsets may be covered without a message."""
        return not self._ranges

    def add(self, polled: ConsumedBatch) -> None:
        self.open_batch.add(polled.messages)
        self.bytes += sum([len(message.raw) for message in polled.messages])
        self._traceparents += polled.traceparents
        for covered in polled.ranges:
            partition = (covered.topic, covered.partition)
            before = self._ranges.get(partition)
            self._ranges[partition] = covered if before is None else covered._replace(start=before.start)

    def follows(self, ranges: Sequence[OffsetRange]) -> bool:
        """Whether each of these ranges begins where that of its partition ends, under the same epoch."""
        ends = {partition: (before.end, before.epoch) for partition, before in self._ranges.items()}
        return all(
            ends.get((covered.topic, covered.partition), (covered.start, covered.epoch))
            == (covered.start, covered.epoch)
            for covered in ranges
        )

    def consumed(self) -> ConsumedBatch:
        """All of it as one batch."""
        traceparents = self._traceparents[:: -(-len(self._traceparents) // tracing.LINKS_MAX) or 1]
        return ConsumedBatch(self.open_batch.messages, list(self._ranges.values()), traceparents=traceparents)


class BatchPipeline:
    """The batches of one member of the group, on their way into PostgreSQL.

    Args:
        count_max: the largest batch; smaller where PostgreSQL is slow (`domain.batch_size`).
    """

    def __init__(
        self,
        counter: BatchCounter,
        database_thread: DatabaseThread,
        assignments: PartitionAssignments,
        count_max: int,
    ) -> None:
        self._counter = counter
        self._database_thread = database_thread
        self._assignments = assignments
        self._in_flight: _InFlight | None = None
        self._next = _NextBatch(counter)
        self._size_max = count_max
        self._batch_size = min(SIZE_AT_START, count_max)

    @property
    def poll_messages_max(self) -> int:
        """How many messages the next poll may return."""
        return max(1, min(POLL_MESSAGES_MAX, self._batch_size - len(self._next)))

    def poll_wait_s(self, wait_s: float) -> float:
        """How long the next poll may wait for messages; at most `wait_s`."""
        return wait_s if self._next.is_empty else min(wait_s, POLL_WHILE_WRITING_S)

    def add(self, polled: ConsumedBatch) -> None:
        """Decode what was polled, and write it as soon as the batch before it is counted.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable. What was polled is dropped.
        """
        if polled.ranges:
            if not self._next.follows(polled.ranges) and not self.finish():
                self._assignments.release(polled)
                return
            self._next.add(polled)
        in_flight = self._in_flight
        if in_flight is None or in_flight.writing.done() or self._is_full():
            self._finish_in_flight()
            self._write_next()

    def finish(self) -> bool:
        """Wait until all that was polled is counted. Returns whether what is polled behind it may be counted.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable. What was polled is dropped.
        """
        finished = True
        while self._in_flight is not None:
            finished = self._finish_in_flight() and finished
            self._write_next()
        return finished

    def finish_before_revocation(self) -> None:
        """The group revokes partitions: count what was polled before another member starts them.

        Called inside a poll, so what fails is left to the next `finish`.
        """
        give_up_at = time.monotonic() + REVOKE_S_MAX
        if self._in_flight is not None:
            log.info("partitions are revoked as soon as what was read of them is counted")
        while self._in_flight is not None:
            writing = self._in_flight.writing
            wait([writing], timeout=max(0.0, give_up_at - time.monotonic()))
            if not writing.done():
                log.warning("partitions are revoked before what was read is counted: PostgreSQL does not answer")
                return
            if writing.exception() is not None:
                return
            if not self._apply_result():
                self._drop_next()
            self._write_next()

    def _is_full(self) -> bool:
        return len(self._next) >= self._batch_size or self._next.bytes >= BYTES_MAX

    def _finish_in_flight(self) -> bool:
        """Wait until the batch in flight is counted; if it fails, drop what was polled behind it. As `finish`."""
        in_flight = self._in_flight
        if in_flight is None:
            return True
        finished = False
        try:
            finished = self._database_thread.wait(in_flight.writing)
            if self._in_flight is in_flight:  # unless a revocation has finished it during the wait
                finished = self._apply_result() and finished
        finally:
            if not finished:
                self._drop_next()
        return finished

    def _write_next(self) -> None:
        """Start to write what was polled, if anything; nothing may be in flight."""
        if self._next.is_empty:
            return
        following, self._next = self._next, _NextBatch(self._counter)
        batch, prepared = following.consumed(), self._counter.close(following.open_batch)
        quarantine = self._assignments.quarantine

        def write() -> _TimedBatch:
            started = time.monotonic()
            with tracing.batch(len(batch.messages), batch.traceparents):
                counted = self._counter.write(prepared, batch.ranges, quarantine)
            return _TimedBatch(counted, time.monotonic() - started)

        events = len(prepared.by_event.event_ids)
        self._in_flight = _InFlight(batch, events, self._database_thread.submit(write))

    def _drop_next(self) -> None:
        """Drop what was polled behind a batch that failed; its partitions start where that would have ended."""
        dropped, self._next = self._next, _NextBatch(self._counter)
        self._assignments.release(dropped.consumed())

    def _apply_result(self) -> bool:
        """Apply the result of a batch that is no longer being written. Returns whether the next one may be counted."""
        assert self._in_flight is not None
        (batch, events, writing), self._in_flight = self._in_flight, None
        try:
            counted, seconds = writing.result()
        except StaleBatch as stale:
            # Another owner counts these messages now. Or it was this member, and the answer to its commit was lost.
            log.warning("batch dropped", why=str(stale))
            self._assignments.release(batch)
            return False
        except PartitionUnusable as unusable:
            self._assignments.stop_unusable(unusable, batch)
            return False
        self._batch_size = next_batch_size(self._batch_size, len(batch.messages), events, seconds, self._size_max)
        assert counted.quarantine is not None, "each batch of Kafka is written with a quarantine"
        self._assignments.record_counted(batch, counted.quarantine)
        return True
