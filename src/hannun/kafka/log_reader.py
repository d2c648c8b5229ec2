"""Reads offset ranges of partitions once, outside any consumer group.

ranges ──► assign each at its start ──poll_batch──► batches ──► unassign each at its end
                                         └── an error of a partition raises KafkaUnavailable
"""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import (
    Consumer,
    KafkaError,
    TopicPartition,
)

from hannun.domain.batch import OffsetRange, ReceivedMessage
from hannun.domain.replay import ReplayRange
from hannun.errors import KafkaUnavailable
from hannun.kafka.address import KafkaAddress, PasswordUpdate
from hannun.kafka.records import (
    FETCH_OPTIONS,
    ConsumedBatch,
    Partition,
    client_logger,
    failed_partition,
    fatal_client_errors,
    partition_and_offset,
    to_message,
)


class LogReader:
    """Reads a range of offsets of each partition once. It joins no group, so consumers of the topics are not affected.

    Args:
        kinds: the kind of message that each topic holds, by the topic's name.
        ranges: the offsets to read of each partition.
    """

    def __init__(
        self, address: KafkaAddress, kinds: Mapping[str, str], ranges: Mapping[Partition, ReplayRange]
    ) -> None:
        self._address = address
        self._password = PasswordUpdate(address)
        self._kinds = dict(kinds)
        self._options = {
            "group.id": "hannun-replay",  # librdkafka requires one; this client joins nothing and commits nothing
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,  # a log may end in transaction markers, which are not delivered
            **FETCH_OPTIONS,
        }
        self._ranges = {partition: range_ for partition, range_ in ranges.items() if range_.offsets}
        self._next = {partition: range_.start for partition, range_ in self._ranges.items()}
        self._consumer: Consumer | None = None

    def __enter__(self) -> Self:
        self._consumer = Consumer({**self._address.options(), **self._options}, logger=client_logger())
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in self._next.items()])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def offsets_total(self) -> int:
        """How many offsets the ranges hold."""
        return sum(range_.offsets for range_ in self._ranges.values())

    @property
    def offsets_left(self) -> int:
        """How many of these offsets are not read yet."""
        return sum(self._ranges[partition].end - offset for partition, offset in self._next.items())

    def poll_batch(self, count_max: int, wait_s: float) -> ConsumedBatch:
        """The next messages; empty when none arrived within `wait_s`.

        A span may hold no message, which is common at the end of a log.

        Raises:
            KafkaUnavailable: the client has failed, or a range cannot be read or is no longer in the log.
        """
        assert self._consumer is not None, "enter the LogReader before polling it"
        with fatal_client_errors():
            self._password.apply(self._consumer)
            received = self._consumer.consume(num_messages=count_max, timeout=wait_s)
        messages: list[ReceivedMessage] = []
        starts: dict[Partition, int] = {}
        for message in received:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._raise_if_reading(failed_partition(message, error), error)
                continue
            partition, offset = partition_and_offset(message)
            at, range_ = self._next.get(partition), self._ranges.get(partition)
            if at is None or range_ is None:
                continue  # fetched before the partition was unassigned at the end of its range
            starts.setdefault(partition, at)
            if error is None and offset < range_.end:
                if not (range_.skipped and range_.skips(offset)):
                    messages.append(to_message(message, self._kinds[partition[0]], partition, offset, range_.topic_id))
                offset += 1
            self._next[partition] = min(offset, range_.end)
        spans = [
            OffsetRange(*partition, start, self._next[partition], self._ranges[partition].epoch)
            for partition, start in starts.items()
            if self._next[partition] > start
        ]
        self._unassign_finished(starts)
        return ConsumedBatch(messages, spans)

    def stop(self, partition: Partition) -> None:
        """Read no more of a partition."""
        if partition in self._next:
            self._unassign([partition])

    def _unassign_finished(self, moved: Iterable[Partition]) -> None:
        self._unassign([partition for partition in moved if self._next[partition] >= self._ranges[partition].end])

    def _unassign(self, finished: Sequence[Partition]) -> None:
        if finished and self._consumer is not None:
            with fatal_client_errors():
                self._consumer.incremental_unassign([TopicPartition(*partition) for partition in finished])
        for partition in finished:
            del self._next[partition]

    def _raise_if_reading(self, partition: Partition | None, error: KafkaError) -> None:
        """Raise KafkaUnavailable for an error of a partition whose range is not finished."""
        at = None if partition is None else self._next.get(partition)
        if partition is not None and at is not None:
            topic, number = partition
            raise KafkaUnavailable(
                f"cannot read {topic}[{number}] from offset {at}: {error.str()}. "
                "Check the partition's replicas, then replay again"
            )
