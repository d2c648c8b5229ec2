"""The trend of a timeline: direction, slope with its standard error, peak hours and weekdays."""

import math
from collections import Counter
from collections.abc import Sequence
from operator import mul
from typing import Annotated

import msgspec

POINTS_MIN = 8
"""The least number of complete buckets for a direction. Chosen by feel: a working day of hours, or a week and a day."""
SIGNIFICANT_ERRORS = 2.0
"""A slope of more than this many standard errors is a direction: right in about 19 of 20 cases."""


class Trend(msgspec.Struct, rename="camel"):
    """`direction` is up, down, flat or early (too early to say). `slope` is participants a bucket, for each bucket;
    `slopeError` its standard error. Peak hours (0 to 23) and weekdays (1 Monday to 7) are of the question's zone."""

    direction: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["up", "down", "flat", "early"]})]
    slope: float | None
    slope_error: float | None
    peak_hours: list[int]
    peak_weekdays: list[int]


def trend(participants: Sequence[int], hours: Sequence[int], weekdays: Sequence[int]) -> Trend:
    """The trend of complete buckets.

    Args:
        participants: of each bucket, in time order.
        hours: the local hour in which each bucket starts; empty where buckets are longer than an hour.
        weekdays: the local weekday (1 Monday to 7) on which each starts; empty where buckets are longer than a day.
    """
    peak_hours = _peaks(hours, participants) if hours else []
    peak_weekdays = _peaks(weekdays, participants) if weekdays else []
    if len(participants) < POINTS_MIN or not any(participants):
        return Trend("early", None, None, peak_hours, peak_weekdays)
    slope, error = _least_squares(participants)
    if abs(slope) <= SIGNIFICANT_ERRORS * error:
        direction = "flat"
    else:
        direction = "up" if slope > 0 else "down"
    return Trend(direction, round(slope, 4), round(error, 4), peak_hours, peak_weekdays)


def _least_squares(values: Sequence[int]) -> tuple[float, float]:
    """The slope of the least-squares line over 0, 1, 2, ... and its standard error."""
    count = len(values)
    mean_y = sum(values) / count
    spread = count * (count * count - 1) / 12
    deviations = [y - mean_y for y in values]
    slope = sum(map(mul, range(count), deviations)) / spread
    residual = sum(map(mul, deviations, deviations)) - slope * slope * spread
    return slope, math.sqrt(max(residual, 0.0) / (count - 2) / spread)


def _peaks(keys: Sequence[int], participants: Sequence[int]) -> list[int]:
    """The hours, or weekdays, with the most participants a bucket: at most three, best first, none with 0."""
    buckets = Counter(keys)
    sums = dict.fromkeys(buckets, 0)
    for key, count in zip(keys, participants, strict=True):
        sums[key] += count
    best = sorted(sums, key=lambda key: (-sums[key] / buckets[key], key))
    return [key for key in best if sums[key] > 0][:3]
