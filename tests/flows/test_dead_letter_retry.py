"""Dead letters are retried after their cause is corrected, or dropped by an operator."""

from collections.abc import Callable

import pytest
from world import NOW_US, World

from hannun.domain.audit_chain import operator
from hannun.domain.batch import RecordId
from hannun.errors import OperatorError
from hannun.flows.dead_letter_retry import RetryResult, choose, drop, retry
from hannun.store import dead_letters


def retry_all(
    world: World, read_record: Callable[[RecordId], bytes | None] = lambda record_id: None
) -> list[RetryResult]:
    with world.database.transaction() as conn:
        newest = dead_letters.newest(conn, None, None)
    return list(retry(newest, world.database, world.decoder, world.counter, read_record, operator("somebody@here")))


def refuse(world: World, amount: int) -> None:
    world.rows(f"ALTER TABLE hannun.sales ADD CONSTRAINT for_now CHECK (amount <> {amount})")


def allow(world: World) -> None:
    world.rows("ALTER TABLE hannun.sales DROP CONSTRAINT for_now")


def test_a_message_over_http_is_rebuilt_from_its_kept_fields(world: World) -> None:
    refuse(world, 666)
    world.count(world.created(), world.sold(666, "s1", channel="NAVER"))
    allow(world)
    assert [done.result for done in retry_all(world)] == ["counted"]
    assert world.event_row().recorded_revenue == 666
    resolved = world.dead_letters()[0]
    assert (resolved.resolution, resolved.resolved_by) == ("retried", "somebody@here")
    assert retry_all(world) == [], "it is resolved"
    assert world.drift() == []


def test_a_participant_is_retried_as_the_same_person(world: World) -> None:
    ahead = world.registered("a name that is no UUID", at="2026-11-25T00:00:00Z")
    world.count(world.created(), ahead)
    assert world.dead_letters()[0].reason == "too-early-or-too-far-ahead"
    # An operator corrects the time of receipt.
    world.rows("UPDATE hannun.dead_letters SET received_at = '2026-11-25 00:00'")
    assert [done.result for done in retry_all(world)] == ["counted"]
    again = world.registered("a name that is no UUID", at="2026-11-20T00:00:00Z", at_us=NOW_US)
    assert [outcome.result for outcome in world.count(again)] == ["repeated"]
    assert world.drift() == []


def test_a_message_from_kafka_is_read_again_from_the_log(world: World) -> None:
    refuse(world, 7)
    message = world.at_offset(world.sold(7), 41, "sales-recorded")
    world.count(world.created(), message)
    allow(world)
    read: list[RecordId] = []

    def read_record(record_id: RecordId) -> bytes | None:
        read.append(record_id)
        return message.raw

    assert [done.result for done in retry_all(world, read_record)] == ["counted"]
    assert read == [message.record_id]
    assert world.event_row().recorded_revenue == 7
    assert world.drift() == []


def test_a_message_that_is_still_unusable_stays_open_as_one_dead_letter(world: World) -> None:
    world.count(world.message("sales-recorded", saleId="s1"), world.at_offset(world.message("sales-recorded"), 5))
    done = retry_all(world)
    assert {each.result for each in done} == {"dead-letter"}
    assert sorted(each.why.split(":")[0] for each in done) == [
        "missing-field",
        "the message is no longer in the log, and not all of its fields were kept",
    ]
    assert [dead_letter.resolution for dead_letter in world.dead_letters()] == [None, None]


def test_a_message_with_a_field_left_out_is_not_rebuilt(world: World) -> None:
    """A refund with an invalid `refund` would become a sale."""
    world.count(world.created(), world.sold(100, "s1", refund="true"), world.registered("p1", channel="x" * 51))
    assert {done.result for done in retry_all(world)} == {"dead-letter"}
    assert world.event_row().sales == 0
    assert world.event_row().participants == 0


def test_a_message_over_http_that_is_refused_again_stays_one_dead_letter(world: World) -> None:
    """The rebuilt message has other bytes, and so another hash, but it is the same message."""
    refuse(world, 666)
    world.count(world.created(), world.sold(666, "s1", note="an unknown field"))
    changed_owner = world.created(owner="somebody-else", at="2026-11-03T09:00:00+09:00", note="the same")
    world.count(changed_owner)
    for _ in range(2):
        assert {done.result for done in retry_all(world)} == {"dead-letter"}
    assert [dead_letter.resolution for dead_letter in world.dead_letters()] == [None, None]
    allow(world)
    assert sorted(done.result for done in retry_all(world)) == ["counted", "dead-letter"]
    assert world.drift() == []


def test_dead_letters_are_chosen_by_number_or_reason_and_never_all_by_mistake(world: World) -> None:
    world.count(*(world.message("sales-recorded", saleId=f"s{i}") for i in range(3)), world.created(owner="x" * 40))
    first, second, third, fourth = (dead_letter.dead_letter_no for dead_letter in world.dead_letters())
    assert [dead_letter.no for dead_letter in choose(world.database, [third, first], None)] == [first, third]
    assert [dead_letter.no for dead_letter in choose(world.database, None, "missing-field")] == [first, second, third]
    with pytest.raises(OperatorError, match="nothing was chosen"):
        choose(world.database, [], None)
    with pytest.raises(OperatorError, match=f"there is no open dead letter {fourth + 7}"):
        choose(world.database, [first, fourth + 7], None)
    assert drop(world.database, [first, second], None, operator("somebody@here")) == 2
    assert [dead_letter.resolution for dead_letter in world.dead_letters()] == ["dropped", "dropped", None, None]
    with pytest.raises(OperatorError, match=f"there is no open dead letter {first}"):
        choose(world.database, [first], None)
