"""Backups at set times: once among all `schedule` processes, repeated where one fails, followed by a prune."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Final

from hannun.backups.manifest import Kind
from hannun.cache import RedisAddress
from hannun.errors import OperatorError, Transient
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.create import create
from hannun.flows.backup.prune import prune, record_removed
from hannun.store.due_work import DueWork
from hannun.telemetry import log

RETRY_AFTER: Final = timedelta(hours=1)
"""After a failure that an operator must correct. One that passes by itself is tried again with the next run."""


class ScheduledBackup:
    """The backups of one kind at set times.

    Args:
        open_context: opens what a backup needs, for each run: URLs and passwords are those of that moment.
        one_at_a_time: the same for all kinds of a process, so that one waits for the other instead of being refused.
    """

    def __init__(
        self,
        kind: Kind,
        due: DueWork,
        open_context: Callable[[], BackupContext],
        address: RedisAddress,
        *,
        recipient: str | None,
        daily: int,
        weekly: int,
        one_at_a_time: AbstractContextManager[object] | None = None,
    ) -> None:
        self._one_at_a_time = one_at_a_time or threading.Lock()
        self._kind = kind
        self._due = due
        self._open_context = open_context
        self._address = address
        self._recipient = recipient
        self._daily = daily
        self._weekly = weekly
        self._not_before: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """Make the backup where it is due and nobody else makes it. Returns how many were made.

        Raises:
            Transient: it failed. It is tried again; `hannun backup create` says at once whether the cause is gone.
        """
        if self._not_before is not None and now < self._not_before:
            return 0
        self._not_before = None
        try:
            with self._due.claimed() as due_at:
                if due_at is None:
                    return 0
                context = self._open_context()
                with self._one_at_a_time:
                    made = create(context, self._kind, self._address, recipient=self._recipient)
        except OperatorError as error:
            self._not_before = now + RETRY_AFTER
            # The process goes on: its other jobs do not need backups.
            raise Transient(error.args[0], hint=error.hint) from error
        log.info("a backup was made", name=made.name, bytes=made.size_bytes)
        self._prune(context)
        return 1

    def _prune(self, context: BackupContext) -> None:
        try:
            plan = prune(context.folder, daily=self._daily, weekly=self._weekly)
            record_removed(context.records, plan, context.by)
        except (OperatorError, Transient) as error:
            log.warning("backups could not be pruned; the next backup tries again", error=str(error))
