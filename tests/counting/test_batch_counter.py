"""What a batch changes: messages of every kind, in any order, each counted once."""

import itertools
import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from comparing import assert_equals_oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import Oracle
from world import NOTHING_PENDING, NOW_US, SPRING, World

from hannun.domain.batch import MessageOutcome, ReceivedMessage

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
AUTUMN = "5b0c2f64-0000-4000-8000-000000000003"


def results(outcomes: Sequence[MessageOutcome]) -> list[str]:
    return [outcome.reason or outcome.result for outcome in outcomes]


# -- participants --------------------------------------------------------------------------------------------------


def test_a_participant_is_counted_once_however_often_it_is_sent(world: World) -> None:
    world.count(world.created())
    first = world.count(world.registered("p1", channel="NAVER"), world.registered("p2"))
    again = world.count(world.registered("p1", channel="Instagram", at="2026-11-21T10:00:00Z"), world.registered("p2"))
    assert [outcome.result for outcome in first] == ["counted", "counted"]
    assert [outcome.result for outcome in again] == ["repeated", "repeated"]
    assert world.event_stats().total_participants == 2
    assert world.channel_stats()["NaverBlog"].participants == 1
    assert world.event_row().unattributed == 1
    assert world.drift() == []


def test_a_new_participant_adds_no_index_entry_to_the_rows_of_totals(world: World) -> None:
    world.count(world.created(), world.registered(channel="NAVER"))
    for _ in range(10):
        world.count(world.registered(channel="NAVER"))
    with world.database.transaction() as conn:
        conn.execute("SELECT pg_stat_force_next_flush()")
    tables = ["event_stats", "channel_stats", "events", "timeline_months"]
    heap_only = world.rows("SELECT relname, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = ANY(%s)", tables)
    assert {row.relname: row.n_tup_hot_upd for row in heap_only} == dict.fromkeys(tables, 10)


def test_an_event_without_channels_has_no_views(world: World) -> None:
    world.count(world.created())
    assert world.event_stats().total_views == 0
    assert world.drift() == []


def test_a_repeat_under_another_message_id_is_a_repeat(world: World) -> None:
    world.count(
        world.created(messageId="m1"), world.registered("p1", messageId="m2"), world.sold(5, "s", messageId="m3")
    )
    again = world.count(
        world.created(messageId="n1"), world.registered("p1", messageId="n2"), world.sold(5, "s", messageId="n3")
    )
    assert results(again) == ["repeated"] * 3
    assert (world.event_stats().total_participants, world.event_row().sales) == (1, 1)


def test_two_messages_with_the_same_message_id_are_both_counted(world: World) -> None:
    assert results(world.count(world.registered("p1", messageId="m"), world.registered("p2", messageId="m"))) == [
        "counted",
        "counted",
    ]


def test_a_repeat_within_a_batch_is_counted_once_and_the_first_decides(world: World) -> None:
    found = world.count(
        world.created(),
        world.registered("p1", channel="NAVER", at="2026-11-20T10:00:30Z"),
        world.registered("p1", channel="KAKAO", at="2026-11-20T09:00:30Z"),
    )
    assert results(found) == ["counted", "counted", "repeated"]
    assert [(row.timestamp, row.participants) for row in world.timeline()] == [(datetime(2026, 11, 20, 10, 0), 1)]
    assert set(world.channel_stats()) == {"NaverBlog"}


def test_a_participant_id_in_capitals_is_the_same_participant(world: World) -> None:
    who = "ABCDEF00-0000-4000-8000-000000000001"
    assert results(world.count(world.registered(who), world.registered(who.lower()))) == ["counted", "repeated"]


def test_participants_are_counted_before_their_event_is_created(world: World) -> None:
    world.count(world.registered("p1", channel="NAVER"), world.registered("p2"), world.sold(30))
    assert world.event_stats() is None
    assert world.event_row().participants == 2
    assert world.drift() == []
    world.count(world.registered("p3"), world.created(baselineRevenue=20))
    event = world.event_stats()
    assert (event.total_participants, event.sales_growth_rate) == (3, Decimal("50.00"))
    assert world.drift() == []


def test_a_late_participant_is_counted_in_the_minute_and_month_of_its_registration(world: World) -> None:
    world.count(world.created(), world.registered(at="2026-11-20T10:00:30Z"))
    world.count(world.registered(at="2024-02-29T23:59:59Z"), world.registered(at="2026-11-20T09:59:59.999999Z"))
    assert [row.timestamp for row in world.timeline()] == [
        datetime(2024, 2, 29, 23, 59),
        datetime(2026, 11, 20, 9, 59),
        datetime(2026, 11, 20, 10, 0),
    ]
    assert world.drift() == []
    assert [row.cumulative_participants for row in world.timeline()] == [1, 2, 3]


def test_the_cumulative_column_is_right_again_after_a_late_participant(world: World) -> None:
    world.count(world.registered(at="2026-11-20T10:00:00Z"), world.registered(at="2026-11-20T10:05:00Z"))
    assert world.drift() == []
    assert world.event_row().cumulative_owed_from == NOTHING_PENDING
    world.count(world.registered(at="2026-11-20T10:02:00Z"))
    assert world.event_row().cumulative_owed_from == datetime(2026, 11, 20, 10, 2), (
        "the roll-up is pending from the first wrong minute on"
    )
    assert world.drift() == []
    assert [row.cumulative_participants for row in world.timeline()] == [1, 2, 3]


# -- plans and statuses --------------------------------------------------------------------------------------------


def test_an_event_shows_its_plan(world: World) -> None:
    world.count(
        world.created(
            totalInvestment="1000.015", expectedRevenue=1_500, targetRoi="12.345", status="ENDED", eventTitle="봄 🌸"
        )
    )
    event = world.event_stats()
    assert (event.event_title, event.status) == ("봄 🌸", "ENDED")
    assert (event.total_investment, event.expected_revenue) == (Decimal("1000.02"), Decimal("1500.00"))
    assert (event.target_roi, event.estimated_roi) == (Decimal("12.34"), Decimal("50.00"))


def test_an_end_on_the_last_day_of_the_calendar_takes_a_planned_end_back(world: World) -> None:
    world.count(world.created(at="2026-11-01T09:00:00Z", endDate="2026-12-01T00:00:00Z"))
    assert world.event_row().ends_at is not None
    world.count(world.created(at="2026-11-02T09:00:00Z", endDate="9999-12-31"))
    assert world.event_row().ends_at is None
    assert world.dead_letters() == []
    assert world.drift() == []


def test_a_newer_plan_changes_the_plan_and_nothing_that_was_counted(world: World) -> None:
    world.count(world.created(), world.registered("p1", channel="NAVER"), world.sold(10))
    found = world.count(
        world.created(at="2026-11-02T00:00:00Z", eventTitle="new", totalInvestment=5),
        world.created(at="2026-11-01T12:00:00Z", eventTitle="older"),
    )
    assert results(found) == ["counted", "repeated"]
    event = world.event_stats()
    assert (event.event_title, event.total_investment, event.total_participants) == ("new", 5, 1)
    assert world.drift() == []


def test_the_owner_never_changes(world: World) -> None:
    world.count(world.created(owner="a"))
    found = world.count(world.created(owner="b", at="2026-11-05T00:00:00Z", eventTitle="stolen"))
    assert results(found) == ["owner-changed"]
    assert (world.event_stats().user_id, world.event_stats().event_title) == ("a", "봄맞이")
    (dead_letter,) = world.dead_letters()
    assert (dead_letter.reason, dead_letter.event_id) == ("owner-changed", SPRING)


@pytest.mark.parametrize("at_once", [True, False])
def test_the_newest_status_wins_in_every_order(world: World, at_once: bool) -> None:
    messages = [
        world.status_changed("ARCHIVED", "2026-11-09T00:00:00Z"),
        world.created(at="2026-11-01T00:00:00Z"),
        world.status_changed("ENDED", "2026-11-05T00:00:00Z"),
    ]
    for batch in [messages] if at_once else [[message] for message in messages]:
        world.count(*batch)
    assert world.event_stats().status == "ARCHIVED"
    world.count(world.created(at="2026-11-10T00:00:00Z"))
    assert world.event_stats().status == "ARCHIVED", "a message that says no status changes none"
    world.count(world.created(at="2026-11-11T00:00:00Z", status="ACTIVE"))
    assert world.event_stats().status == "ACTIVE"
    assert world.drift() == []


def test_a_figure_that_the_newest_plan_does_not_say_is_unknown_and_zero_in_the_contract(world: World) -> None:
    world.count(world.created(totalInvestment=100, expectedRevenue=300, targetRoi=5))
    world.count(world.created(at="2026-11-02T00:00:00Z", totalInvestment=0, expectedRevenue="", targetRoi=None))
    plan, published = world.event_row(), world.event_stats()
    assert (plan.total_investment, plan.expected_revenue, plan.target_roi) == (0, None, None)
    assert (published.total_investment, published.expected_revenue, published.target_roi) == (0, 0, 0)
    assert world.drift() == []


# -- channels ------------------------------------------------------------------------------------------------------


def test_a_channel_costs_what_its_newest_success_cost(world: World) -> None:
    world.count(world.created(totalInvestment=100, expectedRevenue=300))
    world.count(world.distributed(channel="NAVER", distributionCost=50, at="2026-11-02T00:00:00Z"))
    world.count(world.distributed(channel="Naver Blog", status="FAILED", distributionCost=9, at="2026-11-04T00:00:00Z"))
    late = world.count(world.distributed(channelName="네이버블로그", distributionCost="100", at="2026-11-03T00:00:00Z"))
    assert results(late) == ["counted"]
    naver = world.channel_stats()["NaverBlog"]
    assert (naver.distribution_cost, naver.channel_type) == (100, "SNS")
    assert world.event_stats().estimated_roi == Decimal("50.00")
    assert world.drift() == []


def test_a_cost_that_no_message_has_said_is_unknown_and_zero_in_the_contract(world: World) -> None:
    world.count(world.created(totalInvestment=100, expectedRevenue=300))
    world.count(world.distributed(channel="NAVER"))
    assert [row.cost for row in world.rows("SELECT cost FROM hannun.distributions")] == [None]
    assert world.channel_stats()["NaverBlog"].distribution_cost == 0
    assert world.event_stats().estimated_roi == Decimal("200.00")
    assert world.drift() == []


def test_a_channel_whose_distributions_all_failed_is_listed_without_cost(world: World) -> None:
    world.count(world.created(), world.distributed(channel="RingoBiz", status="FAILED", distributionCost=9))
    assert world.channel_stats()["RingoBiz"].distribution_cost == 0


def test_a_distribution_with_several_channels_updates_all_of_them(world: World) -> None:
    world.count(
        world.distributed(
            status=None,
            channels=[
                {"channelName": "KAKAO", "status": "SUCCESS", "distributionCost": 1},
                {"channel": "Radio", "channelType": "CALL", "status": "SUCCESS", "distributionCost": "2.50"},
            ],
        )
    )
    assert {name: (row.channel_type, row.distribution_cost) for name, row in world.channel_stats().items()} == {
        "KakaoChannel": ("SNS", 1),
        "Radio": ("VOICE", Decimal("2.50")),
    }
    assert world.event_stats() is None
    world.count(world.created(totalInvestment="0.25", expectedRevenue="7.50"))
    assert world.event_stats().estimated_roi == Decimal("100.00")
    assert world.drift() == []


def test_participants_of_a_channel_without_a_type_are_unattributed_until_a_distribution_states_it(world: World) -> None:
    world.count(
        world.created(), world.registered(channel="Radio"), world.registered(channel="RADIO"), world.registered()
    )
    assert (world.event_row().unattributed, world.channel_stats()) == (3, {})
    assert world.drift() == []
    world.count(world.distributed(channel="radio", channelType="VOICE"))
    assert (world.event_row().unattributed, world.channel_stats()["Radio"].participants) == (1, 2)
    world.count(world.registered(channel="Radio"))
    assert (world.event_row().unattributed, world.channel_stats()["Radio"].participants) == (1, 3)
    assert world.drift() == []


@pytest.mark.parametrize("distribution_first", [True, False])
def test_a_distribution_and_its_participants_may_arrive_in_one_batch_in_either_order(
    world: World, distribution_first: bool
) -> None:
    world.count(world.registered("early", channel="Radio"))
    batch = [world.registered("p1", channel="Radio"), world.registered("p2", channel="Radio")]
    batch.insert(0 if distribution_first else 2, world.distributed(channel="Radio", channelType="TV"))
    world.count(*batch)
    assert (world.event_row().unattributed, world.channel_stats()["Radio"].participants) == (0, 3)
    assert world.drift() == []


def test_a_failed_distribution_also_states_the_type(world: World) -> None:
    world.count(world.registered(channel="Radio"))
    world.count(world.distributed(channel="Radio", channelType="TV", status="FAILED"))
    assert world.channel_stats()["Radio"].participants == 1
    assert world.drift() == []


def test_an_unknown_channel_has_the_type_that_its_event_states(world: World) -> None:
    world.count(*(world.registered("p", event, channel="Radio") for event in (SPRING, SUMMER, AUTUMN)))
    world.count(
        world.distributed(SPRING, channel="Radio", channelType="TV"),
        world.distributed(SUMMER, channel="Radio", channelType="SNS"),
    )
    assert world.channel_stats(SPRING)["Radio"].channel_type == "TV"
    assert world.channel_stats(SUMMER)["Radio"].channel_type == "SNS"
    assert (world.channel_stats(AUTUMN), world.event_row(AUTUMN).unattributed) == ({}, 1)
    world.count(world.registered("q", AUTUMN, channel="Radio"), world.registered("q", SPRING, channel="Radio"))
    assert (world.event_row(AUTUMN).unattributed, world.channel_stats(SPRING)["Radio"].participants) == (2, 2)
    assert world.drift() == []


def test_a_newer_distribution_may_change_the_type_of_an_unknown_channel(world: World) -> None:
    world.count(world.distributed(channel="Radio", channelType="TV"), world.registered(channel="Radio"))
    world.count(world.distributed(channel="Radio", channelType="CALL", at="2026-11-05T00:00:00Z"))
    radio = world.channel_stats()["Radio"]
    assert (radio.channel_type, radio.participants) == ("VOICE", 1)
    assert world.drift() == []


# -- sales ---------------------------------------------------------------------------------------------------------


def test_revenue_is_sales_minus_refunds_and_may_be_negative(world: World) -> None:
    world.count(world.created(baselineRevenue="200.00"))
    world.count(world.sold("100.10", "s1", channel="NAVER"), world.sold(300.1, "s2", refund=True), world.sold(1, "s1"))
    assert (world.event_row().sales, world.event_row().recorded_revenue) == (2, Decimal("-200.00"))
    assert world.event_stats().sales_growth_rate == Decimal("-200.00")
    assert world.drift() == []


def test_a_refund_under_the_id_of_its_sale_is_a_repeat(world: World) -> None:
    assert results(world.count(world.sold(5, "s"), world.sold(5, "s", refund=True))) == ["counted", "repeated"]
    assert world.event_row().recorded_revenue == 5


@pytest.mark.parametrize(
    ("plan", "sales", "estimated", "growth"),
    [
        ({"totalInvestment": 100, "expectedRevenue": 20}, [], "0.00", "0.00"),  # a loss: the column cannot show it
        ({"totalInvestment": "0.01", "expectedRevenue": "9999999999999.99"}, [], "99999999.99", "0.00"),
        ({"expectedRevenue": 20}, [], "0.00", "0.00"),
        ({"baselineRevenue": "0.01"}, ["9999999999999.99"], "0.00", "99999999.99"),
        ({"baselineRevenue": 0}, [5], "0.00", "0.00"),
        ({}, [5], "0.00", "0.00"),
        ({"baselineRevenue": 800}, [1], "0.00", "-99.88"),  # -99.875, to the even
        ({"baselineRevenue": 800}, [3], "0.00", "-99.62"),  # -99.625, to the even
        ({"totalInvestment": 800, "expectedRevenue": 801}, [], "0.12", "0.00"),
        ({"totalInvestment": 800, "expectedRevenue": 803}, [], "0.38", "0.00"),
        ({"totalInvestment": 3, "expectedRevenue": 5}, [], "66.67", "0.00"),
        ({"baselineRevenue": 100}, [], "0.00", "0.00"),
        ({"baselineRevenue": 100}, [0], "0.00", "-100.00"),
    ],
)
def test_derived_columns_are_rounded_and_limited_to_their_range(
    world: World, plan: dict[str, Any], sales: list[Any], estimated: str, growth: str
) -> None:
    world.count(world.created(**plan), *(world.sold(amount) for amount in sales))
    event = world.event_stats()
    assert (str(event.estimated_roi), str(event.sales_growth_rate)) == (estimated, growth)
    assert world.drift() == []


# -- unusable messages -------------------------------------------------------------------------------------------


def test_each_unusable_message_becomes_one_dead_letter_and_delays_no_other(world: World) -> None:
    def raw(kind: str, body: bytes) -> ReceivedMessage:
        return ReceivedMessage(kind, body, NOW_US)

    unusable = [
        raw("participant-registered", b"not json"),
        raw("participant-registered", b'{"eventId": "\xff"}'),
        raw("event-created", b"{" + b" " * 70_000 + b"}"),
        world.message("event-deleted"),
        world.message("participant-registered", registeredAt="2026-11-20T10:00:00Z"),
        world.registered("p", phone="010-1234-5678", channel=5),
        world.sold(-1),
        world.registered("p", at="2026-11-20T10:00:00"),
        world.registered("p", at="2014-12-31T23:59:59Z"),
    ]
    reasons = [
        "not-json",
        "bad-utf8-or-nul",
        "too-large",
        "unknown-type",
        "missing-field",
        "wrong-type",
        "out-of-bounds",
        "no-offset-in-a-time",
        "too-early-or-too-far-ahead",
    ]
    mixed = [world.created()]
    for message in unusable:
        mixed += [message, world.registered()]
    found = results(world.count(*mixed))
    assert found[1::2] == reasons
    assert found[::2] == ["counted"] * 10
    assert world.event_stats().total_participants == 9
    assert [dead_letter.reason for dead_letter in world.dead_letters()] == reasons
    world.restart()
    assert results(world.count(*unusable)) == reasons
    dead_letters = world.dead_letters()
    assert [dead_letter.reason for dead_letter in dead_letters] == reasons, (
        "the same unusable body again is the same dead letter"
    )
    stored = repr([dead_letter.columns for dead_letter in dead_letters])
    assert "010-1234-5678" not in stored
    assert {dead_letter.topic for dead_letter in dead_letters} == {None}
    assert world.drift() == []


def test_the_same_unusable_bytes_are_one_dead_letter_for_each_type(world: World) -> None:
    unusable = ReceivedMessage("participant-registered", b"{", NOW_US)
    world.count(unusable, unusable, unusable._replace(kind="event-created"))
    assert [dead_letter.kind for dead_letter in world.dead_letters()] == ["participant-registered", "event-created"]


def test_unusable_messages_from_kafka_are_distinguished_by_partition_and_offset(world: World) -> None:
    unusable = ReceivedMessage("participant-registered", b"{", NOW_US)
    world.count(world.at_offset(unusable, 7), world.at_offset(unusable, 8))
    world.count(world.at_offset(unusable, 7), world.at_offset(unusable, 8), world.at_offset(unusable, 7, partition=1))
    assert [(dead_letter.partition, dead_letter.record_offset) for dead_letter in world.dead_letters()] == [
        (0, 7),
        (0, 8),
        (1, 7),
    ]


@pytest.mark.parametrize("kind", ["\0", "event-created\0", "홍" * 100, "x" * 10_000], ids=["nul", "tail", "한", "long"])
def test_a_message_of_an_unknown_type_is_a_dead_letter(world: World, kind: str) -> None:
    found = world.count(world.message(kind), world.registered("p"))
    assert results(found) == ["unknown-type", "counted"]
    (dead_letter,) = world.dead_letters()
    assert dead_letter.reason == "unknown-type"


@pytest.mark.parametrize(
    "text", ["a\x01b", "a\\b\tc\nd\re", "\\N", "{}", '"', "'; DROP TABLE x; --", "🌸\u202e한", "%s"]
)
def test_text_is_stored_unchanged(world: World, text: str) -> None:
    event = re.sub(r"[\x00-\x1f]", "", text)  # an id with a control character is refused
    world.count(
        world.created(event, eventTitle=text, owner=event),
        world.registered(text, event, channel=text),
        world.sold(1, text, event),
        world.distributed(event, channel=text, channelType="TV"),
    )
    assert (world.event_stats(event).event_title, world.event_stats(event).user_id) == (text, event)
    assert [row.participants for row in world.channel_stats(event).values()] == [1]
    assert world.drift() == []


def test_an_empty_batch_changes_nothing(world: World) -> None:
    assert world.count() == []


def test_a_second_counter_continues_where_the_first_has_stopped(world: World) -> None:
    world.count(world.created(), world.registered("p1", channel="Radio"))
    world.restart()
    assert results(world.count(world.registered("p1"), world.registered("p2", channel="Radio"))) == [
        "repeated",
        "counted",
    ]
    assert (world.event_stats().total_participants, world.event_row().unattributed) == (2, 2)
    assert world.drift() == []


# -- random histories, against the oracle ------------------------------------------------------------------------

ONE = "5b0c2f64-ab00-4000-8000-00000000000e"
EVENTS = ("one-{0}", "5b0c2f64-ab00-4000-8000-{0:012x}", "5B0C2F64-AB00-4000-8000-{0:012X}", "t/wo-{0}")
OWNERS = st.sampled_from(["owner-a"] * 4 + [ONE, ONE.upper(), "owner-b", ".."])
PEOPLE = st.sampled_from(["p1", "p2", "P1", "p3", ONE, ONE.upper(), "홍길동"])
CHANNELS = st.sampled_from(
    [
        None,
        "",
        "NAVER",
        "네이버블로그",
        "Kakao Channel",
        "ringo-biz",
        "Radio",
        "RA_DIO",
        "ra\u200bdio",
        "\ufeffpo\x01ster",
        "a,b",
    ]
)
AMOUNTS = st.sampled_from([0, 1, "2.5", 10.005, "1e2", "0.015", 99999, "7.125"])
_FIRST = datetime(2026, 10, 31, 23, 58, tzinfo=UTC)
INSTANTS = st.builds(  # few, so that they collide; over the end of a month and a day; in several zones
    lambda step, zone: (_FIRST + timedelta(seconds=20 * step)).astimezone(_zone(zone)).isoformat(),
    st.integers(0, 15),
    st.sampled_from([0, 9 * 60, 5 * 60 + 45, -(11 * 60 + 30)]),
) | st.sampled_from(
    [  # with a zone, a day after receipt, and later
        "2026-11-01T09:00:20+09:00[Asia/Seoul]",
        "2026-11-24T03:00:00Z",
        "2026-11-24T03:00:00.000001Z",
        "2099-01-01T00:00Z",
    ]
)


def _zone(minutes: int) -> timezone:
    return timezone(timedelta(minutes=minutes))


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _delivery() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        _without_none,
        channel=st.sampled_from(["NAVER", "Radio", "RA_DIO", "poster", "kakao"]),
        channelType=st.sampled_from(["TV", "SNS", "CALL", "VOICE", "TV", None, ""]),
        status=st.sampled_from(["SUCCESS", "FAILED"]),
        distributionCost=st.sampled_from([None, ""]) | AMOUNTS,
        expectedViews=st.none() | st.integers(0, 9),
    )


def _message() -> st.SearchStrategy[tuple[str, str, dict[str, Any]]]:
    """(kind, event, fields)."""
    fields: dict[str, st.SearchStrategy[dict[str, Any]]] = {
        "event-created": st.builds(
            _without_none,
            userId=OWNERS,
            createdAt=INSTANTS,
            eventTitle=st.sampled_from(["봄", "spring"]),
            totalInvestment=st.sampled_from([None, ""]) | AMOUNTS,
            expectedRevenue=st.none() | AMOUNTS,
            targetRoi=st.none() | AMOUNTS,
            baselineRevenue=st.sampled_from([None, ""]) | AMOUNTS,
            status=st.sampled_from([None, "", "ACTIVE", "ENDED"]),
            endDate=st.sampled_from([None, "", "2026-12-31T00:00:00Z", "9999-12-31"]),
        ),
        "participant-registered": st.builds(
            _without_none,
            participantId=PEOPLE,
            registeredAt=st.one_of(INSTANTS, INSTANTS, INSTANTS, st.just("2014-12-31T23:59:59+00:00")),
            channel=CHANNELS,
            entryPath=CHANNELS,
        ),
        "distribution-completed": st.one_of(
            st.builds(lambda one, at: {**one, "completedAt": at}, _delivery(), INSTANTS),
            st.builds(
                lambda many, at: {"channels": many, "completedAt": at},
                st.lists(_delivery(), min_size=1, max_size=3),
                INSTANTS,
            ),
        ),
        "event-status-changed": st.builds(
            _without_none, status=st.sampled_from(["ACTIVE", "ENDED", "ARCHIVED"]), changedAt=INSTANTS
        ),
        "sales-recorded": st.builds(
            _without_none,
            saleId=st.sampled_from(["s1", "s2", ONE, ONE.upper()]),
            amount=AMOUNTS,
            soldAt=INSTANTS,
            refund=st.sampled_from([None, "", False, True]),
            channel=CHANNELS,
        ),
    }
    kinds = ["participant-registered"] * 4 + ["distribution-completed"] * 2 + list(fields)
    return st.sampled_from(kinds).flatmap(lambda kind: st.tuples(st.just(kind), st.sampled_from(EVENTS), fields[kind]))


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[str, str, dict[str, Any]]]]:
    """Batches of messages. Some messages are repeated in the same batch or later, and some batches as a whole."""
    messages = draw(st.lists(_message(), min_size=1, max_size=24))
    again = draw(st.lists(st.sampled_from(messages), max_size=6))
    sent = draw(st.permutations(messages + again))
    cuts = sorted(draw(st.sets(st.integers(1, len(sent)), max_size=5)) | {0, len(sent)})
    batches = [list(sent[start:end]) for start, end in itertools.pairwise(cuts)]
    for index in draw(st.lists(st.integers(0, len(batches) - 1), max_size=2)):
        batches.append(batches[index])  # the client repeats a batch whose answer was lost
    return batches


@settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(histories())
def test_any_history_gives_the_figures_of_the_specification(
    world: World, history: list[list[tuple[str, str, dict[str, Any]]]]
) -> None:
    """Each message comes any number of times, in any order, in any batches. The figures equal the oracle's."""
    suffix = world.next_number()  # each history has its own events
    oracle = Oracle()
    unusable = set()
    before = len(world.dead_letters())
    for batch in history:
        messages = [world.message(kind, event.format(suffix), **fields) for kind, event, fields in batch]
        outcomes = world.count(*messages)
        unusable |= {message for message, outcome in zip(messages, outcomes, strict=True) if outcome.reason}
        rejected_before = len(oracle.rejections)
        for message in messages:
            oracle.add_message(message.kind, message.raw, message.received_at)
        assert [each.reason for each in outcomes if each.reason] == oracle.rejections[rejected_before:]
    assert world.drift() == []
    assert_equals_oracle(world, oracle)
    assert len(world.dead_letters()) - before == len(unusable), "each unusable message once"


# -- two concurrent counters ------------------------------------------------------------------------------------------


def test_two_concurrent_counters_count_everything_once_without_a_deadlock(world: World) -> None:
    events = [f"event-{number}" for number in range(6)]
    oracle = Oracle()

    def history(events: Sequence[str]) -> list[list[ReceivedMessage]]:
        return [
            [
                message
                for event in events
                for message in (
                    world.created(event, totalInvestment=100),
                    *(
                        world.registered(f"p{number}", event, channel=("NAVER", "Radio", "KAKAO")[number % 3])
                        for number in range(step * 5, step * 5 + 10)
                    ),
                    world.distributed(
                        event, channel=("Radio", "NAVER")[step % 2], channelType="SNS", distributionCost=7
                    ),
                    world.sold(3, f"sale-{step}", event),
                )
            ]
            for step in range(12)
        ]

    def in_turn(
        batches: list[list[ReceivedMessage]], counter: Any, failures: list[BaseException]
    ) -> Callable[[], None]:
        def run() -> None:
            try:
                together.wait()
                for batch in batches:
                    counter.count(batch)
            except BaseException as error:
                failures.append(error)

        return run

    together = threading.Barrier(2, timeout=60)
    failures: list[BaseException] = []
    forwards, backwards = history(events), history(events[::-1])
    threads = [
        threading.Thread(target=in_turn(batches, world.another_counter(), failures))
        for batches in (forwards, backwards)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    for batch in forwards:
        for message in batch:
            oracle.add_message(message.kind, message.raw, message.received_at)
    assert world.drift() == []
    assert_equals_oracle(world, oracle)
    assert world.event_stats("event-0").total_participants == 65


def test_a_counter_waits_for_another_transaction_on_its_event_and_then_sees_its_changes(world: World) -> None:
    world.count(world.created())
    other = world.another_counter()
    finished = threading.Event()

    def count() -> None:
        other.count([world.registered("p1"), world.registered("p2")])
        finished.set()

    thread = threading.Thread(target=count)
    with world.database.transaction() as conn:
        conn.execute("SELECT 1 FROM hannun.events WHERE event_id = %s FOR UPDATE", (SPRING,))
        thread.start()
        waiting = "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = %s"
        world.wait_for("the counter to wait", lambda: world.rows(waiting, world.name))
        assert not finished.is_set()
    thread.join(timeout=60)
    assert finished.is_set()
    assert world.event_stats().total_participants == 2
    assert world.drift() == []
