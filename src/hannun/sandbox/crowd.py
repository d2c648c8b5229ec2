"""When people come: how interest in an event fades on each channel, and how a day goes in Seoul.

Only numbers, and pure. All figures are chosen by feel, after what shops tell; nothing was measured.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from hannun.sandbox.catalogue import SEOUL, Channel, Event

HOUR = timedelta(hours=1)
_MONTH_H = 720.0


def _evened(hours: str) -> tuple[float, ...]:
    """Twenty-four weights, of the hours from midnight on, scaled so that a day's mean is 1."""
    weights = [float(hour) for hour in hours.split()]
    mean = sum(weights) / 24
    return tuple(weight / mean for weight in weights)


#                     0  1  2  3  4  5  6  7  8  9  10  11  12  13  14  15  16  17  18  19  20  21  22 23
_WORKDAY = _evened(" 30 14  7  5  5  8 20 50 75 85 100 170 260 180 100  90  95 120 190 250 260 210 130 65")
_WEEKEND = _evened(" 50 30 15  8  5  5 10 25 50 90 140 180 200 210 210 200 190 190 190 190 180 160 120 80")
_AT_THE_TV = _evened("30 15  8  5  5  8 30 60 60 40  40  60 130  90  50  50  60 100 200 320 400 360 220 90")
# Calls are made in office hours. Not quite 0 otherwise: somebody calls back.
_ON_PHONE = _evened("  2  2  2  2  2  2  2  2 10 100 240 220 100 200 260 260 220 140  40  10   5   2   2  2")


@dataclass(frozen=True, slots=True)
class Interest:
    """How a channel's pull develops after it opens.

    Attributes:
        fade_h: hours in which it falls to a third.
        rises: it grows first, as a page does that has to be found, and is strongest after `fade_h`.
        lasting: what stays for good, as a part of the strongest.
    """

    fade_h: float
    rises: bool
    lasting: float

    def at(self, age_h: float) -> float:
        """The part of a month's participants who come in the hour at this age."""
        if age_h < 0:
            return 0.0
        age = age_h / self.fade_h
        pull = math.exp(-age) * (age if self.rises else 1.0)
        return (pull + self.lasting) / (self.fade_h + self.lasting * _MONTH_H)


INTERESTS = {
    "WooriTV": Interest(fade_h=200, rises=False, lasting=0.10),
    "GenieTV": Interest(fade_h=150, rises=False, lasting=0.10),
    "RingoBiz": Interest(fade_h=90, rises=False, lasting=0.04),
    "Instagram": Interest(fade_h=40, rises=False, lasting=0.03),
    "NaverBlog": Interest(fade_h=110, rises=True, lasting=0.08),
    "KakaoChannel": Interest(fade_h=14, rises=False, lasting=0.015),  # a push message: now or never
}

_WEEKEND_FACTOR = 1.35


def rhythm(channel: str, at: datetime) -> float:
    """How busy this hour is on the channel, by Seoul's clock; the mean over a workday is 1."""
    local = at.astimezone(SEOUL)
    weekend = local.weekday() >= 5
    if channel == "RingoBiz":
        return _ON_PHONE[local.hour] * (0.15 if weekend else 1.0)
    if channel in ("WooriTV", "GenieTV"):
        hours = _AT_THE_TV
    else:
        hours = _WEEKEND if weekend else _WORKDAY
    return hours[local.hour] * (_WEEKEND_FACTOR if weekend else 1.0)


def visits_of_day(rng: random.Random, event: Event, channel: Channel, midnight: datetime) -> list[datetime]:
    """When people come to the event through the channel on the day that begins at `midnight`, unsorted."""
    hours = [midnight + n * HOUR for n in range(24)]
    weights = [_visits_in(event, channel, hour) for hour in hours]
    expected = sum(weights)
    if expected <= 0:
        return []
    chosen = rng.choices(hours, weights, k=poisson(rng, expected))
    visits = [hour + timedelta(microseconds=rng.randrange(3_600_000_000)) for hour in chosen]
    return [visit for visit in visits if event.runs(visit) and is_open(channel, visit)]


def is_open(channel: Channel, at: datetime) -> bool:
    return channel.opens is not None and channel.opens <= at


def poisson(rng: random.Random, mean: float) -> int:
    """How many come, where `mean` are expected."""
    if mean > 50:  # by then the bell is close enough, and exp() would have to be multiplied up
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    still, count, end = rng.random(), 0, math.exp(-mean)
    while still > end:
        still *= rng.random()
        count += 1
    return count


def _visits_in(event: Event, channel: Channel, hour: datetime) -> float:
    """How many are to be expected in this hour."""
    if channel.opens is None:
        return 0.0
    # Before the doors open nobody comes, however early the channel was ready.
    age_h = (hour + HOUR - max(channel.opens, event.starts)) / HOUR
    return event.crowd * channel.share * INTERESTS[channel.name].at(age_h) * rhythm(channel.name, hour)
