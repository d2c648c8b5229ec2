"""What a batch changes: the first member of a set counts, the newest value of a register wins."""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.channels import Channel, ChannelType
from hannun.domain.decoded_batch import DecodedBatch
from hannun.domain.facts import (
    Delivery,
    DeliveryState,
    DistributionCompleted,
    EventCreated,
    EventStatus,
    EventStatusChanged,
    ParticipantRegistered,
    Reason,
    Rejected,
    SalesRecorded,
)
from hannun.domain.fold import Registers, group_by_event, settle

NAVER = Channel("naverblog", "NaverBlog", ChannelType.SNS)
RADIO = Channel("radio", "Radio", None)
quick = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def created(
    at: int, title: str = "title", owner: str = "owner", status: str | None = None, invested: int | None = None
) -> Any:
    money = None if invested is None else Decimal(invested)
    said = None if status is None else EventStatus(status)
    return EventCreated("e", at, title, owner, money, money, money, None, said, None, None)


def changed(at: int, status: str) -> EventStatusChanged:
    return EventStatusChanged("e", at, EventStatus(status))


def delivery(state: str, cost: int | None = 0, channel: Channel = NAVER, views: int | None = None) -> Delivery:
    return Delivery(channel, ChannelType.SNS, DeliveryState(state), None if cost is None else Decimal(cost), views)


def distributed(at: int, state: str, cost: int | None = 0, channel: Channel = NAVER, views: int | None = None) -> Any:
    return DistributionCompleted("e", at, (delivery(state, cost, channel, views),))


def settled(*facts: Any, before: Registers | None = None) -> Any:
    return settle(before or Registers(), list(enumerate(facts)))


def naver(*facts: Any) -> Any:
    return settled(*facts).registers.distributions["naverblog"]


# -- plans and statuses ------------------------------------------------------------------------------------------


def test_a_newer_plan_replaces_the_plan_and_an_older_or_equal_one_is_a_repeat() -> None:
    found = settled(created(2, "second"), created(1, "first"), created(2, "again"), created(3, "third"))
    assert found.registers.plan.title == "third"
    assert found.changed == {0, 3}
    assert found.rejected == []


def test_an_event_never_changes_its_owner() -> None:
    found = settled(created(1, owner="a"), created(2, "stolen", owner="b"), created(3, "mine", owner="a"))
    assert found.registers.plan.user_id == "a"
    assert found.registers.plan.title == "mine"
    ((index, rejected),) = found.rejected
    assert (index, rejected.reason, rejected.event_id) == (1, Reason.OWNER_CHANGED, "e")
    assert rejected.fields == {"eventId": "e", "userId": "b"}


def test_an_older_message_does_not_change_the_owner_either() -> None:
    found = settled(created(5, owner="a"), created(1, owner="b"))
    assert [index for index, _ in found.rejected] == [1]
    assert found.changed == {0}


def test_the_newer_of_creation_and_status_change_sets_the_status() -> None:
    active_1, active_2 = created(1, status="ACTIVE"), created(2, status="ACTIVE")
    assert settled(active_1, changed(2, "ENDED")).registers.status == "ENDED"
    assert settled(changed(2, "ENDED"), active_1).registers.status == "ENDED"
    assert settled(changed(1, "ENDED"), active_2).registers.status == "ACTIVE"
    assert settled(active_2, changed(1, "ENDED")).registers.status == "ACTIVE"
    assert settled(created(2, status="ARCHIVED"), changed(2, "ENDED")).registers.status == "ARCHIVED"
    assert settled(changed(2, "ENDED"), active_2).registers.status == "ENDED"


@pytest.mark.parametrize("first_said", [changed(1, "ENDED"), created(1, status="ENDED")])
def test_a_creation_that_says_no_status_changes_none(first_said: Any) -> None:
    for facts in itertools.permutations([first_said, created(2), created(3, "newest")]):
        found = settled(*facts).registers
        assert (found.plan.title, found.status, found.status_at) == ("newest", "ENDED", 1)


def test_an_event_of_which_no_status_was_said_is_active() -> None:
    found = settled(created(1)).registers
    assert (found.status, found.status_at) == ("ACTIVE", None)


def test_an_older_creation_that_says_a_status_changes_it_after_a_newer_one_that_says_none() -> None:
    found = settled(created(2, "newer"), created(1, "older", status="ENDED"), created(2, status="ARCHIVED"))
    assert (found.registers.plan.title, found.registers.status) == ("newer", "ARCHIVED")
    assert found.changed == {0, 1, 2}


def test_a_figure_that_the_newest_plan_does_not_say_is_not_set() -> None:
    for facts in itertools.permutations([created(1, invested=100), created(2)]):
        plan = settled(*facts).registers.plan
        assert (plan.total_investment, plan.expected_revenue, plan.target_roi) == (None, None, None)
    assert settled(created(1), created(2, invested=0)).registers.plan.total_investment == 0


def test_a_creation_older_than_the_status_still_sets_a_missing_plan() -> None:
    found = settled(changed(9, "ENDED"), created(1, "late"))
    assert (found.registers.plan.title, found.registers.status, found.registers.status_at) == ("late", "ENDED", 9)
    assert found.changed == {0, 1}


def test_a_status_may_arrive_before_its_event() -> None:
    assert settled(changed(1, "ENDED")).registers == Registers(None, EventStatus.ENDED, 1)


# -- distributions -----------------------------------------------------------------------------------------------


def test_a_later_failure_changes_the_state_and_keeps_the_cost() -> None:
    now = naver(distributed(1, "SUCCESS", 100, views=7), distributed(2, "FAILED", 999, views=8))
    assert (now.state, now.cost, now.succeeded_at, now.completed_at, now.expected_views) == ("FAILED", 100, 1, 2, 8)


def test_a_channel_that_only_failed_costs_nothing() -> None:
    now = naver(distributed(1, "FAILED", 100), distributed(2, "FAILED", 200))
    assert (now.state, now.cost, now.succeeded_at) == ("FAILED", 0, None)


def test_a_cost_that_the_newest_success_does_not_say_is_unknown() -> None:
    for facts in itertools.permutations([distributed(1, "SUCCESS", 100), distributed(2, "SUCCESS", None)]):
        assert naver(*facts).cost is None
    assert naver(distributed(1, "SUCCESS", None), distributed(2, "SUCCESS", 0)).cost == 0


def test_an_older_success_that_arrives_after_a_newer_failure_still_sets_the_cost() -> None:
    now = naver(distributed(2, "FAILED", views=5), distributed(1, "SUCCESS", 100, views=9))
    assert (now.state, now.completed_at, now.expected_views) == ("FAILED", 2, 5)
    assert (now.cost, now.succeeded_at) == (100, 1)


def test_the_newest_success_sets_the_cost() -> None:
    one, two, late = distributed(1, "SUCCESS", 100), distributed(3, "SUCCESS", 50), distributed(2, "SUCCESS", 70)
    assert naver(one, two, late).cost == 50
    assert naver(two, one, late).cost == 50
    assert settled(two, one, late).changed == {0}


def test_a_second_distribution_of_the_same_time_is_a_repeat() -> None:
    found = settled(distributed(1, "SUCCESS", 100), distributed(1, "SUCCESS", 200), distributed(1, "FAILED"))
    assert found.changed == {0}
    assert found.registers.distributions["naverblog"].cost == 100


def test_a_message_with_one_new_channel_changes_the_distributions() -> None:
    both = DistributionCompleted("e", 1, (delivery("SUCCESS", 1), delivery("SUCCESS", 2, RADIO)))
    found = settled(distributed(1, "SUCCESS", 1), both)
    assert found.changed == {0, 1}
    assert found.registers.distributions["radio"].cost == 2


def test_settling_facts_one_by_one_gives_the_same_registers_as_settling_them_together() -> None:
    facts = [created(3), distributed(2, "SUCCESS", 5), changed(4, "ENDED"), distributed(5, "FAILED"), created(6, "new")]
    together = settled(*facts).registers
    one_by_one = Registers()
    for fact in facts:
        one_by_one = settled(fact, before=one_by_one).registers
    assert one_by_one == together
    assert settled(*facts, before=together).changed == set()


_statuses, _states = st.sampled_from(["ACTIVE", "ENDED", "ARCHIVED"]), st.sampled_from(["SUCCESS", "FAILED"])


def _fact(at: int) -> st.SearchStrategy[Any]:
    numbers = st.none() | st.integers(0, 9)
    return st.one_of(
        st.builds(created, st.just(at), st.text("ab", min_size=1), status=st.none() | _statuses, invested=numbers),
        st.builds(changed, st.just(at), _statuses),
        st.builds(distributed, st.just(at), _states, numbers, st.sampled_from([NAVER, RADIO]), numbers),
        st.builds(
            lambda one, other: DistributionCompleted("e", at, (one, other)),
            st.builds(delivery, _states, numbers, st.just(NAVER), numbers),
            st.builds(delivery, _states, numbers, st.just(RADIO), numbers),
        ),
    )


@st.composite
def _facts_at_distinct_times(draw: st.DrawFn) -> list[Any]:
    times = draw(st.lists(st.integers(0, 50), unique=True, max_size=12))
    return [draw(_fact(at)) for at in times]


@quick
@given(_facts_at_distinct_times(), st.randoms(use_true_random=False), st.integers(0, 12))
def test_registers_do_not_depend_on_the_order_of_their_messages(facts: list[Any], chance: Any, cut: int) -> None:
    in_order = settled(*facts).registers
    shuffled = facts + [fact for fact in facts if chance.random() < 0.5]  # some arrive twice
    chance.shuffle(shuffled)
    assert settled(*shuffled).registers == in_order
    half_way = settled(*shuffled[:cut]).registers
    assert settled(*shuffled[cut:], before=half_way).registers == in_order


@quick
@given(_facts_at_distinct_times())
def test_settling_the_same_facts_again_changes_nothing(facts: list[Any]) -> None:
    found = settled(*facts)
    assert settled(*facts, before=found.registers).changed == set()


# -- sets --------------------------------------------------------------------------------------------------------


ADA, BEN = "a" * 32, "b" * 32


def registered(participant: str, minute: int, channel: Channel | None = None, event: str = "e") -> Any:
    return ParticipantRegistered(event, participant, minute, channel)


def sale(sale_id: str, amount: int, channel: Channel | None = None, event: str = "e") -> SalesRecorded:
    return SalesRecorded(event, sale_id, Decimal(amount), 0, channel)


def test_the_first_message_of_a_participant_or_a_sale_is_kept() -> None:
    facts = [registered(ADA, 1, NAVER), registered(ADA, 0, RADIO), registered(ADA, 5), sale("s", 1), sale("s", 2)]
    by_event = group_by_event(facts)
    assert list(by_event.registrations.facts()) == [registered(ADA, 1, NAVER)]
    assert by_event.others["e"].sales["s"].amount == 1


def test_the_same_participant_or_sale_of_another_event_is_a_different_one() -> None:
    facts = [registered(ADA, 1), registered(ADA, 2, event="f"), sale("s", 1), sale("s", 1, event="g")]
    by_event = group_by_event(facts)
    assert by_event.event_ids == ["e", "f", "g"]
    assert by_event.minutes == {1, 2}


_people = st.integers(0, 3).map("{:032x}".format) | st.integers(0, 2**128 - 1).map("{:032x}".format)
_registrations = st.builds(
    registered,
    st.sampled_from([f"{1 << 100:032x}", f"{(1 << 100) + 1:032x}", "f" * 32]) | _people,
    st.integers(0, 3),
    st.sampled_from([None, NAVER, RADIO]),
    st.sampled_from("efg"),
)


@quick
@given(st.lists(_registrations, max_size=30))
def test_registrations_in_columns_are_the_first_of_each_participant_by_event(facts: list[Any]) -> None:
    first: dict[tuple[str, str], Any] = {}
    for fact in facts:
        first.setdefault((fact.event_id, fact.participant), fact)
    events = list(dict.fromkeys(fact.event_id for fact in facts))
    by_event = group_by_event(facts)
    assert list(by_event.registrations.facts()) == sorted(
        first.values(), key=lambda fact: (events.index(fact.event_id), fact.participant)
    )
    assert [facts[index] for index in by_event.registrations.index] == list(by_event.registrations.facts())


@quick
@given(st.lists(_registrations | _fact(1), max_size=10), st.data())
def test_a_decoded_batch_is_the_sequence_of_its_facts(facts: list[Any], data: st.DataObject) -> None:
    batch = DecodedBatch.of(facts)
    assert (len(batch), list(batch), batch == facts) == (len(facts), facts, True)
    cut = data.draw(st.slices(len(facts)))
    assert batch[cut] == facts[cut]
    assert [batch[index] for index in range(len(facts))] == facts


def test_facts_of_registers_keep_their_order_and_their_index_in_the_batch() -> None:
    bad = Rejected("event-created", Reason.NOT_JSON, "")
    by_event = group_by_event([bad, created(2), registered(ADA, 1), changed(1, "ENDED"), bad, distributed(1, "FAILED")])
    assert [index for index, _ in by_event.others["e"].registers] == [1, 3, 5]
    assert by_event.rejected == [(0, bad), (4, bad)]


def test_each_channel_is_grouped_once_under_the_name_of_its_first_message() -> None:
    other_name = Channel("radio", "RADIO", None)
    radio = [sale("s", 1, RADIO), registered(ADA, 1, other_name), registered(ADA, 1, RADIO)]
    for facts in itertools.permutations([*radio, distributed(1, "FAILED"), registered(BEN, 1, NAVER)]):
        name = next(fact.channel.name for fact in facts if fact in radio)
        assert group_by_event(facts).channels == {"radio": Channel("radio", name, None), "naverblog": NAVER}


def test_an_empty_batch_groups_to_nothing() -> None:
    by_event = group_by_event([])
    assert (by_event.event_ids, by_event.minutes, by_event.channels) == ([], set(), {})


@quick
@given(
    st.lists(
        st.lists(_registrations | st.builds(sale, st.sampled_from("st"), st.integers(1, 9)), max_size=8), min_size=1
    )
)
def test_batches_one_after_the_other_state_what_their_messages_state_in_one(parts: list[list[Any]]) -> None:
    together = DecodedBatch.concatenated([DecodedBatch.of(part) for part in parts])
    whole = DecodedBatch.of([fact for part in parts for fact in part])
    assert list(together) == list(whole)
    one, other = group_by_event(together), group_by_event(whole)
    assert list(one.registrations.facts()) == list(other.registrations.facts())
    assert one.registrations.index.tolist() == other.registrations.index.tolist()
    assert (one.others, one.channels) == (other.others, other.channels)
