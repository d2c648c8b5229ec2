"""Waits for PostgreSQL end, and connections that the server has closed are replaced before they carry work."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace

import psycopg
import pytest
from faults import Crash, PostgresRequests, Proxy, Request, every_crash, silent_resolver
from polling import wait_for
from psycopg.conninfo import make_conninfo
from world import World

from hannun import deadlines
from hannun.errors import ConnectionLost, OperatorError, StoreUnavailable
from hannun.store import connections
from hannun.store.database import AsyncConnection, Connection, Database, PoolLimits, ReadPool, connect

SOON_S = 5.0
ANSWER_S = 2.0
"""In which a server that is not silent answers a new connection, also on a loaded machine."""
ALL = ("silent", "slow")


@pytest.mark.parametrize("connection", [psycopg.Connection, psycopg.AsyncConnection])
def test_psycopg_waits_in_the_method_that_is_overridden(connection: type) -> None:
    assert list(inspect.signature(vars(connection)["wait"]).parameters) == ["self", "gen", "interval", "timeout"]


def test_psycopg_has_the_error_of_a_wait_that_has_timed_out() -> None:
    assert issubclass(psycopg.errors._WaitTimeout, Exception)


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    with Proxy(world.postgres.port, PostgresRequests) as proxy:
        yield proxy


@pytest.fixture
def writer(proxy: Proxy, world: World) -> Iterator[Database]:
    """A writer behind the proxy, connected."""
    writer = Database(url_behind(proxy, world), PoolLimits(answer_s=ANSWER_S), application="behind")
    writer.ensure_connected()
    yield writer
    writer.close()


def url_behind(proxy: Proxy, world: World) -> str:
    return make_conninfo(world.url, host="127.0.0.1", port=proxy.port)


def fault(proxy: Proxy, name: str) -> AbstractContextManager[None]:
    return proxy.silent() if name == "silent" else proxy.slow(0.05)


def one(conn: Connection) -> object:
    return conn.execute("SELECT 1").fetchone()


async def one_async(conn: AsyncConnection) -> object:
    return await (await conn.execute("SELECT 1")).fetchone()


def read_in_pool(url: str, work: Callable[[ReadPool], Awaitable[None]], **limits: int) -> None:
    """Do work with a pool of readers, in an event loop of its own."""

    async def run() -> None:
        pool = ReadPool(url, PoolLimits(**limits), application="behind-read")
        await pool.open()
        try:
            await work(pool)
        finally:
            await pool.close()

    asyncio.run(run())


def end_connections(world: World, application: str) -> None:
    """End the backends of an application, and wait until they are gone."""

    def backends(conn: psycopg.Connection[tuple[object, ...]]) -> int:
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
        row = conn.execute(query, [application]).fetchone()
        assert row is not None
        return int(str(row[0]))

    with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
        wait_for("the backends to be gone", lambda: backends(conn) == 0)


# -- waits end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_transaction_ends_with_its_deadline(proxy: Proxy, writer: Database, name: str) -> None:
    began = time.monotonic()
    with fault(proxy, name), deadlines.within(0.3), pytest.raises(StoreUnavailable):
        writer.run(one)
    assert time.monotonic() - began < SOON_S
    assert writer.run(one) == (1,)


@pytest.mark.parametrize("name", ALL)
def test_connecting_ends_with_the_deadline(proxy: Proxy, world: World, name: str) -> None:
    writer = Database(url_behind(proxy, world), PoolLimits(), application="behind")
    began = time.monotonic()
    with fault(proxy, name), deadlines.within(0.3), pytest.raises(StoreUnavailable):
        writer.run(one)
    assert time.monotonic() - began < SOON_S
    assert writer.run(one) == (1,)
    writer.close()


@pytest.mark.parametrize("name", ALL)
def test_a_reader_ends_with_its_deadline(proxy: Proxy, world: World, name: str) -> None:
    async def read(pool: ReadPool) -> None:
        assert await pool.read(one_async) == (1,)
        began = time.monotonic()
        for _ in range(3):  # on the connection that was open, and on new ones
            with fault(proxy, name), deadlines.within(0.3), pytest.raises(StoreUnavailable):
                await pool.read(one_async)
        assert time.monotonic() - began < SOON_S

    read_in_pool(url_behind(proxy, world), read, size_min=1, size_max=1)


def test_waits_end_also_where_the_name_is_not_looked_up(world: World) -> None:
    named, gave_up = make_conninfo(world.url, host="localhost"), threading.Event()
    writer = Database(named, PoolLimits(), application="named")

    async def read(pool: ReadPool) -> None:
        with deadlines.within(0.3), pytest.raises(StoreUnavailable):
            await pool.read(one_async)
        gave_up.set()

    reader = threading.Thread(target=read_in_pool, args=[named, read], daemon=True)
    with silent_resolver():
        began = time.monotonic()
        with deadlines.within(0.3), pytest.raises(StoreUnavailable):
            writer.run(one)
        with deadlines.within(0.3), pytest.raises(StoreUnavailable), connect(named, application="named"):
            pass
        reader.start()
        assert gave_up.wait(SOON_S)
        assert time.monotonic() - began < 2 * SOON_S
    reader.join()
    assert writer.run(one) == (1,)
    writer.close()


def test_a_cancelled_reader_waits_for_nothing(proxy: Proxy, world: World) -> None:
    async def read(pool: ReadPool) -> None:
        await pool.read(one_async)
        with proxy.silent():
            task = asyncio.create_task(pool.read(one_async))
            await asyncio.sleep(0)
            task.cancel()
            async with asyncio.timeout(SOON_S):
                await asyncio.wait([task])

    read_in_pool(url_behind(proxy, world), read, size_min=1, size_max=1)


def test_without_a_deadline_a_silent_server_is_given_up(proxy: Proxy, writer: Database) -> None:
    with proxy.silent(), pytest.raises(StoreUnavailable):
        writer.run(one)
    assert writer.run(one) == (1,)


def test_without_a_deadline_a_slow_statement_is_waited_for_while_the_server_answers(
    writer: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()
    check = connections.Server.check_answers

    def check_and_note(server: connections.Server) -> None:
        check(server)
        asked.set()

    monkeypatch.setattr(connections.Server, "check_answers", check_and_note)
    slow = f"SELECT pg_sleep({ANSWER_S + 1}), 7"
    assert writer.run(lambda conn: conn.execute(slow).fetchone()) == ("", 7)
    assert asked.is_set()


def test_a_command_gives_up_a_silent_server_with_a_sentence(
    proxy: Proxy, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = connect(url_behind(proxy, world), application="command")
    assert isinstance(conn, connections.SyncConnection)
    conn.server = replace(conn.server, answer_s=0.5)
    with proxy.silent(), pytest.raises(StoreUnavailable):
        conn.execute("SELECT 1")
    assert conn.closed
    monkeypatch.setattr(connections, "CONNECT_S_MAX", 0.2)
    with proxy.silent(), pytest.raises(StoreUnavailable, match="cannot connect to PostgreSQL"):
        connect(url_behind(proxy, world), application="command")


def test_closing_does_not_wait_for_a_silent_server(proxy: Proxy, writer: Database) -> None:
    with proxy.silent(), ThreadPoolExecutor(1) as thread:
        running = thread.submit(writer.run, one)
        wait_for("the transaction to wait", writer._lock.locked)
        began = time.monotonic()
        writer.close()
        with pytest.raises(StoreUnavailable):
            running.result(SOON_S)
        assert time.monotonic() - began < SOON_S


def test_after_the_end_no_transaction_waits_or_begins(proxy: Proxy, writer: Database) -> None:
    with proxy.silent(), ThreadPoolExecutor(1) as thread:
        running = thread.submit(writer.run, one)
        wait_for("the transaction to wait", writer._lock.locked)
        writer.end()
        with pytest.raises(StoreUnavailable):
            running.result(SOON_S)
    with pytest.raises(StoreUnavailable):
        writer.run(one)


# -- lost connections ----------------------------------------------------------------------------------------------


def test_connections_that_the_server_has_ended_cost_no_transaction(world: World) -> None:
    with ExitStack() as stack:
        writers = [Database(world.url, PoolLimits(), application="ended") for _ in range(5)]
        for writer in writers:
            stack.callback(writer.close)
            assert writer.run(one) == (1,)
        end_connections(world, "ended")
        for writer in writers:
            with writer.transaction() as conn:
                assert one(conn) == (1,)


def test_connections_that_the_server_has_ended_cost_no_reader(world: World) -> None:
    async def read(pool: ReadPool) -> None:
        async with asyncio.TaskGroup() as readers:
            for _ in range(20):
                readers.create_task(pool.read(one_async))
        await asyncio.to_thread(end_connections, world, "behind-read")
        async with asyncio.TaskGroup() as readers:
            for _ in range(40):
                readers.create_task(pool.read(one_async))

    read_in_pool(world.url, read, size_min=5, size_max=10)


def test_an_idle_connection_that_was_dropped_without_a_word_is_replaced(
    proxy: Proxy, world: World, writer: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall forgets the connection: nothing is closed, and nothing arrives. New connections work."""
    monkeypatch.setattr("hannun.store.database.CHECK_AFTER_IDLE_S", 0.0)
    monkeypatch.setattr("hannun.store.database.CHECK_S_MAX", 0.3)
    proxy.forget_connections()
    assert writer.run(one) == (1,)

    async def read(pool: ReadPool) -> None:
        is_full = lambda: pool._pool.get_stats()["pool_available"] == 3  # noqa: E731
        await asyncio.to_thread(wait_for, "all connections to be open", is_full)
        proxy.forget_connections()
        assert await pool.read(one_async) == (1,)

    read_in_pool(url_behind(proxy, world), read, size_min=3, size_max=3)


@pytest.mark.parametrize("name", ["cut before", "cut after"])
def test_a_connection_cut_at_any_request_loses_and_doubles_nothing(
    proxy: Proxy, world: World, name: str, writer: Database
) -> None:
    """Work is tried once more exactly where nothing was committed; a lost answer to a commit is an error."""
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("CREATE TABLE public.attempts (n int); GRANT ALL ON public.attempts TO PUBLIC")
    is_ours = lambda request: request.application == "behind"  # noqa: E731
    for number, crash in enumerate(every_crash(name, matches=is_ours)):  # type: ignore[arg-type]
        with proxy.inject(crash):
            try:
                writer.run(lambda conn, number=number: conn.execute("INSERT INTO attempts VALUES (%s)", [number]))
            except ConnectionLost:
                pytest.fail(f"not tried again: {crash.description}")
            except StoreUnavailable:
                assert "COMMIT" in crash.description
                committed = name == "cut after"
            else:
                committed = True
        rows = writer.run(lambda conn, number=number: conn.execute(f"SELECT FROM attempts WHERE n = {number}"))
        assert rows.rowcount == committed, crash.description


def test_a_reader_whose_connection_is_cut_reads_again(proxy: Proxy, world: World) -> None:
    async def read(pool: ReadPool) -> None:
        assert await pool.read(one_async) == (1,)
        with proxy.inject(Crash("cut before", 1, is_select)) as crash:
            assert await pool.read(one_async) == (1,)
        assert crash.happened.is_set()

    read_in_pool(url_behind(proxy, world), read, size_min=1, size_max=1)


def is_select(request: Request) -> bool:
    return "SELECT 1" in request.text


def test_a_refused_login_waits_until_the_url_is_another_one(world: World) -> None:
    """PostgreSQL has a new password a moment before the file has it."""
    urls = [make_conninfo(world.url, password="of-yesterday")] * 4
    database = Database(lambda: urls.pop() if urls else world.url, PoolLimits(), application="rotated")
    try:
        with database.transaction() as conn:
            assert one(conn) == (1,)
        assert urls == []
    finally:
        database.close()


def test_a_login_that_stays_refused_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ROTATION_S_MAX", 0.2)
    wrong = make_conninfo(world.url, password="of-yesterday")
    with pytest.raises(OperatorError, match="password authentication failed"):
        connect(lambda: wrong, application="refused")
