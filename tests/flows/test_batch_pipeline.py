"""What was polled is counted in a bounded time before partitions start or the process stops; the rest is read again."""

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, cast

import pytest
from world import World

from hannun.domain.batch import OffsetRange
from hannun.domain.quarantine import Quarantine, QuarantineLimits
from hannun.flows.kafka_ingestion import pipeline
from hannun.flows.kafka_ingestion.assignments import PartitionAssignments
from hannun.flows.kafka_ingestion.database_thread import DatabaseThread
from hannun.flows.kafka_ingestion.pipeline import BatchPipeline
from hannun.kafka.records import ConsumedBatch

TOPIC, EPOCH = "sales-recorded", 1


class WritesWhenWaitedFor:
    """A database thread that makes a call when somebody waits for it: until then a batch is being written."""

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        self._call = call
        return Future()

    def wait(self, future: Future[Any]) -> bool:
        future.set_result(self._call())
        return True


class Assignments:
    """Records which ranges are counted and which are released."""

    def __init__(self) -> None:
        self.quarantine = Quarantine(QuarantineLimits())
        self.counted: list[OffsetRange] = []
        self.released: list[OffsetRange] = []

    def record_counted(self, batch: ConsumedBatch, quarantine: Quarantine) -> None:
        self.counted += batch.ranges

    def release(self, ranges: Collection[OffsetRange]) -> None:
        self.released += ranges


def started(world: World) -> tuple[BatchPipeline, Assignments]:
    """A pipeline in which offsets 0 to 4 are being written, and 5 to 9 are polled."""
    world.rows(
        "INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, epoch, owner) "
        f"VALUES ('{TOPIC}', 0, 'id', 0, {EPOCH}, 'us')"
    )
    assignments = Assignments()
    started = BatchPipeline(
        world.another_counter(),
        cast(DatabaseThread, WritesWhenWaitedFor()),
        cast(PartitionAssignments, assignments),
        count_max=100,
    )
    for first in (0, 5):
        messages = [world.at_offset(world.sold(1), offset, TOPIC, 0) for offset in range(first, first + 5)]
        started.add(ConsumedBatch(messages, [OffsetRange(TOPIC, 0, first, first + 5, EPOCH)], counts=(5,)))
    return started, assignments


def test_all_that_was_polled_is_counted(world: World) -> None:
    running, assignments = started(world)
    assert running.finish() is True
    assert [(covered.start, covered.end) for covered in assignments.counted] == [(0, 5), (5, 10)]
    assert (assignments.released, world.drift()) == ([], [])


def test_what_takes_too_long_is_dropped_behind_the_batch_that_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "FINISH_S_MAX", 0.0)
    running, assignments = started(world)
    assert running.finish() is False
    assert [(covered.start, covered.end) for covered in assignments.counted] == [(0, 5)]
    assert [(covered.start, covered.end) for covered in assignments.released] == [(5, 10)]
    assert world.rows("SELECT next_offset FROM hannun.positions")[0].next_offset == 5
    assert running.finish() is True, "nothing is left"
