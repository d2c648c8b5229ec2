"""Reads stretches of logs once, in no consumer group."""

from collections.abc import Iterable, Mapping
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
    """Stretches of logs, each read once from its start to its end: in no group, beside whoever else reads them.

    Args:
        kinds: the kind of message that each topic holds, by the topic's name.
        stretches: what to read of each partition.
    """

    def __init__(self, bootstrap: str, kinds: Mapping[str, str], stretches: Mapping[Partition, ReplayRange]) -> None:
        self._kinds = dict(kinds)
        self._options = {
            "bootstrap.servers": bootstrap,
            "group.id": "hannun-replay",  # the client wants one; nothing is joined and nothing committed
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,  # a log may end in marks of transactions, which are no messages
            **FETCH_OPTIONS,
        }
        self._stretches = {partition: stretch for partition, stretch in stretches.items() if stretch.offsets}
        self._next = {partition: stretch.start for partition, stretch in self._stretches.items()}
        self._consumer: Consumer | None = None

    def __enter__(self) -> Self:
        self._consumer = Consumer(self._options, logger=client_logger())
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in self._next.items()])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def offsets_total(self) -> int:
        """How many offsets the stretches span."""
        return sum(stretch.offsets for stretch in self._stretches.values())

    @property
    def offsets_left(self) -> int:
        """How many of them are not taken yet."""
        return sum(self._stretches[partition].end - offset for partition, offset in self._next.items())

    def poll_batch(self, count_max: int, wait_s: float) -> ConsumedBatch:
        """The next messages; empty when none came within `wait_s`. A span may hold none: the end of a log often does.

        Raises:
            StreamUnavailable: the client has failed, or what is to be read cannot be, or is no longer there.
        """
        assert self._consumer is not None, "a LogReader is entered before it is asked"
        with fatal_client_errors():
            received = self._consumer.consume(num_messages=count_max, timeout=wait_s)
        messages: list[ReceivedMessage] = []
        starts: dict[Partition, int] = {}
        for message in received:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._note(failed_partition(message, error), error)
                continue
            partition, offset = partition_and_offset(message)
            at, stretch = self._next.get(partition), self._stretches.get(partition)
            if at is None or stretch is None:
                continue  # fetched before we stopped at its end
            starts.setdefault(partition, at)
            if error is None and offset < stretch.end:
                messages.append(to_message(message, self._kinds[partition[0]], partition, offset, stretch.topic_id))
                offset += 1
            self._next[partition] = min(offset, stretch.end)
        spans = [
            OffsetRange(*partition, start, self._next[partition], self._stretches[partition].epoch)
            for partition, start in starts.items()
            if self._next[partition] > start
        ]
        self._stop_at_ends(starts)
        return ConsumedBatch(messages, spans)

    def _stop_at_ends(self, moved: Iterable[Partition]) -> None:
        ended = [partition for partition in moved if self._next[partition] >= self._stretches[partition].end]
        if ended and self._consumer is not None:
            with fatal_client_errors():
                self._consumer.incremental_unassign([TopicPartition(*partition) for partition in ended])
        for partition in ended:
            del self._next[partition]

    def _note(self, partition: Partition | None, error: KafkaError) -> None:
        at = None if partition is None else self._next.get(partition)
        if partition is not None and at is not None:
            topic, number = partition
            raise KafkaUnavailable(f"{topic}[{number}] cannot be read from offset {at} on: {error.str()}")
