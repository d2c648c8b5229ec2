"""A transaction that is left open locks a table: writers and readers log it, and go on when the table is free."""

import asyncio
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs
from world import World

from hannun.errors import StoreUnavailable
from hannun.store.database import Database, PoolLimits, ReadPool

SOON = PoolLimits(size_min=1, lock_wait_s=0.05)


def warnings(logs: list[Any]) -> list[str]:
    return [line["event"] for line in logs if line["log_level"] == "warning"]


def test_a_writer_gives_up_on_a_locked_table_and_logs_it(world: World) -> None:
    database = Database(world.url, SOON, application="test-waits")
    with psycopg.connect(world.owner_url) as open_transaction:
        open_transaction.execute("LOCK TABLE hannun.events")
        with capture_logs() as logs, pytest.raises(StoreUnavailable), database.transaction() as conn:
            conn.execute("SELECT 1 FROM hannun.events FOR UPDATE")
    assert warnings(logs) == ["lock not available in time"]
    with database.transaction() as conn:
        conn.execute("SELECT 1 FROM hannun.events FOR UPDATE")
    database.close()


def test_a_reader_gives_up_on_a_locked_table_and_logs_it(world: World) -> None:
    async def read(reader: ReadPool) -> None:
        async with reader.connection() as conn:
            await conn.execute("SELECT count(*) FROM public.event_stats")

    async def in_turn() -> list[str]:
        reader = ReadPool(world.url, SOON, application="test-waits")
        await reader.open()
        try:
            with psycopg.connect(world.owner_url) as open_transaction:
                open_transaction.execute("LOCK TABLE public.event_stats")
                with capture_logs() as logs, pytest.raises(StoreUnavailable):
                    await read(reader)
            await read(reader)
        finally:
            await reader.close()
        return warnings(logs)

    assert asyncio.run(in_turn()) == ["lock not available in time"]


def test_an_operators_own_lock_timeout_is_kept(world: World) -> None:
    url = f"{world.url}{'&' if '?' in world.url else '?'}options=-c%20lock_timeout%3D7s"
    database = Database(url, SOON, application="test-waits")
    with database.transaction() as conn:
        assert conn.execute("SHOW lock_timeout").fetchone() == ("7s",)
    database.close()
