"""Where a timeline is going: its direction, with how sure one can be."""

import math
from collections import Counter
from collections.abc import Sequence
from operator import mul
from typing import Annotated

import msgspec

POINTS_MIN = 8
"""Fewer complete buckets say nothing about a direction. Chosen by feel: a working day of hours, a week and a day."""
SURE = 2.0
"""A slope is a direction when it is twice its standard error: about 19 times of 20."""


class Trend(msgspec.Struct, rename="camel"):
    """`direction` is up, down, flat or early (too early to say). `slope` is participants a bucket, for each bucket;
    `slopeError` its standard error. Peak hours (0 to 23) and weekdays (1 Monday to 7) are of the zone asked for."""

    direction: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["up", "down", "flat", "early"]})]
    slope: float | None
    slope_error: float | None
    peak_hours: list[int]
    peak_weekdays: list[int]


def trend(participants: Sequence[int], hours: Sequence[int], weekdays: Sequence[int]) -> Trend:
    """The trend of complete buckets.

    Args:
        participants: of each bucket, in time order.
        hours: the hour of the day in which each begins, in the zone asked for; empty where buckets are longer.
        weekdays: the day of the week (1 Monday to 7) on which each begins; empty where buckets are longer.
    """
    peak_hours = _peaks(hours, participants) if hours else []
    peak_weekdays = _peaks(weekdays, participants) if weekdays else []
    if len(participants) < POINTS_MIN or not any(participants):
        return Trend("early", None, None, peak_hours, peak_weekdays)
    slope, error = _line(participants)
    if abs(slope) <= SURE * error:
        direction = "flat"
    else:
        direction = "up" if slope > 0 else "down"
    return Trend(direction, round(slope, 4), round(error, 4), peak_hours, peak_weekdays)


def _line(values: Sequence[int]) -> tuple[float, float]:
    """Slope of the least-squares line over 0, 1, 2, ... and its standard error."""
    count = len(values)
    mean_y = sum(values) / count
    spread = count * (count * count - 1) / 12
    off = [y - mean_y for y in values]
    slope = sum(map(mul, range(count), off)) / spread
    rest = sum(map(mul, off, off)) - slope * slope * spread
    return slope, math.sqrt(max(rest, 0.0) / (count - 2) / spread)


def _peaks(places: Sequence[int], participants: Sequence[int]) -> list[int]:
    """The places with the most participants a bucket, at most three, best first; none without participants."""
    buckets = Counter(places)
    came = dict.fromkeys(buckets, 0)
    for place, count in zip(places, participants, strict=True):
        came[place] += count
    best = sorted(came, key=lambda place: (-came[place] / buckets[place], place))
    return [place for place in best if came[place] > 0][:3]
