"""Dead letters go to a topic too: out of the table, at least once, under one key."""

import json
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from outside import Event, Service, Topics, wait_for

from hannun.embedded import KafkaServer, PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]
UNPUBLISHED = "SELECT count(*) FROM hannun.dead_letters WHERE published_at IS NULL"


class DeadLetterTopic:
    """A topic of dead letters, and the records that it has received."""

    def __init__(self, kafka: KafkaServer) -> None:
        self.name = f"dead-letters-{uuid.uuid4().hex[:8]}"
        kafka.create_topics({self.name: 1})
        self._consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": self.name})
        self._consumer.assign([TopicPartition(self.name, 0, 0)])
        self.records: list[tuple[str, dict[str, object]]] = []

    def has(self, count: int) -> bool:
        for message in self._consumer.consume(100, timeout=0.1):
            key, value = message.key(), message.value()
            assert message.error() is None
            assert key is not None and value is not None
            self.records.append((key.decode(), json.loads(value)))
        return len(self.records) >= count

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def dead_letters(kafka: KafkaServer) -> Iterator[DeadLetterTopic]:
    topic = DeadLetterTopic(kafka)
    yield topic
    topic.close()


def test_every_dead_letter_is_published_without_its_payload(
    service: Service, topics: Topics, dead_letters: DeadLetterTopic
) -> None:
    environment = topics.environment()
    service.start_ingest(**environment)
    service.start_serve()
    event = Event()
    topics.send([event.created(), event.unusable()])
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    service.post([event.unusable()])
    service.start_schedule(**environment, HANNUN_DEAD_LETTER_TOPIC=dead_letters.name)
    wait_for("two dead letters", lambda: dead_letters.has(2))
    wait_for("them to be marked", lambda: service.rows(UNPUBLISHED) == [(0,)])
    (kafka_key, from_kafka), (http_key, over_http) = dead_letters.records
    assert kafka_key == "/".join(str(from_kafka[part]) for part in ("topic", "topicId", "partition", "offset"))
    assert http_key == f"http/{over_http['sha256']}"
    assert from_kafka["eventId"] == over_http["eventId"] == event.id
    assert from_kafka["reason"] == "missing-field"
    known = {"kind", "reason", "detail", "eventId", "topic", "partition", "topicId", "offset"}
    assert from_kafka.keys() == over_http.keys() == known | {"receivedAt", "sizeBytes", "sha256"}
    topics.send([event.unusable()])
    wait_for("the next one", lambda: dead_letters.has(3))
    assert len({key for key, _ in dead_letters.records}) == 3, "each once, as long as no publisher dies"


@pytest.mark.faults
def test_a_publisher_killed_before_marking_is_followed_by_a_second_copy_under_the_same_key(
    service: Service, topics: Topics, dead_letters: DeadLetterTopic, postgres: PostgresServer
) -> None:
    environment = {**topics.environment(), "HANNUN_DEAD_LETTER_TOPIC": dead_letters.name}
    service.start_ingest(**environment)
    topics.send([Event().unusable()])
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    with psycopg.connect(postgres.url(name)) as holder:
        holder.execute("SELECT FROM hannun.dead_letters FOR UPDATE")  # so that no process can mark it
        schedule = service.start_schedule(**environment)
        wait_for("the dead letter", lambda: dead_letters.has(1))
        schedule.kill()
        holder.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    assert service.rows(UNPUBLISHED) == [(1,)]
    service.start_schedule(**environment)
    wait_for("the dead letter again", lambda: dead_letters.has(2))
    assert dead_letters.records[0] == dead_letters.records[1]
    wait_for("it to be marked", lambda: service.rows(UNPUBLISHED) == [(0,)])


@pytest.mark.faults
def test_dead_letters_wait_while_no_broker_answers_and_other_jobs_go_on(
    service: Service, topics: Topics, dead_letters: DeadLetterTopic
) -> None:
    service.start_serve()
    event = Event()
    service.post([event.created(), event.registered(), event.unusable()])
    setting = {"HANNUN_DEAD_LETTER_TOPIC": dead_letters.name}
    away = service.start_schedule(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", **setting)
    away.wait_for_log("cannot publish dead letters")
    owed = "SELECT count(*) FROM hannun.events WHERE cumulative_owed_from < '9999-01-01'"
    wait_for("the cumulative column", lambda: service.rows(owed) == [(0,)])
    assert service.rows(UNPUBLISHED) == [(1,)]
    assert away.terminate() == 0
    service.start_schedule(KAFKA_BOOTSTRAP_SERVERS=topics.bootstrap, **setting)
    wait_for("the dead letter", lambda: dead_letters.has(1))


def test_a_topic_of_messages_is_refused_as_the_dead_letter_topic(service: Service, topics: Topics) -> None:
    environment = topics.environment()
    ran = service.run("schedule", **environment, HANNUN_DEAD_LETTER_TOPIC=topics.names["sales-recorded"])
    assert ran.status == 2
    assert "each dead letter would become another" in ran.err
