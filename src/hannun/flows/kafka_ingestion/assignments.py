"""Which assigned partitions are read, from where, and which are stopped.

    assigned ──► claim in PostgreSQL ──► log bounds from the broker ──► resume_or_stop ─┬─► reading
                                                                                        └─► stopped

A stopped partition is checked again every `CHECK_S`: an operator may have decided, a broker may be back, a leader with
an intact log may have taken over. So are partitions that are read: their topic may be recreated, and PostgreSQL
restored from a backup, which moves positions back.
"""

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future

from hannun.domain.batch import OffsetRange
from hannun.domain.positions import (
    KnownPosition,
    Partition,
    PartitionLog,
    StartFrom,
    WaitForOperator,
    skip_preview_command,
)
from hannun.domain.quarantine import Quarantine, QuarantineLimits
from hannun.errors import KafkaUnavailable, PartitionUnusable, StoreUnavailable
from hannun.flows.kafka_ingestion.database_thread import DatabaseThread
from hannun.flows.kafka_ingestion.progress import IngestionProgress
from hannun.flows.kafka_ingestion.topics import TopicChecks
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.kafka.records import ConsumedBatch, UnreadablePartition
from hannun.store import positions
from hannun.store.database import Connection
from hannun.store.positions import Claim
from hannun.telemetry import log

CHECK_S = 5.0
"""How often stopped partitions, the identity of topics, and the positions in PostgreSQL are checked."""


class PartitionAssignments:
    """The partitions of one member of the group.

    Args:
        owner: the name of this process beside the positions that it claims.
        start_from: where a topic starts that was never read.
    """

    def __init__(
        self,
        consumer: GroupConsumer,
        broker: Broker,
        database_thread: DatabaseThread,
        progress: IngestionProgress,
        *,
        owner: str,
        start_from: StartFrom,
        limits: QuarantineLimits,
    ) -> None:
        self._consumer = consumer
        self._broker = broker
        self._database_thread = database_thread
        self._progress = progress
        self._owner = owner
        self._start_from = start_from
        self._topics = TopicChecks(consumer.topics, broker, database_thread, owner=owner)
        self._stopped: dict[Partition, str] = {}
        self._quarantine = Quarantine(limits)
        self._next_check_at = 0.0
        self._rewind_check: tuple[Mapping[Partition, KnownPosition], Future[dict[Partition, KnownPosition]]] | None = (
            None
        )

    @property
    def quarantine(self) -> Quarantine:
        """The limits of unusable messages, with what was rejected so far."""
        return self._quarantine

    @property
    def stopped(self) -> frozenset[Partition]:
        """Partitions that are assigned and stopped."""
        return self._consumer.assigned_idle & self._stopped.keys()

    @property
    def startable(self) -> frozenset[Partition]:
        """Partitions that are assigned, not read, and not stopped."""
        return self._consumer.assigned_idle - self._stopped.keys()

    def record_counted(self, batch: ConsumedBatch, quarantine: Quarantine) -> None:
        """A batch is committed: `quarantine` is the one after it."""
        self._quarantine = quarantine
        self._consumer.commit_offsets_for_lag_tools(batch.ranges)
        self._progress.record_counted(batch)

    def release(self, ranges: Collection[OffsetRange]) -> None:
        """Release the partitions of ranges that were not counted; they are claimed and read again."""
        self._consumer.release({(covered.topic, covered.partition) for covered in ranges})

    # -- start

    def start(self, partitions: Collection[Partition]) -> None:
        """Start reading assigned partitions at their positions. No batch may be in flight.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable.
        """
        if not partitions:
            return
        # Claim before the broker is queried: otherwise a position that a former owner still moves would look like one
        # beyond the end of the log.
        claims = self._database_thread.run(lambda conn: positions.claim(conn, self._owner, partitions))
        logs = self._partition_logs(partitions, claims)
        # Partitions that no broker reports are retried at the next check, and delay no batch meanwhile.
        self._stopped |= dict.fromkeys(set(partitions) - logs.keys(), "no broker reports it")
        if not logs:
            return
        started = self._database_thread.run(
            lambda conn: positions.start_claimed(conn, self._owner, claims, logs, self._start_from)
        )
        for partition, start in started.items():
            topic, number = partition
            if isinstance(start, WaitForOperator):
                if self._stopped.get(partition) != start.reason:
                    _log_stopped(partition, start)
                self._stopped[partition] = start.reason
                continue
            self._stopped.pop(partition, None)
            self._quarantine = self._quarantine.without(partition)
            if partition in self._consumer.assigned_idle:
                topic_id = logs[partition].topic_id
                self._consumer.start_reading(partition, topic_id, *start)
                self._progress.record_start(partition, KnownPosition(topic_id, start.next_offset))
                log.info(
                    "partition started", topic=topic, partition=number, offset=start.next_offset, epoch=start.epoch
                )

    def _partition_logs(
        self, partitions: Collection[Partition], claims: Mapping[Partition, Claim | WaitForOperator]
    ) -> Mapping[Partition, PartitionLog]:
        known = {
            partition: claimed.known
            for partition, claimed in claims.items()
            if isinstance(claimed, Claim) and claimed.known
        }
        try:
            return self._broker.partition_logs(partitions, known, allow_missing=True)
        except KafkaUnavailable as error:
            if not self._stopped.keys() >= set(partitions):  # once, and not at each check
                log.warning("no broker reports the assigned partitions; retrying", error=str(error))
            return {}

    # -- stop

    def stop_unusable(self, unusable: PartitionUnusable, batch: ConsumedBatch) -> None:
        """Stop a partition that exceeded its quarantine. Nothing of the batch was written; the others read it again."""
        self.release(batch.ranges)
        partition = (unusable.topic, unusable.partition)
        (epoch,) = [covered.epoch for covered in batch.ranges if covered[:2] == partition]
        self._quarantine = self._quarantine.without(partition)
        stop = WaitForOperator(unusable.reason, skip_preview_command(partition), until_decided=True)
        self._stop(partition, epoch, stop, found=str(unusable))

    def stop_unreadable(self, unreadable: UnreadablePartition) -> None:
        """Stop a partition that the client cannot read until the next check: another leader may have it intact."""
        partition = (unreadable.topic, unreadable.partition)
        hint = "grant this client READ on the topic" if unreadable.refused else skip_preview_command(partition)
        self._stop(partition, unreadable.epoch, WaitForOperator(unreadable.reason, hint, until_decided=False))

    def _stop(self, partition: Partition, epoch: int, stopped: WaitForOperator, **found: str) -> None:
        def stop_if_owned(conn: Connection) -> bool:
            owned = positions.owns(conn, *partition, epoch)
            if owned:
                positions.stop(conn, self._owner, *partition, stopped)
            return owned

        if not self._database_thread.run(stop_if_owned):
            return  # it has another owner by now, or an operator has just decided
        _log_stopped(partition, stopped, **found)
        self._stopped[partition] = stopped.reason

    # -- checks

    def check_is_due(self) -> bool:
        """Whether `CHECK_S` have passed since the last check."""
        return time.monotonic() >= self._next_check_at

    def check(self) -> None:
        """Start stopped partitions that may resume; release partitions whose topic was deleted or recreated.

        Where partitions are stopped, no batch may be in flight.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable.
        """
        self._next_check_at = time.monotonic() + CHECK_S
        self.start(self.stopped)
        topics = self._topics.check()
        if topics.keys() == self._consumer.topics:  # of one that no broker reports, we do not know more than before
            self._consumer.subscribe([topic for topic, found in topics.items() if not found.refused])
        topic_ids = {topic: found.topic_id for topic, found in topics.items() if not found.refused}
        self._consumer.release(self._consumer.recreated(topic_ids))
        self._begin_rewind_check()

    def after_poll(self) -> None:
        """Forget partitions that the group revoked in the poll; release those whose position has moved back."""
        self._progress.set_assigned(self._consumer.assigned_idle | self._consumer.reading)
        self._finish_rewind_check()

    def _begin_rewind_check(self) -> None:
        """Query the positions of partitions that are read, without waiting: behind the batch in flight."""
        if self._rewind_check is not None:
            return
        # Copied before the query: while a partition is ours, its position in PostgreSQL only rises.
        expected = {partition: at for partition, at in self._progress.positions.items() if at is not None}
        if expected:
            query = self._database_thread.submit_query(lambda conn: positions.known_positions(conn, expected))
            self._rewind_check = (expected, query)

    def _finish_rewind_check(self) -> None:
        """Release partitions whose position in PostgreSQL is lower than what we committed: it was restored."""
        if self._rewind_check is None or not self._rewind_check[1].done():
            return
        (expected, query), self._rewind_check = self._rewind_check, None
        try:
            found = query.result()
        except StoreUnavailable:
            return  # the worker's next call finds the same, and reports it
        lower = {
            partition
            for partition, at in expected.items()
            if partition not in found or found[partition].next_offset < at.next_offset
        }
        rewound = lower & self._progress.positions.keys()
        if rewound:
            reason = "positions in PostgreSQL have moved back: it was restored, or an operator has decided"
            log.warning("partitions are started again", why=reason, partitions=sorted(rewound))
            self._consumer.release(rewound)


def _log_stopped(partition: Partition, stopped: WaitForOperator, **found: str) -> None:
    topic, number = partition
    log.error("partition stopped", topic=topic, partition=number, why=stopped.reason, hint=stopped.hint, **found)
