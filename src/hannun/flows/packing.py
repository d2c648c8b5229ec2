"""The job that packs the participants of quiet events, in rounds of limited duration."""

import time
from collections.abc import Callable

from hannun.store import packing
from hannun.store.database import Database
from hannun.telemetry import log

ROUND_S = 15.0
"""How long a round may take: a quarter of the time between two rounds (`processes.schedule_jobs`)."""
REMEMBERED_MAX = 100_000


class PackingRounds:
    """Pack quiet events in rounds. A round ends after `round_s`; the next goes on behind its last event.

    Args:
        quiet_s: how long nobody was added to an event before it is packed.
    """

    def __init__(
        self,
        round_s: float = ROUND_S,
        clock: Callable[[], float] = time.monotonic,
        quiet_s: float = packing.QUIET_S,
    ) -> None:
        self._round_s = round_s
        self._clock = clock
        self._quiet_s = quiet_s
        self._last_event_no = 0
        # The versions of events of which nothing could be packed, so that their rows are not read again and again.
        self._unpackable: dict[int, int] = {}

    def run_once(self, database: Database) -> int:
        """Run one round. Returns how many participants were packed; 0 where this database packs none."""
        with database.transaction() as conn:
            if not packing.packs(conn):
                return 0
        ends, packed, events = self._clock() + self._round_s, 0, 0
        while True:
            with database.transaction() as conn:
                due = packing.due_events(conn, self._last_event_no, quiet_s=self._quiet_s)
            if not due:
                self._last_event_no = 0
                break
            for event in due:
                of_event = self._pack(database, event, ends)
                packed, events = packed + of_event, events + bool(of_event)
                self._last_event_no = event.event_no
                if self._clock() > ends:
                    break
            else:
                continue
            break
        if packed:
            log.info("participants were packed", participants=packed, events=events)
        return packed

    def _pack(self, database: Database, event: packing.DueEvent, ends: float) -> int:
        """Pack an event until the round ends; a later one goes on. Returns how many participants were packed."""
        if self._unpackable.get(event.event_no) == event.version:
            return 0
        packed = 0
        for step in packing.pack_event(database.transaction, event.event_no, quiet_s=self._quiet_s):
            packed += step.packed
            if not packed:
                self._remember_unpackable(event)
            if self._clock() > ends:
                break
        return packed

    def _remember_unpackable(self, event: packing.DueEvent) -> None:
        if len(self._unpackable) >= REMEMBERED_MAX:
            self._unpackable.clear()
        self._unpackable[event.event_no] = event.version
