"""Budgets of the channels' APIs: how many calls may be made now. Values, without clock, lock or I/O.

A budget is a number of units in a window of time, for one application or account:

- **A day in a zone** (10,000 units until midnight in Los Angeles): a round may take what the even pace allows until the
  next round, and what earlier rounds left. So the budget lasts to the end of its day, of 23 or 25 hours too. Around
  midnight nothing is taken: the API's clock may be ahead of ours, and a call arrives later than it begins.
- **Any so many seconds** (one call in 5 s): calls are spaced, by the window plus a margin. Latencies may differ by the
  margin, and still no window at the API sees too many. A long window lets the calls of one round begin together.

An API that says "over quota" blocks its budget until the window ends, or for as long as it says.

Instants are seconds since 1970 by the database's clock. Where it steps back, what was taken in the later window still
counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

HORIZON_S = 30.0
"""How far ahead spaced calls are taken. What a process takes and then dies with is lost to the others."""
DAY_MARGIN_S = 30.0
"""Before and after the midnight of a budget nothing is taken for so long."""
DAY_RESERVE = 50
"""One unit of so many is kept back, for retries and further pages, which the caller did not know of before."""
SPACED_BELOW_PERIODS = 4
"""A budget whose window is shorter than so many periods spaces each call."""
BLOCK_S_MAX = 2 * 86_400.0
"""No answer of an API blocks a budget for longer. It is called again then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many units an API grants in a window: a day of `day_zone`, or any `window_s` seconds.

    Budgets of equal `scope` and `name` are one.

    Args:
        units_per_call: what one call of the channel uses.
    """

    name: str
    scope: str
    units: int
    window_s: float | None = None
    day_zone: str | None = None
    units_per_call: int = 1

    def __post_init__(self) -> None:
        if (self.window_s is None) == (self.day_zone is None):
            raise ValueError("expected window_s or day_zone, one of them")
        if not 1 <= self.units_per_call <= self.units:
            raise ValueError("expected at least one unit a call, and at most as many as the budget has")

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the budget."""
        return self.scope, self.name


@dataclass(frozen=True, slots=True)
class BudgetState:
    """What is taken of a budget.

    `units` are taken of the day that starts at `window_starts_s`; of a budget in seconds, since then. `free_at_s` is
    where the next call begins if all are spaced evenly. Nothing is taken before `blocked_until_s`.
    """

    window_starts_s: float = 0.0
    units: int = 0
    free_at_s: float | None = None
    blocked_until_s: float | None = None


class Taken(NamedTuple):
    """Calls that may be made: the first at `starts_at_s`, each further one `spacing_s` later.

    A call begins at most `late_s_max` after its time. One that cannot is not made: it is given back, or lost. With no
    calls, `starts_at_s` is when it makes sense to take again. `state` is the budget after it.
    """

    calls: int
    starts_at_s: float
    spacing_s: float
    late_s_max: float
    state: BudgetState


class Day(NamedTuple):
    """A day of a budget."""

    starts_s: float
    ends_s: float


def day_of(zone: str, now_s: float) -> Day:
    """The day of the zone that holds this instant: 23 or 25 hours where clocks change."""
    tz = ZoneInfo(zone)
    date = datetime.fromtimestamp(now_s, tz).date()
    starts, ends = (datetime.combine(day, time(), tz).timestamp() for day in (date, date + timedelta(days=1)))
    return Day(starts, ends)


def take(budget: Budget, state: BudgetState, now_s: float, wanted: int, period_s: float) -> Taken:
    """Take up to `wanted` calls of a budget.

    Args:
        period_s: the time between two rounds.
    """
    state = _without_far_future(budget, state, now_s, period_s)
    if state.blocked_until_s is not None and now_s < state.blocked_until_s:
        return _nothing(state, state.blocked_until_s)
    if budget.day_zone is not None:
        return _take_of_day(budget, state, budget.day_zone, now_s, wanted, period_s)
    return _take_spaced(budget, state, now_s, wanted, period_s)


def give_back(budget: Budget, state: BudgetState, taken: Taken, calls: int, period_s: float) -> BudgetState:
    """The state after the last `calls` of those taken were not made. Spaced calls that others follow stay taken."""
    calls = min(calls, taken.calls)
    if calls <= 0 or not _same_instant(state.window_starts_s, taken.state.window_starts_s):
        return state
    after = replace(state, units=max(state.units - calls * budget.units_per_call, 0))
    if budget.day_zone is not None:
        return after
    if state.free_at_s is None or not _same_instant(state.free_at_s, taken.state.free_at_s):
        return state
    return replace(after, free_at_s=state.free_at_s - calls * _spacing_s(budget, period_s))


def charge(budget: Budget, state: BudgetState, now_s: float, calls: int, period_s: float) -> BudgetState:
    """The state after so many calls were made that nobody took before: retries, further pages. The next wait longer."""
    if calls <= 0:
        return state
    if budget.day_zone is not None:
        starts_s = max(day_of(budget.day_zone, now_s).starts_s, state.window_starts_s)
        units = state.units if starts_s == state.window_starts_s else 0
        return replace(state, window_starts_s=starts_s, units=units + calls * budget.units_per_call)
    free_at_s = max(state.free_at_s or 0.0, now_s) + calls * _spacing_s(budget, period_s)
    return replace(state, units=state.units + calls * budget.units_per_call, free_at_s=free_at_s)


def block(budget: Budget, state: BudgetState, now_s: float, retry_after_s: float | None = None) -> BudgetState:
    """The state after the API has said that the budget is used up: blocked for as long as it says, else until the
    window ends."""
    if retry_after_s is not None and not math.isnan(retry_after_s):
        until_s = now_s + min(max(retry_after_s, 1.0), BLOCK_S_MAX)
    elif budget.day_zone is not None:
        until_s = day_of(budget.day_zone, now_s).ends_s + DAY_MARGIN_S
    else:
        assert budget.window_s is not None
        until_s = now_s + min(budget.window_s + margin_s(budget), BLOCK_S_MAX)
    return replace(state, blocked_until_s=max(until_s, state.blocked_until_s or 0.0))


def margin_s(budget: Budget) -> float:
    """By how much delays may differ: a tenth of the window, from 2 s to 10 minutes; 30 s at a day's ends.

    Half of it is for calls that begin late, half for their way to the API.
    """
    return DAY_MARGIN_S if budget.window_s is None else min(max(budget.window_s / 10, 2.0), 600.0)


class Usage(NamedTuple):
    """What is taken of a budget in its window, and when that ends; None where the window has not begun.

    `blocked_until_s` is set while the API says that the budget is used up.
    """

    units: int
    ends_at_s: float | None
    blocked_until_s: float | None


def usage(budget: Budget, state: BudgetState, now_s: float) -> Usage:
    """How much of a budget is taken now."""
    blocked = state.blocked_until_s if (state.blocked_until_s or 0.0) > now_s else None
    if budget.day_zone is not None:
        day = day_of(budget.day_zone, now_s)
        return Usage(state.units if state.window_starts_s >= day.starts_s else 0, day.ends_s, blocked)
    assert budget.window_s is not None
    ends_at_s = state.window_starts_s + budget.window_s
    return Usage(state.units, ends_at_s, blocked) if ends_at_s > now_s else Usage(0, None, blocked)


def usable_units(budget: Budget) -> int:
    """The units of a day that are taken, without the reserve."""
    return max(budget.units - budget.units // DAY_RESERVE, budget.units_per_call)


def seconds_per_call(budget: Budget, period_s: float) -> float:
    """The mean time between two calls, where the whole budget is used, in the longest window (a day of 25 hours)."""
    if budget.day_zone is not None:
        return 25 * 3600 / (usable_units(budget) // budget.units_per_call)
    return _spacing_s(budget, period_s)


def everyone_s(budgets: Sequence[Budget], events: int, batch: int, period_s: float) -> float:
    """How long it takes to ask for every event once, where the slowest of these budgets is used as it comes."""
    return math.ceil(events / batch) * _slowest_s(budgets, period_s)


def promised_age_s(
    budgets: Sequence[Budget], events: int, batch: int, period_s: float, *, mean_weight: float = 1.0, weight: float = 1
) -> float:
    """How old the measurements of a channel become at most, where each of its budgets is used as it comes.

    Args:
        events: how many are polled.
        batch: how many one call asks for.
        mean_weight, weight: of all events and of this one (`domain.poll_order`).
    """
    calls = math.ceil(events * mean_weight / weight / batch)
    # One poll may be among the first calls of its round, the next among the last of another. Midnight is waited for.
    return calls * _slowest_s(budgets, period_s) + 2 * period_s + 2 * DAY_MARGIN_S


def _slowest_s(budgets: Sequence[Budget], period_s: float) -> float:
    """The mean time between two calls that the slowest budget allows; 0 without a budget."""
    return max((seconds_per_call(budget, period_s) for budget in budgets), default=0.0)


def _same_instant(stored_s: float, ours_s: float | None) -> bool:
    """Whether both are one instant: stored ones are rounded to the microsecond."""
    return ours_s is not None and abs(stored_s - ours_s) < 0.0001


def _nothing(state: BudgetState, again_at_s: float) -> Taken:
    return Taken(0, again_at_s, 0.0, again_at_s, state)


def _without_far_future(budget: Budget, state: BudgetState, now_s: float, period_s: float) -> BudgetState:
    """Drop what a clock that was far ahead has left: it would keep the budget shut until then."""
    if state.blocked_until_s is not None and state.blocked_until_s > now_s + BLOCK_S_MAX:
        state = replace(state, blocked_until_s=None)
    if state.window_starts_s > now_s + 86_400:
        state = replace(state, window_starts_s=0.0, units=0)
    if budget.window_s is not None and state.free_at_s is not None:
        latest = now_s + budget.window_s + margin_s(budget) + max(HORIZON_S, period_s)
        state = replace(state, free_at_s=min(state.free_at_s, latest))
    return state


# -- a day


def _take_of_day(budget: Budget, state: BudgetState, zone: str, now_s: float, wanted: int, period_s: float) -> Taken:
    now_s = max(now_s, state.window_starts_s)  # the clock has stepped back over midnight
    day = day_of(zone, now_s)
    if state.window_starts_s != day.starts_s:
        state = replace(state, window_starts_s=day.starts_s, units=0)
    first_s, last_s = day.starts_s + DAY_MARGIN_S, day.ends_s - DAY_MARGIN_S
    if now_s < first_s:
        return _nothing(state, first_s)
    usable = usable_units(budget)
    if now_s >= last_s or state.units + budget.units_per_call > usable:
        return _nothing(state, day.ends_s + DAY_MARGIN_S)
    # The pace is a line from midnight to midnight; a round may take what the line reaches before the next round.
    a_second = usable / (last_s - day.starts_s)
    paced = min(math.floor((now_s + period_s - day.starts_s) * a_second), usable)
    calls = min(wanted, (paced - state.units) // budget.units_per_call)
    if calls <= 0:
        again_at_s = day.starts_s + (state.units + budget.units_per_call) / a_second - period_s
        return _nothing(state, min(max(again_at_s, now_s + 1), last_s))
    after = replace(state, units=state.units + calls * budget.units_per_call)
    return Taken(calls, now_s, 0.0, last_s - now_s, after)


# -- any so many seconds


def is_spaced(budget: Budget, period_s: float) -> bool:
    """Whether the calls of one round cannot begin together: the window is shorter than some rounds."""
    return budget.window_s is not None and budget.window_s < SPACED_BELOW_PERIODS * period_s


def _calls_at_once(budget: Budget, period_s: float) -> int:
    """How many calls may begin together: one; of a window of many rounds, as many as one round may make."""
    assert budget.window_s is not None
    calls = budget.units // budget.units_per_call
    return 1 if is_spaced(budget, period_s) else max(1, math.floor(calls * period_s / budget.window_s))


def _spacing_s(budget: Budget, period_s: float) -> float:
    """The time between two calls. In any window there are at most those at once, and one for each spacing in it."""
    assert budget.window_s is not None
    calls = budget.units // budget.units_per_call
    return (budget.window_s + margin_s(budget)) / (calls - _calls_at_once(budget, period_s) + 1)


def _take_spaced(budget: Budget, state: BudgetState, now_s: float, wanted: int, period_s: float) -> Taken:
    at_once, spacing = _calls_at_once(budget, period_s), _spacing_s(budget, period_s)
    free_at_s = max(state.free_at_s or 0.0, now_s)
    if at_once == 1:
        calls = min(wanted, math.floor((now_s + HORIZON_S - free_at_s) / spacing) + 1)
        starts_at_s, shown_spacing = free_at_s, spacing
        again_at_s = free_at_s - HORIZON_S
    else:
        calls = min(wanted, math.floor(at_once - (free_at_s - now_s) / spacing))
        starts_at_s, shown_spacing = now_s, 0.0
        again_at_s = free_at_s - (at_once - 1) * spacing
    if calls <= 0:
        return _nothing(state, max(again_at_s, now_s + 1))
    assert budget.window_s is not None
    if now_s >= state.window_starts_s + budget.window_s:
        state = replace(state, window_starts_s=now_s, units=0)
    units = state.units + calls * budget.units_per_call
    after = replace(state, units=units, free_at_s=free_at_s + calls * spacing)
    return Taken(calls, starts_at_s, shown_spacing, margin_s(budget) / 2, after)
