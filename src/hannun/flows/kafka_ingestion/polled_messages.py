"""What was polled and is not yet written: by partition, in the order in which it waits.

All messages of an event are in one partition. So a batch of whole partitions holds more messages of each of its events
than one that takes a little of every partition.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hannun import tracing
from hannun.counting.batch_counter import BatchCounter, PreparedBatch
from hannun.domain.batch import OffsetRange, ReceivedMessage
from hannun.domain.batch_size import BatchSize
from hannun.domain.positions import Partition
from hannun.kafka.records import ConsumedBatch

BYTES_MAX = 32 * 1024 * 1024
"""A batch of more bytes takes no more messages."""


class TakenBatch(NamedTuple):
    """A batch that is ready to be written; `share` is that of the polled partitions which it has messages of."""

    batch: ConsumedBatch
    prepared: PreparedBatch
    share: float


class _PartitionPart:
    """Messages of one partition that follow each other, decoded."""

    def __init__(self, counter: BatchCounter, covered: OffsetRange) -> None:
        self.open_batch = counter.begin()
        self.covered = covered._replace(end=covered.start)
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.open_batch.messages)

    @property
    def partition(self) -> Partition:
        return self.covered.topic, self.covered.partition

    def add(self, covered: OffsetRange, messages: Sequence[ReceivedMessage]) -> None:
        self.open_batch.add(messages)
        self.bytes += sum([len(message.raw) for message in messages])
        self.covered = covered._replace(start=self.covered.start)


class PolledMessages:
    """What was polled and is not yet written: by partition, in the order in which it waits."""

    def __init__(self, counter: BatchCounter) -> None:
        self._counter = counter
        self._parts: list[_PartitionPart] = []
        self._newest: dict[Partition, _PartitionPart] = {}
        self._traceparents: list[bytes] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self._parts)

    @property
    def is_empty(self) -> bool:
        """Whether it covers no offset; offsets may be covered without a message."""
        return not self._parts

    @property
    def ranges(self) -> list[OffsetRange]:
        return [part.covered for part in self._parts]

    def add(self, polled: ConsumedBatch, count_max: int) -> None:
        """Decode and add what was polled, at most `count_max` messages."""
        for covered, messages in polled.by_partition():
            part = self._newest.get((covered.topic, covered.partition))
            if part is None or len(part) + len(messages) > count_max or part.bytes >= BYTES_MAX:
                part = _PartitionPart(self._counter, covered)
                self._newest[part.partition] = part
                self._parts.append(part)
            part.add(covered, messages)
        self._traceparents += polled.traceparents

    def follows(self, ranges: Sequence[OffsetRange]) -> bool:
        """Whether each of these ranges begins where that of its partition ends, under the same epoch."""
        return all(
            (covered.start, covered.epoch) == (before.covered.end, before.covered.epoch)
            for covered in ranges
            if (before := self._newest.get((covered.topic, covered.partition))) is not None
        )

    def take(self, size: BatchSize) -> TakenBatch:
        """Take the next batch out: the parts that have waited longest, until it is large enough, and at least one."""
        partitions = len(self._newest)
        taken = self._parts[: self._count_of_next(size)]
        del self._parts[: len(taken)]
        self._newest = {part.partition: part for part in self._parts}
        ranges: dict[Partition, OffsetRange] = {}
        for part in taken:
            first = ranges.get(part.partition, part.covered)
            ranges[part.partition] = part.covered._replace(start=first.start)
        step = -(-len(self._traceparents) // tracing.LINKS_MAX) or 1
        traceparents, self._traceparents = self._traceparents[::step], []
        prepared = self._counter.close(*[part.open_batch for part in taken])
        batch = ConsumedBatch(prepared.messages, list(ranges.values()), traceparents=traceparents)
        return TakenBatch(batch, prepared, len(ranges) / partitions)

    def _count_of_next(self, size: BatchSize) -> int:
        """How many parts the next batch takes."""
        messages = size_bytes = 0
        for count, part in enumerate(self._parts):
            messages, size_bytes = messages + len(part), size_bytes + part.bytes
            enough = messages - len(part) >= size.enough
            if count and (enough or messages > size.messages_max or size_bytes > BYTES_MAX):
                return count
        return len(self._parts)
