"""Read ranges of the logs again and count them, by the same counting as `ingest`.

where to start, where to end ─► ranges ─► read a batch ─► count it ─► ... until all ranges are read
"""

import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from hannun.counting.batch_counter import BatchCounter, CountedBatch
from hannun.domain.batch import MessageOutcome, OffsetRange, OutcomeKind, ReceivedMessage
from hannun.domain.positions import KnownPosition, PartitionLog
from hannun.domain.quarantine import Quarantine
from hannun.domain.replay import Progress, ReplayRange
from hannun.errors import KafkaUnavailable, OperatorError, PartitionUnusable, StaleBatch, StoreUnavailable
from hannun.kafka.broker import Broker
from hannun.kafka.log_reader import LogReader
from hannun.kafka.records import ConsumedBatch, Partition
from hannun.store import positions
from hannun.store.database import Connection
from hannun.store.positions import Position
from hannun.telemetry import log

StartAt = Literal["earliest"] | int | datetime
"""Where to start in each partition: at its first record, at an offset, or at the first record of this time or later."""

RETRY_S = 0.5
"""How long to wait before a batch is written again while PostgreSQL is away."""
SILENT_S_MAX = 60.0
"""The broker says that there is more to read. If it sends nothing for this long, the replay gives up."""

OpenReader = Callable[[Mapping[Partition, ReplayRange]], AbstractContextManager[LogReader]]
AfterBatch = Callable[[Sequence[ReceivedMessage], Sequence[MessageOutcome]], int]
"""Called with each counted batch and its outcomes. Returns how many dead letters it resolved."""


@dataclass(slots=True)
class ReplayResult:
    """What a replay did. `complete` is false where it was stopped before its end.

    `skipped` counts the offsets that it passed over by an operator's decision. `not_read` says which topics and
    partitions wait for an operator, and `unusable` which exceed the limits of unusable messages: they are not read, or
    not to their end.
    """

    complete: bool = True
    skipped: int = 0
    not_read: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    outcomes: Tally[OutcomeKind] = field(default_factory=Tally)
    resolved: int = 0

    @property
    def messages(self) -> int:
        return sum(self.outcomes.values())


class Recount:
    """Reads ranges of the logs and counts them.

    Args:
        open_reader: opens a reader of ranges.
        progress: called after each batch.
        stop: once it is set, the batch in hand is finished and no other is begun.
        by: the operator, for the record and as the owner of the shadow's positions.
        count_max: messages in a batch, at most.
        wait_s: how long a batch waits for more messages.
    """

    def __init__(
        self,
        broker: Broker,
        open_reader: OpenReader,
        progress: Callable[[Progress], None],
        stop: threading.Event,
        by: str,
        *,
        count_max: int,
        wait_s: float,
    ) -> None:
        self.by = by
        self._broker = broker
        self._open_reader = open_reader
        self._progress = progress
        self._stop = stop
        self._count_max = count_max
        self._not_read: list[str] = []
        self._wait_s = wait_s

    def logs(self, topics: Collection[str]) -> dict[Partition, PartitionLog]:
        """The logs of all partitions of these topics. A log ends where a transaction is still open.

        Nothing is read of a topic that does not exist; the result of `run` says so.

        Raises:
            OperatorError: none of the topics exists.
            KafkaUnavailable: no broker answers.
        """
        partitions = self._broker.partitions(topics)
        missing = sorted(set(topics) - {topic for topic, _ in partitions})
        if not partitions:
            raise OperatorError(
                f"Kafka has no topic {', '.join(missing)}", hint="is KAFKA_BOOTSTRAP_SERVERS the right cluster?"
            )
        self._not_read = [f"{topic}: Kafka has no such topic" for topic in missing]
        return self._broker.partition_logs(partitions, committed=True)

    def start_offsets(self, logs: Mapping[Partition, PartitionLog], start: StartAt) -> dict[Partition, int]:
        """Where `start` lies in each log; at its end where it lies behind.

        Raises:
            OperatorError: a log begins after that offset.
            KafkaUnavailable: no broker answers.
        """
        if start == "earliest":
            return {partition: log_.low for partition, log_ in logs.items()}
        if isinstance(start, datetime):
            found = self._broker.offsets_at(logs, start) if logs else {}
            return {
                partition: found[partition] if found.get(partition, -1) >= 0 else log_.high
                for partition, log_ in logs.items()
            }
        for (topic, number), log_ in sorted(logs.items()):
            if start < log_.low:
                raise OperatorError(
                    f"cannot start at offset {start}: {topic}[{number}] holds nothing before offset {log_.low}",
                    hint="--from earliest begins with what is left",
                )
        return {partition: min(start, log_.high) for partition, log_ in logs.items()}

    def run(
        self,
        ranges: Mapping[Partition, ReplayRange],
        counter: BatchCounter,
        after_batch: AfterBatch = lambda *_: 0,
        *,
        move_positions: bool,
        quarantine: Quarantine | None = None,
    ) -> ReplayResult:
        """Read the ranges and count them, until all are read or the replay is stopped.

        Args:
            move_positions: move the counter's positions together with the counts.
            quarantine: a partition that exceeds its limits is not read further; None sets no limits.

        Raises:
            OperatorError: another replay counts into the same shadow.
            StoreUnavailable: the replay was stopped while PostgreSQL was away.
            KafkaUnavailable: no record came for `SILENT_S_MAX` seconds, or the client failed for good.
        """
        skipped = sum(range_.offsets_skipped for range_ in ranges.values())
        result = ReplayResult(skipped=skipped, not_read=list(self._not_read))
        started_at = last_batch_at = time.monotonic()
        with self._open_reader(ranges) as reader:
            total = reader.offsets_total
            while reader.offsets_left and not self._stop.is_set():
                batch = reader.poll_batch(self._count_max, self._wait_s)
                if batch.ranges:
                    batch, counted = self._count_usable(counter, batch, reader, result, quarantine, move_positions)
                    quarantine = counted.quarantine if counted is not None else quarantine
                    outcomes = [] if counted is None else counted.outcomes()
                    result.outcomes.update(outcome.result for outcome in outcomes)
                    if counted is not None:
                        result.resolved += after_batch(batch.messages, outcomes)
                    last_batch_at = time.monotonic()
                elif time.monotonic() - last_batch_at > SILENT_S_MAX:
                    raise KafkaUnavailable(
                        f"{reader.offsets_left:,} offsets are left to read, and no record came for {SILENT_S_MAX:.0f} s"
                    )
                self._progress(
                    Progress(total - reader.offsets_left, total, result.messages, time.monotonic() - started_at)
                )
            result.complete = not reader.offsets_left
        return result

    def _count_usable(
        self,
        counter: BatchCounter,
        batch: ConsumedBatch,
        reader: LogReader,
        result: ReplayResult,
        quarantine: Quarantine | None,
        move_positions: bool,
    ) -> tuple[ConsumedBatch, CountedBatch | None]:
        """Count a batch without the partitions that exceed the quarantine; those are not read further.

        Returns what was counted of it, and None where the outcomes are not known.
        """
        while True:
            try:
                return batch, self._count(counter, batch.messages, batch.ranges if move_positions else [], quarantine)
            except PartitionUnusable as unusable:
                partition = unusable.topic, unusable.partition
                result.unusable.append(str(unusable))
                reader.stop(partition)
                batch = batch.without(partition)

    def _count(
        self,
        counter: BatchCounter,
        batch: Sequence[ReceivedMessage],
        ranges: Sequence[OffsetRange],
        quarantine: Quarantine | None,
    ) -> CountedBatch | None:
        """Count a batch, and wait while PostgreSQL is away. None where its outcomes are not known.

        Raises:
            OperatorError: another replay counts into the same shadow.
            PartitionUnusable: a partition exceeds a limit of the quarantine. Nothing is written.
            StoreUnavailable: the replay was stopped while PostgreSQL was away.
        """
        retried = False
        while True:
            try:
                return counter.count(batch, ranges, quarantine)
            except StoreUnavailable as error:
                if self._stop.wait(RETRY_S):
                    raise
                if not retried:
                    log.warning("PostgreSQL is away; the replay waits", error=str(error))
                retried = True
            except StaleBatch as stale:
                if retried:  # the first try was committed and its answer lost; if not, the next batch is stale again
                    return None
                raise OperatorError(
                    f"cannot count into the shadow: another replay moves its positions ({stale})",
                    hint="let that replay end, or end it",
                ) from stale


def positions_by_partition(conn: Connection) -> dict[Partition, Position]:
    """Every position of a database."""
    return {(at.topic, at.partition): at for at in positions.list_positions(conn)}


def known_position(at: Position | None) -> KnownPosition | None:
    """A position as far as it is known; None where nothing of its partition was read."""
    if at is None or at.topic_id is None or at.next_offset is None:
        return None
    return KnownPosition(at.topic_id, at.next_offset)
