"""A client with the same group.instance.id fences a consumer: the consumer fails permanently and the process ends."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from world import World

from hannun import cli
from hannun.counting import sources
from hannun.counting.sources import run_workers
from hannun.domain.quarantine import QuarantineLimits
from hannun.embedded import KafkaServer
from hannun.errors import KafkaUnavailable
from hannun.flows.kafka_ingestion import IngestionWorker
from hannun.kafka.address import KafkaAddress
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
POLLS_MAX = 600


class Members:
    """Consumers of one topic in one group. A new member of the same name fences the one before."""

    def __init__(self, kafka: KafkaServer, stack: ExitStack) -> None:
        self.bootstrap = kafka.bootstrap
        self._topic = f"fenced-{uuid.uuid4().hex[:8]}"
        self._stack = stack
        kafka.create_topics({self._topic: 2})

    def join(self, name: str) -> GroupConsumer:
        options = {
            "partition.assignment.strategy": "cooperative-sticky",
            "group.instance.id": name,
            "heartbeat.interval.ms": 50,  # the answer to a heartbeat tells a member that it is fenced
        }
        consumer = GroupConsumer(KafkaAddress(self.bootstrap), self._topic, {self._topic: "sales-recorded"}, options)
        consumer.open()
        self._stack.callback(consumer.close)
        return consumer

    def wait_for_partitions(self, consumer: GroupConsumer) -> None:
        self.poll_until(consumer, lambda: bool(consumer.assigned_idle))

    def poll_until(self, consumer: GroupConsumer, done: Callable[[], bool]) -> None:
        for _ in range(POLLS_MAX):
            consumer.poll_batch(1, 0.05)
            if done():
                return
        raise AssertionError(f"the group's assignment did not change in {POLLS_MAX} polls")


@pytest.fixture
def members(kafka: KafkaServer) -> Iterator[Members]:
    with ExitStack() as stack:
        yield Members(kafka, stack)


def test_a_fenced_consumer_raises_a_permanent_failure(members: Members) -> None:
    fenced = members.join("one name")
    members.wait_for_partitions(fenced)
    members.wait_for_partitions(members.join("one name"))
    with pytest.raises(KafkaUnavailable, match="cannot continue: .*fenced"):
        members.poll_until(fenced, lambda: False)


def test_when_one_worker_is_fenced_all_workers_and_the_process_end(
    members: Members, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [
        IngestionWorker(
            members.join(name),
            Broker(KafkaAddress(members.bootstrap)),
            world.another_database(),
            world.another_counter(),
            owner="test/1",
            start_from="earliest",
            limits=QuarantineLimits(),
        )
        for name in ("one", "two")
    ]

    stop = threading.Event()

    def fence_one() -> None:
        started = "SELECT count(*) AS partitions FROM hannun.positions"
        try:
            world.wait_for("both workers to read", lambda: world.rows(started)[0].partitions == 2, deadline_s=60)
            members.wait_for_partitions(members.join("one"))
        except BaseException:
            stop.set()  # else the workers, and this test, would run for ever
            raise

    monkeypatch.setattr(cli, "run_command", lambda: run_workers(workers, stop, count_max=10, wait_s=0.05))
    with ThreadPoolExecutor(1) as rival:
        fencing = rival.submit(fence_one)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        fencing.result()
    assert ended.value.code == 75


def test_workers_end_when_the_wait_for_them_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Ctrl-C, for example: leaving without a stop would wait for workers that run for ever."""

    class Endless:
        def run(self, stop: threading.Event, *, count_max: int, wait_s: float) -> None:
            assert stop.wait(30), "nobody told it to stop"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_workers([Endless()], threading.Event(), count_max=1, wait_s=0.0)  # type: ignore[list-item]
