"""Somebody holds a table and forgets it: who needs it says so, and goes on when it is free."""

import asyncio
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs
from world import World

from hannun.errors import StoreUnavailable
from hannun.store.database import Database, PoolLimits, ReadPool

SOON = PoolLimits(size_min=1, lock_wait_s=0.05)


def said(logs: list[Any]) -> list[str]:
    return [line["event"] for line in logs if line["log_level"] == "warning"]


def test_a_writer_waits_for_a_held_table_only_so_long_and_says_so(world: World) -> None:
    database = Database(world.url, SOON, application="test-waits")
    with psycopg.connect(world.owner_url) as forgetful:
        forgetful.execute("LOCK TABLE hannun.events")
        with capture_logs() as logs, pytest.raises(StoreUnavailable), database.transaction() as conn:
            conn.execute("SELECT 1 FROM hannun.events FOR UPDATE")
    assert said(logs) == ["lock not available in time"]
    with database.transaction() as conn:
        conn.execute("SELECT 1 FROM hannun.events FOR UPDATE")
    database.close()


def test_a_reader_waits_for_a_held_table_only_so_long_and_says_so(world: World) -> None:
    async def asks(reader: ReadPool) -> None:
        async with reader.connection() as conn:
            await conn.execute("SELECT count(*) FROM public.event_stats")

    async def in_turn() -> list[str]:
        reader = ReadPool(world.url, SOON, application="test-waits")
        await reader.open()
        try:
            with psycopg.connect(world.owner_url) as forgetful:
                forgetful.execute("LOCK TABLE public.event_stats")
                with capture_logs() as logs, pytest.raises(StoreUnavailable):
                    await asks(reader)
            await asks(reader)
        finally:
            await reader.close()
        return said(logs)

    assert asyncio.run(in_turn()) == ["lock not available in time"]


def test_an_operators_own_word_on_it_stands(world: World) -> None:
    url = f"{world.url}{'&' if '?' in world.url else '?'}options=-c%20lock_timeout%3D7s"
    database = Database(url, SOON, application="test-waits")
    with database.transaction() as conn:
        assert conn.execute("SHOW lock_timeout").fetchone() == ("7s",)
    database.close()
