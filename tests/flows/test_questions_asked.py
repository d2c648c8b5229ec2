"""How many statements an answer costs: as many for a thousand events as for one."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from world import NOW, OWNER, World

from hannun.domain.authorization import Principal
from hannun.domain.channels import load_table
from hannun.domain.questions import MerchantDashboardQuestion, MerchantSubject
from hannun.domain.ranges import Range
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import DirectReader
from hannun.store.database import PoolLimits, ReadPool

ME = Principal(OWNER, frozenset({"MERCHANT"}))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that are sent to PostgreSQL by whoever answers."""
    statements: list[str] = []
    execute: Callable[..., Any] = psycopg.AsyncConnection.execute

    async def noting(self: Any, query: str, *arguments: Any, **named: Any) -> Any:
        if query:  # the pool asks nothing, to see whether a connection lives
            statements.append(query)
        return await execute(self, query, *arguments, **named)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", noting)
    return statements


@pytest.mark.parametrize(
    ("range_", "count"), [(Range(), 2), (Range(start=datetime(2026, 11, 1), end=datetime(2026, 11, 21)), 3)]
)
def test_a_merchants_view_costs_three_statements_at_most_however_many_events_there_are(
    world: World, asked: list[str], range_: Range, count: int
) -> None:
    async def answers() -> None:
        reader = ReadPool(world.url, PoolLimits(size_min=1), application="test-read")
        await reader.open()
        try:
            reports = Reports(reader, DirectReader(), lambda: datetime.fromisoformat(NOW).astimezone(UTC), load_table())
            await reports.answer(ME, MerchantDashboardQuestion(MerchantSubject(OWNER), range_))
        finally:
            await reader.close()

    for number in range(12):
        event = f"event-{number}"
        world.count(world.created(event), world.registered(event=event), world.distributed(event, channel="NAVER"))
        if number in (0, 11):
            asyncio.run(answers())
            assert len(asked) == count
            asked.clear()
