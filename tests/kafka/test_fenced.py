"""Another client takes the place of ours in the group, by its name: ours has failed for good, and the process ends."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
from world import World

from hannun import cli
from hannun.counting.batch_counter import BatchCounter
from hannun.domain.quarantine import QuarantineLimits
from hannun.embedded import KafkaServer
from hannun.errors import KafkaUnavailable
from hannun.flows.ingest import Ingest, run_all
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
TAKES_MAX = 600


class Members:
    """Streams that read one topic in one group; those of the same name take each other's place."""

    def __init__(self, kafka: KafkaServer, stack: ExitStack) -> None:
        self.bootstrap = kafka.bootstrap
        self._topic = f"fenced-{uuid.uuid4().hex[:8]}"
        self._stack = stack
        kafka.create_topics({self._topic: 2})

    def joins(self, name: str) -> GroupConsumer:
        options = {
            "partition.assignment.strategy": "cooperative-sticky",
            "group.instance.id": name,
            "heartbeat.interval.ms": 50,  # by whose answer the one before hears of it
        }
        stream = GroupConsumer(self.bootstrap, self._topic, {self._topic: "sales-recorded"}, options)
        stream.open()
        self._stack.callback(stream.close)
        return stream

    def has_partitions(self, stream: GroupConsumer) -> None:
        self.hears_the_group(stream, lambda: bool(stream.assigned_idle))

    def hears_the_group(self, stream: GroupConsumer, enough: Callable[[], bool]) -> None:
        for _ in range(TAKES_MAX):
            stream.poll_batch(1, 0.05)
            if enough():
                return
        raise AssertionError("the group has said nothing new")


@pytest.fixture
def members(kafka: KafkaServer) -> Iterator[Members]:
    with ExitStack() as stack:
        yield Members(kafka, stack)


def test_a_stream_that_is_fenced_says_that_it_has_failed_for_good(members: Members) -> None:
    fenced = members.joins("one name")
    members.has_partitions(fenced)
    members.has_partitions(members.joins("one name"))
    with pytest.raises(KafkaUnavailable, match="failed for good: .*fenced"):
        members.hears_the_group(fenced, lambda: False)


def test_when_one_lane_is_fenced_all_end_and_so_does_the_process(
    members: Members, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = [
        Ingest(
            members.joins(name),
            Broker(members.bootstrap),
            world.another_database(),
            partial(BatchCounter, world.another_database(), world.decoder, world.invalidator),
            owner="test/1",
            start_from="earliest",
            limits=QuarantineLimits(),
        )
        for name in ("one", "two")
    ]

    def fences_one() -> None:
        begun = "SELECT count(*) AS partitions FROM hannun.positions"
        world.wait_for("both lanes to read", lambda: world.rows(begun)[0].partitions == 2)
        members.has_partitions(members.joins("one"))

    monkeypatch.setattr(cli, "app", lambda: run_all(lanes, threading.Event(), count_max=10, wait_s=0.05))
    with ThreadPoolExecutor(1) as rival:
        fencing = rival.submit(fences_one)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        fencing.result()
    assert ended.value.code == 75
