"""Work that is done once when it is due, by one of several processes: a round (`store.rounds`) without pieces.

    due ─► begun by one process ─► done ─► ended
             │ no heartbeat for `LOST_AFTER_S`: it died, or failed and gave the work up
             └────► another process, or the same one later, takes it under the next epoch

What was due while no process ran is done once, when the first one runs again.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final, TypeVar

from hannun.domain.rounds import HEARTBEAT_S, LOST_AFTER_S, OpenRound
from hannun.domain.timetable import Timetable
from hannun.errors import OperatorError, StoreUnavailable, Transient
from hannun.store import rounds
from hannun.store.database import Connection, Database

T = TypeVar("T")

RETRY_AFTER: Final = timedelta(hours=1)
"""After a failure that an operator must correct. One that passes by itself is tried again with the next run."""
LENGTH_SHARE = 0.9
"""Of the time until the next is due: after so long it is ended as it is, so that the next begins in time."""


class DueWork:
    """The work of one job, as one process takes part in it.

    Args:
        job: its name; that of no round of another kind.
        owner: the name of this process, which no other has.
        lost_after_s: how long a process may write no heartbeat before others do its work.
    """

    def __init__(
        self, database: Database, job: str, timetable: Timetable, owner: str, lost_after_s: float = LOST_AFTER_S
    ) -> None:
        self._database = database
        self._job = job
        self._timetable = timetable
        self._owner = owner
        self._lost_after_s = lost_after_s
        self._not_before: datetime | None = None

    def run_once(self, now: datetime, work: Callable[[], T], applies: Callable[[], bool] = lambda: True) -> T | None:
        """The result of the work where it is due, applies, and no other process does it; None otherwise.

        Raises:
            Transient: it failed. A later call tries again, after `RETRY_AFTER` where an operator must correct it. The
                process goes on meanwhile: its other jobs do not need this work.
        """
        if self._not_before is not None and now < self._not_before:
            return None
        self._not_before = None
        try:
            if not applies():
                return None
            with self.claimed() as due_at:
                return None if due_at is None else work()
        except OperatorError as error:
            self._not_before = now + RETRY_AFTER
            raise Transient(error.args[0], hint=error.hint) from error

    @contextmanager
    def claimed(self) -> Iterator[datetime | None]:
        """The right to do the work that is due, and when it was due; None where nothing is, or another process does it.

        At the end of the block the work is done. Where the block raises, it is not, and may be claimed again.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        with self._database.transaction() as conn:
            found = self._claim(conn)
        if found is None:
            yield None
            return
        with self._beating(found):
            yield found.due_at
        with self._database.transaction() as conn:
            rounds.end(conn, self._job, found.due_at, found.epoch)

    def _claim(self, conn: Connection) -> OpenRound | None:
        rounds.end_overdue(conn, self._job)
        found = rounds.open_round(conn, self._job)
        if found is None:
            return self._begin(conn)
        if found.silent_s > self._lost_after_s and rounds.take_over(conn, found, self._owner, self._lost_after_s):
            return rounds.open_round(conn, self._job)
        return None

    def _begin(self, conn: Connection) -> OpenRound | None:
        due_at = self._timetable.latest(rounds.clock(conn))
        length_s = (self._timetable.following(due_at) - due_at).total_seconds() * LENGTH_SHARE
        if not rounds.begin(conn, self._job, due_at, self._owner, length_s):
            return None
        rounds.prune(conn, self._job)
        return rounds.open_round(conn, self._job)

    @contextmanager
    def _beating(self, found: OpenRound) -> Iterator[None]:
        """Say in the block that this process is alive."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S):
                try:
                    with self._database.transaction() as conn:
                        rounds.heartbeat(conn, self._job, found.due_at, self._owner, found.epoch, ())
                except StoreUnavailable:
                    continue  # the next one may succeed; meanwhile another process may take the work

        beating = threading.Thread(target=beat, name=f"heartbeat of {self._job}", daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
