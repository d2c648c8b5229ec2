"""The process `ingest` over a double of Service Bus: its settings, its checks at the start, its end."""

import json
from collections.abc import Callable, Iterator, Sequence

import pytest
from faults import Crash, PostgresRequests, Proxy, Request
from outside import Event, Message, Process, Service, wait_for, with_port
from service_bus_double import ServiceBusDouble

from hannun.embedded import PostgresServer

KINDS = (
    "event-created",
    "participant-registered",
    "distribution-completed",
    "event-status-changed",
    "sales-recorded",
)


@pytest.fixture
def double() -> Iterator[ServiceBusDouble]:
    with ServiceBusDouble(*KINDS) as double:
        yield double


def start_ingest(service: Service, double: ServiceBusDouble, **environment: str) -> Process:
    return service.start_ingest(
        HANNUN_INGEST_SOURCE="servicebus",
        HANNUN_SERVICE_BUS_CONNECTION_STRING=double.connection_string(),
        **environment,
    )


def send(double: ServiceBusDouble, messages: Sequence[Message]) -> None:
    for message in messages:
        double.send(str(message["type"]), json.dumps(message).encode())


def assert_counted_once(service: Service, double: ServiceBusDouble, event: Event) -> None:
    wait_for("all to be settled", lambda: not any(double.messages(kind) for kind in KINDS))
    assert service.figures(event.id) == event.expected_figures
    dead = sum(len(double.dead_letters(kind)) for kind in KINDS)
    assert service.dead_letter_count(event.id) == event.expected_dead_letters == dead
    service.assert_no_drift()


def test_ingest_counts_queues_and_ends_well(service: Service, double: ServiceBusDouble) -> None:
    ingest = start_ingest(service, double)
    event = Event()
    event.expect(event.first_batch())
    send(double, event.expected_messages)
    assert_counted_once(service, double, event)
    assert ingest.terminate() == 0


def test_an_ingest_that_is_killed_between_commit_and_settlement_counts_nothing_twice(
    service: Service, double: ServiceBusDouble, postgres: PostgresServer
) -> None:
    event = Event()
    event.expect(event.first_batch())
    with Proxy(postgres.port, PostgresRequests) as proxy:
        ingest = start_ingest(service, double, DATABASE_URL=with_port(service.environment["DATABASE_URL"], proxy.port))
        crash = Crash("kill after", 1, is_commit_of_a_batch())
        with proxy.inject(crash, ingest.pid):
            send(double, event.expected_messages)
            wait_for("the crash", crash.happened.is_set)
        ingest.wait()
    assert any(double.messages(kind) for kind in KINDS)
    wait_for("the dead receivers to be forgotten", lambda: not double.receiver_count)
    double.expire_locks()
    start_ingest(service, double)
    assert_counted_once(service, double, event)


def is_commit_of_a_batch() -> Callable[[Request], bool]:
    """Matches the first COMMIT after an outbox entry was written, on the same connection or another."""
    seen = []

    def matches(request: Request) -> bool:
        if "owed_invalidations (" in request.text:
            seen.append(request)
        return bool(seen) and request.application == "hannun-ingest" and request.text == "COMMIT"

    return matches
