"""The totals of an event on a channel, checked like any other input: `checked` says what is accepted, and why not.

A total is what the channel has counted since the event began. A count that the channel does not name is unknown, which
is not 0.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from hannun.domain.field_values import COUNT_MAX

COUNTS = (
    "impressions",
    "views",
    "clicks",
    "conversions",
    "likes",
    "comments",
    "shares",
    "total_calls",
    "completed_calls",
)
"""The counts that only add up. They have the names of their columns."""

ENGAGEMENT = ("likes", "comments", "shares", "clicks")
"""The counts whose sum is the engagement."""

MEAN = "average_duration"
"""The figure that is a mean, in seconds, and not a count."""

_WHOLE = re.compile(r"-?[0-9]+(?:\.0*)?", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]*)?", re.ASCII)
_DIGITS_MAX = 40
"""A longer text is too large, or has decimal places that nobody needs; it is not converted."""


class Refusal(StrEnum):
    """Why totals are refused. The list is complete."""

    NEGATIVE = "negative"
    TOO_LARGE = "too-large"
    WRONG_TYPE = "wrong-type"
    MORE_COMPLETED = "more-completed-than-total"
    EMPTY = "empty"


class ChannelTotals(NamedTuple):
    """Totals that were accepted. None is unknown. `average_duration` is a mean in seconds."""

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


class RefusedTotals(NamedTuple):
    """Totals that were refused; `detail` names the count, or is empty."""

    reason: Refusal
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


def checked(raw: Mapping[str, object]) -> ChannelTotals | RefusedTotals:
    """The totals in a JSON object of counts by name, or why they are refused. Names that are no count are ignored.

    Whole numbers, floats that are whole, and decimal texts are numbers. The mean may have a fraction, and is rounded.
    One bad count refuses all: a channel that is wrong about one may be wrong about the others. Whatever is accepted
    fits the columns of every table, and so do the increments that follow from it.
    """
    numbers: dict[str, int | None] = {}
    for name in ChannelTotals._fields:
        number = _number(raw.get(name), mean=name == MEAN)
        if isinstance(number, Refusal):
            return RefusedTotals(number, name)
        numbers[name] = number
    totals = ChannelTotals(**numbers)
    if all(number is None for number in totals):
        return RefusedTotals(Refusal.EMPTY)
    if engagement(numbers) > COUNT_MAX:
        return RefusedTotals(Refusal.TOO_LARGE, "engagement")
    total, completed = totals.total_calls, totals.completed_calls
    if total is not None and completed is not None and completed > total:
        return RefusedTotals(Refusal.MORE_COMPLETED, "completed_calls")
    return totals


def engagement(counts: Mapping[str, int | None]) -> int:
    """likes + comments + shares + clicks, with 0 for what is unknown."""
    return sum(counts.get(name) or 0 for name in ENGAGEMENT)


def _number(value: object, *, mean: bool) -> int | Refusal | None:
    number = _parsed(value, mean=mean)
    if isinstance(number, int):
        if number < 0:
            return Refusal.NEGATIVE
        if number > COUNT_MAX:
            return Refusal.TOO_LARGE
    return number


def _parsed(value: object, *, mean: bool) -> int | Refusal | None:
    """The whole number that a JSON value is; a mean is rounded half to even."""
    if value is None:
        return None
    if type(value) is int:  # True is an int, too
        return value
    if isinstance(value, float) and math.isfinite(value) and (mean or value.is_integer()):
        return round(value)
    if isinstance(value, str) and (_DECIMAL if mean else _WHOLE).fullmatch(value):
        return Refusal.TOO_LARGE if len(value) > _DIGITS_MAX else round(Decimal(value))
    return Refusal.WRONG_TYPE
