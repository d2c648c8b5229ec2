"""Enforces the budget of a simulated API, as strictly as its declaration can be read.

A window of seconds is a sliding one: no `window_s` seconds, wherever they begin, may hold more than `units`. A day
begins at midnight in its zone. A call over the budget is refused, uses no unit, and is counted as a violation.
"""

from collections import deque
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from hannun.sandbox.channels.shape import Budget


class Ledger:
    """The units that are used of the budgets of one channel."""

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self._windows = [_Day(budget) if budget.window_s is None else _Seconds(budget) for budget in budgets]
        self.violations = 0

    def take(self, at: datetime) -> bool:
        """Use the units of one call, of every budget or of none. False if one of them does not reach."""
        if not all(window.reaches(at) for window in self._windows):
            self.violations += 1
            return False
        for window in self._windows:
            window.use(at)
        return True

    def percent(self, at: datetime) -> float:
        """How much is used of the budget of which most is used."""
        return max((100 * window.used(at) / window.budget.units for window in self._windows), default=0.0)

    def as_json(self, at: datetime) -> list[dict[str, object]]:
        """Name, units and used units of each budget."""
        return [
            {"name": window.budget.name, "units": window.budget.units, "used": window.used(at)}
            for window in self._windows
        ]


class _Window:
    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def reaches(self, at: datetime) -> bool:
        return self.used(at) + self.budget.units_per_call <= self.budget.units

    def used(self, at: datetime) -> int:
        raise NotImplementedError

    def use(self, at: datetime) -> None:
        raise NotImplementedError


class _Seconds(_Window):
    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._used_at_s: deque[float] = deque()

    def used(self, at: datetime) -> int:
        oldest_s = at.timestamp() - (self.budget.window_s or 0.0)
        while self._used_at_s and self._used_at_s[0] <= oldest_s:
            self._used_at_s.popleft()
        return len(self._used_at_s) * self.budget.units_per_call

    def use(self, at: datetime) -> None:
        self._used_at_s.append(at.timestamp())


class _Day(_Window):
    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._zone = ZoneInfo(budget.day_zone or "UTC")
        self._day = date.min
        self._used = 0

    def used(self, at: datetime) -> int:
        day = at.astimezone(self._zone).date()
        if day != self._day:
            self._day, self._used = day, 0
        return self._used

    def use(self, at: datetime) -> None:
        self._used += self.budget.units_per_call
