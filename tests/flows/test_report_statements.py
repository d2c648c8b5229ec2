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
from hannun.domain.granularity import Granularity
from hannun.domain.questions import (
    EventDashboardQuestion,
    EventSubject,
    InsightsQuestion,
    MerchantDashboardQuestion,
    MerchantSubject,
    Question,
    TimelineQuestion,
)
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


WEEKS = Range(start=datetime(2026, 11, 1), end=datetime(2026, 11, 21))
SINCE = Range(start=datetime(2026, 11, 1))
EVENT = EventSubject("event-0")


def read(world: World, question: Question) -> None:
    """Answer a question from PostgreSQL."""

    async def answer() -> None:
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
            await reports.answer(ME, question)
        finally:
            await reader.close()

    asyncio.run(answer())


@pytest.mark.parametrize(
    ("question", "count"),
    [
        (EventDashboardQuestion(EVENT), 1),
        (EventDashboardQuestion(EVENT, WEEKS), 1),
        (TimelineQuestion(EVENT, WEEKS, Granularity.DAILY), 1),
        (TimelineQuestion(EVENT, SINCE), 1),
        (InsightsQuestion(EVENT), 3),
    ],
    ids=lambda it: "" if isinstance(it, int) else f"{type(it).__name__}{' of a range' * bool(getattr(it, 'range', 0))}",
)
def test_an_answer_that_a_page_of_an_event_reads_takes_few_statements(
    world: World, sent: list[str], question: Question, count: int
) -> None:
    world.count(world.created("event-0"), world.registered(event="event-0"))
    sent.clear()
    read(world, question)
    assert len(sent) == count


def test_a_reader_plans_each_statement_once(world: World) -> None:
    async def settings() -> tuple[Any, ...] | None:
        reader = ReadPool(world.url, PoolLimits(size_min=1), application="test-read")
        await reader.open()
        try:
            async with reader.connection() as conn:
                return await (await conn.execute("SHOW plan_cache_mode")).fetchone()
        finally:
            await reader.close()

    assert asyncio.run(settings()) == ("force_generic_plan",)


@pytest.mark.parametrize(("range_", "count"), [(Range(), 5), (WEEKS, 7)])
def test_a_merchants_dashboard_takes_the_same_few_statements_for_any_number_of_events(
    world: World, sent: list[str], range_: Range, count: int
) -> None:
    for number in range(12):
        event = f"event-{number}"
        world.count(world.created(event), world.registered(event=event), world.distributed(event, channel="NAVER"))
        if number in (0, 11):
            read(world, MerchantDashboardQuestion(MerchantSubject(OWNER), range_))
            assert len(sent) == count
            sent.clear()
