"""Begins and ends rounds, and gives their pieces out, for one process among several.

    find_round ─┬─ a round is open ─────────► take pieces of it, whoever has begun it
          ├─ due, and nobody has begun ─► begin: plan the pieces in the same transaction
          └─ nothing due ─────────────► wait

PostgreSQL decides each step, by its own clock. So it does not matter how many processes try, whether their clocks are
right, or when one of them dies or stands still.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from hannun.domain.rounds import LOST_AFTER_S, HeldPiece, OpenRound, Piece, PlannedPiece, WorkToken
from hannun.domain.timetable import Timetable
from hannun.store import rounds
from hannun.store.database import Connection, Database
from hannun.telemetry import log, metrics

LENGTH_SHARE = 0.9
"""Of the time until the next round is due: after so long a round is ended as it is, so that the next begins in time."""

Plan = Callable[[Connection], Sequence[PlannedPiece]]
"""Plans the pieces of a round that begins, in its transaction."""


class RoundKeeper:
    """The rounds of one job, as one process takes part in them. Every method blocks.

    Args:
        database: a connection of its own.
        owner: the name of this process, which no other has.
        plan: the pieces of a new round.
        lost_after_s: how long a process may write no heartbeat before others do its work.
    """

    def __init__(
        self,
        database: Database,
        job: str,
        timetable: Timetable,
        plan: Plan,
        *,
        owner: str,
        lost_after_s: float = LOST_AFTER_S,
    ) -> None:
        self.job = job
        self.owner = owner
        self._database = database
        self._timetable = timetable
        self._plan = plan
        self._lost_after_s = lost_after_s

    def find_round(self) -> tuple[OpenRound | None, float]:
        """The open round, begun here where one is due and nobody has begun it; and the seconds until the next is due.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        with self._database.transaction() as conn:
            overdue = rounds.end_overdue(conn, self.job)
            found = rounds.open_round(conn, self.job)
            now = found.now if found is not None else rounds.clock(conn)
            if found is None:
                self._begin(conn, self._timetable.latest(now))
                found = rounds.open_round(conn, self.job)  # begun here, or by another process a moment before
            elif found.owner != self.owner and found.silent_s > self._lost_after_s:
                rounds.take_over(conn, found, self.owner, self._lost_after_s)
                found = rounds.open_round(conn, self.job)
        if overdue:
            metrics.refresh_rounds.labels("overdue").inc(overdue)
            log.warning("a round of the refresh passed its deadline and was ended as it was", rounds=overdue)
        return found, (self._timetable.following(now) - now).total_seconds()

    def _begin(self, conn: Connection, due_at: datetime) -> None:
        """Begin the round and plan its pieces, unless another process has begun it."""
        length_s = (self._timetable.following(due_at) - due_at).total_seconds() * LENGTH_SHARE
        if rounds.begin(conn, self.job, due_at, self.owner, length_s):
            rounds.prune(conn, self.job)
            rounds.add_work(conn, self.job, due_at, self._plan(conn))

    def owns(self, found: OpenRound) -> bool:
        """Whether this process is the one that ends the round."""
        return found.owner == self.owner

    def take(
        self, found: OpenRound, kind: str, limit: int, except_channels: Collection[str] = ()
    ) -> tuple[list[Piece], datetime | None]:
        """Take pieces that nobody does, and PostgreSQL's time where there are any. Raises as `find_round`."""
        with self._database.transaction() as conn:
            return rounds.take(
                conn,
                self.job,
                found.due_at,
                self.owner,
                kind,
                limit=limit,
                except_channels=except_channels,
                lost_after_s=self._lost_after_s,
            )

    def open_work(self, found: OpenRound, kind: str) -> int:
        """How many pieces of a kind are not done, by anybody. Raises as `find_round`."""
        with self._database.transaction() as conn:
            return rounds.open_work(conn, self.job, found.due_at, kind)

    def heartbeat(self, found: OpenRound, held: Collection[HeldPiece]) -> set[HeldPiece]:
        """Say that this process is alive. Returns which of the pieces that it works on are still its own. Raises as
        `find_round`."""
        with self._database.transaction() as conn:
            epoch = found.epoch if self.owns(found) else 0
            return rounds.heartbeat(conn, self.job, found.due_at, self.owner, epoch, held)

    def finish(self, token: WorkToken, result: Mapping[str, int]) -> bool:
        """Record that a piece is done. Returns False where another process does it by now. Raises as `find_round`."""
        with self._database.transaction() as conn:
            return rounds.finish(conn, token, result)

    def end(self, found: OpenRound) -> tuple[dict[str, int], float] | None:
        """End the round, if it is this process's and all its pieces are done. Returns its counts and its length in
        seconds. Raises as `find_round`."""
        if not self.owns(found):
            return None
        with self._database.transaction() as conn:
            return rounds.end(conn, self.job, found.due_at, found.epoch)
