"""`day`: the budgets of the channels over 24 simulated hours, 10,000 events on each of the six channels.

    every 5 minutes: events in the order of `domain.poll_order` ─► `SharedBudgets` grants ─► the sandbox's ledgers count

Order, grants and ledgers are those of the service and of the sandbox. PostgreSQL, HTTP and the clock are left out. A
call begins up to half a margin late, and takes up to half a margin to the API, as the budgets allow. The day begins at
noon UTC, so it holds the midnight of a budget's zone.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.figures import Figure
from bench.servers import Servers
from hannun.channels.declaration import Declaration, shipped
from hannun.counting.channel_limits import SharedBudgets
from hannun.domain import budgets, poll_order
from hannun.domain.budgets import Budget, BudgetState
from hannun.domain.poll_order import Pollable
from hannun.flows.refresh.planning import spaces_calls
from hannun.flows.refresh.polling import BLOCK_CALLS
from hannun.processes.refresh import budgets_of
from hannun.sandbox.channels.budgets import Ledger
from hannun.sandbox.channels.shape import Shape, load_all
from hannun.store.database import Database, PoolLimits

PERIOD_S = 300.0
POLLS_S = 0.9 * 0.8 * PERIOD_S
DAY_S = 86_400.0
WEIGHTS = (1, 1, 1, 1, 1, 1, 2, 2, 2, 4)
"""Of ten events, one moves and ends soon, and three do either."""


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `day`."""
    events = 1_000 if quick else 10_000
    servers.log_progress(f"day: {events:,} events over 24 simulated hours")
    shapes = {shape.name: shape for shape in load_all(None).values()}
    channels = [_Channel(each, shapes[each.name], events) for each in shipped().values() if each.request]
    return [figure for channel in channels for figure in _simulate(channel, events)]


class _SimulatedBudgets(SharedBudgets):
    """Budgets in memory, on the simulated clock."""

    def __init__(self, channel: str, of: Sequence[Budget], now: Callable[[], float]) -> None:
        super().__init__(Database("", PoolLimits(), application="day"), {channel: of}, PERIOD_S, now=now)
        self._clock = now
        self._states: dict[tuple[str, str], BudgetState] = {}

    def _change(
        self,
        of_channel: Sequence[Budget],
        decide: Callable[[Mapping[tuple[str, str], BudgetState], float], Mapping[tuple[str, str], BudgetState]],
    ) -> bool:
        states = {budget.key: self._states.get(budget.key, BudgetState()) for budget in of_channel}
        self._states |= decide(states, self._clock())
        return True


@dataclass
class _Result:
    calls: int = 0
    oldest_s: float = 0.0
    violations: int = 0


class _Channel:
    """A channel with its events, its budgets at both ends, and the simulated clock."""

    def __init__(self, declaration: Declaration, shape: Shape, events: int) -> None:
        assert declaration.request is not None
        self.name = declaration.name
        self.batch = declaration.request.batch
        self.budgets = budgets_of(declaration)
        self.polled_at_s: list[float | None] = [None] * events
        self.now_s = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
        self._shared = _SimulatedBudgets(self.name, self.budgets, lambda: self.now_s)
        self._is_spaced = spaces_calls(self.budgets, timedelta(seconds=PERIOD_S))
        self._ledger = Ledger(shape.budget)
        self._random = random.Random(12)
        self.result = _Result()

    def round(self) -> None:
        """One round: the most urgent events first, until its polls end or nothing is granted in time."""
        ends_s = self.now_s + POLLS_S
        everyone_s = budgets.everyone_s(self.budgets, len(self.polled_at_s), self.batch, PERIOD_S)
        waiting = [each.event_no for each in poll_order.in_order(self._pollable(), everyone_s)]
        arrivals: list[float] = []
        while waiting and self.now_s < ends_s:
            wanted = min(BLOCK_CALLS, -(-len(waiting) // self.batch))
            grant = self._shared.take(self.name, wanted)
            if not grant.calls and not self._is_spaced:
                break
            if not grant.calls:
                self.now_s = min(self.now_s + max(grant.wait_s, 0.001), ends_s)
                continue
            begins_s = self.now_s + grant.wait_s
            half_margin_s = min((budgets.margin_s(budget) for budget in self.budgets), default=0.0) / 2
            for number in range(grant.calls):
                begins_s = self.now_s + grant.wait_s + number * grant.spacing_s
                arrivals.append(begins_s + self._random.random() * 2 * half_margin_s)
                asked, waiting = waiting[: self.batch], waiting[self.batch :]
                self._ask(asked, begins_s)
            self.now_s = max(self.now_s, begins_s)
        for at_s in sorted(arrivals):
            self._ledger.take(datetime.fromtimestamp(at_s, UTC))
        self.result.calls += len(arrivals)
        self.result.violations = self._ledger.violations

    def _pollable(self) -> list[Pollable]:
        return [
            Pollable(no, None if at_s is None else self.now_s - at_s, WEIGHTS[no % len(WEIGHTS)])
            for no, at_s in enumerate(self.polled_at_s)
        ]

    def _ask(self, events: Sequence[int], at_s: float) -> None:
        for no in events:
            before_s = self.polled_at_s[no]
            if before_s is not None:
                self.result.oldest_s = max(self.result.oldest_s, at_s - before_s)
            self.polled_at_s[no] = at_s

    def promised_s(self, events: int) -> float:
        """How old an event of weight 1 becomes at most, as the budgets allow."""
        mean = sum(WEIGHTS) / len(WEIGHTS)
        return budgets.promised_age_s(self.budgets, events, self.batch, PERIOD_S, mean_weight=mean)


def _simulate(channel: _Channel, events: int) -> list[Figure]:
    began_s = channel.now_s
    for number in range(int(DAY_S / PERIOD_S)):
        channel.now_s = began_s + number * PERIOD_S
        channel.round()
    never = sum(at_s is None for at_s in channel.polled_at_s)
    promised_s = channel.promised_s(events)
    samples = f"{channel.result.calls:,} calls; {never:,} events never asked for; allowed: {promised_s / 60:,.0f} min"
    return [
        Figure("day", f"{channel.name}: calls over a budget", channel.result.violations, "(target: 0)", samples),
        Figure("day", "  oldest measurement", channel.result.oldest_s / 60, "min", "when it was measured again"),
    ]
