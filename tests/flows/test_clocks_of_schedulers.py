"""Schedulers whose own clocks differ by hours: only PostgreSQL's clock counts."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from channel_rounds import CHANNELS, Rounds
from world import SPRING

from hannun.flows.refresh.refresh import Refresh

SIGNED = "genietv"
"""Its API refuses signatures of a wrong clock, as it may."""


def set_clock_wrong(refresh: Refresh, hours: float) -> None:
    """Shift what this scheduler takes for the time: the clock of its rebuilder and of its clients."""
    rebuilder: Any = refresh.rebuild.__self__  # type: ignore[attr-defined]
    rebuilder._now = lambda: datetime.now(UTC) + timedelta(hours=hours)
    for key, poller in refresh.pollers.items():
        if key != SIGNED:
            poller.client._now_s = lambda: time.time() + 3_600 * hours  # type: ignore[attr-defined]


@pytest.mark.parametrize("hours", [-3.0, 1.0])
def test_schedulers_whose_clocks_differ_by_hours_share_each_round(rounds: Rounds, hours: float) -> None:
    rounds.distribute(SPRING)

    async def run_round(*schedulers: Refresh) -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(scheduler.run_once() for scheduler in schedulers))

    async def run() -> None:
        async with rounds.opened() as right, rounds.opened() as wrong:
            set_clock_wrong(wrong, hours)
            turns: Sequence[tuple[Refresh, ...]] = ((wrong,), (right,), (wrong, right), (right,))
            for number, schedulers in enumerate(turns, 1):
                await run_round(*schedulers)
                assert_measured_by_postgresql(number)
                await asyncio.to_thread(rounds.pass_time)

    def assert_measured_by_postgresql(number: int) -> None:
        newest = rounds.newest()
        assert sum(newest.result.get(outcome, 0) for outcome in ("changed", "unchanged")) == len(CHANNELS)
        assert len(rounds.world.rows("SELECT due_at FROM hannun.rounds")) == number
        for totals in rounds.totals().values():
            assert newest.began_at <= totals["measured_at"] <= newest.ended_at
        state = rounds.control.state()["channels"]
        assert {state[channel]["events"] for channel in CHANNELS} == {number}

    asyncio.run(run())
    assert rounds.world.drift() == []
