"""Redis answers reads and refuses writes, because its disk is full: what it holds is not believed meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis
from cache_readers import KEY, Serve, plain_client, serving
from small_disks import SmallDisk, small_disk
from world import World

from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import OperatorError

pytestmark = pytest.mark.small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 8) as disk:
        yield disk


@pytest.fixture
def persistent(postgres: PostgresServer, database: str, disk: SmallDisk) -> Iterator[World]:
    """A world whose Valkey writes an append-only file to the small disk, as an operator may want it."""
    aof = {"appendonly": "yes", "appendfsync": "everysec"}
    with ValkeyServer(disk.folder / "valkey", settings=aof) as valkey, World(postgres, valkey, database) as world:
        yield world


def refuses_writes(world: World) -> bool:
    """Write until the append-only file cannot grow any more; it is flushed every second."""
    with plain_client(world) as client:
        try:
            client.set("anything", bytes(100_000))
        except redis.ResponseError as refused:
            return "MISCONF" in str(refused)
        return False


def accepts_writes(world: World) -> bool:
    with plain_client(world) as client, suppress(redis.ResponseError):
        return bool(client.set("anything", b""))
    return False


def has_delivered_all(world: World) -> bool:
    world.deliver_pending()
    return world.rows("SELECT FROM hannun.owed_invalidations") == []


async def until(serve: Serve, wanted: tuple[int, str]) -> None:
    """Wait until the dashboard is this total from this source. Any other answer meanwhile has the total, too."""
    while (found := await serve.dashboard()) != wanted:
        assert found[0] == wanted[0]
        await asyncio.sleep(0.01)


@asynccontextmanager
async def watching_writes(serve: Serve) -> AsyncIterator[None]:
    watch = asyncio.create_task(serve.cache.watch_writes())
    yield
    watch.cancel()


def test_no_old_answer_is_served_while_redis_refuses_writes(persistent: World, disk: SmallDisk) -> None:
    world = persistent
    world.count(world.created())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (0, "live")
        assert await serve.dashboard() == (0, "cache")
        async with watching_writes(serve):
            disk.fill()
            world.wait_for("Redis to refuse writes", lambda: refuses_writes(world))
            await until(serve, (0, "live"))
            world.count(world.registered("p1"))
            with plain_client(world) as client:
                assert client.get(KEY) is not None, "the old answer cannot be deleted"
            for _ in range(3):
                assert await serve.dashboard() == (1, "live")
            with pytest.raises(OperatorError, match="MISCONF"):
                world.invalidator.check()
            disk.make_room()
            world.wait_for("Redis to accept writes", lambda: accepts_writes(world))
            world.wait_for("the invalidations to be delivered", lambda: has_delivered_all(world))
            await until(serve, (1, "cache"))
        world.invalidator.check()

    serving(world, work)
    assert world.drift() == []


def test_a_redis_that_becomes_a_replica_is_not_believed(persistent: World) -> None:
    """After a failover it answers reads, and refuses what clients write."""
    world = persistent
    world.count(world.created())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (0, "live")
        assert await serve.dashboard() == (0, "cache")
        with plain_client(world) as client:
            client.config_set("replica-serve-stale-data", "yes")
            client.replicaof("127.0.0.1", "1")
            await serve.cache.check_writes()
            world.count(world.registered("p1"))
            assert await serve.dashboard() == (1, "live")
            assert await serve.dashboard() == (1, "live")
            client.replicaof("NO", "ONE")
        async with watching_writes(serve):
            world.deliver_pending()
            await until(serve, (1, "cache"))

    serving(world, work)
