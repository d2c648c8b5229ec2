"""One batch is written while the next one is read and decoded, and never more than that one.

    this thread:   poll 1 ─ prepare 1 ─► poll 2 ─ prepare 2 ───────► poll 3 ...
    database thread:                     └─ write 1, invalidate ─┘   └─ write 2 ...

A start, a revocation and the end need to know how far the partitions are counted, so they finish the batch in flight
first. If that one fails, the batch behind it is dropped with it.
"""

import time
from concurrent.futures import Future, wait
from typing import NamedTuple

from hannun import tracing
from hannun.counting.batch_counter import BatchCounter, CountedBatch
from hannun.domain.batch_size import next_batch_size
from hannun.errors import PartitionUnusable, StaleBatch
from hannun.flows.kafka_ingestion.assignments import PartitionAssignments
from hannun.flows.kafka_ingestion.database_thread import DatabaseThread
from hannun.kafka.records import ConsumedBatch
from hannun.telemetry import log

REVOKE_S_MAX = 10.0
"""How long a revocation waits until the batch in flight is counted. Without the wait it is counted once all the same:
the claim of the next owner ends its epoch."""


class _TimedBatch(NamedTuple):
    counted: CountedBatch
    seconds: float


class _InFlight(NamedTuple):
    batch: ConsumedBatch
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
        self._size_max = count_max
        self.batch_size = count_max
        """How many messages the next batch may have."""

    def submit(self, batch: ConsumedBatch) -> None:
        """Decode a batch, and write it as soon as the one before it is counted.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable.
        """
        if not batch.ranges:
            if self._in_flight is not None and self._in_flight.writing.done():
                self.finish()
            return
        prepared = self._counter.prepare(batch.messages)
        if not self.finish():
            self._assignments.release(batch)  # it starts where the failed one would have ended
            return
        quarantine = self._assignments.quarantine

        def write() -> _TimedBatch:
            started = time.monotonic()
            with tracing.batch(len(batch.messages), batch.traceparents):
                counted = self._counter.write(prepared, batch.ranges, quarantine)
            return _TimedBatch(counted, time.monotonic() - started)

        self._in_flight = _InFlight(batch, self._database_thread.submit(write))

    def finish(self) -> bool:
        """Wait until the batch in flight is counted. Returns whether the batch behind it may be counted.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable.
        """
        in_flight = self._in_flight
        if in_flight is None:
            return True
        in_time = self._database_thread.wait(in_flight.writing)
        if self._in_flight is in_flight:  # unless a revocation has finished it during the wait
            in_time = self._apply_result() and in_time
        return in_time

    def finish_before_revocation(self) -> None:
        """The group revokes partitions: finish the batch in flight before another member starts them.

        Called inside a poll, so what fails is left to the next `finish`.
        """
        if self._in_flight is None:
            return
        log.info("partitions are revoked as soon as the batch in flight is counted")
        writing = self._in_flight.writing
        wait([writing], timeout=REVOKE_S_MAX)
        if not writing.done():
            log.warning("partitions are revoked before the batch in flight is counted: PostgreSQL does not answer")
        elif writing.exception() is None:
            self._apply_result()

    def _apply_result(self) -> bool:
        """Apply the result of a batch that is no longer being written, as `finish`."""
        assert self._in_flight is not None
        (batch, writing), self._in_flight = self._in_flight, None
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
        self.batch_size = next_batch_size(self.batch_size, len(batch.messages), seconds, self._size_max)
        assert counted.quarantine is not None, "each batch of Kafka is written with a quarantine"
        self._assignments.record_counted(batch, counted.quarantine)
        return True
