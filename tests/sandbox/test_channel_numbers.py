"""The numbers of the simulated channels: they never fall, and look like those of the platform's participants."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.sandbox.catalogue import CHANNEL_PROFILES
from hannun.sandbox.channels.numbers import Source, Sources, Totals, measure
from hannun.sandbox.message_format import SPELLINGS
from hannun.sandbox.platform import Platform
from hannun.sandbox.simulation import DEMO_PACE, DEMO_POPULARITY, DEMO_SEED

FOUNDED = datetime(2026, 5, 13, 3, 20, tzinfo=UTC)  # a Wednesday, noon in Seoul
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PLATFORM = Platform(DEMO_SEED, FOUNDED, DEMO_POPULARITY)
SMALL_PLATFORM = Platform(DEMO_SEED, FOUNDED)
SOURCES = Sources(PLATFORM, pace=DEMO_PACE)
CHANNEL_OF_SPELLING = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}

channels = st.sampled_from(list(CHANNEL_PROFILES))
event_ids = st.sampled_from([event.id for event in PLATFORM.events]) | st.uuids().map(str) | st.text(max_size=40)
times = st.timedeltas(-40 * DAY, 400 * DAY).map(lambda ago: FOUNDED + ago)


def totals(channel: str, event_id: str, at: datetime) -> Totals | None:
    source = SOURCES.get(channel, event_id)
    return source and measure(source, CHANNEL_PROFILES[channel].type, at)


@settings(derandomize=True, deadline=None, max_examples=400, database=None)
@given(channels, event_ids, st.lists(times, min_size=2, max_size=6).map(sorted))
def test_no_total_falls_and_none_disappears(channel: str, event_id: str, polled_at: list[datetime]) -> None:
    polls = [totals(channel, event_id, at) for at in polled_at]
    known = [poll for poll in polls if poll is not None]
    assert polls == [None] * (len(polls) - len(known)) + known, "what was known stays known"
    for before, after in pairwise(known):
        for name, value in before._asdict().items():
            later = getattr(after, name)
            assert (value is None) == (later is None)
            assert value is None or name == "average_duration" or 0 <= value <= later, name


@settings(derandomize=True, deadline=None, max_examples=400, database=None)
@given(channels, event_ids, times)
def test_the_numbers_are_those_that_a_channel_may_report(channel: str, event_id: str, at: datetime) -> None:
    found = totals(channel, event_id, at)
    if found is None:
        return
    if CHANNEL_PROFILES[channel].type == "VOICE":
        assert found.total_calls is not None and found.completed_calls is not None
        assert found.total_calls >= found.completed_calls
        assert found.average_duration is not None and 15 < found.average_duration < 100
        assert found.views is None
        return
    assert found.impressions is not None and found.views is not None and found.clicks is not None
    assert found.impressions >= found.views >= found.clicks
    assert found.conversions is not None and found.conversions <= found.clicks
    social = CHANNEL_PROFILES[channel].type == "SNS"
    assert (found.likes is not None) == (found.comments is not None) == (found.shares is not None) == social
    if social:
        assert found.likes is not None and found.comments is not None and found.shares is not None
        assert found.comments <= found.likes <= found.views
        assert found.shares <= found.likes


def test_the_same_event_has_the_same_numbers_in_every_process() -> None:
    again = Sources(Platform(DEMO_SEED, FOUNDED, DEMO_POPULARITY), pace=DEMO_PACE)
    for channel in CHANNEL_PROFILES:
        for event_id in (PLATFORM.events[0].id, "an event of a load run"):
            assert again.get(channel, event_id) == SOURCES.get(channel, event_id)


def test_numbers_begin_when_the_event_runs_on_the_channel_and_end_with_it() -> None:
    for event in PLATFORM.events:
        for channel in event.channels:
            if channel.available_from is None:
                assert SOURCES.get(channel.name, event.id) is None
                continue
            begins_at = max(channel.available_from, event.starts_at)
            assert totals(channel.name, event.id, begins_at - HOUR / 3_600) is None
            assert totals(channel.name, event.id, begins_at) is not None
            if event.ends_at is not None:
                assert totals(channel.name, event.id, event.ends_at + DAY) == totals(
                    channel.name, event.id, event.ends_at
                )
        for name in set(CHANNEL_PROFILES) - {channel.name for channel in event.channels}:
            assert SOURCES.get(name, event.id) is None, "it was never distributed to this channel"


@pytest.fixture(scope="module")
def participants() -> Counter[tuple[str, str]]:
    """The participants of each event and channel that a small platform sends up to its founding."""
    seen: dict[tuple[str, str], set[object]] = defaultdict(set)
    for message in SMALL_PLATFORM.history(FOUNDED):
        name = next((v for v in message.value.values() if isinstance(v, str) and v in CHANNEL_OF_SPELLING), None)
        if message.topic == "participant-registered" and name is not None:
            seen[message.key, CHANNEL_OF_SPELLING[name]].add(message.value["participantId"])
    return Counter({key: len(ids) for key, ids in seen.items()})


def test_the_rates_are_believable_beside_the_participants(participants: Counter[tuple[str, str]]) -> None:
    compared = 0
    sources = Sources(SMALL_PLATFORM)
    for (event_id, channel), count in participants.items():
        source = sources.get(channel, event_id)
        found = source and measure(source, CHANNEL_PROFILES[channel].type, FOUNDED)
        if count < 50 or found is None:
            continue
        compared += 1
        if found.total_calls is not None:
            assert 1.5 < found.total_calls / count < 20, (event_id, channel)
            continue
        assert found.clicks is not None and found.views is not None and found.conversions is not None
        assert 1.2 < found.clicks / count < 15, (event_id, channel)
        assert 0.003 < found.clicks / found.views < 0.5
        assert found.conversions / count < 1
    assert compared > 40


def test_more_happens_by_day_than_at_night() -> None:
    for channel in CHANNEL_PROFILES:
        source = Source("any", channel, FOUNDED - 20 * DAY, None, visits_of_month=1_000_000.0)
        midnight = datetime(2026, 5, 13, 15, tzinfo=UTC)  # in Seoul

        def gained(from_h: int, until_h: int, source: Source = source, midnight: datetime = midnight) -> int:
            name = "total_calls" if source.channel == "RingoBiz" else "views"
            type_ = CHANNEL_PROFILES[source.channel].type
            before, after = (measure(source, type_, midnight + hour * HOUR) for hour in (from_h, until_h))
            return int(getattr(after, name) - getattr(before, name))

        assert gained(9, 21) > 3 * gained(0, 6) > 0, channel


def test_the_demo_s_live_participants_are_part_of_the_numbers() -> None:
    """A demo that runs for months keeps rates that are believable: its live messages go on at the same pace."""
    event = PLATFORM.events[0]
    quiet = Sources(PLATFORM, pace=0.0)
    for channel in event.channels:
        live, base = SOURCES.get(channel.name, event.id), quiet.get(channel.name, event.id)
        assert live is not None and base is not None
        type_ = CHANNEL_PROFILES[channel.name].type
        assert measure(live, type_, FOUNDED) == measure(base, type_, FOUNDED)
        later, without = (measure(source, type_, FOUNDED + 30 * DAY) for source in (live, base))
        assert later is not None and without is not None
        assert sum(filter(None, later)) > 1.5 * sum(filter(None, without))
