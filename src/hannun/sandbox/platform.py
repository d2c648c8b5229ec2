"""The simulated platform: all messages up to a time, and all messages between two times.

The messages are a pure function of (seed, founded_at, times). Two calls return the same messages, and the messages of
a range do not depend on how the range is split into calls. For this, time is divided into periods, each with its own
random generator:

    days     (in Seoul) contain the base traffic: announcements, distributions, participants and sales, which vary
             over the day; some hundreds of messages a day. `history` contains only these.
    minutes  contain the demo traffic: additional participants that only `live` contains, since a few hundred messages
             a day do not visibly move a page.

The consequences of a message (its repeat, a sale, a refund) arrive in the same period, so each period is independent
of the others. After an interruption the caller fills the gap with `history`. The demo traffic of that time is left out.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from hannun.sandbox import message_format
from hannun.sandbox.catalogue import (
    SEOUL,
    Channel,
    Event,
    Merchant,
    create_events,
    create_merchants,
)
from hannun.sandbox.message_format import Message
from hannun.sandbox.traffic import is_available, sample_poisson, sample_visits_of_day, time_of_day_factor

__all__ = ["Message", "Platform"]

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

# Demo traffic over all events at pace 1 and at an average hour. Repeats, sales and refunds add about a quarter more
# messages. The page of one event receives about one message every two seconds.
DEMO_VISITS_PER_S = 7.0

# Fractions of all registrations, and of all sales.
UNATTRIBUTED_PART = 0.05
LATE_PART = 0.02
REPEATED_PART = 0.03  # the same participant in a message with a new messageId
REDELIVERED_PART = 0.01  # exactly the same message
REFUNDED_PART = 0.05


class Arrival(NamedTuple):
    """A message, and the time of its arrival. The fact in the message may be much older."""

    at: datetime
    message: Message


_arrival_time = itemgetter(0)


class Platform:
    """Merchants, their events, and all messages about these.

    Args:
        seed: determines merchants, events and participants; ids depend on nothing else.
        founded_at: determines all times. Store it with the data: with the same value the events stay the same over
            runs. At this time two of the twenty events have not started yet and two have ended.
        popularity: a factor of the number of participants of every event; 1 is a small shop's.
    """

    def __init__(self, seed: int, founded_at: datetime, popularity: float = 1.0) -> None:
        self.seed = seed
        self.founded_at = founded_at.astimezone(UTC)
        self.merchants: tuple[Merchant, ...] = create_merchants(seed)
        self.events: tuple[Event, ...] = create_events(seed, self.founded_at, popularity)
        self._milestones = [milestone for event in self.events for milestone in _milestones(seed, event)]
        # The send loop reads half a second at a time, so it reads the same day and minute many times.
        self._cached_day = lru_cache(maxsize=2)(self._base_traffic_of_day)
        self._cached_minute = lru_cache(maxsize=4)(self._demo_traffic_of_minute)

    def history(self, until: datetime, since: datetime | None = None) -> Iterator[Message]:
        """The base traffic in [since, until), in order of arrival; from its beginning if `since` is None."""
        since = since or min(map(_arrival_time, self._milestones))
        for day in _days(since, until):
            yield from (arrival.message for arrival in _arrivals_between(self._base_traffic_of_day(day), since, until))

    def live(self, since: datetime, until: datetime, pace: float = 1.0) -> list[Message]:
        """The base traffic and the demo traffic in [since, until), in order of arrival.

        Args:
            pace: the rate of the demo traffic. 1 is about 6 to 13 messages a second, more of them by day; 0 is none.
        """
        base = chain.from_iterable(
            _arrivals_between(self._cached_day(day), since, until) for day in _days(since, until)
        )
        demo = chain.from_iterable(
            _arrivals_between(self._cached_minute(minute, pace), since, until) for minute in _minutes(since, until)
        )
        return [arrival.message for arrival in heapq.merge(base, demo, key=_arrival_time)]

    def _base_traffic_of_day(self, day: date) -> list[Arrival]:
        """The base traffic of a day in Seoul, sorted by arrival."""
        midnight = datetime.combine(day, time(), SEOUL).astimezone(UTC)
        end = midnight + DAY
        arrivals = [milestone for milestone in self._milestones if midnight <= milestone.at < end]
        for event in self.events:
            rng = random.Random(f"{self.seed}/{event.number}/day/{day}")
            for channel in event.channels:
                for visit in sample_visits_of_day(rng, event, channel, midnight):
                    arrivals += _messages_of_visit(rng, event, channel, visit, end, sale_probability=0.22)
        return sorted(arrivals, key=_arrival_time)

    def _demo_traffic_of_minute(self, minute: datetime, pace: float) -> list[Arrival]:
        """The demo traffic of a minute, sorted by arrival."""
        running = [event for event in self.events if any(_available_channels(event, minute))]
        # The total is divided among the running events, so the rate does not depend on their number.
        total = sum(event.expected_participants for event in running)
        # The page must move at night too, so demo traffic varies over the day much less than base traffic.
        factor = 0.7 + 0.3 * min(2.0, time_of_day_factor("Instagram", minute))
        expected = pace * DEMO_VISITS_PER_S * 60 * factor
        arrivals: list[Arrival] = []
        for event in running:
            rng = random.Random(f"{self.seed}/{event.number}/minute/{minute.isoformat()}")
            channels = list(_available_channels(event, minute))
            weights = [channel.participant_share * time_of_day_factor(channel.name, minute) for channel in channels]
            visits = sample_poisson(rng, expected * event.expected_participants / total)
            for channel in rng.choices(channels, weights, k=visits):
                at = _interpolate(minute, minute + MINUTE, rng.random())
                arrivals += _messages_of_visit(rng, event, channel, at, minute + MINUTE, sale_probability=0.10)
        return sorted(arrivals, key=_arrival_time)


def _milestones(seed: int, event: Event) -> Iterator[Arrival]:
    """The messages about an event itself: its creation, distributions, new plan and end."""
    rng = random.Random(f"{seed}/{event.number}/milestones")
    announcement = message_format.event_created(rng, event)
    yield Arrival(event.announced_at, announcement)
    if rng.random() < 0.3:
        yield Arrival(event.announced_at + timedelta(seconds=40), announcement)
    yield from _distributions(rng, event)
    if event.replanned_at is not None:
        yield Arrival(event.replanned_at, message_format.event_replanned(rng, event, event.replanned_at))
    if event.ends_at is not None:
        yield Arrival(event.ends_at, message_format.event_status_changed(rng, event, "ENDED", event.ends_at))


def _distributions(rng: random.Random, event: Event) -> Iterator[Arrival]:
    """One message for the first distribution, then one for each channel that is retried or added later."""
    first = [channel for channel in event.channels if channel.first_distributed_at < event.starts_at]
    completed_at = max(channel.first_distributed_at for channel in first)
    statuses = ["SUCCESS" if channel.available_from == channel.first_distributed_at else "FAILED" for channel in first]
    yield Arrival(completed_at, message_format.distribution_completed(rng, event, first, statuses, completed_at))
    for channel in event.channels:
        if channel.available_from is None:
            retried_at = completed_at + timedelta(hours=2)
            retry = message_format.distribution_completed(rng, event, [channel], ["FAILED"], retried_at)
            yield Arrival(retried_at, retry)
        elif channel.available_from != channel.first_distributed_at or channel not in first:
            available_from = channel.available_from
            success = message_format.distribution_completed(rng, event, [channel], ["SUCCESS"], available_from)
            yield Arrival(available_from, success)


def _messages_of_visit(
    rng: random.Random, event: Event, channel: Channel, at: datetime, end: datetime, *, sale_probability: float
) -> Iterator[Arrival]:
    """The registration of one participant at `at`, and its consequences before `end`."""
    # A call centre derives its ids from other data (version 5); the other channels draw random ids.
    participant_id = message_format.create_random_id(rng, version=5 if channel.name == "RingoBiz" else 4)
    source = None if rng.random() < UNATTRIBUTED_PART else channel.name
    registered_at = _random_registration_time(rng, event, at)
    registration = message_format.participant_registered(rng, event, participant_id, source, registered_at)
    yield Arrival(at, registration)
    sample = rng.random()
    if sample < REPEATED_PART:
        repeat = message_format.participant_registered(rng, event, participant_id, source, registered_at)
        yield Arrival(_random_time_between(rng, at, end), repeat)
    elif sample < REPEATED_PART + REDELIVERED_PART:
        yield Arrival(_random_time_between(rng, at, end), registration)
    if rng.random() < sale_probability:
        yield from _messages_of_sale(rng, event, source, _random_time_between(rng, at, end), end)


def _messages_of_sale(
    rng: random.Random, event: Event, source: str | None, at: datetime, end: datetime
) -> Iterator[Arrival]:
    """A sale at `at`, and for some sales a refund before `end`."""
    amount = max(1_000, int(round(event.average_order_value * rng.lognormvariate(-0.1, 0.45), -2)))
    yield Arrival(at, message_format.sale_recorded(rng, event, source, amount, at))
    if rng.random() < REFUNDED_PART:
        refunded_at = _random_time_between(rng, at, end)
        refund = message_format.sale_recorded(rng, event, source, amount, refunded_at, refund=True)
        yield Arrival(refunded_at, refund)


def _random_registration_time(rng: random.Random, event: Event, arrival: datetime) -> datetime:
    """The registration time of a message that arrives at `arrival`, never before the event's start.

    It is up to 2 s before the arrival, and for late messages up to 20 hours.
    """
    ago_s = rng.uniform(600, 72_000) if rng.random() < LATE_PART else rng.uniform(0, 2)
    return max(event.starts_at, arrival - timedelta(seconds=ago_s))


def _random_time_between(rng: random.Random, at: datetime, end: datetime) -> datetime:
    """A random time in [at, end); earlier times are more likely."""
    return _interpolate(at, end, rng.random() ** 2)


def _interpolate(start: datetime, end: datetime, fraction: float) -> datetime:
    """The time at this fraction of [start, end), always before `end`: rounding must not move it to the next period."""
    return min(start + (end - start) * fraction, end - timedelta.resolution)


def _available_channels(event: Event, at: datetime) -> Iterator[Channel]:
    if event.is_running(at):
        yield from (channel for channel in event.channels if is_available(channel, at))


def _arrivals_between(arrivals: list[Arrival], since: datetime, until: datetime) -> list[Arrival]:
    """The part of a list, sorted by arrival, that arrives in [since, until)."""
    first = bisect_left(arrivals, since, key=_arrival_time)
    return arrivals[first : bisect_left(arrivals, until, key=_arrival_time)]


def _days(since: datetime, until: datetime) -> Iterator[date]:
    """The days in Seoul that overlap [since, until)."""
    day, last = since.astimezone(SEOUL).date(), until.astimezone(SEOUL).date()
    while day <= last:
        yield day
        day += DAY


def _minutes(since: datetime, until: datetime) -> Iterator[datetime]:
    """The beginnings, in UTC, of the minutes that overlap [since, until)."""
    minute = since.astimezone(UTC).replace(second=0, microsecond=0)
    while minute < until:
        yield minute
        minute += MINUTE
