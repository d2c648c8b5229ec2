"""Projects participants, revenue and ROI to the end of an event from its last complete days, with 95 % bounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, stdev

from hannun.domain.metrics import Money, json_number, return_on_investment
from hannun.domain.response_schemas import Interval, Projection

METHOD = "mean-of-last-weeks"
LEVEL = 95
STUDENTS_T = {7: 2.4469, 14: 2.1604, 21: 2.0860, 28: 2.0518}
"""Student's t by number of days: two-sided, 95 %. Only whole weeks, so that all weekdays count the same."""
DAYS_MIN, DAYS_MAX = min(STUDENTS_T), max(STUDENTS_T)


def days_used(complete: int) -> int:
    """How many of the newest complete days a projection uses; 0 where they are too few."""
    return min(complete, DAYS_MAX) // 7 * 7


@dataclass(frozen=True, slots=True)
class DailyHistory:
    """What an event had on each of its last complete days, before the end of the last of them, and until now.

    `sales` and `recorded_before` are won. `days_left` is the time from the end of the last complete day to the event's
    end, in days.
    """

    participants: Sequence[int]
    sales: Sequence[Decimal]
    days_left: float
    participants_before: int
    participants_now: int
    recorded_before: Decimal


def no_projection(reason: str, projected_to: str | None) -> Projection:
    """A projection without figures, for one reason."""
    reasons = dict.fromkeys(("participants", "revenue", "roi"), reason)
    return Projection(METHOD, LEVEL, None, projected_to, None, None, None, reasons)


def projection(history: DailyHistory, money: Money, projected_to: str | None) -> Projection:
    """Participants, revenue and ROI at the end of the event."""
    reasons: dict[str, str] = {}
    value, low, high = _sum(history.participants, history.days_left)
    before, now = history.participants_before, history.participants_now
    participants = Interval(*(max(round(before + more), now) for more in (value, low, high)))
    revenue = roi = None
    if money.recorded is None:
        reasons |= dict.fromkeys(("revenue", "roi"), "nothing-recorded")
    else:
        more = [_won(each) for each in _sum([float(amount) for amount in history.sales], history.days_left)]
        at_end = [history.recorded_before + each for each in more]
        revenue = Interval(*map(_number, at_end))
        if money.investment:
            rois = [return_on_investment(each, money.investment) for each in at_end]
            roi = Interval(*(_number(each) for each in rois if each is not None))
        else:
            reasons["roi"] = "nothing-invested"
    return Projection(METHOD, LEVEL, len(history.participants), projected_to, participants, revenue, roi, reasons)


def _sum(days: Sequence[float], left: float) -> tuple[float, float, float]:
    """(value, low, high) of the sum over the days left: from the mean, its uncertainty and the scatter of the days."""
    mean, used = fmean(days), len(days)
    margin = STUDENTS_T[used] * stdev(days) * math.sqrt(left + left * left / used)
    return left * mean, left * mean - margin, left * mean + margin


def _won(amount: float) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"))


def _number(figure: Decimal) -> float | int:
    shown = json_number(figure)
    assert shown is not None
    return shown
