"""The sources of the tests of the contract."""

import gc
from collections.abc import Iterator

import pytest
from faults import Proxy
from message_sources import Chunks, KafkaSource, MessageSource, ServiceBusSource
from service_bus_double import ServiceBusDouble
from world import World

from hannun.domain.facts import Kind
from hannun.flows import service_bus_ingestion


@pytest.fixture
def service_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceBusSource]:
    """Queues in the double, whose worker waits little after a failure."""
    monkeypatch.setattr(service_bus_ingestion, "BACK_OFF_S", 0.01)
    monkeypatch.setattr(service_bus_ingestion, "RECEIVE_S", 0.05)
    with ServiceBusDouble(*Kind, lock_s=1.0, deliveries_max=1_000) as double, Proxy(double.port, Chunks) as proxy:
        yield ServiceBusSource(double, proxy)
    # Within one call the client connects again by itself, and leaves the socket that was cut to the garbage collector,
    # which would else warn in a later test.
    gc.collect()


@pytest.fixture(
    params=[
        pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.xdist_group("kafka")]),
        "servicebus",
    ]
)
def source(request: pytest.FixtureRequest, world: World) -> MessageSource:
    """Each source in turn."""
    if request.param == "kafka":
        return KafkaSource(world, request.getfixturevalue("kafka"))
    found: MessageSource = request.getfixturevalue("service_bus")
    return found
