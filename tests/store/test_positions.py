"""Positions in PostgreSQL: whose they are."""

from world import World

from hannun.domain.positions import Log
from hannun.store import positions
from hannun.store.positions import Claim

PLACE = ("participant-registered", 0)


def claimed_by(world: World, owner: str) -> int:
    """The epoch under which an owner has claimed the partition."""
    with world.database.transaction() as conn:
        claim = positions.claim(conn, owner, {PLACE: Log("a-topic", 0, 10)}, "earliest")[PLACE]
    assert isinstance(claim, Claim)
    return claim.epoch


def owns(world: World, epoch: int) -> bool:
    with world.database.transaction() as conn:
        return positions.owns(conn, *PLACE, epoch)


def test_a_partition_is_its_newest_claimants(world: World) -> None:
    """So a member that was frozen cannot stop a partition that another one reads by now."""
    first = claimed_by(world, "a")
    assert owns(world, first)
    second = claimed_by(world, "b")
    assert owns(world, second)
    assert not owns(world, first)
