"""The simulated platform says the same whenever asked, and says it as the spec allows."""

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

from hannun.sandbox.load import load, load_event_ids, load_events
from hannun.sandbox.platform import Message, Platform

FOUNDED = datetime(2026, 5, 13, 3, 20, tzinfo=UTC)  # a Wednesday, noon in Seoul
SEOUL = timezone(timedelta(hours=9))
S = timedelta(seconds=1)
DAY = timedelta(days=1)
EARLY, FAR = "2015-01-01T00:00:00Z", "2100-01-01T00:00:00Z"

# The spec's table of channel names, as it stands there: not taken from the code under test.
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


# The same again


def test_the_same_seed_and_times_give_the_same_messages(history: list[Message], live: list[Message]) -> None:
    again = Platform(7, FOUNDED)
    assert list(again.history(FOUNDED)) == history
    assert again.live(FOUNDED, FOUNDED + 600 * S) == live


def test_another_seed_gives_other_events_and_other_people(history: list[Message]) -> None:
    other = Platform(8, FOUNDED)
    assert {m.key for m in history}.isdisjoint(event.id for event in other.events)
    assert participants(history).isdisjoint(participants(other.history(FOUNDED)))


def test_events_keep_their_identity_over_runs_with_the_same_founding(platform: Platform) -> None:
    assert Platform(7, FOUNDED.astimezone(SEOUL)).events == platform.events


@pytest.mark.parametrize("pace", [0.0, 1.0, 3.5])
def test_how_a_span_is_cut_does_not_change_what_happens_in_it(platform: Platform, pace: float) -> None:
    start = FOUNDED.replace(hour=14, minute=58)  # over midnight in Seoul, where two days meet
    cuts = [start + n * 0.5 * S for n in range(481)]
    pieces = [m for a, b in pairwise(cuts) for m in platform.live(a, b, pace)]
    assert in_any_order(pieces) == in_any_order(platform.live(start, cuts[-1], pace))


def test_the_past_continues_where_an_earlier_run_ended(platform: Platform, history: list[Message]) -> None:
    cut = FOUNDED - timedelta(days=3, hours=5)
    assert [*platform.history(cut), *platform.history(FOUNDED, since=cut)] == history


def test_the_present_holds_the_ordinary_course_too(platform: Platform) -> None:
    ordinary = list(platform.history(FOUNDED + DAY / 24, since=FOUNDED))
    assert in_any_order(ordinary) <= in_any_order(platform.live(FOUNDED, FOUNDED + DAY / 24))
    assert platform.live(FOUNDED, FOUNDED + DAY / 24, pace=0) == ordinary


def test_an_empty_span_holds_nothing(platform: Platform) -> None:
    assert platform.live(FOUNDED, FOUNDED) == []
    assert list(platform.history(FOUNDED, since=FOUNDED)) == []


# As the spec says


def test_every_message_satisfies_the_spec(history: list[Message], live: list[Message]) -> None:
    for message in [*history, *live]:
        VALID[message.topic](message.value)
        assert message.key == message.value["eventId"]
        assert len(json.dumps(message.value)) < 64_000


def test_no_message_is_known_before_it_happened(platform: Platform) -> None:
    for n in range(60):
        now = FOUNDED + n * S
        for message in platform.live(now - S, now):
            assert happened(message) <= now


def test_a_sale_and_its_refund_have_ids_of_their_own(history: list[Message]) -> None:
    sales = [m.value for m in history if m.topic == "sales-recorded"]
    assert len({sale["saleId"] for sale in sales}) == len(sales)
    assert 0.02 < sum(sale.get("refund") is True for sale in sales) / len(sales) < 0.08


def test_producers_spell_names_differently_and_bring_what_must_be_dropped(history: list[Message]) -> None:
    fields = Counter(field for m in history for field in m.value)
    assert {"title", "eventTitle", "storeId", "userId", "channelName", "channel", "entryPath"} <= fields.keys()
    assert {"name", "phoneNumber", "ownerPhone", "objective"} <= fields.keys()
    assert all(str(m.value.get("phoneNumber", "010-0000-")).startswith("010-0000-") for m in history)
    assert {"지니TV", "네이버블로그", "카카오채널"} <= {name for m in history for name in names_in(m)}
    assert {"CALL", "VOICE"} <= {str(entry.get("channelType")) for m in history for entry in entries_of(m)}
    ends = Counter(str(m.value.get("registeredAt", ""))[-6:] for m in history)
    assert ends["+09:00"] > 1_000
    assert sum(count for end, count in ends.items() if end.endswith("Z")) > 1_000


# As life goes


@pytest.mark.parametrize("seed", range(5))
def test_the_past_has_about_twenty_thousand_messages(seed: int) -> None:
    assert 14_000 < sum(1 for _ in Platform(seed, FOUNDED).history(FOUNDED)) < 28_000


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hour", [0, 7, 14, 21])
def test_twelve_events_stand_in_every_state_whatever_the_hour(seed: int, hour: int) -> None:
    now = FOUNDED.replace(hour=hour)
    events = Platform(seed, now).events
    assert len(events) == 12
    assert len({event.merchant.id for event in events}) == 4
    assert all(3 <= len(event.channels) <= 6 for event in events)
    assert [event.starts > now for event in events].count(True) == 1
    assert [event.ends is not None and event.ends < now for event in events].count(True) == 1
    assert all(DAY <= now - event.starts <= 30 * DAY for event in events if event.starts <= now)


def test_all_six_channels_bring_people(history: list[Message], live: list[Message]) -> None:
    for messages in history, live:
        people = Counter(name for m in messages if m.topic == "participant-registered" for name in channels_in(m))
        assert people.keys() == CHANNELS.keys()
        assert min(people.values()) > 20


def test_some_distributions_fail_and_most_of_these_are_retried(history: list[Message]) -> None:
    states: defaultdict[tuple[str, str], list[object]] = defaultdict(list)
    for m in history:
        if m.topic == "distribution-completed":
            for entry, name in zip(entries_of(m), channels_in(m), strict=True):
                states[m.key, name].append(entry["status"])
    assert ["FAILED", "SUCCESS"] in states.values()
    assert ["FAILED", "FAILED"] in states.values()
    lost = {key for key, state in states.items() if state[-1] == "FAILED"}
    people = {(m.key, name) for m in history if m.topic == "participant-registered" for name in channels_in(m)}
    assert lost.isdisjoint(people)


def test_nights_are_quiet_and_lunch_and_evening_busy(history: list[Message]) -> None:
    hours = Counter(
        happened(m).astimezone(SEOUL).hour
        for m in history
        if m.topic == "participant-registered" and happened(m).astimezone(SEOUL).weekday() < 5
    )
    night = max(hours[hour] for hour in (2, 3, 4, 5))
    assert min(hours[12], hours[20]) > 5 * night
    assert hours[12] > hours[15] < hours[20]


def test_weekends_go_differently(history: list[Message]) -> None:
    calls = Counter(
        happened(m).astimezone(SEOUL).weekday() >= 5
        for m in history
        if m.topic == "participant-registered" and channels_in(m) == ["RingoBiz"]
    )
    assert calls[True] / 2 < calls[False] / 5 / 2


def test_interest_fades_after_the_start(platform: Platform, history: list[Message]) -> None:
    starts = {event.id: event.starts for event in platform.events if event.starts < FOUNDED - 10 * DAY}
    ages = Counter(
        (happened(m) - starts[m.key]) // DAY for m in history if m.topic == "participant-registered" and m.key in starts
    )
    assert sum(ages[day] for day in range(3)) > 2 * sum(ages[day] for day in range(7, 10)) > 0


def test_one_in_twenty_names_no_channel(history: list[Message]) -> None:
    people = [m for m in history if m.topic == "participant-registered"]
    assert 0.03 < sum(not names_in(m) for m in people) / len(people) < 0.07


def test_some_come_twice_under_another_id_and_some_come_late(history: list[Message]) -> None:
    people = [m for m in history if m.topic == "participant-registered"]
    ids = defaultdict(set)
    for m in people:
        ids[m.key, m.value["participantId"]].add(m.value.get("messageId"))
    assert 0.01 < sum(len(each) > 1 for each in ids.values()) / len(ids) < 0.05
    newest, late = happened(people[0]), 0
    for m in people:
        newest = max(newest, happened(m))
        late += newest - happened(m) > timedelta(minutes=15)
    assert 0.01 < late / len(people) < 0.10


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_at_any_hour_and_after_months_a_page_visibly_moves(platform: Platform, hour: int) -> None:
    for start in FOUNDED.replace(hour=hour) + DAY, FOUNDED.replace(hour=hour) + 200 * DAY:
        messages = platform.live(start, start + 60 * S)
        assert 5 * 60 < len(messages) < 20 * 60
        running = {event.id for event in platform.events if event.runs(start)}
        assert running
        assert all(count > 6 for count in Counter(m.key for m in messages if m.key in running).values())
        assert running <= {m.key for m in messages}


def test_pace_is_the_rate(platform: Platform) -> None:
    once = len(platform.live(FOUNDED, FOUNDED + 300 * S))
    thrice = len(platform.live(FOUNDED, FOUNDED + 300 * S, pace=3))
    assert 2.5 < thrice / once < 3.5


# Load runs


def test_a_load_is_as_large_as_ordered_and_satisfies_the_spec() -> None:
    messages = list(load(3, events=20, messages=5_000, at=FOUNDED))
    assert len(messages) == 5_000
    assert messages == list(load(3, events=20, messages=5_000, at=FOUNDED))
    for topic, key, raw in messages:
        value = json.loads(raw)
        VALID[topic](value)
        assert value["eventId"].encode() == key
        assert FOUNDED - DAY / 24 <= instant(value["registeredAt"]) <= FOUNDED
    assert {key.decode() for _, key, _ in messages} == set(load_event_ids(3, 20))


def test_a_load_says_how_many_participants_it_holds() -> None:
    for every, expected in (0, 3_000), (50, 2_940), (3, 2_000):
        values = [json.loads(raw) for _, _, raw in load(1, events=7, messages=3_000, at=FOUNDED, repeat_every=every)]
        assert len({(value["eventId"], value["participantId"]) for value in values}) == expected
        assert len({value["messageId"] for value in values}) == 3_000


def test_the_events_of_a_load_satisfy_the_spec() -> None:
    messages = list(load_events(3, events=20, at=FOUNDED))
    for topic, _, raw in messages:
        VALID[topic](json.loads(raw))
    assert {key.decode() for _, key, _ in messages} == set(load_event_ids(3, 20))


# What the spec says of each


def check_created(value: dict[str, object]) -> None:
    check_common(value)
    text(value, "eventTitle" if "eventTitle" in value else "title", 255)
    text(value, "userId" if "userId" in value else "storeId", 36)
    instant(value["createdAt"])
    starts, ends = (instant(value.get(name, far)) for name, far in (("startDate", EARLY), ("endDate", FAR)))
    assert starts < ends
    for name in "totalInvestment", "expectedRevenue", "targetRoi", "baselineRevenue":
        money(value.get(name, 0))
    assert value.get("status", "ACTIVE") in ("ACTIVE", "ENDED", "ARCHIVED")


def check_registered(value: dict[str, object]) -> None:
    check_common(value)
    text(value, "participantId", 64)
    assert instant(value["registeredAt"]) > datetime(2015, 1, 1, tzinfo=UTC)
    assert all(canonical(name) for name in names_of(value))


def check_distributed(value: dict[str, object]) -> None:
    check_common(value)
    instant(value["completedAt"])
    types = {"WooriTV": {"TV"}, "GenieTV": {"TV"}, "RingoBiz": {"VOICE", "CALL"}}
    for entry in entries(value):
        (name,) = names_of(entry)
        assert entry["channelType"] in types.get(canonical(name), {"SNS"})
        assert entry["status"] in ("SUCCESS", "FAILED")
        money(entry.get("distributionCost", 0))
        views = entry.get("expectedViews", 0)
        assert isinstance(views, int) and 0 <= views < 2**31


def check_status(value: dict[str, object]) -> None:
    check_common(value)
    instant(value["changedAt"])
    assert value["status"] in ("ACTIVE", "ENDED", "ARCHIVED")


def check_sold(value: dict[str, object]) -> None:
    check_common(value)
    text(value, "saleId", 64)
    money(value["amount"])
    instant(value["soldAt"])
    assert isinstance(value.get("refund", False), bool)
    assert all(canonical(name) for name in names_of(value))


VALID: dict[str, Callable[[dict[str, object]], None]] = {
    "event-created": check_created,
    "participant-registered": check_registered,
    "distribution-completed": check_distributed,
    "event-status-changed": check_status,
    "sales-recorded": check_sold,
}


def check_common(value: dict[str, object]) -> None:
    text(value, "eventId", 36)
    if "messageId" in value:
        text(value, "messageId", 64)


def text(value: dict[str, object], name: str, length_max: int) -> None:
    found = value[name]
    assert isinstance(found, str) and 1 <= len(found) <= length_max and "\0" not in found


def money(found: object) -> None:
    assert isinstance(found, int | float | str)
    assert 0 <= Decimal(str(found)) < 10**13


def instant(found: object) -> datetime:
    assert isinstance(found, str)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}(\d{3})?)?(Z|\+09:00)|.*\+00:00", found), found
    return datetime.fromisoformat(found)


def entries(value: dict[str, object]) -> list[dict[str, object]]:
    for name in "channels", "distributedChannels":
        if name in value:
            return value[name]  # type: ignore[return-value]  # a list, or the checks of its parts fail
    return [value]


def entries_of(message: Message) -> list[dict[str, object]]:
    return entries(message.value) if message.topic == "distribution-completed" else []


def names_of(value: dict[str, object]) -> list[str]:
    return [str(value[name]) for name in ("channelName", "channel", "entryPath") if name in value]


def names_in(message: Message) -> list[str]:
    return [name for part in entries_of(message) or [message.value] for name in names_of(part)]


def channels_in(message: Message) -> list[str]:
    return [canonical(name) for name in names_in(message)]


def canonical(name: str) -> str:
    """The one name of the spec's table; KeyError if it is not there."""
    return {folded(alias): channel for channel, aliases in CHANNELS.items() for alias in aliases}[folded(name)]


def folded(name: str) -> str:
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFC", name).casefold())


def happened(message: Message) -> datetime:
    times = ("registeredAt", "soldAt", "completedAt", "changedAt", "createdAt")
    return instant(next(message.value[name] for name in times if name in message.value))


def participants(messages: Iterable[Message]) -> set[object]:
    return {m.value["participantId"] for m in messages if m.topic == "participant-registered"}


def in_any_order(messages: Iterable[Message]) -> Counter[str]:
    return Counter(json.dumps(message, sort_keys=True) for message in messages)
