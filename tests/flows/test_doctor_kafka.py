"""The doctor finds messages that wait and records of the future, in a real Kafka."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer
from examining import Scene

from hannun.embedded import KafkaServer
from hannun.kafka.address import KafkaAddress
from hannun.kafka.broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
FLUSH_S = 30.0
MESSAGES = 10


@pytest.fixture
def topic(scene: Scene, kafka: KafkaServer) -> str:
    """A topic of one partition that this installation counts."""
    name = f"doctor-{uuid.uuid4().hex[:8]}"
    kafka.create_topics({name: 1})
    scene.bootstrap = kafka.bootstrap
    scene.expect(topics=(name,))
    return name


def publish(kafka: KafkaServer, topic: str, at: datetime) -> None:
    """Publish messages that a producer dates so."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all"})
    for number in range(MESSAGES):
        producer.produce(topic, str(number).encode(), timestamp=int(at.timestamp() * 1_000))
    assert producer.flush(FLUSH_S) == 0


def count_up_to(scene: Scene, topic: str, offset: int) -> None:
    """As a consumer that has counted so many of the messages."""
    assert scene.bootstrap is not None
    log = Broker(KafkaAddress(scene.bootstrap)).partition_logs([(topic, 0)])[topic, 0]
    scene.world.rows(
        "INSERT INTO hannun.positions (topic, partition, topic_id, next_offset) VALUES (%s, 0, %s, %s) "
        "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
        topic,
        log.topic_id,
        offset,
    )


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=10)


def test_an_empty_topic_and_one_that_is_counted_yield_no_finding(scene: Scene, kafka: KafkaServer, topic: str) -> None:
    assert scene.examine("kafka", "lag", "record-times") == {}
    publish(kafka, topic, long_ago())
    count_up_to(scene, topic, MESSAGES)
    assert scene.examine("kafka", "lag", "record-times") == {}


def test_messages_that_have_just_come_are_no_lag(scene: Scene, kafka: KafkaServer, topic: str) -> None:
    publish(kafka, topic, datetime.now(UTC))
    assert scene.examine("lag") == {}


def test_messages_that_nothing_counts_are_found(scene: Scene, kafka: KafkaServer, topic: str) -> None:
    publish(kafka, topic, long_ago())
    count_up_to(scene, topic, 3)
    (finding,) = scene.examine("kafka", "lag", "record-times")["lag"]
    assert f"7 messages of {topic} wait in 1 partitions" in finding.cause_text
    assert "none is counted" in finding.cause_text


def test_messages_that_are_counted_too_slowly_are_found_with_their_rate(
    scene: Scene, kafka: KafkaServer, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(kafka, topic, long_ago())
    count_up_to(scene, topic, 3)
    monkeypatch.setattr(time, "sleep", lambda _: count_up_to(scene, topic, 5))  # while the doctor watches
    (finding,) = scene.examine("lag")["lag"]
    assert f"5 messages of {topic} wait" in finding.cause_text
    assert "4 are counted a second" in finding.cause_text


def test_records_of_the_future_are_found_beside_a_lag(scene: Scene, kafka: KafkaServer, topic: str) -> None:
    publish(kafka, topic, long_ago())
    publish(kafka, topic, datetime.now(UTC) + timedelta(minutes=5))
    assert set(scene.examine("kafka", "lag", "record-times")) == {"lag", "record-times"}
