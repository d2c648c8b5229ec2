"""How many SQL statements an answer takes: as many for a thousand events as for one."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that are sent to PostgreSQL."""
    statements: list[str] = []
    execute: Callable[..., Any] = psycopg.AsyncConnection.execute

    async def record(self: Any, query: str, *arguments: Any, **named: Any) -> Any:
        if query:  # the pool sends an empty query to check a connection
            statements.append(query)
        return await execute(self, query, *arguments, **named)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", record)
    return statements


@pytest.mark.parametrize(
    ("range_", "count"), [(Range(), 5), (Range(start=datetime(2026, 11, 1), end=datetime(2026, 11, 21)), 7)]
)
def test_a_merchants_dashboard_takes_the_same_few_statements_for_any_number_of_events(
    world: World, sent: list[str], range_: Range, count: int
) -> None:
    async def read_dashboard() -> None:
        reader = ReadPool(world.url, PoolLimits(size_min=1), application="test-read")
        await reader.open()
        try:
            reports = Reports(
                reader,
                DirectReader(),
                lambda: datetime.fromisoformat(NOW).astimezone(UTC),
                load_table(),
                timedelta(minutes=10),
            )
            await reports.answer(ME, MerchantDashboardQuestion(MerchantSubject(OWNER), range_))
        finally:
            await reader.close()

    for number in range(12):
        event = f"event-{number}"
        world.count(world.created(event), world.registered(event=event), world.distributed(event, channel="NAVER"))
        if number in (0, 11):
            asyncio.run(read_dashboard())
            assert len(sent) == count
            sent.clear()
