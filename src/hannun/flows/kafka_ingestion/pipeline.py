"""One batch is written while the next one is read and decoded, and never more than that one.

    this thread:   poll, decode ─► poll, decode, poll, decode ... ─► poll, decode, poll ...
    database thread:              └─ write 1, invalidate ─┘└─ write 2, invalidate ─┘

What is polled is decoded, and written as soon as the batch before it is counted, with all that was polled until then:
alone a message waits for nobody, and behind a backlog batches become as large as they may. A batch has limits of
messages and of bytes; at them polling waits.

Where a batch would hold few messages of each event, more is polled than it may hold. It then takes whole partitions,
those first whose messages have waited longest: so it has more messages of each of its events, and changes their rows
less often (`domain.batch_size`).

A start, a revocation and the end need to know how far the partitions are counted, so they write and finish what was
polled, or drop what takes too long. If a batch fails, what was polled behind it is dropped with it, and read again.
"""

import time
from concurrent.futures import Future, wait
from typing import NamedTuple

from hannun import tracing
from hannun.counting.batch_counter import BatchCounter, CountedBatch
from hannun.domain.batch_size import BatchSize
from hannun.errors import PartitionUnusable, StaleBatch
from hannun.flows.kafka_ingestion.assignments import PartitionAssignments
from hannun.flows.kafka_ingestion.database_thread import DatabaseThread
from hannun.flows.kafka_ingestion.polled_messages import BYTES_MAX, PolledMessages
from hannun.kafka.records import ConsumedBatch
from hannun.telemetry import log

POLL_MESSAGES_MAX = 4_000
"""The most messages of one poll: few enough that a batch that could be written does not wait long for it."""
POLL_WHILE_WRITING_S = 0.005
"""How long a poll waits for messages while a batch is written behind which others wait."""
POLLED_BYTES_MAX = 64 * 1024 * 1024
"""With more bytes polled, polling waits. They are in memory beside the batch that is written."""
FINISH_S_MAX = 4.0
"""How long what was polled is counted before partitions start or the process stops; what is left is read again."""
REVOKE_S_MAX = 10.0
"""How long a revocation waits until all that was polled is counted. Without the wait it is counted once all the same:
the claim of the next owner ends its epoch."""


class _TimedBatch(NamedTuple):
    counted: CountedBatch
    seconds: float


class _InFlight(NamedTuple):
    """A batch that is being written; `share` is that of the polled partitions which it has messages of."""

    batch: ConsumedBatch
    events: int
    share: float
    writing: Future[_TimedBatch]


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
        self._polled = PolledMessages(counter)
        self._size = BatchSize.at_start(count_max)

    @property
    def poll_messages_max(self) -> int:
        """How many messages the next poll may return."""
        room = min(self._size.messages_max, self._size.polled_max - len(self._polled))
        return max(1, min(POLL_MESSAGES_MAX, room))

    def poll_wait_s(self, wait_s: float) -> float:
        """How long the next poll may wait for messages; at most `wait_s`."""
        return wait_s if self._polled.is_empty else min(wait_s, POLL_WHILE_WRITING_S)

    def add(self, polled: ConsumedBatch) -> None:
        """Decode what was polled, and write it as soon as the batch before it is counted.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable. What was polled is dropped.
        """
        if polled.ranges:
            if not self._polled.follows(polled.ranges) and not self.finish():
                self._assignments.release(polled.ranges)
                return
            self._polled.add(polled, self._size.messages_max)
        in_flight = self._in_flight
        if in_flight is None or in_flight.writing.done() or self._is_full():
            self._finish_in_flight()
            self._write_next()

    def finish(self) -> bool:
        """Wait until what was polled is counted. After `FINISH_S_MAX` seconds what is not yet being written is dropped.

        Returns whether all is counted, so that what is polled behind it may be counted.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable. What was polled is dropped.
        """
        finished = True
        give_up_at = time.monotonic() + FINISH_S_MAX
        while self._in_flight is not None:
            finished = self._finish_in_flight() and finished
            if not self._polled.is_empty and time.monotonic() >= give_up_at:
                self._drop_polled()
                finished = False
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
                self._drop_polled()
            self._write_next()

    def _is_full(self) -> bool:
        bytes_max = POLLED_BYTES_MAX if self._size.few_of_each_event else BYTES_MAX
        return len(self._polled) >= self._size.polled_max or self._polled.bytes >= bytes_max

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
                self._drop_polled()
        return finished

    def _write_next(self) -> None:
        """Start to write what has waited longest, if anything; nothing may be in flight."""
        if self._polled.is_empty:
            return
        batch, prepared, share = self._polled.take(self._size)
        quarantine = self._assignments.quarantine

        def write() -> _TimedBatch:
            started = time.monotonic()
            with tracing.batch(len(batch.messages), batch.traceparents):
                counted = self._counter.write(prepared, batch.ranges, quarantine)
            return _TimedBatch(counted, time.monotonic() - started)

        events = len(prepared.by_event.event_ids)
        self._in_flight = _InFlight(batch, events, share, self._database_thread.submit(write))

    def _drop_polled(self) -> None:
        """Drop what was polled behind a batch that failed; its partitions start where that would have ended."""
        dropped, self._polled = self._polled, PolledMessages(self._counter)
        self._assignments.release(dropped.ranges)

    def _apply_result(self) -> bool:
        """Apply the result of a batch that is no longer being written. Returns whether the next one may be counted."""
        assert self._in_flight is not None
        (batch, events, share, writing), self._in_flight = self._in_flight, None
        try:
            counted, seconds = writing.result()
        except StaleBatch as stale:
            # Another owner counts these messages now. Or it was this member, and the answer to its commit was lost.
            log.warning("batch dropped", why=str(stale))
            self._assignments.release(batch.ranges)
            return False
        except PartitionUnusable as unusable:
            self._assignments.stop_unusable(unusable, batch)
            return False
        self._size = self._size.after(len(batch.messages), events, seconds, share)
        assert counted.quarantine is not None, "each batch of Kafka is written with a quarantine"
        self._assignments.record_counted(batch, counted.quarantine)
        return True
