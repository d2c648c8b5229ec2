"""A broker that wants a login: each client logs in as the settings say, also with a changed password."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from polling import wait_for

from hannun.domain.batch import RecordId
from hannun.domain.replay import ReplayRange
from hannun.embedded import KafkaServer
from hannun.embedded.ports import HOST, find_free_port
from hannun.errors import KafkaUnavailable
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.kafka.log_reader import LogReader
from hannun.kafka.publisher import Publisher
from hannun.processes.kafka_source import _protocol
from hannun.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.xdist_group("kafka")]
USER, PASSWORD = "$ConnectionString", "Endpoint=sb://of-tests/;SharedAccessKey=c2VjcmV0="


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KafkaServer, str]]:
    """A broker, and the address of its listener that wants a login."""
    port = find_free_port()
    controller = find_free_port(excluding=port)
    login = next(free for free in iter(find_free_port, None) if free not in (port, controller))
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    settings = {
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller},LOGIN://{HOST}:{login}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},LOGIN://{HOST}:{login}",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
        "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": f'{module} required "user_{USER}"="{PASSWORD}";',
    }
    with KafkaServer(tmp_path_factory.mktemp("guarded") / "kafka", port=port, settings=settings) as server:
        yield server, f"{HOST}:{login}"


def settings_for(servers: str, password_file: Path) -> Settings:
    return Settings(
        KAFKA_BOOTSTRAP_SERVERS=servers,
        KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        KAFKA_SASL_USERNAME=USER,
        KAFKA_SASL_PASSWORD_FILE=str(password_file),
    )


def test_every_client_logs_in(guarded: tuple[KafkaServer, str], tmp_path: Path) -> None:
    server, servers = guarded
    topic = f"guarded-{uuid.uuid4()}"
    server.create_topics({topic: 1})
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD)
    settings = settings_for(servers, password_file)
    broker = Broker(settings.kafka)
    assert Publisher(settings.kafka, topic).publish([(b"key", b"value")]) == [None]
    log = broker.partition_logs([(topic, 0)])[topic, 0]
    assert broker.read_record(RecordId(topic, log.topic_id, 0, 0)) == b"value"
    with LogReader(settings.kafka, {topic: "sales-recorded"}, {(topic, 0): ReplayRange(log.topic_id, 0, 1)}) as reader:
        wait_for("the record", lambda: reader.poll_batch(10, 0.1).messages)
    member = GroupConsumer(settings.kafka, topic, {topic: "sales-recorded"}, _protocol(settings))
    member.open()
    try:
        wait_for("the assignment", lambda: member.poll_batch(1, 0.1) and member.assigned_idle)
        member.start_reading((topic, 0), log.topic_id, 0, 1)
        wait_for("the record", lambda: member.poll_batch(10, 0.1).messages)
    finally:
        member.close()


def test_a_wrong_password_is_refused_and_a_corrected_file_is_used(
    guarded: tuple[KafkaServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hannun.kafka.broker.CALL_TIMEOUT_S", 1.0)
    _, servers = guarded
    password_file = tmp_path / "password"
    password_file.write_text("wrong")
    broker = Broker(settings_for(servers, password_file).kafka)
    with pytest.raises(KafkaUnavailable):
        broker.check()
    corrected = tmp_path / "corrected"
    corrected.write_text(PASSWORD)
    corrected.replace(password_file)

    def answers() -> bool:
        try:
            broker.check()
        except KafkaUnavailable:
            return False
        return True

    wait_for("the new password to be used", answers)
