"""How every client of Kafka connects: from one address, with nothing that Azure Event Hubs refuses."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hannun
from hannun.errors import OperatorError
from hannun.kafka import broker, consumer, log_reader, publisher
from hannun.kafka.address import KafkaAddress, PasswordUpdate
from hannun.processes.kafka_source import _protocol
from hannun.sandbox import senders
from hannun.settings import Settings

CLIENTS = {"Consumer", "Producer", "AdminClient"}
EVENT_HUBS = KafkaAddress("hannun.servicebus.windows.net:9093", "SASL_SSL", "PLAIN", "$ConnectionString", "secret")
IDLE_MS_MAX = 240_000
"""Azure closes a connection that is idle for longer."""
SESSION_MS_MIN, SESSION_MS_MAX = 6_000, 300_000
LOGINS = ("self._address.options()", "address.options()", "self._options()")
"""How a client takes the options of the address; the sandbox, which imports nothing of the service, is given them."""


class Recorded(Exception):
    """Raised instead of the creation of a client, with its options."""


def record(options: dict[str, Any], **_: Any) -> None:
    raise Recorded(options)


def options_of_every_client(settings: Settings) -> dict[str, dict[str, Any]]:
    """The options of the clients that the service creates, by their place."""
    kinds = {"a topic": "sales-recorded"}
    openings: list[tuple[Any, str, Callable[[], Any]]] = [
        (consumer, "Consumer", consumer.GroupConsumer(EVENT_HUBS, "hannun", kinds, _protocol(settings)).open),
        (log_reader, "Consumer", log_reader.LogReader(EVENT_HUBS, kinds, {}).__enter__),
        (publisher, "Producer", lambda: publisher.Publisher(EVENT_HUBS, "a topic").publish([(b"", b"")])),
        (broker, "AdminClient", lambda: broker.Broker(EVENT_HUBS)),
        (senders, "Producer", lambda: senders.KafkaSender(EVENT_HUBS.options).send([("a topic", "key", {})])),
    ]
    found = {}
    for module, client, open_client in openings:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, client, record)
            with pytest.raises(Recorded) as caught:
                open_client()
        found[f"{module.__name__}.{client}"] = caught.value.args[0]
    return found


@given(st.floats(6, 300))
def test_no_client_asks_for_what_event_hubs_refuses(session_s: float) -> None:
    for place, options in options_of_every_client(Settings(kafka_session_timeout_s=session_s)).items():
        assert not options.get("enable.idempotence"), place
        assert "transactional.id" not in options, place
        assert not [name for name in options if name.startswith("compression")], place
        assert options["socket.keepalive.enable"], place
        for name in ("connections.max.idle.ms", "metadata.max.age.ms", "topic.metadata.refresh.interval.ms"):
            assert options[name] < IDLE_MS_MAX, (place, name)
        if "session.timeout.ms" in options:
            assert SESSION_MS_MIN <= options["session.timeout.ms"] <= SESSION_MS_MAX, place
            assert options["heartbeat.interval.ms"] * 3 <= options["session.timeout.ms"], place


def test_every_client_logs_in_as_the_address_says() -> None:
    for place, options in options_of_every_client(Settings()).items():
        login = {name: value for name, value in options.items() if name.startswith(("bootstrap", "security", "sasl"))}
        assert login == {
            "bootstrap.servers": "hannun.servicebus.windows.net:9093",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "$ConnectionString",
            "sasl.password": "secret",
        }, place


def test_no_client_is_created_without_an_address() -> None:
    """The embedded server has its own clients, which never leave the machine."""
    source = Path(hannun.__file__).parent
    created = [
        (path, call)
        for path in source.rglob("*.py")
        if "embedded" not in path.parts
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CLIENTS
    ]
    assert len(created) == 7
    for path, call in created:
        options = call.args[0]
        assert isinstance(options, ast.Dict), path
        assert options.keys[0] is None, path
        assert ast.unparse(options.values[0]) in LOGINS, path


def test_the_default_session_fits_event_hubs() -> None:
    options = options_of_every_client(Settings())["hannun.kafka.consumer.Consumer"]
    assert options["group.protocol"] == "classic", "Event Hubs does not assign partitions itself (KIP-848)"
    assert SESSION_MS_MIN <= options["session.timeout.ms"] <= SESSION_MS_MAX


def test_no_topic_is_created_or_compacted_on_a_broker_of_others() -> None:
    """Event Hubs' Standard tier compacts none; its hubs are made by whoever owns them."""
    for path in Path(hannun.__file__).parent.rglob("*.py"):
        if "embedded" not in path.parts:
            text = path.read_text("utf-8")
            assert "NewTopic" not in text, path
            assert "cleanup.policy" not in text, path


@pytest.mark.parametrize(
    ("protocol", "username", "password"),
    [("SASL_SSL", "", ""), ("SASL_PLAINTEXT", "user", ""), ("PLAINTEXT", "user", "secret"), ("SSL", "", "secret")],
)
def test_a_login_that_does_not_fit_the_protocol_is_refused(protocol: str, username: str, password: str) -> None:
    with pytest.raises(OperatorError, match="KAFKA_SECURITY_PROTOCOL") as refused:
        KafkaAddress("kafka:9092", protocol, "PLAIN", username, password)
    assert "secret" not in str(refused.value)


def test_the_password_stays_out_of_texts() -> None:
    assert "secret" not in repr(EVENT_HUBS)


def test_a_client_gets_each_new_password_once() -> None:
    passwords = ["first", "first", "second", "second", "third"]
    address = KafkaAddress("kafka:9092", "SASL_SSL", "PLAIN", "user", lambda: passwords[0])
    update = PasswordUpdate(address)
    applied: list[tuple[str, str]] = []

    class Client:
        def set_sasl_credentials(self, username: str, password: str, /) -> None:
            applied.append((username, password))

    while passwords:
        update.apply(Client())
        passwords.pop(0)
    assert applied == [("user", "second"), ("user", "third")]
