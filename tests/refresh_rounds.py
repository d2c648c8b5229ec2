"""Rounds of the refresh as tests make them: planned, done in part or as a whole, ended, and some time ago."""

from datetime import timedelta

from world import World

from hannun.domain.refresh_status import JOB
from hannun.domain.rounds import POLL, REBUILD, PlannedPiece
from hannun.store import rounds

NEVER_LOST_S = 3_600.0


class Round:
    """A round that asks channels, by their keys, for the first two events; the pieces are done as the test says."""

    def __init__(self, world: World, *channels: str) -> None:
        self._world = world
        with world.database.transaction() as conn:
            self.due_at = rounds.clock(conn).replace(microsecond=0)
            pieces = [*(PlannedPiece(POLL, channel, [1, 2]) for channel in channels), PlannedPiece(REBUILD, None, [1])]
            assert rounds.begin(conn, JOB, self.due_at, "a", 270.0)
            rounds.add_work(conn, JOB, self.due_at, pieces)

    def finish(self, kind: str = POLL, **counts: int) -> None:
        """Finish the first piece that is not done."""
        with self._world.database.transaction() as conn:
            pieces, _ = rounds.take(conn, JOB, self.due_at, "a", kind, limit=1, lost_after_s=NEVER_LOST_S)
            assert rounds.finish(conn, pieces[0].token, {name.replace("_", "-"): n for name, n in counts.items()})

    def end(self) -> None:
        with self._world.database.transaction() as conn:
            assert rounds.end(conn, JOB, self.due_at, 1)


def ended_round(world: World, *channels: str) -> Round:
    """A round that measured two events on each channel, and has ended."""
    round_ = Round(world, *channels)
    for _ in channels:
        round_.finish(changed=2)
    round_.finish(REBUILD, rebuilt=1)
    round_.end()
    return round_


def age_rounds(world: World, by: timedelta) -> None:
    """As if the rounds had been so long ago."""
    world.rows(
        "UPDATE hannun.rounds SET due_at = due_at - %s, began_at = began_at - %s, ended_at = ended_at - %s", by, by, by
    )
    world.rows("UPDATE hannun.round_work SET due_at = due_at - %s", by)
