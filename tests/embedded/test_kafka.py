"""What a newcomer and a test may expect of the embedded Kafka."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient

from hannun.embedded import KafkaServer, fetch_kafka, java_missing_reason
from hannun.errors import OperatorError

pytestmark = pytest.mark.kafka

ANSWER_S_MAX = 30.0


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """One broker for the tests that leave it running, each with a topic of its own."""
    need_java()
    with tempfile.TemporaryDirectory(prefix="hannun-test-") as folder, KafkaServer(Path(folder, "home")) as server:
        yield server


def need_java() -> None:
    if (reason := java_missing_reason()) is not None:
        pytest.skip(f"NOT TESTED: {reason}")


def publish(server: KafkaServer, topic: str, *messages: str) -> None:
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all"})
    failed: list[Any] = []
    for message in messages:
        producer.produce(topic, message.encode(), on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(ANSWER_S_MAX) == 0
    assert not failed


def read(server: KafkaServer, topic: str, count: int, **settings: str) -> list[str]:
    consumer = Consumer(
        {"bootstrap.servers": server.bootstrap, "group.id": f"of-{topic}", "auto.offset.reset": "earliest", **settings}
    )
    try:
        consumer.subscribe([topic])
        messages = consumer.consume(count, timeout=ANSWER_S_MAX)
        assert all(message.error() is None for message in messages)
        return [(message.value() or b"").decode() for message in messages]
    finally:
        consumer.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_is_published_is_read(broker: KafkaServer, protocol: str) -> None:
    broker.create_topics({f"read-{protocol}": 1})
    publish(broker, f"read-{protocol}", "하나")
    assert read(broker, f"read-{protocol}", 1, **{"group.protocol": protocol}) == ["하나"]


def test_topics_are_made_with_their_partitions_and_twice_is_fine(broker: KafkaServer) -> None:
    broker.create_topics({"wide": 6, "narrow": 1})
    broker.create_topics({"wide": 6, "narrow": 1})
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=ANSWER_S_MAX).topics
    assert [len(topics[name].partitions) for name in ("wide", "narrow")] == [6, 1]


def test_a_topic_with_a_wrong_name_is_refused_in_clear_words(broker: KafkaServer) -> None:
    with pytest.raises(OperatorError, match="no spaces.*Hint: correct its name"):
        broker.create_topics({"no spaces": 1})


def test_a_topic_that_nobody_made_does_not_come_into_being(broker: KafkaServer) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "topic.metadata.propagation.max.ms": 0})
    codes: list[int] = []
    producer.produce("mistyped", b"x", on_delivery=lambda error, _: codes.append(error.code() if error else 0))
    producer.flush(ANSWER_S_MAX)
    assert codes == [KafkaError.UNKNOWN_TOPIC_OR_PART]


@pytest.mark.faults
def test_data_survive_a_killed_broker_a_stop_and_a_new_owner(home: Path, owner: Callable[..., Any]) -> None:
    need_java()
    with KafkaServer(home) as server:
        server.create_topics({"kept": 1})
        publish(server, "kept", "before the kill")
        server.kill()
        assert not server.running
        server.start()
        publish(server, "kept", "after it")
    killed = owner(f"KafkaServer(Path({str(home)!r}))", courteous=False)
    killed.is_killed()
    with KafkaServer(home) as server:
        assert server.pid != killed.server_pid
        assert read(server, "kept", 2) == ["before the kill", "after it"]
        server.stop()
        server.stop()


def test_a_second_owner_of_a_home_is_told_who_has_it(broker: KafkaServer) -> None:
    first = broker.pid
    with pytest.raises(OperatorError, match=rf"{broker.home}.*pid {os.getpid()}.*--home"):
        KafkaServer(broker.home).start()
    broker.start()
    assert broker.pid == first


def test_a_wrong_setting_is_told_with_the_brokers_own_words(home: Path) -> None:
    need_java()
    with pytest.raises(OperatorError, match=r"(?s)num.io.threads.*Hint: correct the settings"):
        KafkaServer(home, settings={"num.io.threads": "many"}).start()


def test_a_store_that_was_half_made_is_made_anew(home: Path) -> None:
    need_java()
    (home / "kafka-data.new").mkdir(parents=True)
    (home / "kafka-data.new" / "meta.properties").write_text("half")
    with KafkaServer(home) as server:
        server.create_topics({"fine": 1})


# -- what the machine must have -----------------------------------------------------------------------------------

Put = Callable[[str, str], None]


def test_a_machine_without_java_is_told(programs: Put) -> None:
    assert "no java" in (java_missing_reason() or "")
    with pytest.raises(OperatorError, match="no java.*Hint: install a Java runtime of version 17"):
        fetch_kafka()


def test_a_java_that_is_too_old_is_told(programs: Put) -> None:
    programs("java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    assert "version 11" in (java_missing_reason() or "")
    programs("java", """echo 'java version "1.8.0_392"' >&2""")
    assert "version 8" in (java_missing_reason() or "")


def test_a_machine_without_maven_is_told_while_the_jars_are_missing(programs: Put) -> None:
    programs("java", """echo 'openjdk version "21.0.1" 2023-10-17' >&2""")
    assert "no mvn" in (java_missing_reason() or "")
    programs("mvn", "exit 0")
    assert java_missing_reason() is None


def test_a_fetch_that_fails_is_told_in_mavens_words_and_leaves_nothing(programs: Put, tmp_path: Path) -> None:
    programs("java", """echo 'openjdk version "21.0.1" 2023-10-17' >&2""")
    programs("mvn", "echo '[ERROR] Network is unreachable'; exit 1")
    told: list[str] = []
    with pytest.raises(OperatorError, match=r"(?s)Network is unreachable.*Hint: let mvn reach"):
        fetch_kafka(told.append)
    assert len(told) == 1
    assert not list((tmp_path / "cache" / "hannun").iterdir())
