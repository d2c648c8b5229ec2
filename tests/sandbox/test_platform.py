"""The simulated platform is reproducible, and its messages follow the spec."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

import pytest

from hannun.sandbox.load_messages import derive_load_event_ids, load_events, load_registrations
from hannun.sandbox.platform import Message, Platform
from hannun.sandbox.simulation import DEMO_PACE, DEMO_POPULARITY, DEMO_SEED

FOUNDED = datetime(2026, 5, 13, 3, 20, tzinfo=UTC)  # a Wednesday, noon in Seoul
SEOUL = timezone(timedelta(hours=9))
S = timedelta(seconds=1)
DAY = timedelta(days=1)
EARLY, FAR = "2015-01-01T00:00:00Z", "2100-01-01T00:00:00Z"

# The spec's table of channel names, copied from the spec and not from the code under test.
CHANNELS = {
    "WooriTV": ["WooriTV", "URIDONGNETV", "WOORIDONGNE_TV", "우리동네TV"],
    "GenieTV": ["GenieTV", "GINITV", "지니TV"],
    "RingoBiz": ["RingoBiz", "링고비즈"],
    "Instagram": ["Instagram"],
    "NaverBlog": ["NaverBlog", "NAVER", "Naver Blog", "네이버블로그"],
    "KakaoChannel": ["KakaoChannel", "KAKAO", "Kakao Channel", "카카오채널"],
}


@pytest.fixture(scope="module")
def platform() -> Platform:
    return Platform(7, FOUNDED)


@pytest.fixture(scope="module")
def history(platform: Platform) -> list[Message]:
    return list(platform.history(FOUNDED))


@pytest.fixture(scope="module")
def live(platform: Platform) -> list[Message]:
    return platform.live(FOUNDED, FOUNDED + 600 * S)


# Reproducible


def test_the_same_seed_and_times_give_the_same_messages(history: list[Message], live: list[Message]) -> None:
    again = Platform(7, FOUNDED)
    assert list(again.history(FOUNDED)) == history
    assert again.live(FOUNDED, FOUNDED + 600 * S) == live


def test_another_seed_gives_other_events_and_participants(history: list[Message]) -> None:
    other = Platform(8, FOUNDED)
    assert {m.key for m in history}.isdisjoint(event.id for event in other.events)
    assert participants(history).isdisjoint(participants(other.history(FOUNDED)))


def test_events_are_the_same_in_all_runs_with_the_same_founding_time(platform: Platform) -> None:
    assert Platform(7, FOUNDED.astimezone(SEOUL)).events == platform.events


@pytest.mark.parametrize("pace", [0.0, 1.0, 3.5])
def test_the_messages_of_a_range_do_not_depend_on_how_it_is_split(platform: Platform, pace: float) -> None:
    start = FOUNDED.replace(hour=14, minute=58)  # the range includes midnight in Seoul
    bounds = [start + n * 0.5 * S for n in range(481)]
    pieces = [m for a, b in pairwise(bounds) for m in platform.live(a, b, pace)]
    assert in_any_order(pieces) == in_any_order(platform.live(start, bounds[-1], pace))


def test_the_history_continues_where_an_earlier_run_ended(platform: Platform, history: list[Message]) -> None:
    earlier_end = FOUNDED - timedelta(days=3, hours=5)
    assert [*platform.history(earlier_end), *platform.history(FOUNDED, since=earlier_end)] == history


def test_live_messages_contain_the_base_traffic(platform: Platform) -> None:
    base = list(platform.history(FOUNDED + DAY / 24, since=FOUNDED))
    assert in_any_order(base) <= in_any_order(platform.live(FOUNDED, FOUNDED + DAY / 24))
    assert platform.live(FOUNDED, FOUNDED + DAY / 24, pace=0) == base


def test_an_empty_range_has_no_messages(platform: Platform) -> None:
    assert platform.live(FOUNDED, FOUNDED) == []
    assert list(platform.history(FOUNDED, since=FOUNDED)) == []


# According to the spec


def test_every_message_is_valid_according_to_the_spec(history: list[Message], live: list[Message]) -> None:
    for message in [*history, *live]:
        CHECKS[message.topic](message.value)
        assert message.key == message.value["eventId"]
        assert len(json.dumps(message.value)) < 64_000


def test_no_message_arrives_before_its_fact_happened(platform: Platform) -> None:
    for n in range(60):
        now = FOUNDED + n * S
        for message in platform.live(now - S, now):
            assert time_of_fact(message) <= now


def test_a_sale_and_its_refund_have_different_ids(history: list[Message]) -> None:
    sales = [m.value for m in history if m.topic == "sales-recorded"]
    assert len({sale["saleId"] for sale in sales}) == len(sales)
    assert 0.02 < sum(sale.get("refund") is True for sale in sales) / len(sales) < 0.08


def test_messages_vary_in_spelling_and_contain_personal_data_to_drop(history: list[Message]) -> None:
    fields = Counter(field for m in history for field in m.value)
    assert {"title", "eventTitle", "storeId", "userId", "channelName", "channel", "entryPath"} <= fields.keys()
    assert {"name", "phoneNumber", "ownerPhone", "objective"} <= fields.keys()
    assert all(str(m.value.get("phoneNumber", "010-0000-")).startswith("010-0000-") for m in history)
    assert {"지니TV", "네이버블로그", "카카오채널"} <= {name for m in history for name in channel_names_in(m)}
    assert {"CALL", "VOICE"} <= {str(entry.get("channelType")) for m in history for entry in distribution_entries_of(m)}
    offsets = Counter(str(m.value.get("registeredAt", ""))[-6:] for m in history)
    assert offsets["+09:00"] > 1_000
    assert sum(count for offset, count in offsets.items() if offset.endswith("Z")) > 1_000


# Realistic


@pytest.mark.parametrize("seed", range(5))
def test_the_history_has_some_ten_thousand_messages(seed: int) -> None:
    assert 20_000 < sum(1 for _ in Platform(seed, FOUNDED).history(FOUNDED)) < 50_000


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hour", [0, 7, 14, 21])
def test_twenty_events_cover_every_state_at_any_hour(seed: int, hour: int) -> None:
    now = FOUNDED.replace(hour=hour)
    events = Platform(seed, now).events
    assert len(events) == 20
    assert len({event.merchant.id for event in events}) == 4
    assert all(3 <= len(event.channels) <= 6 for event in events)
    assert [event.starts_at > now for event in events].count(True) == 2
    assert [event.ends_at is not None and event.ends_at < now for event in events].count(True) == 2
    assert all(DAY <= now - event.starts_at <= 30 * DAY for event in events if event.starts_at <= now)


@pytest.mark.parametrize("hour", [0, 7, 14, 21])
def test_the_merchant_of_the_demo_has_an_event_in_every_state(hour: int) -> None:
    now = FOUNDED.replace(hour=hour)
    events = Platform(DEMO_SEED, now).events[::4]
    assert len({event.merchant.id for event in events}) == 1
    assert any(event.starts_at > now for event in events), "planned"
    assert any(event.ends_at is not None and event.ends_at < now for event in events), "ended"
    running = [event for event in events if event.is_running(now)]
    assert {event.ends_at is None for event in running} == {True, False}
    assert any(channel.available_from is None for event in running for channel in event.channels), "a failed channel"
    worst = max(running, key=lambda event: event.total_investment / event.expected_revenue)
    assert worst.total_investment > 0.5 * worst.expected_revenue, "one that costs more than it brings"


@pytest.mark.parametrize("hour", [3, 10])
def test_an_hour_of_the_demo_is_about_as_large_as_a_busy_hour_before(hour: int) -> None:
    now = FOUNDED.replace(hour=hour)
    platform = Platform(DEMO_SEED, now, DEMO_POPULARITY)
    shown = platform.events[0].id

    def registrations(messages: Iterable[Message]) -> list[Message]:
        return [m for m in messages if m.topic == "participant-registered" and m.key == shown]

    by_hour = Counter(
        time_of_fact(m).replace(minute=0, second=0, microsecond=0)
        for m in registrations(platform.history(now, since=now - 3 * DAY))
    )
    live = registrations(platform.live(now, now + 60 * 60 * S, DEMO_PACE))
    assert 180 < len(live) < 1.5 * max(by_hour.values())


def test_all_six_channels_have_participants(history: list[Message], live: list[Message]) -> None:
    for messages in history, live:
        registrations = [m for m in messages if m.topic == "participant-registered"]
        participant_counts = Counter(name for m in registrations for name in canonical_channels_in(m))
        assert participant_counts.keys() == CHANNELS.keys()
        assert min(participant_counts.values()) > 20


def test_some_distributions_fail_for_good_and_some_succeed_after_a_retry(history: list[Message]) -> None:
    statuses: defaultdict[tuple[str, str], list[object]] = defaultdict(list)
    for m in history:
        if m.topic == "distribution-completed":
            for entry, name in zip(distribution_entries_of(m), canonical_channels_in(m), strict=True):
                statuses[m.key, name].append(entry["status"])
    assert ["FAILED", "SUCCESS"] in statuses.values()
    assert ["FAILED", "FAILED"] in statuses.values()
    never_available = {key for key, outcomes in statuses.items() if outcomes[-1] == "FAILED"}
    registrations = [m for m in history if m.topic == "participant-registered"]
    with_participants = {(m.key, name) for m in registrations for name in canonical_channels_in(m)}
    assert never_available.isdisjoint(with_participants)


def test_most_registrations_come_at_lunchtime_and_in_the_evening_and_few_at_night(history: list[Message]) -> None:
    by_hour = Counter(
        time_of_fact(m).astimezone(SEOUL).hour
        for m in history
        if m.topic == "participant-registered" and time_of_fact(m).astimezone(SEOUL).weekday() < 5
    )
    night = max(by_hour[hour] for hour in (2, 3, 4, 5))
    assert min(by_hour[12], by_hour[20]) > 5 * night
    assert by_hour[12] > by_hour[15] < by_hour[20]


def test_the_call_centre_has_few_participants_at_weekends(history: list[Message]) -> None:
    by_weekend = Counter(
        time_of_fact(m).astimezone(SEOUL).weekday() >= 5
        for m in history
        if m.topic == "participant-registered" and canonical_channels_in(m) == ["RingoBiz"]
    )
    assert by_weekend[True] / 2 < by_weekend[False] / 5 / 2


def test_registrations_decline_after_the_start_of_an_event(platform: Platform, history: list[Message]) -> None:
    starts = {event.id: event.starts_at for event in platform.events if event.starts_at < FOUNDED - 10 * DAY}
    by_age_d = Counter(
        (time_of_fact(m) - starts[m.key]) // DAY
        for m in history
        if m.topic == "participant-registered" and m.key in starts
    )
    assert sum(by_age_d[day] for day in range(3)) > 2 * sum(by_age_d[day] for day in range(7, 10)) > 0


def test_one_registration_in_twenty_names_no_channel(history: list[Message]) -> None:
    registrations = [m for m in history if m.topic == "participant-registered"]
    assert 0.03 < sum(not channel_names_in(m) for m in registrations) / len(registrations) < 0.07


def test_some_registrations_are_repeated_with_another_message_id_and_some_are_late(history: list[Message]) -> None:
    registrations = [m for m in history if m.topic == "participant-registered"]
    message_ids = defaultdict(set)
    for m in registrations:
        message_ids[m.key, m.value["participantId"]].add(m.value.get("messageId"))
    assert 0.01 < sum(len(each) > 1 for each in message_ids.values()) / len(message_ids) < 0.05
    newest, late = time_of_fact(registrations[0]), 0
    for m in registrations:
        newest = max(newest, time_of_fact(m))
        late += newest - time_of_fact(m) > timedelta(minutes=15)
    assert 0.01 < late / len(registrations) < 0.10


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_every_running_event_gets_live_messages_at_any_hour_and_after_months(platform: Platform, hour: int) -> None:
    for start in FOUNDED.replace(hour=hour) + DAY, FOUNDED.replace(hour=hour) + 200 * DAY:
        messages = platform.live(start, start + 60 * S)
        assert 5 * 60 < len(messages) < 20 * 60
        running = {event.id for event in platform.events if event.is_running(start)}
        assert running
        assert all(count > 6 for count in Counter(m.key for m in messages if m.key in running).values())
        assert running <= {m.key for m in messages}


def test_the_rate_of_messages_is_proportional_to_pace(platform: Platform) -> None:
    at_pace_1 = len(platform.live(FOUNDED, FOUNDED + 300 * S))
    at_pace_3 = len(platform.live(FOUNDED, FOUNDED + 300 * S, pace=3))
    assert 2.5 < at_pace_3 / at_pace_1 < 3.5


# Load runs


def test_a_load_has_the_requested_size_and_is_valid_according_to_the_spec() -> None:
    messages = list(load_registrations(3, events=20, messages=5_000, at=FOUNDED))
    assert len(messages) == 5_000
    assert messages == list(load_registrations(3, events=20, messages=5_000, at=FOUNDED))
    for topic, key, raw in messages:
        value = json.loads(raw)
        CHECKS[topic](value)
        assert value["eventId"].encode() == key
        assert FOUNDED - DAY / 24 <= parse_instant(value["registeredAt"]) <= FOUNDED
    assert {key.decode() for _, key, _ in messages} == set(derive_load_event_ids(3, 20))


def test_the_number_of_participants_in_a_load_follows_from_repeat_every() -> None:
    for repeat_every, expected in (0, 3_000), (50, 2_940), (3, 2_000):
        messages = load_registrations(1, events=7, messages=3_000, at=FOUNDED, repeat_every=repeat_every)
        values = [json.loads(raw) for _, _, raw in messages]
        assert len({(value["eventId"], value["participantId"]) for value in values}) == expected
        assert len({value["messageId"] for value in values}) == 3_000


def test_the_events_of_a_load_are_valid_according_to_the_spec() -> None:
    messages = list(load_events(3, events=20, at=FOUNDED))
    for topic, _, raw in messages:
        CHECKS[topic](json.loads(raw))
    assert {key.decode() for _, key, _ in messages} == set(derive_load_event_ids(3, 20))


# The rules of the spec for each topic


def check_created(value: dict[str, object]) -> None:
    check_common(value)
    check_text(value, "eventTitle" if "eventTitle" in value else "title", 255)
    check_text(value, "userId" if "userId" in value else "storeId", 36)
    parse_instant(value["createdAt"])
    assert parse_instant(value.get("startDate", EARLY)) < parse_instant(value.get("endDate", FAR))
    for name in "totalInvestment", "expectedRevenue", "targetRoi", "baselineRevenue":
        check_amount(value.get(name, 0))
    assert value.get("status", "ACTIVE") in ("ACTIVE", "ENDED", "ARCHIVED")


def check_registered(value: dict[str, object]) -> None:
    check_common(value)
    check_text(value, "participantId", 64)
    assert parse_instant(value["registeredAt"]) > datetime(2015, 1, 1, tzinfo=UTC)
    assert all(canonical_name(name) for name in channel_names_of(value))


def check_distributed(value: dict[str, object]) -> None:
    check_common(value)
    parse_instant(value["completedAt"])
    types = {"WooriTV": {"TV"}, "GenieTV": {"TV"}, "RingoBiz": {"VOICE", "CALL"}}
    for entry in distribution_entries(value):
        (name,) = channel_names_of(entry)
        assert entry["channelType"] in types.get(canonical_name(name), {"SNS"})
        assert entry["status"] in ("SUCCESS", "FAILED")
        check_amount(entry.get("distributionCost", 0))
        views = entry.get("expectedViews", 0)
        assert isinstance(views, int) and 0 <= views < 2**31


def check_status(value: dict[str, object]) -> None:
    check_common(value)
    parse_instant(value["changedAt"])
    assert value["status"] in ("ACTIVE", "ENDED", "ARCHIVED")


def check_sale(value: dict[str, object]) -> None:
    check_common(value)
    check_text(value, "saleId", 64)
    check_amount(value["amount"])
    parse_instant(value["soldAt"])
    assert isinstance(value.get("refund", False), bool)
    assert all(canonical_name(name) for name in channel_names_of(value))


CHECKS: dict[str, Callable[[dict[str, object]], None]] = {
    "event-created": check_created,
    "participant-registered": check_registered,
    "distribution-completed": check_distributed,
    "event-status-changed": check_status,
    "sales-recorded": check_sale,
}


def check_common(value: dict[str, object]) -> None:
    check_text(value, "eventId", 36)
    if "messageId" in value:
        check_text(value, "messageId", 64)


def check_text(value: dict[str, object], name: str, length_max: int) -> None:
    found = value[name]
    assert isinstance(found, str) and 1 <= len(found) <= length_max and "\0" not in found


def check_amount(found: object) -> None:
    assert isinstance(found, int | float | str)
    assert 0 <= Decimal(str(found)) < 10**13


def parse_instant(found: object) -> datetime:
    assert isinstance(found, str)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}(\d{3})?)?(Z|\+09:00)|.*\+00:00", found), found
    return datetime.fromisoformat(found)


def distribution_entries(value: dict[str, object]) -> list[dict[str, object]]:
    for name in "channels", "distributedChannels":
        if name in value:
            return value[name]  # type: ignore[return-value]  # if it is no list, the checks of its items fail
    return [value]


def distribution_entries_of(message: Message) -> list[dict[str, object]]:
    return distribution_entries(message.value) if message.topic == "distribution-completed" else []


def channel_names_of(value: dict[str, object]) -> list[str]:
    return [str(value[name]) for name in ("channelName", "channel", "entryPath") if name in value]


def channel_names_in(message: Message) -> list[str]:
    return [name for part in distribution_entries_of(message) or [message.value] for name in channel_names_of(part)]


def canonical_channels_in(message: Message) -> list[str]:
    return [canonical_name(name) for name in channel_names_in(message)]


def canonical_name(name: str) -> str:
    """The canonical name in the spec's table. Raises KeyError if the table does not contain this name."""
    return {fold_name(alias): channel for channel, aliases in CHANNELS.items() for alias in aliases}[fold_name(name)]


def fold_name(name: str) -> str:
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFC", name).casefold())


def time_of_fact(message: Message) -> datetime:
    time_fields = ("registeredAt", "soldAt", "completedAt", "changedAt", "createdAt")
    return parse_instant(next(message.value[name] for name in time_fields if name in message.value))


def participants(messages: Iterable[Message]) -> set[object]:
    return {m.value["participantId"] for m in messages if m.topic == "participant-registered"}


def in_any_order(messages: Iterable[Message]) -> Counter[str]:
    return Counter(json.dumps(message, sort_keys=True) for message in messages)
