"""The gauges that show the state of the database."""

import math

import pytest
from world import World, gauges

from hannun.domain.positions import WaitForOperator
from hannun.errors import StoreUnavailable
from hannun.flows.maintenance import update_gauges
from hannun.store import positions
from hannun.store.database import Database, PoolLimits


def test_the_gauges_show_stopped_partitions_and_pending_invalidations_and_no_zero_when_unknown(world: World) -> None:
    world.rows(
        "INSERT INTO hannun.positions (topic, partition, topic_id, next_offset) "
        "VALUES ('a', 0, 'id', 5), ('a', 1, 'id', 5), ('b', 0, 'id', 5)"
    )
    with world.database.transaction() as conn:
        for topic, number in (("a", 1), ("c", 0), ("c", 1)):
            positions.stop(conn, "test", topic, number, WaitForOperator("a reason", "a hint", until_decided=True))
    world.rows("INSERT INTO hannun.owed_invalidations (events) VALUES ('{}'), ('{}')")
    update_gauges(world.database)
    assert gauges("hannun_stopped_partitions") == {'{topic="a"}': 1, '{topic="b"}': 0, '{topic="c"}': 2}
    assert gauges("hannun_owed_invalidations") == {"": 2}

    world.rows("DELETE FROM hannun.stopped_partitions")
    world.rows("DELETE FROM hannun.owed_invalidations")
    update_gauges(world.database)
    assert gauges("hannun_stopped_partitions") == {'{topic="a"}': 0, '{topic="b"}': 0}
    assert gauges("hannun_owed_invalidations") == {"": 0}

    unavailable = Database("postgresql://127.0.0.1:1/nobody", PoolLimits(), application="test")
    with pytest.raises(StoreUnavailable):
        update_gauges(unavailable)
    assert gauges("hannun_stopped_partitions") == {}
    assert math.isnan(gauges("hannun_owed_invalidations")[""])
