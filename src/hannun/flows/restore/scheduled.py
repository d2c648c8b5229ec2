"""Restore drills at set times: once among all `schedule` processes, repeated where one fails."""

from collections.abc import Callable
from datetime import datetime

from hannun.store.due_work import DueWork


class ScheduledDrill:
    """The drills at set times.

    Args:
        has_backup: whether there is a backup to be proven.
        drill: proves the newest one, and records it.
    """

    def __init__(self, due: DueWork, has_backup: Callable[[], bool], drill: Callable[[], object]) -> None:
        self._due = due
        self._has_backup = has_backup
        self._drill = drill

    def run_once(self, now: datetime) -> int:
        """Do the drill where it is due and nobody else does it. Returns how many were done.

        Raises:
            Transient: it failed. It is tried again; `hannun restore --drill` says at once whether the cause is gone.
        """
        return self._due.run_once(now, self._prove, self._has_backup) or 0

    def _prove(self) -> int:
        self._drill()
        return 1
