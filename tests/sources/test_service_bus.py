"""What only Service Bus has: locks, deliveries that are counted, a dead-letter subqueue, a connection."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

import pytest
from message_sources import Running, ServiceBusSource, count_with_faults
from polling import wait_for
from pydantic import SecretStr
from service_bus_double import ServiceBusDouble
from structlog.testing import capture_logs
from world import World, gauges

from hannun.counting.batch_counter import BatchCounter, CountedBatch
from hannun.domain.batch import ReceivedMessage
from hannun.domain.facts import Kind
from hannun.domain.quarantine import QuarantineLimits
from hannun.errors import OperatorError, SettingMissing, StoreUnavailable
from hannun.flows import service_bus_ingestion
from hannun.flows.service_bus_ingestion import ServiceBusWorker
from hannun.processes.service_bus_source import ServiceBusSource as SourceOfIngest
from hannun.service_bus import receiver as receivers
from hannun.service_bus.namespace import Namespace, ServiceBusAddress
from hannun.service_bus.receiver import QueueReceiver
from hannun.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture service_bus

QUEUE = str(Kind.PARTICIPANT_REGISTERED)
RENEW = "com.microsoft:renew-lock"


class CounterWithoutPostgres:
    """A counter whose PostgreSQL is away until `back` is set."""

    def __init__(self, counter: BatchCounter) -> None:
        self._counter = counter
        self.back = threading.Event()
        self.tries = 0

    def count(self, batch: Sequence[ReceivedMessage]) -> CountedBatch:
        self.tries += 1
        if not self.back.is_set():
            raise StoreUnavailable("it refuses connections")
        return self._counter.count(batch)


@contextmanager
def running(source: ServiceBusSource, counter: object, limits: QuarantineLimits | None = None) -> Iterator[Running]:
    """A worker of one queue, until the block ends."""
    receiver = QueueReceiver(source.namespace, QUEUE, QUEUE)
    worker = Running(ServiceBusWorker(receiver, cast(BatchCounter, counter), limits or QuarantineLimits()))
    try:
        yield worker
    finally:
        worker.stop()


def test_an_unusable_message_is_in_the_table_and_in_the_dead_letter_subqueue_with_the_reason(
    world: World, service_bus: ServiceBusSource
) -> None:
    unusable = world.registered("p1")._replace(raw=b'{"eventId": "one"}')
    service_bus.send([unusable, world.registered("p2")])
    count_with_faults(world, service_bus)
    (row,) = world.dead_letters()
    (dead,) = service_bus.double.dead_letters(QUEUE)
    assert (row.reason, row.topic, row.record_offset) == ("missing-field", None, None)
    assert (dead.body, dead.reason, dead.description) == (unusable.raw, row.reason, row.detail)
    assert world.event_row().participants == 1


def test_while_postgresql_is_away_locks_are_renewed_and_no_delivery_is_used_up(
    world: World, service_bus: ServiceBusSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "_half_time", lambda _: datetime.min.replace(tzinfo=UTC))  # each lock is due
    service_bus.double.lock_s = 600.0
    counter = CounterWithoutPostgres(world.counter)
    with running(service_bus, counter):
        service_bus.send([world.registered("p1"), world.registered("p2")])
        wait_for("renewals and tries", lambda: service_bus.double.requests[RENEW] >= 6 and counter.tries >= 3)
        assert [message.delivery_count for message in service_bus.double.messages(QUEUE)] == [0, 0]
        counter.back.set()
        wait_for("all to be settled", lambda: not service_bus.double.messages(QUEUE))
    assert world.event_row().participants == 2


def test_a_renewed_lock_lasts_longer_and_a_lost_one_stays_lost(service_bus: ServiceBusSource) -> None:
    receiver = QueueReceiver(service_bus.namespace, QUEUE, QUEUE)
    service_bus.double.send(QUEUE, b"one")
    (message,) = receiver.receive(10, 5.0)
    receiver.renew_locks([message])
    assert service_bus.double.requests[RENEW] == 0, "less than half of the lock is over"
    service_bus.double.lock_s = 600.0
    message.renew_at = datetime.now(UTC)
    receiver.renew_locks([message])
    assert message.renew_at > datetime.now(UTC) + (message.handle.locked_until_utc - datetime.now(UTC)) / 3
    service_bus.double.expire_locks()
    message.renew_at = datetime.now(UTC)
    receiver.renew_locks([message])
    receiver.complete([message])
    assert [message.delivery_count for message in service_bus.double.messages(QUEUE)] == [1]
    receiver.close()


def test_a_worker_that_stops_while_postgresql_is_away_gives_its_messages_back(
    world: World, service_bus: ServiceBusSource
) -> None:
    service_bus.double.lock_s = 600.0
    counter = CounterWithoutPostgres(world.counter)
    with running(service_bus, counter):
        service_bus.send([world.registered("p1")])
        wait_for("the first try", lambda: counter.tries)
    wait_for("the message to wait", lambda: service_bus.double.waiting(QUEUE))
    assert [message.delivery_count for message in service_bus.double.messages(QUEUE)] == [1]


def test_a_message_that_is_delivered_too_often_is_in_the_dead_letter_subqueue_and_holds_nobody_up(
    world: World, service_bus: ServiceBusSource
) -> None:
    service_bus.double.deliveries_max = 3
    receiver = QueueReceiver(service_bus.namespace, QUEUE, QUEUE)
    service_bus.send([world.registered("killer")])

    def deliver_and_die() -> bool:
        receiver.receive(10, 1.0)
        service_bus.has_died()
        receiver.close()
        return bool(service_bus.double.dead_letters(QUEUE))

    wait_for("the dead-letter subqueue", deliver_and_die)
    service_bus.send([world.registered("p2")])
    count_with_faults(world, service_bus)
    (dead,) = service_bus.double.dead_letters(QUEUE)
    assert dead.reason == "MaxDeliveryCountExceeded"
    assert (world.event_row().participants, world.dead_letters()) == (1, [])


def test_a_queue_of_unusable_messages_is_read_no_further(world: World, service_bus: ServiceBusSource) -> None:
    service_bus.double.send(QUEUE, *(b"not JSON %d" % number for number in range(40)))
    with capture_logs() as logs, running(service_bus, world.counter, QuarantineLimits(in_a_row_max=10)):
        wait_for("the stop", lambda: [entry for entry in logs if entry["event"] == "queue stopped"])
    kept = len(world.dead_letters())
    assert 10 < kept < 40
    assert (len(service_bus.double.dead_letters(QUEUE)), len(service_bus.double.messages(QUEUE))) == (kept, 40 - kept)


def test_a_worker_connects_again_when_service_bus_is_back(world: World, service_bus: ServiceBusSource) -> None:
    with capture_logs() as logs, running(service_bus, world.counter):
        service_bus.proxy.refuse()
        wait_for("an error", lambda: [entry for entry in logs if entry["event"] == "Service Bus is unavailable"])
        service_bus.send([world.registered("p1")])
        service_bus.proxy.allow()
        wait_for("the message to be settled", lambda: not service_bus.double.messages(QUEUE))
        wait_for("the log", lambda: logs[-1]["event"] == "Service Bus is available again")
    assert [entry["event"] for entry in logs if "unavailable" in entry["event"]] == ["Service Bus is unavailable"]
    assert world.event_row().participants == 1


def test_a_silent_connection_is_replaced(
    world: World, service_bus: ServiceBusSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_bus_ingestion, "MEASURE_EVERY_S", 0.0)
    monkeypatch.setattr(receivers, "CALL_S_MAX", 2.0)
    with running(service_bus, world.counter):
        service_bus.send([world.registered("p1")])
        wait_for("the first message to be settled", lambda: not service_bus.double.messages(QUEUE))
        service_bus.proxy.forget_connections()
        service_bus.send([world.registered("p2")])
        wait_for("the second message to be settled", lambda: not service_bus.double.messages(QUEUE), 60.0)
    assert world.event_row().participants == 2


def test_the_gauge_of_the_oldest_message_tells_when_it_came(
    world: World, service_bus: ServiceBusSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_bus_ingestion, "MEASURE_EVERY_S", 0.0)
    service_bus.double.lock_s = 600.0
    service_bus.double.send(QUEUE, b"", enqueued_ms=1_795_402_800_000)
    other = QueueReceiver(service_bus.namespace, QUEUE, QUEUE)
    held = other.receive(1, 5.0)
    name, series = "hannun_oldest_waiting_timestamp_seconds", f'{{topic="{QUEUE}"}}'
    with running(service_bus, world.counter):
        wait_for("the gauge", lambda: gauges(name).get(series) == 1_795_402_800)
        other.complete(held)
        wait_for("no series", lambda: series not in gauges(name))
    other.close()


def unknown_queue(double: ServiceBusDouble, _: pytest.MonkeyPatch) -> None:
    settings = of_double(double).model_copy(update={"topic_sales_recorded": "no-such-queue"})
    SourceOfIngest(settings)


def refused_token(double: ServiceBusDouble, _: pytest.MonkeyPatch) -> None:
    double.refuses_tokens = True
    SourceOfIngest(of_double(double))


def no_client(double: ServiceBusDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.servicebus.exceptions", None)
    SourceOfIngest(of_double(double))


def no_identity_library(_: ServiceBusDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    Namespace(ServiceBusAddress(host="name.servicebus.windows.net"))


def no_connection_string(double: ServiceBusDouble, _: pytest.MonkeyPatch) -> None:
    Namespace(ServiceBusAddress("sb://name.servicebus.windows.net"))


def both_addresses(double: ServiceBusDouble, _: pytest.MonkeyPatch) -> None:
    SourceOfIngest(of_double(double).model_copy(update={"service_bus_namespace": "name.servicebus.windows.net"}))


def no_address(double: ServiceBusDouble, _: pytest.MonkeyPatch) -> None:
    SourceOfIngest(Settings())


def of_double(double: ServiceBusDouble) -> Settings:
    return Settings(service_bus_connection_string=SecretStr(double.connection_string()))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("mistake", "found", "hint"),
    [
        (unknown_queue, "no queue or subscription no-such-queue", "HANNUN_TOPIC_"),
        (refused_token, "does not let this process receive", "Listen"),
        (no_client, "needs Azure's client", "hannun[servicebus]"),
        (no_identity_library, "needs Azure's client", "hannun[servicebus]"),
        (no_connection_string, "HANNUN_SERVICE_BUS_CONNECTION_STRING cannot be used", "SharedAccessKeyName="),
        (both_addresses, "are both set", "unset one"),
        (no_address, "neither HANNUN_SERVICE_BUS_CONNECTION_STRING nor", "HANNUN_SERVICE_BUS_NAMESPACE="),
    ],
)
def test_what_an_operator_must_correct_is_said_with_a_hint(
    mistake: Callable[[ServiceBusDouble, pytest.MonkeyPatch], None],
    found: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("CONNECTION_STRING", "CONNECTION_STRING_FILE", "NAMESPACE"):
        monkeypatch.delenv(f"HANNUN_SERVICE_BUS_{variable}", raising=False)
    with ServiceBusDouble(*Kind) as double, pytest.raises((OperatorError, SettingMissing)) as raised:
        mistake(double, monkeypatch)
    assert found in raised.value.args[0]
    assert hint in raised.value.hint


def test_topics_with_a_subscription_are_read_as_queues_are() -> None:
    path = f"{QUEUE}/Subscriptions/hannun"
    with ServiceBusDouble(path) as double:
        namespace = Namespace(ServiceBusAddress(double.connection_string, subscription="hannun"))
        receiver = QueueReceiver(namespace, QUEUE, QUEUE)
        double.send(path, b"one", b"two")
        received = receiver.receive(10, 5.0)
        assert [message.received.raw for message in received] == [b"one", b"two"]
        receiver.complete(received)
        wait_for("both to be settled", lambda: not double.messages(path))
        receiver.close()
