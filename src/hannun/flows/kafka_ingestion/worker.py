"""A worker: one consumer of the group, with the thread that writes for it.

Counts and positions are written in one transaction, and reading resumes at those positions: that is what counts each
message exactly once. Every failure has one way out: release the partitions, claim them again, and resume at the
positions in PostgreSQL.

Registrations have a worker of their own, and all other topics another one. A group balances the number
of partitions over its members, whatever they hold, and might give all of the busy topic to one process; and rare
messages do not wait behind many.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress

from hannun.counting.batch_counter import BatchCounter
from hannun.domain.positions import KnownPosition, Partition, StartFrom
from hannun.domain.quarantine import QuarantineLimits
from hannun.errors import StoreUnavailable
from hannun.flows.kafka_ingestion.assignments import PartitionAssignments
from hannun.flows.kafka_ingestion.database_thread import DatabaseThread
from hannun.flows.kafka_ingestion.pipeline import BatchPipeline
from hannun.flows.kafka_ingestion.progress import IngestionProgress
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.store.database import Database


class IngestionWorker:
    """Counts the messages of some topics.

    Args:
        database: for claims and positions; `counter` has a connection of its own.
        owner: the name of this process beside the positions that it claims.
        start_from: where a topic starts that was never read.
        limits: how many messages of a partition may be unusable before it stops.
    """

    def __init__(
        self,
        consumer: GroupConsumer,
        broker: Broker,
        database: Database,
        counter: BatchCounter,
        *,
        owner: str,
        start_from: StartFrom,
        limits: QuarantineLimits,
    ) -> None:
        self._consumer = consumer
        self._broker = broker
        self._database = database
        self._counter = counter
        self._owner = owner
        self._start_from = start_from
        self._limits = limits
        self._progress = IngestionProgress()

    @property
    def positions(self) -> Mapping[Partition, KnownPosition | None]:
        """The last known position of each assigned partition; None where reading has not started. For any thread."""
        return self._progress.positions

    def run(self, stop: threading.Event, *, count_max: int, wait_s: float) -> None:
        """Count until `stop` is set; what was read is counted first.

        Args:
            count_max: the largest batch.
            wait_s: how long a poll waits for more messages.

        Raises:
            KafkaUnavailable: the Kafka client has failed permanently; end the process.
        """
        with DatabaseThread(self._database, self._counter, self._consumer, self._progress, stop) as database_thread:
            assignments = PartitionAssignments(
                self._consumer,
                self._broker,
                database_thread,
                self._progress,
                owner=self._owner,
                start_from=self._start_from,
                limits=self._limits,
            )
            pipeline = BatchPipeline(self._counter, database_thread, assignments, count_max)
            self._consumer.before_revoke(pipeline.finish_before_revocation)
            while not stop.is_set():
                try:
                    self._run_once(assignments, pipeline, wait_s)
                except StoreUnavailable as error:
                    database_thread.record_unavailable(str(error), error.hint)
                    database_thread.keep_group_membership()
                assignments.after_poll()
            with suppress(StoreUnavailable):  # then nothing of the last batch is counted, and it is read again
                pipeline.finish()

    def _run_once(self, assignments: PartitionAssignments, pipeline: BatchPipeline, wait_s: float) -> None:
        if assignments.check_is_due():
            if assignments.stopped:
                pipeline.finish()
            assignments.check()
        startable = assignments.startable
        batch = self._consumer.poll_batch(pipeline.poll_messages_max, pipeline.poll_wait_s(wait_s))
        pipeline.add(batch)
        if batch.unreadable:
            pipeline.finish()
            for unreadable in batch.unreadable:
                assignments.stop_unreadable(unreadable)
        # Only partitions that were assigned before the poll: in the poll the group says which ones it revokes. Started
        # at once, a partition with a stale batch would be claimed from its new owner.
        startable &= assignments.startable
        if startable:
            pipeline.finish()
            assignments.start(startable)
