"""Backups at set times: once among all `schedule` processes, repeated where one fails, followed by a prune."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from hannun.backups.manifest import Kind
from hannun.cache import RedisAddress
from hannun.errors import OperatorError, Transient
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.create import create
from hannun.flows.backup.prune import prune, record_removed
from hannun.store.due_work import DueWork
from hannun.telemetry import log


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

    def run_once(self, now: datetime) -> int:
        """Make the backup where it is due and nobody else makes it. Returns how many were made.

        Raises:
            Transient: it failed. It is tried again; `hannun backup create` says at once whether the cause is gone.
        """
        context = self._due.run_once(now, self._make)
        if context is None:
            return 0
        self._prune(context)
        return 1

    def _make(self) -> BackupContext:
        context = self._open_context()
        with self._one_at_a_time:
            made = create(context, self._kind, self._address, recipient=self._recipient)
        log.info("a backup was made", name=made.name, bytes=made.size_bytes)
        return context

    def _prune(self, context: BackupContext) -> None:
        try:
            plan = prune(context.folder, daily=self._daily, weekly=self._weekly)
            record_removed(context.records, plan, context.by)
        except (OperatorError, Transient) as error:
            log.warning("backups could not be pruned; the next backup tries again", error=str(error))
