"""Rounds in PostgreSQL: each is begun once, each piece is finished once, whoever dies or stands still."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from world import World

from hannun.domain.rounds import POLL, REBUILD, OpenRound, Piece, PlannedPiece
from hannun.store import rounds
from hannun.store.database import Database, PoolLimits

JOB = "refresh"
DUE = datetime(2026, 11, 27, 12)
NEVER_LOST_S, LOST_AT_ONCE_S = 3_600.0, 0.0


def begin(world: World, owner: str = "a", due_at: datetime = DUE, length_s: float = 300.0) -> bool:
    with world.database.transaction() as conn:
        return rounds.begin(conn, JOB, due_at, owner, length_s)


def plan(world: World, *pieces: PlannedPiece) -> None:
    with world.database.transaction() as conn:
        rounds.add_work(conn, JOB, DUE, pieces)


def take(
    world: World, owner: str, *, limit: int = 1, lost_after_s: float = NEVER_LOST_S, without: tuple[str, ...] = ()
) -> list[Piece]:
    with world.database.transaction() as conn:
        return rounds.take(
            conn, JOB, DUE, owner, POLL, limit=limit, except_channels=without, lost_after_s=lost_after_s
        )[0]


def finish(world: World, piece: Piece, **result: int) -> bool:
    with world.database.transaction() as conn:
        return rounds.finish(conn, piece.token, result)


def end(world: World, epoch: int = 1) -> tuple[dict[str, int], float] | None:
    with world.database.transaction() as conn:
        return rounds.end(conn, JOB, DUE, epoch)


def open_round(world: World) -> OpenRound | None:
    with world.database.transaction() as conn:
        return rounds.open_round(conn, JOB)


def pieces_of(*channels: str) -> list[PlannedPiece]:
    return [PlannedPiece(POLL, channel, [1, 2]) for channel in channels]


def test_of_many_processes_one_begins_a_round(world: World) -> None:
    def try_to_begin(number: int) -> bool:
        database = Database(world.url, PoolLimits(), application=f"scheduler {number}")
        try:
            with database.transaction() as conn:
                return rounds.begin(conn, JOB, DUE, f"scheduler {number}", 300.0)
        finally:
            database.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(try_to_begin, range(8))) == 1


def test_a_round_is_begun_once_also_after_its_end(world: World) -> None:
    assert begin(world)
    assert end(world) is not None
    assert not begin(world, "b")


def test_two_rounds_of_a_job_do_not_overlap(world: World) -> None:
    assert begin(world)
    assert not begin(world, "b", DUE + timedelta(minutes=5))
    assert end(world) is not None
    assert begin(world, "b", DUE + timedelta(minutes=5))


def test_a_round_that_was_left_out_is_not_begun_after_a_later_one(world: World) -> None:
    assert begin(world)
    assert end(world) is not None
    assert not begin(world, "a process that stood still", DUE - timedelta(minutes=5))


def test_a_round_past_its_deadline_is_ended_so_that_the_next_can_begin(world: World) -> None:
    assert begin(world, length_s=-1)
    plan(world, *pieces_of("instagram"))
    with world.database.transaction() as conn:
        assert rounds.end_overdue(conn, JOB) == 1
        (record,) = rounds.newest(conn, JOB, 5)
    assert record.ended_at is not None
    assert record.result == {"overdue": 1}
    assert (record.pieces, record.pieces_done) == (1, 0)
    assert begin(world, due_at=DUE + timedelta(minutes=5))
    assert take(world, "a") == [], "a piece of an ended round"


def test_each_piece_is_taken_by_one_process(world: World) -> None:
    begin(world)
    plan(world, *pieces_of("wooritv", "genietv", "instagram"))
    mine, yours = take(world, "a", limit=2), take(world, "b", limit=2)
    assert [piece.channel for piece in mine] == ["wooritv", "genietv"]
    assert [piece.channel for piece in yours] == ["instagram"]
    assert take(world, "c") == []


def test_pieces_of_channels_that_are_busy_enough_are_left_to_others(world: World) -> None:
    begin(world)
    plan(world, *pieces_of("wooritv", "wooritv", "instagram"))
    assert [piece.channel for piece in take(world, "a", limit=3, without=("wooritv",))] == ["instagram"]


def test_a_piece_whose_owner_is_lost_is_done_by_another_and_counts_once(world: World) -> None:
    begin(world)
    plan(world, *pieces_of("instagram"))
    (lost,) = take(world, "a process that stands still")
    (taken,) = take(world, "b", lost_after_s=LOST_AT_ONCE_S)
    assert taken.token.epoch == lost.token.epoch + 1
    assert not finish(world, lost, measured=2), "the old owner wakes"
    assert finish(world, taken, measured=2)
    assert not finish(world, taken, measured=2)
    ended = end(world)
    assert ended is not None
    assert ended[0] == {"measured": 2}


def test_a_heartbeat_keeps_pieces_and_tells_which_are_lost(world: World) -> None:
    begin(world)
    plan(world, *pieces_of("wooritv", "instagram"))
    first, second = take(world, "a", limit=2)
    with world.database.transaction() as conn:
        assert len(rounds.heartbeat(conn, JOB, DUE, "a", 1, [first.token.held, second.token.held])) == 2
    (taken,) = take(world, "b", lost_after_s=LOST_AT_ONCE_S)
    assert taken.token.work_no == first.token.work_no
    with world.database.transaction() as conn:
        held = [first.token.held, second.token.held]
        assert rounds.heartbeat(conn, JOB, DUE, "a", 1, held) == {second.token.held}


def test_a_round_whose_owner_is_lost_has_one_heir(world: World) -> None:
    begin(world)
    found = open_round(world)
    assert found is not None
    with world.database.transaction() as conn:
        assert rounds.take_over(conn, found, "too early", NEVER_LOST_S) == 0
        assert rounds.take_over(conn, found, "b", LOST_AT_ONCE_S) == 2
        assert rounds.take_over(conn, found, "c", LOST_AT_ONCE_S) == 0
    assert end(world, epoch=1) is None, "the lost owner ends nothing"
    assert end(world, epoch=2) is not None


def test_a_round_with_an_open_piece_does_not_end(world: World) -> None:
    begin(world)
    plan(world, *pieces_of("instagram"), PlannedPiece(REBUILD, None, [1]))
    (piece,) = take(world, "a")
    finish(world, piece, measured=1)
    assert end(world) is None


@pytest.mark.parametrize("kept", [True, False])
def test_old_rounds_are_deleted_and_new_ones_are_kept(world: World, kept: bool) -> None:
    begin(world)
    end(world)
    with world.database.transaction() as conn:
        if not kept:
            conn.execute("UPDATE hannun.rounds SET ended_at = ended_at - interval '8 days'")
        rounds.prune(conn, JOB)
        assert len(rounds.newest(conn, JOB, 5)) == kept
