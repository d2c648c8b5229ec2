"""Partitions that are read and start again: when they do, and what a start forgets. Kafka is a fake."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from typing import Any, cast

import pytest
from structlog.testing import capture_logs
from world import World

from hannun.domain.batch import OffsetRange, ReceivedMessage
from hannun.domain.positions import KnownPosition, PartitionLog, TopicAtBroker
from hannun.domain.quarantine import QuarantineLimits
from hannun.flows.kafka_ingestion import IngestionWorker, assignments
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.kafka.records import ConsumedBatch, Partition

PARTITION = ("sales-recorded", 0)
TOPIC_ID = "topic-id"
IN_A_ROW_MAX = 5


class FakeKafka:
    """One assigned partition, at the broker and in the group's consumer. Each poll returns the next record."""

    def __init__(self, records: Sequence[ReceivedMessage]) -> None:
        self.assigned_idle: set[Partition] = {PARTITION}
        self.started_at: list[int] = []
        self._records = records
        self.next_offset = self._epoch = 0
        self.logs: list[MutableMapping[str, Any]] = []
        self._at_poll: Callable[[], bool] = bool
        self._deadline = 0.0
        self._stop = threading.Event()

    # -- the broker

    def partition_logs(
        self, partitions: Collection[Partition], known: Mapping[Partition, KnownPosition], *, allow_missing: bool
    ) -> dict[Partition, PartitionLog]:
        return {partition: PartitionLog(TOPIC_ID, 0, len(self._records)) for partition in partitions}

    def describe_topics(self, topics: Collection[str]) -> dict[str, TopicAtBroker]:
        return {}

    # -- the consumer

    @property
    def topics(self) -> set[str]:
        return {PARTITION[0]}

    @property
    def reading(self) -> set[Partition]:
        return {PARTITION} - self.assigned_idle

    def before_revoke(self, hook: Callable[[], None]) -> None: ...

    def subscribe(self, topics: Collection[str]) -> None: ...

    def start_reading(
        self, partition: Partition, topic_id: str, offset: int, epoch: int, leader_epoch: int | None
    ) -> None:
        self.assigned_idle.discard(partition)
        self.next_offset, self._epoch = offset, epoch
        self.started_at.append(offset)

    def release(self, partitions: Collection[Partition]) -> None:
        self.assigned_idle |= set(partitions) & {PARTITION}

    def recreated(self, topic_ids: Mapping[str, str]) -> list[Partition]:
        return []

    def commit_offsets_for_lag_tools(self, ranges: Sequence[OffsetRange]) -> None: ...

    def poll_batch(self, count_max: int, wait_s: float) -> ConsumedBatch:
        assert time.monotonic() < self._deadline, f"the worker is still running: {self.logs}"
        if self._at_poll():
            self._stop.set()
        if not self.reading or self.next_offset >= len(self._records):
            time.sleep(0.001)  # as a poll waits for messages
            return ConsumedBatch([], [])
        offset = self.next_offset
        self.next_offset += 1
        return ConsumedBatch(
            [self._records[offset]], [OffsetRange(*PARTITION, offset, offset + 1, self._epoch)], counts=(1,)
        )

    # -- the worker that reads it

    def run_worker(self, world: World, at_poll: Callable[[], bool]) -> None:
        """Run a worker that checks its partitions before each poll, until `at_poll` is true at the start of a poll."""
        self._at_poll, self._deadline = at_poll, time.monotonic() + 60
        with capture_logs() as self.logs:
            IngestionWorker(
                cast(GroupConsumer, self),
                cast(Broker, self),
                world.database,
                world.another_counter(),
                owner="us",
                start_from="earliest",
                limits=QuarantineLimits(in_a_row_max=IN_A_ROW_MAX),
            ).run(self._stop, count_max=10, wait_s=0)

    def events(self) -> set[str]:
        """What the worker has logged, other than starts."""
        return {entry["event"] for entry in self.logs} - {"partition started"}


@pytest.fixture(autouse=True)
def check_before_each_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignments, "CHECK_S", 0.0)


def records(world: World, messages: Sequence[ReceivedMessage]) -> list[ReceivedMessage]:
    return [world.at_offset(message, offset, *PARTITION) for offset, message in enumerate(messages)]


def unusable_records(world: World, count: int) -> list[ReceivedMessage]:
    return records(world, [world.sold("no amount")._replace(raw=b"not JSON %d" % number) for number in range(count)])


def counted_to(world: World) -> int:
    """The position in PostgreSQL."""
    rows = world.rows("SELECT next_offset FROM hannun.positions")
    return rows[0].next_offset if rows else 0


def test_positions_that_rise_during_a_check_restart_no_partition(world: World) -> None:
    kafka = FakeKafka(records(world, [world.sold(1) for _ in range(30)]))
    kafka.run_worker(world, at_poll=lambda: kafka.next_offset == 30)
    assert (kafka.events(), kafka.started_at, counted_to(world)) == (set(), [0], 30)


def test_a_partition_whose_position_is_moved_back_in_postgresql_is_read_again_from_there(world: World) -> None:
    kafka = FakeKafka(records(world, [world.sold(1) for _ in range(6)]))

    def move_back_once() -> bool:
        if kafka.started_at == [0] and counted_to(world) == 6:
            world.rows("UPDATE hannun.positions SET next_offset = 2")
        return len(kafka.started_at) > 1 and counted_to(world) == 6

    kafka.run_worker(world, at_poll=move_back_once)
    assert kafka.events() == {"partitions are started again"}
    assert kafka.started_at[:2] == [0, 2]
    assert world.drift() == []


def test_unusable_messages_stop_a_partition_also_across_batches(world: World) -> None:
    kafka = FakeKafka(unusable_records(world, IN_A_ROW_MAX + 1))
    kafka.run_worker(world, at_poll=lambda: kafka.events() != set() or counted_to(world) > IN_A_ROW_MAX)
    assert kafka.events() == {"partition stopped"}
    assert 1 <= counted_to(world) == len(world.dead_letters()) <= IN_A_ROW_MAX


def test_the_quarantine_tallies_anew_when_a_partition_starts_again(world: World) -> None:
    """Another member may have read the partition since; and messages that are read again must not be tallied twice."""
    kafka = FakeKafka(unusable_records(world, IN_A_ROW_MAX + 1))

    def release_once() -> bool:
        if kafka.started_at == [0] and kafka.next_offset == IN_A_ROW_MAX:
            kafka.release([PARTITION])  # as where a batch is not counted
        return kafka.events() != set() or counted_to(world) > IN_A_ROW_MAX

    kafka.run_worker(world, at_poll=release_once)
    assert (kafka.events(), kafka.started_at) == (set(), [0, IN_A_ROW_MAX])
    assert counted_to(world) == IN_A_ROW_MAX + 1
