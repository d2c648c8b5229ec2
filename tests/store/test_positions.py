"""Positions in PostgreSQL: which consumer owns them, and which of them wait for an operator."""

from collections.abc import Callable

import pytest
from world import DATABASE_OWNER, PASSWORD, World

from hannun.domain.batch import OffsetRange
from hannun.domain.channels import load_table
from hannun.domain.positions import PartitionLog, ResumeAt, StartFrom, WaitForOperator
from hannun.embedded import PostgresServer
from hannun.errors import StaleBatch
from hannun.store import positions
from hannun.store.batches import advance
from hannun.store.database import connect
from hannun.store.migrate import migrate
from hannun.store.positions import Claim, StartPoint
from hannun.store.roles import ROLES

PLACE = ("participant-registered", 0)
BESIDE = ("participant-registered", 1)


def begun_by(
    world: World,
    owner: str,
    log: PartitionLog = PartitionLog("a-topic", 0, 10),  # noqa: B008  a value
    start_from: StartFrom = "earliest",
    place: positions.Partition = PLACE,
) -> StartPoint | WaitForOperator:
    """What an owner finds who claims the partition, and then looks at its log."""
    with world.database.transaction() as conn:
        claims = positions.claim(conn, owner, [place])
        return positions.start_claimed(conn, owner, claims, {place: log}, start_from)[place]


def epoch_of(world: World, owner: str) -> int:
    """The epoch under which an owner has begun the partition."""
    begun = begun_by(world, owner)
    assert isinstance(begun, StartPoint)
    return begun.epoch


def owns(world: World, epoch: int) -> bool:
    with world.database.transaction() as conn:
        return positions.owns(conn, *PLACE, epoch)


def decides(world: World, offset: int, topic_id: str = "a-topic", place: positions.Partition = PLACE) -> None:
    """An operator lets the partition go on here."""
    with world.database.transaction() as conn:
        positions.resume_by_decision(conn, "an operator", *place, topic_id, ResumeAt(offset), f"--to {offset}")


def counts(world: World, start: int, end: int, epoch: int, leader_epoch: int | None = None) -> None:
    with world.database.transaction() as conn:
        advance(conn, [OffsetRange(*PLACE, start, end, epoch, leader_epoch)])


def test_the_newest_claimant_owns_a_partition(world: World) -> None:
    """So a consumer that was suspended cannot stop a partition that another consumer reads by now."""
    first = epoch_of(world, "a")
    assert owns(world, first)
    second = epoch_of(world, "b")
    assert owns(world, second)
    assert not owns(world, first)


def test_after_a_claim_the_previous_owner_cannot_move_the_position(world: World) -> None:
    """So the ends of the logs, which are queried after the claim, are never older than the position."""
    lost = epoch_of(world, "a lost owner")
    with world.database.transaction() as conn:
        claims = positions.claim(conn, "its heir", [PLACE])
    with pytest.raises(StaleBatch):
        counts(world, 0, 12, lost)
    with world.database.transaction() as conn:
        begun = positions.start_claimed(conn, "its heir", claims, {PLACE: PartitionLog("a-topic", 0, 10)}, "")[PLACE]
    assert begun == StartPoint(0, lost + 1, None)


@pytest.mark.parametrize("read_before", [True, False])
def test_an_overtaken_claim_starts_and_stops_nothing(world: World, read_before: bool) -> None:
    """Another consumer claimed it, or an operator decided, while the logs were queried."""
    if read_before:
        epoch_of(world, "an owner")
    with world.database.transaction() as conn:
        claims = positions.claim(conn, "a", [PLACE])
        assert isinstance(claims[PLACE], Claim)
    decides(world, 12)
    with world.database.transaction() as conn:
        assert positions.start_claimed(conn, "a", claims, {PLACE: PartitionLog("a-topic", 0, 10)}, "earliest") == {}
        assert positions.stopped_partitions(conn) == []


@pytest.mark.parametrize(
    ("found", "later"),
    [
        pytest.param(
            PartitionLog("a-topic", 0, 9), PartitionLog("a-topic", 0, 100), id="truncated, and it grows again"
        ),
        pytest.param(
            PartitionLog("a-topic", 11, 30), PartitionLog("a-topic", 5, 30), id="removed, and its beginning falls back"
        ),
        pytest.param(
            PartitionLog("a-topic", 0, 20, truncated=True),
            PartitionLog("a-topic", 0, 20),
            id="truncated and grown again",
        ),
    ],
)
def test_a_partition_that_lost_records_waits_until_an_operator_decides(
    world: World, found: PartitionLog, later: PartitionLog
) -> None:
    epoch = epoch_of(world, "a")
    counts(world, 0, 10, epoch, leader_epoch=3)
    stopped = begun_by(world, "a", found)
    assert isinstance(stopped, WaitForOperator)
    assert begun_by(world, "a", later) == stopped, "as it was said when it was found"
    decides(world, 5)
    assert begun_by(world, "a", later) == StartPoint(5, epoch + 3, None)


def test_reading_resumes_when_the_original_topic_is_back(world: World) -> None:
    """The consumer had been connected to another cluster."""
    counts(world, 0, 10, epoch_of(world, "a"))
    assert isinstance(begun_by(world, "a", PartitionLog("another-topic", 0, 30)), WaitForOperator)
    begun = begun_by(world, "a", PartitionLog("a-topic", 0, 30))
    assert isinstance(begun, StartPoint)
    assert begun.next_offset == 10


def test_a_partition_that_was_never_read_waits_for_the_setting_or_for_a_decision_about_itself(world: World) -> None:
    """The decision about partition 0 does not make partition 1 an added partition."""
    for place in (PLACE, BESIDE):
        assert isinstance(begun_by(world, "a", start_from="", place=place), WaitForOperator)
    decides(world, 4)
    assert isinstance(begun_by(world, "a", start_from=""), StartPoint)
    assert isinstance(begun_by(world, "a", start_from="", place=BESIDE), WaitForOperator)
    begun = begun_by(world, "a", start_from="latest", place=BESIDE)
    assert begun == StartPoint(10, 1, None)


def test_a_partition_that_is_added_to_a_topic_is_read_from_its_beginning(world: World) -> None:
    epoch_of(world, "a")
    assert begun_by(world, "a", start_from="", place=BESIDE) == StartPoint(0, 1, None)


def test_the_leader_epoch_is_stored_with_the_position_and_cleared_with_it(world: World) -> None:
    epoch = epoch_of(world, "a")
    counts(world, 0, 7, epoch, leader_epoch=3)
    begun = begun_by(world, "a")
    assert begun == StartPoint(7, epoch + 1, 3)
    counts(world, 7, 9, epoch + 1)  # the end of the log, over marks of transactions
    assert begun_by(world, "a") == StartPoint(9, epoch + 2, None)


def test_migrating_makes_partitions_stopped_for_a_truncated_log_wait_for_an_operator(
    world: World, postgres: PostgresServer, before: Callable[[str], str]
) -> None:
    """With the reasons as the previous version wrote them."""
    says = {
        0: "it is counted up to offset 12, and its log ends at 9: it was cut off, or this is another cluster",
        1: "the broker has nothing before 20: 8 offsets were removed before they were counted",
        2: "it was never read, and nobody has said where to begin",
    }
    url = postgres.url(before("0010"), DATABASE_OWNER, PASSWORD)
    with connect(url, application="test") as conn:
        for number, why in says.items():
            conn.execute(
                "INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by) "
                "VALUES ('t', %s, %s, '', '')",
                [number, why],
            )
        conn.commit()
    migrate(url, load_table(), dict.fromkeys(ROLES))
    with connect(url, application="test") as conn:
        waits = dict(conn.execute("SELECT partition, until_decided FROM hannun.stopped_partitions").fetchall())
    assert waits == {0: True, 1: True, 2: False}
