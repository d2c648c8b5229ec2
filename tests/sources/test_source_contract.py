"""The contract of `counting/sources.py`: the same tests over the real Kafka, and over Service Bus by AMQP 1.0."""

from typing import Any

import pytest
from comparing import assert_equals_oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from message_sources import Fault, MessageSource, count_with_faults
from oracle import Oracle
from world import World

from hannun.domain.batch import ReceivedMessage
from hannun.domain.facts import Kind

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture service_bus

REASONABLE: Any = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


def messages_of_each_kind(world: World, event: str, people: int) -> list[ReceivedMessage]:
    return [
        world.created(event),
        world.distributed(event, channelName="Instagram"),
        *(world.registered(f"p{number}", event, channel="Instagram") for number in range(people)),
        world.sold("12.50", f"{event}-s", event),
        world.status_changed("ENDED", "2026-11-20T00:00:00Z", event),
    ]


def assert_counted_once(world: World, messages: list[ReceivedMessage]) -> None:
    """The figures are those of the oracle, which hears each message once."""
    oracle = Oracle()
    for message in messages:
        oracle.add_message(message.kind, message.raw, message.received_at)
    world.roll_up()
    assert_equals_oracle(world, oracle)
    assert world.drift() == []


def test_what_was_sent_is_counted_once_and_acknowledged(world: World, source: MessageSource) -> None:
    sent = messages_of_each_kind(world, "one", 12)
    source.send(sent + sent[2:6])  # some twice
    count_with_faults(world, source)
    assert_counted_once(world, sent)
    assert source.is_acknowledged()


def test_whatever_happens_to_a_batch_it_is_counted_once(world: World, source: MessageSource) -> None:
    """Each fault at one batch, one after the other."""
    sent: list[ReceivedMessage] = []
    for fault in source.faults:
        batch = messages_of_each_kind(world, fault.name, 3)
        source.send(batch)
        sent += batch
        count_with_faults(world, source, [fault])
        assert_counted_once(world, sent)


def test_an_unusable_message_is_a_dead_letter_once_and_holds_nobody_up(world: World, source: MessageSource) -> None:
    sent = messages_of_each_kind(world, "one", 3)
    unusable = sent[2]._replace(raw=b"not JSON")
    source.send([unusable, *sent])
    count_with_faults(world, source, [Fault.CRASH_AFTER_COMMIT, Fault.ANSWER_LOST])
    assert_counted_once(world, sent)
    (dead,) = world.dead_letters()
    assert (dead.kind, dead.reason) == (Kind.PARTICIPANT_REGISTERED, "not-json")


def histories(faults: int) -> st.SearchStrategy[tuple[list[tuple[str, int, int]], list[int]]]:
    """(kind, event, which of its things), in the order in which they are sent; and the faults of the first batches."""
    thing = st.tuples(st.sampled_from([*Kind, Kind.PARTICIPANT_REGISTERED]), st.integers(0, 2), st.integers(0, 6))
    return st.tuples(st.lists(thing, min_size=1, max_size=30), st.lists(st.integers(0, 5), max_size=faults))


def message_of(world: World, history: int, kind: str, event: int, number: int) -> ReceivedMessage:
    """The message of a thing: a repeat says the same, and what is newer of two is said by their instants."""
    name, at = f"{history}-{event}", f"2026-11-{number + 1:02}T09:00:00Z"
    return {
        Kind.EVENT_CREATED: lambda: world.created(name, at=at, totalInvestment=number),
        Kind.PARTICIPANT_REGISTERED: lambda: world.registered(f"p{number}", name, at=at, channel="Instagram"),
        Kind.DISTRIBUTION_COMPLETED: lambda: world.distributed(
            name, at=at, channelName="NAVER", distributionCost=number
        ),
        Kind.EVENT_STATUS_CHANGED: lambda: world.status_changed(["ACTIVE", "ENDED"][number % 2], at, name),
        Kind.SALES_RECORDED: lambda: world.sold(number, f"{name}-{number}", name),
    }[Kind(kind)]()


def check_history(world: World, source: MessageSource, things: list[tuple[str, int, int]], faults: list[int]) -> None:
    history = world.next_number()
    sent = [message_of(world, history, *thing) for thing in things]
    source.send(sent)
    count_with_faults(world, source, [source.faults[fault % len(source.faults)] for fault in faults])
    assert_counted_once(world, sent)


@settings(max_examples=4, **REASONABLE)
@given(histories(faults=4))
def test_any_history_with_any_faults_gives_the_figures_of_the_specification(
    world: World, source: MessageSource, history: tuple[list[tuple[str, int, int]], list[int]]
) -> None:
    check_history(world, source, *history)


@pytest.mark.faults
@pytest.mark.timeout(900)
@settings(max_examples=60, **REASONABLE)
@given(histories(faults=8))
def test_any_long_history_with_any_faults_gives_the_figures_of_the_specification(
    world: World, source: MessageSource, history: tuple[list[tuple[str, int, int]], list[int]]
) -> None:
    check_history(world, source, *history)
