"""A day of rounds: the budgets that the service takes against those that the simulated APIs enforce."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from channel_rounds import CHANNELS
from world import World

from hannun.channels import declaration
from hannun.counting.channel_limits import SharedBudgets
from hannun.domain.channels import folded
from hannun.processes.refresh import budgets_of
from hannun.sandbox.channels.budgets import Ledger
from hannun.sandbox.channels.shape import load_all
from hannun.store import channel_limits
from hannun.store.channel_limits import BudgetKey, LockedBudgets
from hannun.store.database import Connection

PERIOD_S = 300.0
ROUNDS = 288
BLOCK_CALLS = 64
LATENCY_S = 0.2
"""Calls arrive at the API up to so long after they begin."""
WANTED = {"GenieTV": 300, "Instagram": 168, "KakaoChannel": 80, "NaverBlog": 200, "RingoBiz": 90, "WooriTV": 50}
"""Calls that each round would make: as many as the budget allows, or some more."""
DAY = datetime(2026, 11, 27, 3, 7, tzinfo=UTC).timestamp()
"""Such a day has a midnight of Los Angeles in it."""


class Day:
    """PostgreSQL's clock as the budgets see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = DAY
        lock = channel_limits.lock_budgets

        def lock_at(conn: Connection, keys: Sequence[BudgetKey]) -> LockedBudgets:
            return lock(conn, keys)._replace(now_s=self.now_s)

        monkeypatch.setattr(channel_limits, "lock_budgets", lock_at)

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.faults
@pytest.mark.parametrize("channel", CHANNELS)
def test_over_a_day_of_rounds_the_apis_count_no_call_over_a_budget(
    world: World, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    day, chance = Day(monkeypatch), random.Random(channel)
    key = folded(channel)
    declared = {key: budgets_of(declaration.shipped()[key])}
    schedulers = [SharedBudgets(world.another_database(), declared, PERIOD_S, now=day) for _ in range(2)]
    api = Ledger(load_all()[channel].budget)
    arrivals: list[float] = []
    for number in range(ROUNDS):
        begins_s = DAY + number * PERIOD_S
        day.now_s, ends_s, left = begins_s, begins_s + 0.72 * PERIOD_S, WANTED[channel]
        while left and day.now_s < ends_s:
            scheduler = chance.choice(schedulers)
            grant = scheduler.take(key, min(BLOCK_CALLS, left))
            starts_s = [day.now_s + grant.wait_s + n * grant.spacing_s for n in range(grant.calls)]
            made = [start_s for start_s in starts_s if start_s < ends_s]
            scheduler.give_back(key, grant, grant.calls - len(made))
            arrivals += [start_s + chance.uniform(0.0, LATENCY_S) for start_s in made]
            left -= len(made)
            day.now_s = max(day.now_s, *made) if made else day.now_s + max(grant.wait_s, 0.001)
    for arrival_s in sorted(arrivals):
        assert api.take(datetime.fromtimestamp(arrival_s, UTC)), (
            f"over the budget at {arrival_s - DAY:.1f} s of the day"
        )
    assert api.violations == 0
    assert len(arrivals) > ROUNDS * min(WANTED[channel], 20)
