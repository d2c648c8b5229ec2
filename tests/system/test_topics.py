"""One topic is deleted, missing or refused: it stops alone, everything reports it, and all other topics are counted."""

from collections.abc import Iterator

import pytest
from accounts import read_log
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from outside import DEADLINE_S, Event, Message, Process, Service, Topics, metric_series, wait_for, with_both_protocols

from hannun.embedded import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]
BUSY, OTHER = "participant-registered", "sales-recorded"


class StoppedTopic:
    """A service whose topic `name` comes to harm, and an event whose messages lie in all other topics, too."""

    def __init__(self, service: Service, topics: Topics, kind: str, protocol: str) -> None:
        self.service = service
        self.topics = topics
        self.kind = kind
        self.name = topics.names[kind]
        self.environment = topics.environment() | {"HANNUN_KAFKA_GROUP_PROTOCOL": protocol}
        self.event = Event()
        self.admin = AdminClient({"bootstrap.servers": topics.bootstrap})
        service.start_serve()

    def start_ingest(self) -> Process:
        return self.service.start_ingest(**self.environment)

    def delete(self) -> None:
        for future in self.admin.delete_topics([self.name]).values():
            future.result()
        wait_for("the topic to be gone", lambda: self.name not in self.admin.list_topics(timeout=DEADLINE_S).topics)
        self.topics.forget(lambda partition, _: partition[0] == self.name)

    def send(self, *, to_the_topic: bool = False) -> None:
        """Send a message of each kind, to all topics but this one unless it is there."""
        event = self.event
        messages: list[Message] = [event.registered("Instagram"), event.sold(1_000), event.status_changed("ENDED")]
        if not event.expected_messages:
            messages.insert(0, event.created())
        messages = [message for message in messages if to_the_topic or message["type"] != self.kind]
        self.topics.send(messages)
        event.expect(messages)

    def assert_counted(self) -> None:
        wait_for("the messages to be counted", lambda: self.topics.are_counted(self.service))
        assert self.service.figures(self.event.id) == self.event.expected_figures
        self.service.assert_no_drift()

    def wait_until_reported(self, why: str) -> None:
        """Wait until health and the list report the topic, and name what to do."""
        health = self.service.health
        wait_for("health to report it", lambda: f"{self.name} ({why}" in health()["parts"].get("kafka", ""))
        assert health()["status"] == "degraded"
        listed = self.service.run("positions", "list", COLUMNS="80")
        assert listed.status == 1
        topic, reason, hint = listed.out.splitlines()[listed.out[: listed.out.index(self.name + ":")].count("\n") :][:3]
        assert topic.startswith(f"{self.name}: no partition is read")
        assert reason.startswith(f"  {why}")
        assert f"hannun positions forget {self.name}" in hint or "grant" in hint

    def wait_until_quiet(self) -> None:
        """Wait until nothing reports the topic any more."""
        wait_for("health to be ready", lambda: self.service.health()["status"] == "ready")
        assert self.service.run("positions", "list").status == 0

    def wait_for_gauge(self, schedule: Process, *, stopped: bool) -> None:
        """Wait until the gauge reports the topic as stopped, or not."""

        def partitions() -> float:
            return metric_series(schedule, "hannun_stopped_partitions").get((self.name,), 0)

        wait_for(f"the gauge of stopped partitions: {stopped}", lambda: (partitions() > 0) == stopped)

    def decide(self, *arguments: str) -> str:
        decided = self.service.run("positions", *arguments, **self.environment)
        assert decided.status == 0, decided.err
        return decided.out


@pytest.fixture
def other(service: Service, topics: Topics, protocol: str) -> StoppedTopic:
    return StoppedTopic(service, topics, OTHER, protocol)


def test_a_topic_that_does_not_exist_at_the_start_stops_alone_until_an_operator_forgets_it(other: StoppedTopic) -> None:
    other.delete()
    other.start_ingest()
    other.send()
    other.assert_counted()
    other.wait_until_reported("Kafka has no topic of this name")
    assert f"{other.name} no longer waited for" in other.decide("forget", other.name)
    other.wait_until_quiet()


@pytest.mark.faults
def test_a_topic_that_did_not_exist_at_the_start_is_read_as_soon_as_it_is_created(
    other: StoppedTopic, kafka: KafkaServer
) -> None:
    other.delete()
    ingest = other.start_ingest()
    other.wait_until_reported("Kafka has no topic of this name")
    kafka.create_topics({other.name: 1})
    other.send(to_the_topic=True)
    other.assert_counted()
    other.wait_until_quiet()
    assert ingest.is_running


@pytest.mark.faults
@pytest.mark.parametrize("kind", [BUSY, OTHER])
@with_both_protocols
def test_a_deleted_topic_stops_alone_also_after_a_restart_until_an_operator_decides(
    service: Service, topics: Topics, kafka: KafkaServer, protocol: str, kind: str
) -> None:
    one = StoppedTopic(service, topics, kind, protocol)
    ingest, schedule = one.start_ingest(), service.start_schedule(HANNUN_SCHEDULE_METRICS_PORT="0")
    one.send(to_the_topic=True)
    one.assert_counted()
    one.delete()
    one.send()
    one.assert_counted()
    one.wait_until_reported("Kafka no longer has this topic: it was deleted")
    one.wait_for_gauge(schedule, stopped=True)
    ingest.wait_for_log("topic stopped")

    assert ingest.terminate() == 0
    assert "cannot be read" not in ingest.log, "the log names no other cause"
    ingest = one.start_ingest()
    one.send()
    one.assert_counted()
    one.wait_until_reported("Kafka no longer has this topic: it was deleted")
    one.decide("forget", one.name)
    one.wait_until_quiet()
    one.wait_for_gauge(schedule, stopped=False)

    kafka.create_topics({one.name: 2})
    one.send(to_the_topic=True)
    wait_for("the new topic to be reported", lambda: "recreated" in service.run("positions", "list").out)
    one.decide("set", one.name, "--to", "earliest")
    one.assert_counted()
    one.wait_until_quiet()
    assert ingest.is_running
    read_log(topics)


@pytest.fixture
def guarded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker with an authorizer that permits what no rule forbids."""
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with KafkaServer(tmp_path_factory.mktemp("guarded") / "kafka", settings=settings) as server:
        yield server


@pytest.mark.faults
@pytest.mark.parametrize("operation", [AclOperation.READ, AclOperation.DESCRIBE])
@with_both_protocols
def test_a_topic_that_the_broker_refuses_stops_alone_until_it_is_granted(
    service: Service, guarded_kafka: KafkaServer, protocol: str, operation: AclOperation
) -> None:
    topics = Topics(guarded_kafka.bootstrap)
    guarded_kafka.create_topics(dict.fromkeys(topics.names.values(), 1))
    one = StoppedTopic(service, topics, OTHER, protocol)
    ingest = one.start_ingest()
    one.send(to_the_topic=True)
    one.assert_counted()
    rule = (ResourceType.TOPIC, one.name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation)
    for future in one.admin.create_acls([AclBinding(*rule, AclPermissionType.DENY)]).values():
        future.result()
    one.send()
    one.assert_counted()
    wait_for("health to report it", lambda: one.name in service.health()["parts"].get("kafka", ""))
    listed = service.run("positions", "list")
    assert "authorization failed" in listed.out
    assert "grant this client READ" in listed.out
    assert ingest.terminate() == 0
    one.start_ingest()
    one.send()
    one.assert_counted()
    for future in one.admin.delete_acls([AclBindingFilter(*rule, AclPermissionType.DENY)]).values():
        future.result()
    one.send(to_the_topic=True)
    one.assert_counted()
    one.wait_until_quiet()
