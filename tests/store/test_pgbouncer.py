"""Connections through a real PgBouncer in transaction mode: nothing that we need is kept in a session."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from pgbouncer import PgBouncer, pgbouncer
from world import DATABASE_OWNER, OWNER, PASSWORD, SPRING, World

from hannun.counting.batch_counter import BatchCounter
from hannun.embedded import PostgresServer
from hannun.errors import ConnectionLost, OperatorError, StoreUnavailable
from hannun.processes.commands.database import owner_url
from hannun.settings import Settings
from hannun.store.database import Database, PoolLimits, ReadPool, connected
from hannun.store.event_list import is_merchant
from hannun.store.pooled_connections import PooledUrl

pytestmark = pytest.mark.pgbouncer
LIMITS = PoolLimits(size_max=4, size_min=1)


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    """A PgBouncer with one connection for each database: all clients share its session."""
    with pgbouncer(postgres, "analytics_readwrite", PASSWORD, pool_size=1) as running:
        yield running


@pytest.fixture
def url(pooler: PgBouncer, world: World) -> PooledUrl:
    return PooledUrl(pooler.url(world.name))


@pytest.fixture
def writer(url: PooledUrl) -> Iterator[Database]:
    database = Database(url, replace(LIMITS, lock_wait_s=0.2, statement_s=7.0), application="one")
    yield database
    database.close()


def setting(conn: psycopg.Connection[tuple[object, ...]], name: str) -> object:
    row = conn.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return row[0]


def test_a_transaction_has_its_limits_and_leaves_them_to_no_other_client(writer: Database, url: PooledUrl) -> None:
    with writer.transaction() as conn:
        assert setting(conn, "lock_timeout") == "200ms"
        assert setting(conn, "statement_timeout") == "7s"
    with connected(url, application="another") as conn:
        assert setting(conn, "lock_timeout") == "0"
        assert setting(conn, "statement_timeout") == "0"
        assert setting(conn, "TimeZone") == "UTC"
        assert setting(conn, "application_name") == "another"


def test_a_lock_that_is_not_free_in_time_ends_the_transaction_and_the_next_one_works(
    writer: Database, world: World
) -> None:
    world.count(world.created())
    with world.another_database().transaction() as other:
        other.execute("SELECT FROM hannun.events WHERE event_id = %s FOR UPDATE", [SPRING])
        with pytest.raises(StoreUnavailable, match="lock timeout"), writer.transaction() as conn:
            conn.execute("SELECT FROM hannun.events WHERE event_id = %s FOR UPDATE", [SPRING])
    assert writer.run(lambda conn: conn.execute("SELECT 1").fetchone()) == (1,)


def test_readers_share_a_session_and_prepare_nothing_in_it(url: PooledUrl, world: World, pooler: PgBouncer) -> None:
    world.count(world.created())

    async def read() -> None:
        pool = ReadPool(url, LIMITS, application="reader")
        await pool.open()
        try:
            found = await asyncio.gather(*(pool.read(lambda conn: is_merchant(conn, OWNER)) for _ in range(40)))
            assert all(found)
        finally:
            await pool.close()

    asyncio.run(read())
    with connected(url, application="prepared") as conn:
        assert conn.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    assert len([line for line in pooler.show("SERVERS") if line["database"] == world.name]) == 1


def test_two_writers_share_a_session_and_count_each_message_once(url: PooledUrl, world: World) -> None:
    world.count(world.created())
    databases = [Database(url, LIMITS, application=f"writer-{n}") for n in range(2)]
    messages = [world.registered(f"p-{n}") for n in range(60)]

    def count(counter: BatchCounter) -> None:
        for first in range(0, len(messages), 5):
            counter.count(messages[first : first + 5])

    threads = [threading.Thread(target=count, args=[world.counter_on(database)]) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    (event,) = world.rows("SELECT total_participants FROM public.event_stats")
    assert event.total_participants == 60
    assert world.drift() == []


def test_a_counter_drops_its_keys_where_another_database_has_taken_the_name(
    url: PooledUrl, world: World, postgres: PostgresServer
) -> None:
    """The replacement gives the same surrogate keys to other events: with keys of before, counts would go to them."""
    before, replacement = f"{world.name}_before", f"{world.name}_replacement"
    database = Database(url, LIMITS, application="writer")
    counter = world.counter_on(database)
    counter.count([world.created(SPRING), world.registered("p-1")])
    with psycopg.connect(postgres.superuser_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {replacement} TEMPLATE template_of_tests OWNER {DATABASE_OWNER}".encode())
        try:
            other = World(postgres, world.valkey, replacement)
            with other:
                other.count(other.created("5b0c2f64-0000-4000-8000-000000000009"))
                other.count(other.created(SPRING))
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)",
                [[world.name, replacement]],
            )
            server.execute(f"ALTER DATABASE {world.name} RENAME TO {before}".encode())
            server.execute(f"ALTER DATABASE {replacement} RENAME TO {world.name}".encode())
            with pytest.raises(ConnectionLost):
                counter.count([world.registered("p-2")])
            counter.count([world.registered("p-2")])
            counted = world.another_database().run(
                lambda conn: conn.execute("SELECT event_id, total_participants FROM public.event_stats").fetchall()
            )
            assert dict(counted)[SPRING] == 1
            assert sum(dict(counted).values()) == 1
        finally:
            database.close()
            server.execute(f"DROP DATABASE IF EXISTS {before} WITH (FORCE)".encode())
            server.execute(f"DROP DATABASE IF EXISTS {replacement} WITH (FORCE)".encode())


def test_without_the_setting_pgbouncer_refuses_and_the_hint_names_the_setting(url: PooledUrl) -> None:
    with pytest.raises(OperatorError) as refused, connected(str(url), application="unaware"):
        pass
    assert "HANNUN_TRANSACTION_POOLING" in (refused.value.hint or "")


def test_an_owner_does_not_work_through_pgbouncer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://service@pooler:6432/analytics_db")
    monkeypatch.setenv("HANNUN_TRANSACTION_POOLING", "true")
    with pytest.raises(OperatorError, match="HANNUN_OWNER_DATABASE_URL"):
        owner_url(Settings())
    monkeypatch.setenv("HANNUN_OWNER_DATABASE_URL", "postgresql://owner@server/analytics_db")
    assert owner_url(Settings()) == "postgresql://owner@server/analytics_db"
