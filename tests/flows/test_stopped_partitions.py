"""Stopped partitions: what reports them, how a stop ends, and what a decision does. Kafka is a fake."""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from structlog.testing import capture_logs
from world import World, gauges

from hannun.domain.batch import OffsetRange
from hannun.domain.positions import KnownPosition, PartitionLog, StartFrom, TopicAtBroker
from hannun.domain.quarantine import QuarantineLimits
from hannun.errors import OperatorError, StaleBatch
from hannun.flows.health_checks import Health
from hannun.flows.kafka_ingestion import IngestionWorker, assignments
from hannun.flows.maintenance import update_gauges
from hannun.flows.position_decisions import Forgettable, To, decide, forget, list_positions, plan, plan_forget
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.kafka.records import ConsumedBatch, Partition
from hannun.store.batches import advance
from hannun.store.database import connect

TOPIC = "sales-recorded"
PLACE = (TOPIC, 0)


class Kafka:
    """A topic of one assigned partition: a fake of the broker and of the group's consumer."""

    def __init__(self, log: PartitionLog) -> None:
        self.log: PartitionLog | None = log
        self.partition_count = 1
        self.at: dict[Partition, int] = {}
        self.after_the_logs: Callable[[], None] = lambda: None
        self.assigned_idle: set[Partition] = {PLACE}
        self.begun: tuple[Any, ...] | None = None
        self._rounds: list[Callable[[], None]] = []

    # -- the broker

    def partitions(self, topics: Collection[str]) -> list[Partition]:
        return [PLACE] if self.log is not None and TOPIC in topics else []

    def partition_logs(
        self,
        partitions: Collection[Partition],
        known: Mapping[Partition, KnownPosition],
        *,
        allow_missing: bool = False,
    ) -> dict[Partition, PartitionLog]:
        log = self.log
        self.after_the_logs()
        if log is None or PLACE not in partitions:
            return {}
        at = known.get(PLACE)
        return {PLACE: replace(log, truncated=log.truncated and at is not None and at.leader_epoch is not None)}

    def offsets_at(self, partitions: Collection[Partition], moment: datetime) -> Mapping[Partition, int]:
        return self.at

    def describe_topics(self, topics: Collection[str]) -> dict[str, TopicAtBroker]:
        found = TopicAtBroker(None) if self.log is None else TopicAtBroker(self.log.topic_id, self.partition_count)
        return dict.fromkeys(topics, found)

    # -- the consumer

    @property
    def topics(self) -> set[str]:
        return {TOPIC}

    @property
    def reading(self) -> set[Partition]:
        return {PLACE} - self.assigned_idle

    def before_revoke(self, hook: Callable[[], None]) -> None: ...

    def subscribe(self, topics: Collection[str]) -> None: ...

    def start_reading(self, partition: Partition, *begun: Any) -> None:
        self.assigned_idle.discard(partition)
        self.begun = begun

    def release(self, partitions: Collection[Partition]) -> None: ...

    def recreated(self, topic_ids: Mapping[str, str]) -> list[Partition]:
        return []

    def poll_batch(self, count_max: int, wait_s: float) -> ConsumedBatch:
        self._rounds.pop(0)()
        return ConsumedBatch([], [])

    # -- the worker that reads it

    def is_read(self, world: World, *rounds: Callable[[], None], start_from: StartFrom = "") -> list[Mapping[str, Any]]:
        """Run a worker over it; it checks the partition before each round. Returns what it logs."""
        stop = threading.Event()
        self._rounds = [lambda: None, *rounds, stop.set]  # an assigned partition starts after a poll
        with capture_logs() as logs:
            IngestionWorker(
                cast(GroupConsumer, self),
                cast(Broker, self),
                world.database,
                world.counter,
                owner="us",
                start_from=start_from,
                limits=QuarantineLimits(100, 0.5),
            ).run(stop, count_max=10, wait_s=0)
        return list(logs)


@pytest.fixture(autouse=True)
def checks_at_each_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignments, "CHECK_S", 0.0)


def stands(world: World, offset: int, *, topic_id: str = "a-topic", leader_epoch: int | None = None) -> int:
    """The partition is counted up to here. The epoch of who has it."""
    world.rows(
        "INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, leader_epoch, epoch) "
        f"VALUES ('{TOPIC}', 0, %s, %s, %s, 5)",
        topic_id,
        offset,
        leader_epoch,
    )
    return 5


def decides(world: World, kafka: Kafka, to: To) -> None:
    with connect(world.url, application="test") as conn:
        decide(conn, "an operator", plan(conn, cast(Broker, kafka), TOPIC, None, to).decisions, f"--to {to}")


CAUSES = {
    "never read": (None, PartitionLog("a-topic", 0, 30)),
    "recreated": (10, PartitionLog("another-topic", 0, 30)),
    "removed": (10, PartitionLog("a-topic", 12, 30)),
    "truncated": (10, PartitionLog("a-topic", 0, 9)),
    "truncated and grown again": (10, PartitionLog("a-topic", 0, 30, truncated=True)),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_log_health_and_the_gauge_report_a_stopped_partition_until_an_operator_has_decided(
    world: World, cause: str
) -> None:
    at, log = CAUSES[cause]
    if at is not None:
        stands(world, at, leader_epoch=3)
    kafka = Kafka(log)
    health = Health(world.database, world.invalidator)

    def is_told() -> None:
        update_gauges(world.database)
        assert gauges("hannun_stopped_partitions") == {f'{{topic="{TOPIC}"}}': 1}
        assert health.report() == {
            "status": "degraded",
            "parts": {
                "postgresql": "ready",
                "kafka": f"degraded: {TOPIC}[0] wait for an operator (hannun positions list)",
                "redis": "ready",
            },
        }
        assert kafka.begun is None

    logs = kafka.is_read(world, is_told, is_told, lambda: decides(world, kafka, "earliest"))
    told = [entry for entry in logs if entry["event"] == "partition stopped"]
    assert len(told) == 1, "once, however often it is looked at"
    assert told[0]["hint"].startswith(f"hannun positions set {TOPIC} ")

    assert kafka.begun is not None
    assert kafka.begun[1] == log.low
    update_gauges(world.database)
    assert gauges("hannun_stopped_partitions") == {f'{{topic="{TOPIC}"}}': 0}
    assert health.report() == {"status": "ready", "parts": {"postgresql": "ready", "redis": "ready"}}


def test_a_truncated_log_that_grows_past_our_position_is_not_resumed(world: World) -> None:
    stands(world, 1_000)
    kafka = Kafka(PartitionLog("a-topic", 0, 900))

    def grows() -> None:
        kafka.log = PartitionLog("a-topic", 0, 1_100)

    kafka.is_read(world, grows, lambda: None)
    assert kafka.begun is None, "what lies from 900 to 1,000 would be counted by nobody"
    assert kafka.is_read(world, start_from="earliest"), "nor by another process, whatever its settings"
    assert kafka.begun is None


def test_what_a_former_owner_counts_during_a_start_does_not_look_like_a_truncated_log(world: World) -> None:
    lost = stands(world, 10)
    kafka = Kafka(PartitionLog("a-topic", 0, 10))
    refused = []

    def the_lost_owner_counts_two_more() -> None:
        kafka.after_the_logs = lambda: None
        kafka.log = PartitionLog("a-topic", 0, 12)
        try:
            with world.another_database().transaction() as conn:
                advance(conn, [OffsetRange(*PLACE, 10, 12, lost)])
        except StaleBatch as stale:
            refused.append(stale)

    kafka.after_the_logs = the_lost_owner_counts_two_more
    logs = kafka.is_read(world)
    assert not [entry for entry in logs if entry["event"] == "partition stopped"]
    assert kafka.begun is not None
    assert kafka.begun[1] == (10 if refused else 12)


LOG = PartitionLog("a-topic", 10, 30)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "to", "goes_on_at", "skipped", "removed"),
    [
        (None, "earliest", 10, 0, 0),
        (None, "latest", 30, 20, 0),
        (None, 15, 15, 5, 0),
        (20, "earliest", 10, 0, 0),
        (20, "latest", 30, 10, 0),
        (20, 20, 20, 0, 0),
        (20, 12, 12, 0, 0),
        (20, 30, 30, 10, 0),
        (20, NOON, 25, 5, 0),
        (4, "earliest", 10, 6, 6),
        (4, 12, 12, 8, 6),
        (40, "latest", 30, 20, 0),  # truncated: nobody knows how much of what it holds was counted
    ],
)
def test_a_plan_says_where_a_partition_resumes_and_how_many_offsets_it_skips(
    world: World, at: int | None, to: To, goes_on_at: int, skipped: int, removed: int
) -> None:
    if at is not None:
        stands(world, at)
    kafka = Kafka(LOG)
    kafka.at = {PLACE: 25}
    with connect(world.url, application="test") as conn:
        (decision,) = plan(conn, cast(Broker, kafka), TOPIC, None, to).decisions
    assert (decision.was_at, decision.resume_at, decision.skipped, decision.removed) == (
        at,
        goes_on_at,
        skipped,
        removed,
    )


def test_of_a_recreated_topic_all_that_was_removed_is_skipped(world: World) -> None:
    stands(world, 20, topic_id="the topic before")
    with connect(world.url, application="test") as conn:
        (decision,) = plan(conn, cast(Broker, Kafka(LOG)), TOPIC, None, "earliest").decisions
    assert (decision.skipped, decision.removed) == (10, 10)


def test_an_instant_after_the_last_record_resumes_at_the_end(world: World) -> None:
    kafka = Kafka(LOG)
    kafka.at = {PLACE: -1}
    with connect(world.url, application="test") as conn:
        (decision,) = plan(conn, cast(Broker, kafka), TOPIC, None, NOON).decisions
    assert decision.resume_at == 30


@pytest.mark.parametrize("offset", [9, 31])
def test_an_offset_that_the_log_does_not_hold_is_refused(world: World, offset: int) -> None:
    with connect(world.url, application="test") as conn, pytest.raises(OperatorError, match=f"10 to 30, not {offset}"):
        plan(conn, cast(Broker, Kafka(LOG)), TOPIC, None, offset)


def to_forget(world: World, kafka: Kafka, number: int | None = None) -> Forgettable:
    with connect(world.url, application="test") as conn:
        return plan_forget(conn, cast(Broker, kafka), TOPIC, number, [])


def waits(world: World) -> bool:
    """Whether anything waits for an operator. The list, the gauge and the health report agree."""
    with connect(world.url, application="test") as conn:
        listed = list_positions(conn).wait
    update_gauges(world.database)
    assert (sum(gauges("hannun_stopped_partitions").values()) > 0) == listed
    assert (Health(world.database, world.invalidator).report()["status"] == "degraded") == listed
    return listed


def test_a_deleted_topic_is_reported_until_an_operator_forgets_it_and_its_position_is_kept(world: World) -> None:
    stands(world, 1_000)
    kafka = Kafka(PartitionLog("a-topic", 0, 1_000))
    with pytest.raises(OperatorError, match="Kafka still has") as refused:
        to_forget(world, kafka)
    assert f"hannun positions set {TOPIC} --to earliest" in refused.value.hint
    kafka.log = None  # the topic is deleted
    logs = kafka.is_read(world, lambda: None, lambda: None)
    (told,) = [entry for entry in logs if entry["event"] == "topic stopped"]
    assert "it was deleted" in told["why"]
    assert waits(world)
    with connect(world.url, application="test") as conn, pytest.raises(OperatorError) as refused:
        plan(conn, cast(Broker, kafka), TOPIC, None, "earliest")
    assert f"hannun positions forget {TOPIC}" in refused.value.hint

    with connect(world.url, application="test") as conn:
        forget(conn, "an operator", to_forget(world, kafka))
    assert not waits(world)
    kafka.is_read(world, lambda: None)
    assert not waits(world), "nobody waits for what was forgotten, however often it is looked at"
    (record,) = world.rows("SELECT * FROM hannun.position_decisions")
    assert (record.decided_by, record.was_at, record.goes_on_at, record.how) == (
        "an operator",
        1_000,
        None,
        "forget",
    )

    kafka.log = PartitionLog("another-topic", 0, 5_000)  # and created once more
    logs = kafka.is_read(world, lambda: None, start_from="latest")
    assert any("recreated" in entry.get("why", "") for entry in logs)
    assert kafka.begun is None
    assert waits(world)
    decides(world, kafka, "earliest")
    assert not waits(world)


def test_a_topic_that_is_back_is_read_on_without_a_decision(world: World) -> None:
    """For example, because we were connected to another cluster meanwhile."""
    stands(world, 10)
    kafka = Kafka(PartitionLog("a-topic", 0, 30))
    back, kafka.log = kafka.log, None
    kafka.is_read(world, lambda: None)
    assert waits(world)
    kafka.log = back
    logs = kafka.is_read(world, lambda: None)
    assert kafka.begun is not None and kafka.begun[1] == 10
    assert not waits(world)
    assert [entry["event"] for entry in logs if "stopped" in entry["event"]] == []


def test_partitions_that_a_recreated_topic_no_longer_has_wait_until_an_operator_forgets_them(world: World) -> None:
    stands(world, 10)
    world.rows("INSERT INTO hannun.positions SELECT topic, 1, topic_id, next_offset FROM hannun.positions")
    kafka = Kafka(PartitionLog("another-topic", 0, 30))
    kafka.is_read(world, lambda: decides(world, kafka, "earliest"), lambda: None)
    assert kafka.begun is not None
    assert waits(world), "what was not counted of partition 1 is lost, and nobody has decided so"
    with connect(world.url, application="test") as conn:
        forget(conn, "an operator", to_forget(world, kafka))
    kafka.is_read(world, lambda: None)
    assert not waits(world)


def test_what_is_not_known_cannot_be_forgotten(world: World) -> None:
    kafka = Kafka(PartitionLog("a-topic", 0, 0))
    kafka.log = None
    with pytest.raises(OperatorError, match=f"nothing is known of {TOPIC}"):
        to_forget(world, kafka)
