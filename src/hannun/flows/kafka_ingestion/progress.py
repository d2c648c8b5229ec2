"""How far each assigned partition is counted: for the gauges, and to detect a restored database. Any thread may read
it."""

import time
from collections.abc import Collection, Mapping
from itertools import groupby
from operator import attrgetter

from hannun.domain.positions import KnownPosition, Partition
from hannun.kafka.records import ConsumedBatch
from hannun.telemetry import metrics


class IngestionProgress:
    """The last known position of each partition that is assigned to this member.

    One thread writes. Each change replaces the mapping, so a reader in another thread sees a consistent one.
    """

    def __init__(self) -> None:
        self._positions: Mapping[Partition, KnownPosition | None] = {}
        self._newest_us: dict[str, int] = {}

    @property
    def positions(self) -> Mapping[Partition, KnownPosition | None]:
        """By partition; None where reading has not started."""
        return self._positions

    def set_assigned(self, partitions: Collection[Partition]) -> None:
        """Keep these partitions only; the positions of others belong to other members now."""
        if partitions == self._positions.keys():
            return
        self._positions = {partition: self._positions.get(partition) for partition in partitions}
        for topic in self._newest_us.keys() - {topic for topic, _ in partitions}:
            del self._newest_us[topic]
            metrics.newest_counted.remove(topic)

    def record_start(self, partition: Partition, position: KnownPosition) -> None:
        """Reading of a partition has started."""
        self._positions = {**self._positions, partition: position}

    def record_counted(self, batch: ConsumedBatch) -> None:
        """A batch is committed."""
        for covered in batch.ranges:
            partition = (covered.topic, covered.partition)
            before = self._positions.get(partition)
            if before is not None:
                self.record_start(partition, KnownPosition(before.topic_id, covered.end))
        newest_us: dict[str, int] = {}
        for topic, messages in groupby(batch.messages, _TOPIC):
            newest_us[topic] = max(newest_us.get(topic, 0), *map(_RECEIVED_AT, messages))
        now_us = time.time_ns() // 1_000
        for topic, received_at in newest_us.items():
            # The clock of a producer may be ahead; its timestamp must not hide that messages wait.
            self._newest_us[topic] = max(self._newest_us.get(topic, 0), min(received_at, now_us))
            metrics.newest_counted.labels(topic).set(self._newest_us[topic] / 1_000_000)


_TOPIC, _RECEIVED_AT = attrgetter("record_id.topic"), attrgetter("received_at")
