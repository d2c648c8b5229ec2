"""What newcomers and tests can rely on when they use the embedded Kafka."""

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

RESPONSE_S_MAX = 30.0


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """One broker for the tests that do not stop it. Each of them uses its own topics."""
    require_java()
    with tempfile.TemporaryDirectory(prefix="hannun-test-") as folder, KafkaServer(Path(folder, "home")) as server:
        yield server


def require_java() -> None:
    if (reason := java_missing_reason()) is not None:
        pytest.skip(f"NOT TESTED: {reason}")


def publish(server: KafkaServer, topic: str, *messages: str) -> None:
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all"})
    failed: list[Any] = []
    for message in messages:
        producer.produce(topic, message.encode(), on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(RESPONSE_S_MAX) == 0
    assert not failed


def consume(server: KafkaServer, topic: str, count: int, **settings: str) -> list[str]:
    consumer = Consumer(
        {"bootstrap.servers": server.bootstrap, "group.id": f"of-{topic}", "auto.offset.reset": "earliest", **settings}
    )
    try:
        consumer.subscribe([topic])
        messages = consumer.consume(count, timeout=RESPONSE_S_MAX)
        assert all(message.error() is None for message in messages)
        return [(message.value() or b"").decode() for message in messages]
    finally:
        consumer.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_published_messages_are_consumed_with_both_group_protocols(broker: KafkaServer, protocol: str) -> None:
    broker.create_topics({f"consumed-{protocol}": 1})
    publish(broker, f"consumed-{protocol}", "하나")
    assert consume(broker, f"consumed-{protocol}", 1, **{"group.protocol": protocol}) == ["하나"]


def test_topics_are_created_with_their_partitions_and_existing_ones_stay_unchanged(broker: KafkaServer) -> None:
    broker.create_topics({"wide": 6, "narrow": 1})
    broker.create_topics({"wide": 6, "narrow": 1})
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=RESPONSE_S_MAX).topics
    assert [len(topics[name].partitions) for name in ("wide", "narrow")] == [6, 1]


def test_a_topic_with_an_invalid_name_is_refused_with_a_hint(broker: KafkaServer) -> None:
    with pytest.raises(OperatorError, match="no spaces.*Hint: correct its name"):
        broker.create_topics({"no spaces": 1})


def test_producing_to_an_unknown_topic_does_not_create_it(broker: KafkaServer) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "topic.metadata.propagation.max.ms": 0})
    codes: list[int] = []
    producer.produce("mistyped", b"x", on_delivery=lambda error, _: codes.append(error.code() if error else 0))
    producer.flush(RESPONSE_S_MAX)
    assert codes == [KafkaError.UNKNOWN_TOPIC_OR_PART]


@pytest.mark.faults
def test_messages_survive_a_killed_broker_and_a_killed_owner(home: Path, start_owner: Callable[..., Any]) -> None:
    require_java()
    with KafkaServer(home) as server:
        server.create_topics({"kept": 1})
        publish(server, "kept", "before the kill")
        server.kill()
        assert not server.running
        server.start()
        publish(server, "kept", "after the kill")
    killed_owner = start_owner(f"KafkaServer(Path({str(home)!r}))", parent_death_signal=False)
    killed_owner.kill()
    with KafkaServer(home) as server:
        assert server.pid != killed_owner.server_pid
        assert consume(server, "kept", 2) == ["before the kill", "after the kill"]
        server.stop()
        server.stop()


def test_a_second_owner_of_a_home_gets_an_error_with_the_first_ones_pid(broker: KafkaServer) -> None:
    pid = broker.pid
    with pytest.raises(OperatorError, match=rf"{broker.home}.*pid {os.getpid()}.*--home"):
        KafkaServer(broker.home).start()
    broker.start()
    assert broker.pid == pid


def test_an_error_about_a_wrong_setting_contains_the_brokers_log(home: Path) -> None:
    require_java()
    with pytest.raises(OperatorError, match=r"(?s)num.io.threads.*Hint: correct the settings"):
        KafkaServer(home, settings={"num.io.threads": "many"}).start()


def test_a_log_folder_that_was_formatted_only_in_part_is_formatted_again(home: Path) -> None:
    require_java()
    (home / "kafka-data.new").mkdir(parents=True)
    (home / "kafka-data.new" / "meta.properties").write_text("incomplete")
    with KafkaServer(home) as server:
        server.create_topics({"fine": 1})


# -- what the machine must provide --------------------------------------------------------------------------------

PutProgram = Callable[[str, str], None]


def test_without_java_an_error_says_which_version_to_install(put_program: PutProgram) -> None:
    assert "no java" in (java_missing_reason() or "")
    with pytest.raises(OperatorError, match="no java.*Hint: install a Java runtime of version 17"):
        fetch_kafka()


def test_a_java_that_is_too_old_is_reported_with_its_version(put_program: PutProgram) -> None:
    put_program("java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    assert "version 11" in (java_missing_reason() or "")
    put_program("java", """echo 'java version "1.8.0_392"' >&2""")
    assert "version 8" in (java_missing_reason() or "")


def test_a_missing_maven_is_reported_while_the_jars_are_missing(put_program: PutProgram) -> None:
    put_program("java", """echo 'openjdk version "21.0.1" 2023-10-17' >&2""")
    assert "no mvn" in (java_missing_reason() or "")
    put_program("mvn", "exit 0")
    assert java_missing_reason() is None


def test_a_failed_fetch_reports_mavens_output_and_leaves_no_files(put_program: PutProgram, tmp_path: Path) -> None:
    put_program("java", """echo 'openjdk version "21.0.1" 2023-10-17' >&2""")
    put_program("mvn", "echo '[ERROR] Network is unreachable'; exit 1")
    progress: list[str] = []
    with pytest.raises(OperatorError, match=r"(?s)Network is unreachable.*Hint: let mvn reach"):
        fetch_kafka(progress.append)
    assert len(progress) == 1
    assert not list((tmp_path / "cache" / "hannun").iterdir())
