"""The cache over a real Redis Cluster of three nodes: slots that move, and a node that dies."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cache_readers import KEY, ME, Serve, answer, serving
from polling import wait_for
from valkey_cluster import ValkeyCluster, valkey_cluster
from world import World

from hannun.cache import flush, keys, opening
from hannun.cache.cluster import ClusterMap
from hannun.cache.key_scan import KeyScan
from hannun.cache.rdb_stream import open_rdb
from hannun.counting.outbox_relay import deliver_pending
from hannun.domain.questions import EventDashboardQuestion, EventSubject
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import OperatorError


@pytest.fixture(scope="module")
def shared_cluster(home: Path) -> Iterator[ValkeyCluster]:
    with valkey_cluster(home / "cluster") as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: ValkeyCluster) -> ValkeyCluster:
    """The cluster, empty."""
    for client in shared_cluster.clients:
        client.flushall()
    return shared_cluster


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[ValkeyCluster]:
    """A cluster of this test's own, which it may break."""
    with valkey_cluster(tmp_path / "cluster") as cluster:
        yield cluster


def world_on(cluster: ValkeyCluster, postgres: PostgresServer, valkey: ValkeyServer, database: str) -> World:
    world = World(postgres, valkey, database)
    world.redis = cluster.address
    return world


@pytest.fixture
def world(cluster: ValkeyCluster, postgres: PostgresServer, valkey: ValkeyServer, database: str) -> Iterator[World]:
    with world_on(cluster, postgres, valkey, database) as world:
        yield world


def test_answers_lie_on_all_nodes_and_a_commit_removes_those_that_it_changes(
    world: World, cluster: ValkeyCluster
) -> None:
    world.count(world.created(), world.registered())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (1, "live")
        assert await serve.dashboard() == (1, "cache")
        world.count(world.registered())
        assert await serve.dashboard() == (2, "live")
        assert await serve.dashboard() == (2, "cache")

    serving(world, work)
    assert world.rows("SELECT count(*) AS n FROM hannun.owed_invalidations")[0].n == 0


# -- a slot that moves


def another(cluster: ValkeyCluster, key: str) -> int:
    return (cluster.owner_of(key) + 1) % len(cluster.nodes)


def test_a_slot_that_moves_with_its_keys_gives_misses_and_is_filled_anew(world: World, cluster: ValkeyCluster) -> None:
    world.count(world.created(), world.registered())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (1, "live")
        await asyncio.to_thread(cluster.move, KEY, another(cluster, KEY))
        assert cluster.clients[cluster.owner_of(KEY)].exists(KEY)
        assert await serve.dashboard() == (1, "live"), "what another node has granted is not believed"
        while (await serve.dashboard())[1] != "cache":  # noqa: ASYNC110  as soon as the new owner is known
            await asyncio.sleep(0.05)
        await asyncio.to_thread(world.count, world.registered())
        assert (await serve.dashboard())[0] == 2

    serving(world, work)
    assert world.rows("SELECT count(*) AS n FROM hannun.owed_invalidations")[0].n == 0


@pytest.mark.parametrize("moved", ["no key has moved", "the keys have moved"])
def test_a_commit_while_a_slot_moves_removes_the_answer_wherever_it_is(
    world: World, cluster: ValkeyCluster, moved: str
) -> None:
    """The slot comes back afterwards: an answer of before would be valid again on the node that granted its lease."""
    world.count(world.created(), world.registered())

    async def work(serve: Serve) -> None:
        assert await serve.dashboard() == (1, "live")
        assert await serve.dashboard() == (1, "cache")
        from_, to = cluster.owner_of(KEY), another(cluster, KEY)
        cluster.begin_move(KEY, to)
        if moved == "the keys have moved":
            cluster.move_keys(KEY, to)
        await asyncio.to_thread(world.count, world.registered())
        assert world.rows("SELECT count(*) AS n FROM hannun.owed_invalidations")[0].n == 0
        assert await serve.dashboard() == (2, "live")
        cluster.move_keys(KEY, to)
        cluster.end_move(KEY, to)
        await asyncio.to_thread(cluster.move, KEY, from_)

    async def read_in_another_process(serve: Serve) -> None:
        assert (await serve.dashboard())[0] == 2

    serving(world, work)
    serving(world, read_in_another_process)


# -- a node that dies


def test_without_a_node_its_keys_are_misses_and_all_others_go_on(
    own_cluster: ValkeyCluster, postgres: PostgresServer, valkey: ValkeyServer, database: str
) -> None:
    with world_on(own_cluster, postgres, valkey, database) as world:
        here, there = (own_cluster.a_key(number, keys.dashboard) for number in (0, 2))
        for event in (here, there):
            world.count(world.created(event), world.registered(event=event))

        async def total(serve: Serve, event: str) -> tuple[int, str]:
            answer, source = await serve.reports.answer(ME, EventDashboardQuestion(EventSubject(event)))
            return json.loads(answer.body)["summary"]["totalParticipants"], source

        async def work(serve: Serve) -> None:
            for event in (here, there):
                assert await total(serve, event) == (1, "live")
                assert await total(serve, event) == (1, "cache")
            own_cluster.nodes[2].kill()
            assert await total(serve, here) == (1, "cache")
            assert await total(serve, there) == (1, "live")
            await asyncio.to_thread(world.count, world.registered(event=here), world.registered(event=there))
            assert [await total(serve, event) for event in (here, there)] == [(2, "live"), (2, "live")]
            assert await total(serve, here) == (2, "cache"), "the living node is up to date, and caches"
            assert not await serve.cache.check(), "degraded"
            own_cluster.nodes[2].start()
            await asyncio.to_thread(deliver, world)
            while not await serve.cache.check() or (await total(serve, there))[1] != "cache":
                assert (await total(serve, there))[0] == 2
                await asyncio.sleep(0.05)

        serving(world, work)


def deliver(world: World) -> None:
    """Deliver what is pending, as soon as the cluster takes it."""
    wait_for(
        "the invalidations to be delivered",
        lambda: (
            deliver_pending(world.database, world.invalidator, older_than_s=0) is not None
            and world.rows("SELECT count(*) AS n FROM hannun.owed_invalidations")[0].n == 0
        ),
    )


def test_another_node_announces_changes_when_the_announcing_one_dies(
    own_cluster: ValkeyCluster, postgres: PostgresServer, valkey: ValkeyServer, database: str
) -> None:
    with world_on(own_cluster, postgres, valkey, database) as world:
        world.count(world.created())
        announcer = ClusterMap(own_cluster.address).needed().announcer
        number = [node.port for node in own_cluster.nodes].index(announcer.port if announcer else 0)
        own_cluster.address = replace(own_cluster.address, port=own_cluster.nodes[(number + 1) % 3].port)
        world.redis = own_cluster.address

        async def work(serve: Serve) -> None:
            heard: list[int | None] = []

            async def listen() -> None:
                async for event in serve.cache.announcements():
                    heard.append(event and event.version)

            task = asyncio.create_task(listen())
            try:
                for node in (None, own_cluster.nodes[number]):
                    if node is not None:
                        node.kill()
                    before = len([each for each in heard if each])
                    while len([each for each in heard if each]) == before:
                        await asyncio.to_thread(world.count, world.registered())
                        await asyncio.sleep(0.05)
            finally:
                task.cancel()

        serving(world, work)


# -- everything else that speaks to Redis


def test_operators_see_and_delete_the_keys_of_all_nodes(world: World, cluster: ValkeyCluster) -> None:
    ids = [cluster.a_key(number, keys.dashboard) for number in range(3)]

    async def work(serve: Serve) -> None:
        leases = await serve.cache.acquire_leases([keys.dashboard(id_) for id_ in ids])
        assert len(leases) == 3
        filled = await serve.cache.fill_all([(lease, answer(1)) for lease in leases[:2]])
        assert len(filled) == 2
        await serve.cache.release_all(leases[2:])

    serving(world, work)
    markers = opening.processed_markers(world.redis, per_second_max=100, lifetime_s=60)
    markers.write([f"m{number}" for number in range(30)])
    markers.close()
    assert [client.dbsize() for client in cluster.clients if not client.dbsize()] == []
    inspector = opening.server_inspector(world.redis)
    inspector.check()
    assert inspector.statistics().keys == 32
    inspector.record_lookups()
    assert [counts.run for counts in inspector.recorded_lookups()] == [inspector.count_lookups().run]
    inspector.record_consistency({1.0: 0.5})
    assert inspector.recorded_consistency() == {1.0: 0.5}
    assert inspector.slow_commands(5) is not None
    assert inspector.clock().tzinfo is not None
    inspector.close()
    scan = KeyScan(world.redis)
    assert len(list(scan.entries())) == 34
    scan.close()
    assert flush.delete_everything(world.redis) == 32
    with pytest.raises(OperatorError, match="cluster|Cluster"), open_rdb(world.redis):
        pass


def test_limits_are_shared_through_any_node(world: World) -> None:
    async def work(_: Serve) -> None:
        one, two = (opening.pubsub_channel(world.redis, "hannun:taken") for _ in range(2))
        try:
            async with asyncio.timeout(20):
                messages = two.subscribe()
                heard = asyncio.ensure_future(anext(messages))
                while not heard.done():
                    await one.publish(b"used")
                    await asyncio.sleep(0.05)
                assert await heard == b"used"
        finally:
            await one.close()
            await two.close()

    serving(world, work)


def test_an_id_with_a_brace_is_answered_and_not_cached(world: World) -> None:
    event = "an{event}"
    world.count(world.created(event), world.registered(event=event))

    async def work(serve: Serve) -> None:
        for _ in range(2):
            _, source = await serve.reports.answer(ME, EventDashboardQuestion(EventSubject(event)))
            assert source == "live"

    serving(world, work)
    assert world.rows("SELECT count(*) AS n FROM hannun.owed_invalidations")[0].n == 0
