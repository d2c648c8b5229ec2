"""The job that writes the pending roll-up of timelines, in rounds of limited duration."""

import time
from collections.abc import Callable

from hannun.store import timeline_rollup
from hannun.store.database import Database

ROUND_S = 5.0
"""How long a round may take: a quarter of the time between two rounds (`processes.schedule`)."""


class RollUpRounds:
    """Write the pending roll-up in rounds. A round ends after `round_s`; the next continues behind its last event.

    It continues behind that event even where its roll-up is still pending. Answers from a pending roll-up are as right:
    they read minutes instead. So however many events are busy, the job takes no more than its part of PostgreSQL.
    """

    def __init__(self, round_s: float = ROUND_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._round_s = round_s
        self._clock = clock
        self._last_event_no = 0

    def run_once(self, database: Database) -> int:
        """Run one round. Returns how many rows had a wrong cumulative figure."""
        ends, repaired = self._clock() + self._round_s, 0
        for step in timeline_rollup.roll_up_pending(database.transaction, after=self._last_event_no):
            repaired += step.repaired
            if self._clock() > ends:
                self._last_event_no = step.event_no
                return repaired
        self._last_event_no = 0
        return repaired
