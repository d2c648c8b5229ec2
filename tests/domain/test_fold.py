"""What a batch changes: the first of a set counts, the newest of a register wins."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.channels import Channel, ChannelType
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


def created(at: int, title: str = "title", owner: str = "owner", status: str = "ACTIVE", invested: int = 0) -> Any:
    zero = Decimal("0.00")
    return EventCreated("e", at, title, owner, Decimal(invested), zero, zero, None, EventStatus(status), None, None)


def changed(at: int, status: str) -> EventStatusChanged:
    return EventStatusChanged("e", at, EventStatus(status))


def delivery(state: str, cost: int = 0, channel: Channel = NAVER, views: int | None = None) -> Delivery:
    return Delivery(channel, ChannelType.SNS, DeliveryState(state), Decimal(cost), views)


def distributed(at: int, state: str, cost: int = 0, channel: Channel = NAVER, views: int | None = None) -> Any:
    return DistributionCompleted("e", at, (delivery(state, cost, channel, views),))


def settled(*facts: Any, before: Registers | None = None) -> Any:
    return settle(before or Registers(), list(enumerate(facts)))


def naver(*facts: Any) -> Any:
    return settled(*facts).registers.distributions["naverblog"]


# -- plans and statuses ------------------------------------------------------------------------------------------


def test_a_newer_plan_replaces_an_older_one_and_an_older_or_equal_one_is_a_repeat() -> None:
    found = settled(created(2, "second"), created(1, "first"), created(2, "again"), created(3, "third"))
    assert found.registers.plan.title == "third"
    assert found.changed == {0, 3}
    assert found.rejected == []


def test_the_owner_never_changes() -> None:
    found = settled(created(1, owner="a"), created(2, "stolen", owner="b"), created(3, "mine", owner="a"))
    assert found.registers.plan.user_id == "a"
    assert found.registers.plan.title == "mine"
    ((index, letter),) = found.rejected
    assert (index, letter.reason, letter.event_id) == (1, Reason.OWNER_CHANGED, "e")
    assert letter.fields == {"eventId": "e", "userId": "b"}


def test_the_owner_never_changes_however_old_the_message_is() -> None:
    found = settled(created(5, owner="a"), created(1, owner="b"))
    assert [index for index, _ in found.rejected] == [1]
    assert found.changed == {0}


def test_a_status_belongs_to_the_newer_of_creation_and_change() -> None:
    assert settled(created(1), changed(2, "ENDED")).registers.status == "ENDED"
    assert settled(changed(2, "ENDED"), created(1)).registers.status == "ENDED"
    assert settled(changed(1, "ENDED"), created(2)).registers.status == "ACTIVE"
    assert settled(created(2), changed(1, "ENDED")).registers.status == "ACTIVE"
    assert settled(created(2, status="ARCHIVED"), changed(2, "ENDED")).registers.status == "ARCHIVED"
    assert settled(changed(2, "ENDED"), created(2)).registers.status == "ENDED"


def test_an_older_creation_still_brings_the_plan_that_was_missing() -> None:
    found = settled(changed(9, "ENDED"), created(1, "late"))
    assert (found.registers.plan.title, found.registers.status, found.registers.status_at) == ("late", "ENDED", 9)
    assert found.changed == {0, 1}


def test_a_status_may_come_before_its_event() -> None:
    assert settled(changed(1, "ENDED")).registers == Registers(None, EventStatus.ENDED, 1)


# -- distributions -----------------------------------------------------------------------------------------------


def test_a_later_failure_changes_the_state_and_not_the_money_spent() -> None:
    now = naver(distributed(1, "SUCCESS", 100, views=7), distributed(2, "FAILED", 999, views=8))
    assert (now.state, now.cost, now.succeeded_at, now.completed_at, now.expected_views) == ("FAILED", 100, 1, 2, 8)


def test_a_channel_that_only_failed_costs_nothing() -> None:
    now = naver(distributed(1, "FAILED", 100), distributed(2, "FAILED", 200))
    assert (now.state, now.cost, now.succeeded_at) == ("FAILED", 0, None)


def test_an_older_success_that_arrives_after_a_newer_failure_costs_all_the_same() -> None:
    now = naver(distributed(2, "FAILED", views=5), distributed(1, "SUCCESS", 100, views=9))
    assert (now.state, now.completed_at, now.expected_views) == ("FAILED", 2, 5)
    assert (now.cost, now.succeeded_at) == (100, 1)


def test_of_two_successes_the_newest_is_the_cost() -> None:
    one, two, late = distributed(1, "SUCCESS", 100), distributed(3, "SUCCESS", 50), distributed(2, "SUCCESS", 70)
    assert naver(one, two, late).cost == 50
    assert naver(two, one, late).cost == 50
    assert settled(two, one, late).changed == {0}


def test_the_same_distribution_again_is_a_repeat() -> None:
    found = settled(distributed(1, "SUCCESS", 100), distributed(1, "SUCCESS", 200), distributed(1, "FAILED"))
    assert found.changed == {0}
    assert found.registers.distributions["naverblog"].cost == 100


def test_a_message_with_one_new_channel_changes_something() -> None:
    both = DistributionCompleted("e", 1, (delivery("SUCCESS", 1), delivery("SUCCESS", 2, RADIO)))
    found = settled(distributed(1, "SUCCESS", 1), both)
    assert found.changed == {0, 1}
    assert found.registers.distributions["radio"].cost == 2


def test_what_was_settled_before_goes_on_from_there() -> None:
    facts = [created(3), distributed(2, "SUCCESS", 5), changed(4, "ENDED"), distributed(5, "FAILED"), created(6, "new")]
    at_once = settled(*facts).registers
    one_by_one = Registers()
    for fact in facts:
        one_by_one = settled(fact, before=one_by_one).registers
    assert one_by_one == at_once
    assert settled(*facts, before=at_once).changed == set()


_statuses, _states = st.sampled_from(["ACTIVE", "ENDED", "ARCHIVED"]), st.sampled_from(["SUCCESS", "FAILED"])


def _fact(at: int) -> st.SearchStrategy[Any]:
    numbers = st.integers(0, 9)
    return st.one_of(
        st.builds(created, st.just(at), st.text("ab", min_size=1), status=_statuses, invested=numbers),
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
def test_registers_do_not_depend_on_the_order_in_which_they_are_told(facts: list[Any], chance: Any, cut: int) -> None:
    in_order = settled(*facts).registers
    shuffled = facts + [fact for fact in facts if chance.random() < 0.5]  # some are told twice
    chance.shuffle(shuffled)
    assert settled(*shuffled).registers == in_order
    half_way = settled(*shuffled[:cut]).registers
    assert settled(*shuffled[cut:], before=half_way).registers == in_order


@quick
@given(_facts_at_distinct_times())
def test_settling_the_same_again_changes_nothing(facts: list[Any]) -> None:
    found = settled(*facts)
    assert settled(*facts, before=found.registers).changed == set()


# -- sets --------------------------------------------------------------------------------------------------------


def registered(participant: str, minute: int, channel: Channel | None = None, event: str = "e") -> Any:
    return ParticipantRegistered(event, participant, minute, channel)


def sale(sale_id: str, amount: int, channel: Channel | None = None, event: str = "e") -> SalesRecorded:
    return SalesRecorded(event, sale_id, Decimal(amount), 0, channel)


def test_of_a_participant_or_a_sale_the_first_message_is_kept() -> None:
    told = group_by_event(
        [registered("p", 1, NAVER), registered("p", 0, RADIO), registered("p", 5), sale("s", 1), sale("s", 2, NAVER)]
    ).events["e"]
    assert told.participants == {"p": (1, "naverblog")}
    assert told.sales["s"].amount == 1


def test_the_same_participant_of_another_event_is_another() -> None:
    gathered = group_by_event(
        [registered("p", 1), registered("p", 2, event="f"), sale("s", 1), sale("s", 1, event="f")]
    )
    assert set(gathered.events) == {"e", "f"}
    assert gathered.minutes == {1, 2}


def test_registers_keep_their_order_and_their_place_in_the_batch() -> None:
    bad = Rejected("event-created", Reason.NOT_JSON, "")
    gathered = group_by_event([bad, created(2), registered("p", 1), changed(1, "ENDED"), bad, distributed(1, "FAILED")])
    assert [index for index, _ in gathered.events["e"].registers] == [1, 3, 5]
    assert gathered.rejected == [(0, bad), (4, bad)]


def test_every_channel_that_was_named_is_gathered_once_under_its_first_name() -> None:
    other_name = Channel("radio", "RADIO", None)
    facts = [sale("s", 1, RADIO), registered("p", 1, other_name), distributed(1, "FAILED"), registered("q", 1, NAVER)]
    assert group_by_event(facts).channels == {"radio": RADIO, "naverblog": NAVER}


def test_nothing_gathers_to_nothing() -> None:
    assert group_by_event([]).events == {}
    assert group_by_event([]).minutes == set()
