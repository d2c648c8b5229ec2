"""Restore drills at set times: once among all `schedule` processes, repeated where one fails."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from hannun.errors import OperatorError, Transient
from hannun.store.due_work import DueWork

RETRY_AFTER: Final = timedelta(hours=1)
"""After a failure that an operator must correct. One that passes by itself is tried again with the next run."""


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
        self._not_before: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """Do the drill where it is due and nobody else does it. Returns how many were done.

        Raises:
            Transient: it failed. It is tried again; `hannun restore --drill` says at once whether the cause is gone.
        """
        if self._not_before is not None and now < self._not_before:
            return 0
        self._not_before = None
        try:
            if not self._has_backup():
                return 0
            with self._due.claimed() as due_at:
                if due_at is None:
                    return 0
                self._drill()
        except OperatorError as error:
            self._not_before = now + RETRY_AFTER
            # The process goes on: its other jobs do not need drills.
            raise Transient(error.args[0], hint=error.hint) from error
        return 1
