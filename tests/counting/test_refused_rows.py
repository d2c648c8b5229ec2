"""A message that every rule of ours lets through and PostgreSQL refuses: it is found, and harms nobody else."""

import pytest
from world import SPRING, World

from hannun.domain.batch import OffsetRange, ReceivedMessage
from hannun.domain.quarantine import Quarantine, QuarantineLimits
from hannun.errors import PartitionUnusable


@pytest.fixture
def strict(world: World) -> World:
    """A database with a rule that no decoder knows of."""
    world.rows("ALTER TABLE hannun.sales ADD CONSTRAINT no_such_amount CHECK (amount <> 666)")
    return world


@pytest.mark.parametrize("at", [0, 1, 5, 10])
def test_one_message_that_postgresql_refuses_is_set_aside_and_the_others_land(strict: World, at: int) -> None:
    messages = [strict.created(), *(strict.registered(f"p{i}") for i in range(5)), *(strict.sold(10) for _ in range(4))]
    messages.insert(at, strict.sold(666))
    outcomes = strict.count(*messages)
    assert [outcome.result for outcome in outcomes].count("dead-letter") == 1
    assert outcomes[at].reason == "refused-by-the-database"
    assert strict.event_stats().total_participants == 5
    assert strict.event_row().recorded_revenue == 40
    dead_letter = strict.dead_letters()[0]
    assert (dead_letter.reason, dead_letter.event_id, dead_letter.detail) == (
        "refused-by-the-database",
        SPRING,
        "CheckViolation of no_such_amount",
    )
    assert strict.drift() == []


def test_a_body_with_a_refused_message_sent_again_is_a_repeat(strict: World) -> None:
    messages = [strict.created(), strict.registered("p1"), strict.sold(666, "s1"), strict.registered("p1")]
    strict.count(*messages)
    again = strict.count(*messages)
    assert [outcome.result for outcome in again] == ["repeated", "repeated", "dead-letter", "repeated"]
    assert len(strict.dead_letters()) == 1
    assert strict.drift() == []


def test_the_position_moves_over_a_refused_message_once(strict: World) -> None:
    strict.rows(
        "INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, epoch) VALUES ('t', 0, 'id', 0, 1)"
    )
    messages = [strict.at_offset(strict.sold(amount), offset, "t") for offset, amount in enumerate([1, 666, 3])]
    strict.count_range(messages, OffsetRange("t", 0, 0, 3, 1))
    assert strict.rows("SELECT next_offset FROM hannun.positions")[0].next_offset == 3
    assert strict.event_row().recorded_revenue == 4
    assert strict.dead_letters()[0].record_offset == 1
    assert strict.drift() == []


def test_what_is_kept_of_a_refused_message_are_its_known_fields(strict: World) -> None:
    strict.count(strict.created(), strict.sold(666, "s1", name="Hong Gildong"))
    dead_letter = strict.dead_letters()[0]
    assert dead_letter.fields["saleId"] == "s1"
    assert "Hong" not in str(dead_letter.columns)


def quarantine(in_a_row_max: int) -> Quarantine:
    """A quarantine that a batch exceeds with more dead letters in a row."""
    return Quarantine(QuarantineLimits(in_a_row_max=in_a_row_max))


def placed(world: World, *messages: ReceivedMessage) -> list[ReceivedMessage]:
    """The messages as they stand in one partition."""
    return [world.at_offset(message, offset) for offset, message in enumerate(messages)]


def test_a_quarantine_sees_what_only_postgresql_refuses_before_anything_of_the_batch_is_kept(strict: World) -> None:
    refused = placed(strict, strict.created(), strict.registered(), strict.sold(666), strict.sold(666))
    with pytest.raises(PartitionUnusable, match="2 messages in a row cannot be used; .* refused-by-the-database"):
        strict.counter.count(refused, quarantine=quarantine(in_a_row_max=1))
    assert strict.dead_letters() == []
    assert strict.rows("SELECT FROM hannun.participants") == []
    accepted = placed(strict, strict.created(), strict.registered(), strict.sold(666), strict.sold(1))
    counted = strict.counter.count(accepted, quarantine=quarantine(in_a_row_max=1))
    assert counted.quarantine is not None
    assert [tally.rejected for tally in counted.quarantine.tallies.values()] == [1]
    assert len(strict.dead_letters()) == 1
    assert strict.event_stats().total_participants == 1
    assert strict.drift() == []


def test_a_quarantine_sees_what_only_contradicts_the_stored_registers(world: World) -> None:
    """Another owner's plan, for example: the message itself breaks no rule."""
    world.count(world.created())
    batch = placed(world, world.registered(), world.created(owner="another"))
    with pytest.raises(PartitionUnusable):
        world.counter.count(batch, quarantine=quarantine(in_a_row_max=0))
    assert world.dead_letters() == []
    assert world.event_stats().total_participants == 0
