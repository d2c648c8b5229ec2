"""`hannun restore --finish`: something else has restored the live database; consumers and cache go on with it."""

import psycopg
import redis
from world import SPRING, World

from hannun.cache import flush, keys
from hannun.errors import RedisUnavailable
from hannun.flows.restore.finish import Finished, finish
from hannun.store.database import connected
from hannun.store.operation_runs import newest_successes


def finish_on(world: World, *, redis_answers: bool = True) -> Finished:
    def delete_cached() -> int:
        if not redis_answers:
            raise RedisUnavailable("away")
        return flush.delete_everything(world.redis)

    with connected(world.owner_url, application="test") as conn:
        return finish(conn, "an operator", delete_cached, world.deliver_pending)


def test_no_cached_answer_of_before_is_left_and_the_restore_is_on_record(world: World) -> None:
    world.count(world.created(), world.registered())
    with redis.Redis(host=world.redis.host, port=world.redis.port, password=world.redis.password) as client:
        for event in (SPRING, "an-event-that-the-backup-does-not-hold"):
            client.set(keys.dashboard(event), "of the database before")
        finished = finish_on(world)
        assert finished.cached_keys is not None
        assert client.keys("analytics:dashboard:*") == []
    assert world.rows("SELECT FROM hannun.owed_invalidations") == []
    with connected(world.owner_url, application="test") as conn:
        assert "restore" in newest_successes(conn)


def test_the_time_zone_that_a_dump_leaves_out_is_set(world: World) -> None:
    world.rows(f"ALTER DATABASE {world.name} SET timezone = 'Asia/Seoul'")
    finish_on(world)
    with psycopg.connect(world.owner_url) as conn:
        assert conn.execute("SHOW timezone").fetchone() == ("UTC",)


def test_without_redis_the_database_is_prepared_all_the_same(world: World) -> None:
    world.count(world.created())
    version = world.event_row().version
    assert finish_on(world, redis_answers=False).cached_keys is None
    assert world.event_row().version > version
