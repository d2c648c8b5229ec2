"""The traffic model: how interest in an event decays on each channel, and how it varies over a day in Seoul.

Pure functions of numbers. All figures are estimates based on what merchants report; nothing was measured.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from hannun.sandbox.catalogue import SEOUL, Channel, Event

HOUR = timedelta(hours=1)
_MONTH_H = 720.0


def _normalize(hourly_weights: str) -> tuple[float, ...]:
    """Twenty-four weights, for the hours from midnight on, scaled to a mean of 1."""
    weights = [float(hour) for hour in hourly_weights.split()]
    mean = sum(weights) / 24
    return tuple(weight / mean for weight in weights)


#                          0  1  2  3  4  5  6  7  8  9  10  11  12  13  14  15  16  17  18  19  20  21  22 23
_WORKDAY = _normalize("   30 14  7  5  5  8 20 50 75 85 100 170 260 180 100  90  95 120 190 250 260 210 130 65")
_WEEKEND = _normalize("   50 30 15  8  5  5 10 25 50 90 140 180 200 210 210 200 190 190 190 190 180 160 120 80")
_TELEVISION = _normalize("30 15  8  5  5  8 30 60 60 40  40  60 130  90  50  50  60 100 200 320 400 360 220 90")
# Calls are made in office hours. The other hours are not quite 0, since some customers call back.
_TELEPHONE = _normalize("  2  2  2  2  2  2  2  2 10 100 240 220 100 200 260 260 220 140  40  10   5   2   2  2")


@dataclass(frozen=True, slots=True)
class InterestDecay:
    """How the number of visitors through a channel develops after the channel becomes available.

    Attributes:
        decay_h: the hours in which it falls to about a third (1/e).
        rises_first: it rises first, and is highest after `decay_h`, as on a page that visitors have to find.
        lasting_part: what remains for good, as a fraction of the highest value.
    """

    decay_h: float
    rises_first: bool
    lasting_part: float

    def share_of_hour(self, age_h: float) -> float:
        """The fraction of a month's participants who come in the hour of this age."""
        if age_h < 0:
            return 0.0
        age = age_h / self.decay_h
        interest = math.exp(-age) * (age if self.rises_first else 1.0)
        return (interest + self.lasting_part) / (self.decay_h + self.lasting_part * _MONTH_H)


INTEREST_DECAYS = {
    "WooriTV": InterestDecay(decay_h=200, rises_first=False, lasting_part=0.10),
    "GenieTV": InterestDecay(decay_h=150, rises_first=False, lasting_part=0.10),
    "RingoBiz": InterestDecay(decay_h=90, rises_first=False, lasting_part=0.04),
    "Instagram": InterestDecay(decay_h=40, rises_first=False, lasting_part=0.03),
    "NaverBlog": InterestDecay(decay_h=110, rises_first=True, lasting_part=0.08),
    # A push message: most recipients react at once or never.
    "KakaoChannel": InterestDecay(decay_h=14, rises_first=False, lasting_part=0.015),
}

_WEEKEND_FACTOR = 1.35


def time_of_day_factor(channel: str, at: datetime) -> float:
    """The traffic of this hour (in Seoul) on the channel, relative to the mean over a workday."""
    local = at.astimezone(SEOUL)
    weekend = local.weekday() >= 5
    if channel == "RingoBiz":
        return _TELEPHONE[local.hour] * (0.15 if weekend else 1.0)
    if channel in ("WooriTV", "GenieTV"):
        hours = _TELEVISION
    else:
        hours = _WEEKEND if weekend else _WORKDAY
    return hours[local.hour] * (_WEEKEND_FACTOR if weekend else 1.0)


def sample_visits_of_day(rng: random.Random, event: Event, channel: Channel, midnight: datetime) -> list[datetime]:
    """Random times of visits to the event through the channel, on the day that begins at `midnight`; not sorted."""
    hours = [midnight + n * HOUR for n in range(24)]
    weights = [_expected_visits(event, channel, hour) for hour in hours]
    expected = sum(weights)
    if expected <= 0:
        return []
    chosen = rng.choices(hours, weights, k=sample_poisson(rng, expected))
    visits = [hour + timedelta(microseconds=rng.randrange(3_600_000_000)) for hour in chosen]
    return [visit for visit in visits if event.is_running(visit) and is_available(channel, visit)]


def is_available(channel: Channel, at: datetime) -> bool:
    return channel.available_from is not None and channel.available_from <= at


def sample_poisson(rng: random.Random, mean: float) -> int:
    """A random number with the Poisson distribution of this mean; above a mean of 50 a normal approximation."""
    if mean > 50:  # the approximation is close enough there, and exp(-mean) would underflow for large means
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    product, count, limit = rng.random(), 0, math.exp(-mean)
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _expected_visits(event: Event, channel: Channel, hour: datetime) -> float:
    """The expected number of visits in this hour."""
    if channel.available_from is None:
        return 0.0
    # No visitor comes before the event starts, however early the channel was available.
    age_h = (hour + HOUR - max(channel.available_from, event.starts_at)) / HOUR
    return (
        event.expected_participants
        * channel.participant_share
        * INTEREST_DECAYS[channel.name].share_of_hour(age_h)
        * time_of_day_factor(channel.name, hour)
    )
