"""The simulated platform: everything that happened up to a time, and what happens from one time to the next.

A pure function of (seed, founded, times): asked twice, it says the same, and what happens in a span does
not depend on how the span is cut. For this, time is divided into cells with a random generator each:

    days     (of Seoul) hold the ordinary course: announcements, distributions, participants and sales in
             their daily rhythm, some hundreds a day. This is all there is in `history`.
    minutes  hold the bustle: a crowd that comes only while somebody watches (`live`), since nobody
             can see a few hundred messages a day move a page.

What follows from a message (its repeat, a sale, a refund) arrives in the same cell, so no cell needs
to know another. A driver that was away fills the gap with `history`; the bustle of a time nobody
watched has not happened.
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

from hannun.sandbox import wording
from hannun.sandbox.catalogue import (
    SEOUL,
    Channel,
    Event,
    Merchant,
    events_of,
    merchants_of,
)
from hannun.sandbox.crowd import is_open, poisson, rhythm, visits_of_day
from hannun.sandbox.wording import Message

__all__ = ["Message", "Platform"]

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

# Visits a second over all events at pace 1 and at an ordinary hour; with what follows from them it is
# about a quarter more messages. Seen from a page of one event: about one every two seconds.
BUSTLE_VISITS_PER_S = 7.0

UNATTRIBUTED = 0.05
LATE = 0.02
REPEATED = 0.03  # the same participant under a new messageId
REDELIVERED = 0.01  # the very same message
REFUNDED = 0.05


class Occurrence(NamedTuple):
    """A message and when it arrives, which may be long after what it tells."""

    at: datetime
    message: Message


_at = itemgetter(0)


class Platform:
    """Merchants, their events, and all that happens to these.

    Args:
        seed: decides who and what; ids follow from it alone.
        founded: decides when; keep it with the data, and the events keep their identity over runs. Of
            twelve events one then still has to start and one has ended.
    """

    def __init__(self, seed: int, founded: datetime) -> None:
        self.seed = seed
        self.founded = founded.astimezone(UTC)
        self.merchants: tuple[Merchant, ...] = merchants_of(seed)
        self.events: tuple[Event, ...] = events_of(seed, self.founded)
        self._milestones = [milestone for event in self.events for milestone in _milestones(seed, event)]
        # A driver asks for the same day and minute again and again, half a second at a time.
        self._recent_day = lru_cache(maxsize=2)(self._day)
        self._recent_minute = lru_cache(maxsize=4)(self._minute)

    def history(self, until: datetime, since: datetime | None = None) -> Iterator[Message]:
        """The ordinary course in [since, until), in the order of arrival; `since` None: from the beginning."""
        since = since or min(map(_at, self._milestones))
        for day in _days(since, until):
            yield from (occurrence.message for occurrence in _within(self._day(day), since, until))

    def live(self, since: datetime, until: datetime, pace: float = 1.0) -> list[Message]:
        """What happens in [since, until) while somebody watches, in the order of arrival.

        Args:
            pace: 1 makes about 6 to 13 messages a second, more of them by day; 0 leaves the ordinary course.
        """
        course = chain.from_iterable(_within(self._recent_day(day), since, until) for day in _days(since, until))
        bustle = chain.from_iterable(
            _within(self._recent_minute(minute, pace), since, until) for minute in _minutes(since, until)
        )
        return [occurrence.message for occurrence in heapq.merge(course, bustle, key=_at)]

    def _day(self, day: date) -> list[Occurrence]:
        """The ordinary course of a day of Seoul, sorted by arrival."""
        midnight = datetime.combine(day, time(), SEOUL).astimezone(UTC)
        end = midnight + DAY
        occurrences = [milestone for milestone in self._milestones if midnight <= milestone.at < end]
        for event in self.events:
            rng = random.Random(f"{self.seed}/{event.number}/day/{day}")
            for channel in event.channels:
                for visit in visits_of_day(rng, event, channel, midnight):
                    occurrences += _visit(rng, event, channel, visit, end, buys=0.22)
        return sorted(occurrences, key=_at)

    def _minute(self, minute: datetime, pace: float) -> list[Occurrence]:
        """The bustle of a minute, sorted by arrival."""
        running = [event for event in self.events if any(_open_channels(event, minute))]
        # The mean of all that run keeps the rate where it is, however many these are.
        crowd = sum(event.crowd for event in running)
        # By night the page must move too, so the rhythm is much weaker than the ordinary one.
        expected = pace * BUSTLE_VISITS_PER_S * 60 * (0.7 + 0.3 * min(2.0, rhythm("Instagram", minute)))
        occurrences: list[Occurrence] = []
        for event in running:
            rng = random.Random(f"{self.seed}/{event.number}/minute/{minute.isoformat()}")
            channels = list(_open_channels(event, minute))
            weights = [channel.share * rhythm(channel.name, minute) for channel in channels]
            visits = poisson(rng, expected * event.crowd / crowd)
            for channel in rng.choices(channels, weights, k=visits):
                at = _point(minute, minute + MINUTE, rng.random())
                occurrences += _visit(rng, event, channel, at, minute + MINUTE, buys=0.10)
        return sorted(occurrences, key=_at)


def _milestones(seed: int, event: Event) -> Iterator[Occurrence]:
    """What the platform itself does with an event: announce, distribute, replan, end."""
    rng = random.Random(f"{seed}/{event.number}/milestones")
    announcement = wording.created(rng, event)
    yield Occurrence(event.announced, announcement)
    if rng.random() < 0.3:
        yield Occurrence(event.announced + timedelta(seconds=40), announcement)
    yield from _distributions(rng, event)
    if event.replanned is not None:
        yield Occurrence(event.replanned, wording.replanned(rng, event, event.replanned))
    if event.ends is not None:
        yield Occurrence(event.ends, wording.status_changed(rng, event, "ENDED", event.ends))


def _distributions(rng: random.Random, event: Event) -> Iterator[Occurrence]:
    """The first round in one message, then each retried or added channel in one of its own."""
    first = [channel for channel in event.channels if channel.tried < event.starts]
    done = max(channel.tried for channel in first)
    status = ["SUCCESS" if channel.opens == channel.tried else "FAILED" for channel in first]
    yield Occurrence(done, wording.distributed(rng, event, first, status, done))
    for channel in event.channels:
        if channel.opens is None:
            again = done + timedelta(hours=2)
            yield Occurrence(again, wording.distributed(rng, event, [channel], ["FAILED"], again))
        elif channel.opens != channel.tried or channel not in first:
            yield Occurrence(channel.opens, wording.distributed(rng, event, [channel], ["SUCCESS"], channel.opens))


def _visit(
    rng: random.Random, event: Event, channel: Channel, at: datetime, end: datetime, *, buys: float
) -> Iterator[Occurrence]:
    """One participant, arriving at `at`, and all that follows from this one before `end`.

    Args:
        buys: how likely a sale follows.
    """
    # A call centre makes its ids out of what it knows (version 5); the others draw them.
    participant_id = wording.random_id(rng, version=5 if channel.name == "RingoBiz" else 4)
    source = None if rng.random() < UNATTRIBUTED else channel.name
    registered_at = _told_at(rng, event, at)
    registration = wording.registered(rng, event, participant_id, source, registered_at)
    yield Occurrence(at, registration)
    again = rng.random()
    if again < REPEATED:
        repeat = wording.registered(rng, event, participant_id, source, registered_at)
        yield Occurrence(_between(rng, at, end), repeat)
    elif again < REPEATED + REDELIVERED:
        yield Occurrence(_between(rng, at, end), registration)
    if rng.random() < buys:
        yield from _sale(rng, event, source, _between(rng, at, end), end)


def _sale(rng: random.Random, event: Event, source: str | None, at: datetime, end: datetime) -> Iterator[Occurrence]:
    amount = max(1_000, int(round(event.basket * rng.lognormvariate(-0.1, 0.45), -2)))
    yield Occurrence(at, wording.sold(rng, event, source, amount, at))
    if rng.random() < REFUNDED:
        back = _between(rng, at, end)
        yield Occurrence(back, wording.sold(rng, event, source, amount, back, refund=True))


def _told_at(rng: random.Random, event: Event, arrival: datetime) -> datetime:
    """When somebody registered who arrives now: a moment ago, or (late) up to twenty hours; never before the start."""
    ago_s = rng.uniform(600, 72_000) if rng.random() < LATE else rng.uniform(0, 2)
    return max(event.starts, arrival - timedelta(seconds=ago_s))


def _between(rng: random.Random, at: datetime, end: datetime) -> datetime:
    """A time from `at` on and before `end`, rather early than late."""
    return _point(at, end, rng.random() ** 2)


def _point(start: datetime, end: datetime, part: float) -> datetime:
    """So far on the way from start to end, and always before `end`: rounding must not carry it into the next cell."""
    return min(start + (end - start) * part, end - timedelta.resolution)


def _open_channels(event: Event, at: datetime) -> Iterator[Channel]:
    if event.runs(at):
        yield from (channel for channel in event.channels if is_open(channel, at))


def _within(occurrences: list[Occurrence], since: datetime, until: datetime) -> list[Occurrence]:
    """Those that arrive in [since, until), of a list sorted by arrival."""
    return occurrences[bisect_left(occurrences, since, key=_at) : bisect_left(occurrences, until, key=_at)]


def _days(since: datetime, until: datetime) -> Iterator[date]:
    """The days of Seoul that [since, until) touches."""
    day, last = since.astimezone(SEOUL).date(), until.astimezone(SEOUL).date()
    while day <= last:
        yield day
        day += DAY


def _minutes(since: datetime, until: datetime) -> Iterator[datetime]:
    """The beginnings, in UTC, of the minutes that [since, until) touches."""
    minute = since.astimezone(UTC).replace(second=0, microsecond=0)
    while minute < until:
        yield minute
        minute += MINUTE
