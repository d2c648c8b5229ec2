"""Where an event ends if it goes on as in its last days, and how sure one can be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, stdev

from hannun.domain.metrics import Money, number, percent
from hannun.domain.response_schemas import Interval, Projection

METHOD = "mean-of-last-weeks"
LEVEL = 95
STUDENTS_T = {7: 2.4469, 14: 2.1604, 21: 2.0860, 28: 2.0518}
"""Two-sided, 95 %, for the mean and the scatter of so many days. Whole weeks: each weekday counts the same."""
DAYS_MIN, DAYS_MAX = min(STUDENTS_T), max(STUDENTS_T)


def days_used(complete: int) -> int:
    """How many of the newest complete days a projection is made of; 0 where they are too few."""
    return min(complete, DAYS_MAX) // 7 * 7


@dataclass(frozen=True, slots=True)
class Course:
    """How an event went: on each of its last complete days, before the end of the last of them, and until now.

    `sales` and `recorded` are won; `days_left` run from the end of the last complete day to the event's end.
    """

    participants: Sequence[int]
    sales: Sequence[Decimal]
    days_left: float
    participants_before: int
    participants_now: int
    recorded_before: Decimal


def without(why: str, projected_to: str | None) -> Projection:
    """No projection, and why."""
    reasons = dict.fromkeys(("participants", "revenue", "roi"), why)
    return Projection(METHOD, LEVEL, None, projected_to, None, None, None, reasons)


def projection(course: Course, money: Money, projected_to: str | None) -> Projection:
    """Participants, revenue and ROI at the event's end."""
    reasons: dict[str, str] = {}
    value, low, high = _sum(course.participants, course.days_left)
    before, now = course.participants_before, course.participants_now
    came = Interval(*(max(round(before + more), now) for more in (value, low, high)))
    revenue = roi = None
    if money.recorded is None:
        reasons |= dict.fromkeys(("revenue", "roi"), "nothing-recorded")
    else:
        more = [_won(each) for each in _sum([float(amount) for amount in course.sales], course.days_left)]
        at_end = [course.recorded_before + each for each in more]
        revenue = Interval(*map(_number, at_end))
        rois = [percent(each - money.investment, money.investment) for each in at_end]
        if money.investment > 0:
            roi = Interval(*(_number(each) for each in rois if each is not None))
        else:
            reasons["roi"] = "nothing-invested"
    return Projection(METHOD, LEVEL, len(course.participants), projected_to, came, revenue, roi, reasons)


def _sum(days: Sequence[float], left: float) -> tuple[float, float, float]:
    """What so many more days will bring, and between which bounds: the mean, its own uncertainty, the days' scatter."""
    mean, used = fmean(days), len(days)
    off = STUDENTS_T[used] * stdev(days) * math.sqrt(left + left * left / used)
    return left * mean, left * mean - off, left * mean + off


def _won(amount: float) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"))


def _number(figure: Decimal) -> float | int:
    shown = number(figure)
    assert shown is not None
    return shown
