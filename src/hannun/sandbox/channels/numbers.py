"""The totals that a channel reports of an event at a time: a pure function of (event, channel, time).

The visits through a channel follow the model of the simulated platform (`traffic`): interest decays after the channel
becomes available, and varies over the hours of a week. The integral of that model is needed in closed form, since a
channel is asked for a total at any time. So time is warped: an hour with twice the mean traffic counts as two hours.

    visits(t) = participants of a month * share of a month by the age of (warped t - warped start)

Each count is the visits times a factor that is fixed for the event and the channel. A slow wave makes the rates vary
with time. Its slope is below 1, so totals still never fall.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from hannun.sandbox.catalogue import CHANNEL_PROFILES
from hannun.sandbox.platform import DEMO_VISITS_PER_S, Platform
from hannun.sandbox.traffic import INTEREST_DECAYS, InterestDecay, time_of_day_factor

_HOUR = timedelta(hours=1)
_WEEK_H = 168
_MONTH_H = 720.0
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
_DEFAULT_DECAY = INTEREST_DECAYS["Instagram"]
_UNKNOWN_EVENTS_START_WITHIN_H = 14 * 24


class Totals(NamedTuple):
    """The running totals of an event on a channel. None where this type of channel has no such count.

    Attributes:
        average_duration: the mean length of a call, in seconds.
    """

    impressions: int | None = None
    views: int | None = None
    clicks: int | None = None
    conversions: int | None = None
    likes: int | None = None
    comments: int | None = None
    shares: int | None = None
    total_calls: int | None = None
    completed_calls: int | None = None
    average_duration: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What determines the totals of one event on one channel.

    Attributes:
        starts_at: the channel has no numbers of the event before.
        ends_at: the numbers do not move any more after this time; None if the event has no end.
        visits_of_month: the expected visits in its first thirty days.
        visits_per_h: further visits in each hour, as long as the event runs, since `steady_from`.
        views_of_month: the views that were expected when the event was distributed; None if nobody expected any.
    """

    event_id: str
    channel: str
    starts_at: datetime
    ends_at: datetime | None
    visits_of_month: float
    visits_per_h: float = 0.0
    steady_from: datetime = _MONDAY
    views_of_month: float | None = None


def measure(source: Source, type_: str, at: datetime) -> Totals | None:
    """The totals at this time; None before the channel is available.

    Args:
        type_: TV, SNS or VOICE. It decides which counts there are.
    """
    if at < source.starts_at:
        return None
    if source.ends_at is not None:
        at = min(at, source.ends_at)
    return _COUNTS_OF_TYPE[type_](_Factors(source), visits(source, at))


def visits(source: Source, at: datetime) -> float:
    """The expected number of visits through the channel up to this time."""
    age_h = _warped_h(source.channel, at) - _warped_h(source.channel, source.starts_at)
    decay = INTEREST_DECAYS.get(source.channel, _DEFAULT_DECAY)
    steady_h = max(timedelta(0), at - max(source.steady_from, source.starts_at)) / _HOUR
    return source.visits_of_month * _share_until(decay, max(0.0, age_h)) + source.visits_per_h * steady_h


class _Factors:
    """Numbers between 0 and 1 that are fixed for an event and a channel."""

    def __init__(self, source: Source) -> None:
        digest = blake2b(f"{source.channel}/{source.event_id}".encode(), digest_size=16).digest()
        self._parts = [byte / 255 for byte in digest]
        self.source = source

    def between(self, number: int, low: float, high: float) -> float:
        return low + self._parts[number] * (high - low)

    def vary(self, number: int, amount: float) -> float:
        """The amount with a slow wave on it, which rises as the amount does and is between 0.9 and 1.45 of it."""
        width = 12.0 + 60.0 * self._parts[number]
        return amount + 0.45 * width * math.sin(amount / width)


def _television(factors: _Factors, visited: float) -> Totals:
    """A channel of a television: it is seen by many, and a remote control is no mouse."""
    views = _views(factors, visited)
    return Totals(
        impressions=int(views * factors.between(1, 1.6, 2.6)),
        views=int(views),
        clicks=_clicks(factors, visited),
        conversions=_conversions(factors, visited),
    )


def _social(factors: _Factors, visited: float) -> Totals:
    views = _views(factors, visited)
    liked = factors.vary(7, visited) * factors.between(8, 0.5, 1.1)
    return Totals(
        impressions=int(views * factors.between(1, 1.2, 1.9)),
        views=int(views),
        clicks=_clicks(factors, visited),
        conversions=_conversions(factors, visited),
        likes=int(liked),
        comments=int(liked * factors.between(9, 0.05, 0.2)),
        shares=int(liked * factors.between(10, 0.04, 0.15)),
    )


def _voice(factors: _Factors, visited: float) -> Totals:
    """A call centre: calls that were made, and those in which somebody heard the message to its end."""
    calls = factors.vary(4, visited) * factors.between(5, 3.0, 5.0)
    completed = calls * factors.between(6, 0.45, 0.7)
    return Totals(
        total_calls=int(calls),
        completed_calls=int(completed),
        average_duration=round(factors.between(7, 28, 75) + 4 * math.sin(visited / 90)),
        conversions=_conversions(factors, visited),
    )


_COUNTS_OF_TYPE: Mapping[str, Callable[[_Factors, float], Totals]] = {
    "TV": _television,
    "SNS": _social,
    "VOICE": _voice,
}


def _clicks(factors: _Factors, visited: float) -> int:
    return int(factors.vary(4, visited) * factors.between(3, 2.2, 3.6))


def _views(factors: _Factors, visited: float) -> float:
    """Views: more than three for each click, and about as many in a month as were expected."""
    expected = factors.source.views_of_month or 0.0
    for_each = max(12.0, expected / max(1.0, factors.source.visits_of_month)) * factors.between(0, 0.9, 1.3)
    return factors.vary(2, visited) * for_each


def _conversions(factors: _Factors, visited: float) -> int:
    """Sales that the channel believes it brought: near those that the platform records for its participants."""
    return int(factors.vary(11, visited) * factors.between(12, 0.16, 0.22))


def _share_until(decay: InterestDecay, age_h: float) -> float:
    """The integral of `InterestDecay.share_of_hour` from 0 to this age."""
    age = age_h / decay.decay_h
    interest = 1 - (1 + age) * math.exp(-age) if decay.rises_first else 1 - math.exp(-age)
    return (decay.decay_h * interest + decay.lasting_part * age_h) / (decay.decay_h + decay.lasting_part * _MONTH_H)


def _traffic_of_week(channel: str) -> tuple[float, ...]:
    """The warped hours from Monday, 0:00 UTC, to the beginning of each hour of the week, and to its end."""
    total = 0.0
    totals = [total]
    for hour in range(_WEEK_H):
        total += time_of_day_factor(channel, _MONDAY + hour * _HOUR)
        totals.append(total)
    return tuple(totals)


_TRAFFIC_OF_WEEK = {channel: _traffic_of_week(channel) for channel in CHANNEL_PROFILES}
_OTHER_TRAFFIC_OF_WEEK = _traffic_of_week("Instagram")


def _warped_h(channel: str, at: datetime) -> float:
    """Hours since a Monday, each as long as its traffic is, relative to the mean."""
    week = _TRAFFIC_OF_WEEK.get(channel, _OTHER_TRAFFIC_OF_WEEK)
    weeks, hours = divmod((at - _MONDAY) / _HOUR, _WEEK_H)
    hour = int(hours)
    return weeks * week[-1] + week[hour] + (hours - hour) * (week[hour + 1] - week[hour])


class Sources:
    """Where the numbers of each event come from: the simulated platform, or a hash of the id.

    Ids that the platform does not know are those of load runs and tests. Each has numbers on every channel, which began
    at a time in the two weeks before the platform was founded.

    Args:
        pace: the rate of the platform's demo traffic, see `Platform.live`.
    """

    SIZE_MAX = 200_000
    """The number of ids that are remembered. Beyond it they are derived anew."""

    def __init__(self, platform: Platform, *, pace: float = 0.0) -> None:
        self._founded_at = platform.founded_at
        self._sources: dict[tuple[str, str], Source | None] = {}
        for event in platform.events:
            total = sum(other.expected_participants for other in platform.events)
            live_per_h = pace * DEMO_VISITS_PER_S * 3_600 * 1.3 * event.expected_participants / total
            self._sources |= dict.fromkeys(((name, event.id) for name in CHANNEL_PROFILES), None)
            for channel in event.channels:
                if channel.available_from is None:
                    continue
                self._sources[channel.name, event.id] = Source(
                    event.id,
                    channel.name,
                    starts_at=max(channel.available_from, event.starts_at),
                    ends_at=event.ends_at,
                    visits_of_month=event.expected_participants * channel.participant_share,
                    visits_per_h=live_per_h * channel.participant_share,
                    steady_from=platform.founded_at,
                    views_of_month=channel.expected_views,
                )
        self._of_platform = {event.id for event in platform.events}

    def get(self, channel: str, event_id: str) -> Source | None:
        """The source of this event on this channel; None where the event was never distributed to it."""
        key = (channel, event_id)
        try:
            return self._sources[key]
        except KeyError:
            if event_id in self._of_platform:
                return None
            source = self._derive(channel, event_id)
            if len(self._sources) < self.SIZE_MAX:
                self._sources[key] = source
            return source

    def _derive(self, channel: str, event_id: str) -> Source:
        digest = blake2b(f"source/{channel}/{event_id}".encode(), digest_size=4).digest()
        size, age = int.from_bytes(digest[:2]) / 65_535, int.from_bytes(digest[2:]) / 65_535
        return Source(
            event_id,
            channel,
            starts_at=self._founded_at - age * _UNKNOWN_EVENTS_START_WITHIN_H * _HOUR,
            ends_at=None,
            visits_of_month=80 + 1_900 * size * size,
        )
