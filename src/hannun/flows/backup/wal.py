"""Archive the write-ahead log: pg_receivewal with a replication slot, for as long as it is not stopped.

    slot ─► pg_receivewal ─► <folder>/wal/<segments>
      │          └─ it ends: the server is away ─► again, after a wait that grows
      └─ the server keeps what the archive has not ─► its volume could fill: a warning, and the lag in the record

With a physical backup and the log behind it, a restore can end at any moment since. Each minute the record of the run
(kind `wal-archive`) says that the archive is complete up to now, so its age is the age of the newest moment to which a
restore can go.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hannun.backups.archived_log import ArchivedLog
from hannun.errors import OperatorError, StoreUnavailable, Transient
from hannun.flows.backup.context import BackupContext
from hannun.pg_programs import programs
from hannun.pg_programs.run import ProgramFailed, connection_arguments, run
from hannun.store import database_facts, operation_runs, wal_slots
from hannun.store.database import connected
from hannun.store.wal_slots import SlotState
from hannun.telemetry import log

SLOT: Final = wal_slots.ARCHIVE
LOCK: Final = "wal.lock"
APPLICATION: Final = "hannun-wal-archive"
RECORD_EVERY_S: Final = 60.0
RETRY_S_MIN, RETRY_S_MAX = 1.0, 30.0
_NOT_CONTINUED: Final = re.compile(r"is ahead of the WAL flush position|is not in this server's history")
SILENCE_S: Final = float("inf")
"""pg_receivewal is silent while nothing is written; it asks the server for signs of life itself."""


class Stopped(Exception):
    """The operator has stopped the archive."""


def archive(
    context: BackupContext,
    *,
    stopped: Callable[[], bool],
    wait: Callable[[float], object],
    free_bytes_min: int,
    record_every_s: float = RECORD_EVERY_S,
) -> None:
    """Archive the log until `stopped`.

    Args:
        wait: waits so many seconds, or until the operator stops the archive.
        free_bytes_min: with less room in the folder of backups it ends, before a backup finds no room.

    Raises:
        OperatorError: the role may not replicate, the slot is lost, another process archives, or there is no room.
    """
    context.folder.check()
    context.folder.wal.mkdir(mode=0o700, exist_ok=True)
    retry_s = RETRY_S_MIN
    with context.folder.archiving():
        while not stopped():
            try:
                with _recording(context, stopped, free_bytes_min, record_every_s) as check:
                    _receive(context, check)
            except Stopped:
                return
            except Transient as error:
                log.warning("the archive of the write-ahead log waits", error=str(error), retry_s=retry_s)
                context.show(f"waiting: {error}")
                wait(retry_s)
                retry_s = min(2 * retry_s, RETRY_S_MAX)
            else:
                retry_s = RETRY_S_MIN


def _receive(context: BackupContext, check: Callable[[], None]) -> None:
    arguments, environment = connection_arguments(database_facts.client_parameters(context.url))
    with connected(context.url, application=APPLICATION) as conn:
        version, allowed = database_facts.server_version(conn), database_facts.replication(conn).allowed
        # Before the slot is created, for which the server would keep its log.
        _check_same_server(context, database_facts.system_identifier(conn))
    if not allowed:
        raise OperatorError(
            "archiving the write-ahead log needs the right REPLICATION",
            hint="ALTER ROLE ... REPLICATION, or another role in HANNUN_BACKUP_DATABASE_URL; a managed server gives no "
            "such right, and restores to a point in time by its own means",
        )
    program = programs.exactly(context.programs, version.major, "archiving the write-ahead log").path("pg_receivewal")
    slot = [f"--slot={SLOT}"]
    run([program, *slot, "--create-slot", "--if-not-exists", *arguments], environment=environment, check=check)
    with context.records.transaction() as conn:
        _check_slot(wal_slots.state(conn, SLOT))
    log.info("the write-ahead log is being archived", folder=str(context.folder.wal), slot=SLOT)
    receive: list[str | Path] = [
        program, *slot, f"--directory={context.folder.wal}", "--synchronous", "--no-loop", "--verbose", *arguments,
    ]  # fmt: skip
    try:
        run(receive, environment=environment, check=check, silence_s=SILENCE_S)
    except ProgramFailed as error:
        if any(_NOT_CONTINUED.search(line) for line in error.lines):
            raise _not_continued(context, "this server was restored to an earlier moment") from error
        raise
    raise StoreUnavailable("pg_receivewal ended")


def _check_same_server(context: BackupContext, system: str) -> None:
    """
    Raises:
        OperatorError: the archive holds the log of another server.
    """
    if ArchivedLog(context.folder.wal).system_identifier() not in (None, system):
        raise _not_continued(context, "it is of another server, from before a restore into a new one")


def _not_continued(context: BackupContext, why: str) -> OperatorError:
    wal = context.folder.wal
    return OperatorError(
        f"cannot continue the archived log in {wal}: {why}",
        hint=f"keep it under another name (mv {wal} {wal}-before), start the archive again, and make a physical "
        "backup: earlier ones need the archived log of before",
    )


@contextmanager
def _recording(
    context: BackupContext, stopped: Callable[[], bool], free_bytes_min: int, every_s: float
) -> Iterator[Callable[[], None]]:
    """Records the run: a check that is called a few times a second, and each minute extends the record."""
    with context.records.transaction() as conn:
        run_no = operation_runs.begin(conn, "wal-archive", SLOT)
    next_at = time.monotonic() + min(every_s, 5.0)

    def check() -> None:
        nonlocal next_at
        if stopped():
            raise Stopped
        if time.monotonic() < next_at:
            return
        next_at = time.monotonic() + every_s
        _check_room(context.folder.wal, free_bytes_min)
        with context.records.transaction() as conn:
            state = wal_slots.state(conn, SLOT)
            _check_slot(state)
            if state.active:
                detail = {"archived": state.flushed_lsn, "kept_bytes": state.kept_bytes}
                operation_runs.extend(conn, run_no, detail=detail)
        context.show(f"archived up to {state.flushed_lsn}; the server keeps {state.kept_bytes / 1e6:,.1f} MB for it")

    try:
        yield check
    except OperatorError as error:
        with context.records.transaction() as conn:
            operation_runs.end(conn, run_no, "failed", detail={"error": str(error.args[0])})
        raise


def _check_room(folder: Path, free_bytes_min: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < free_bytes_min:
        raise OperatorError(
            f"the folder of backups has {free / 1e6:,.0f} MB left, and the archive of the write-ahead log keeps "
            f"{free_bytes_min / 1e6:,.0f} MB free",
            hint="make room (`hannun backup prune`), soon: the server keeps the log until it is archived",
        )


def _check_slot(state: SlotState) -> None:
    """
    Raises:
        OperatorError: the server has removed log that the archive has not.
    """
    if state.lost:
        raise OperatorError(
            f"the server has removed write-ahead log that was not archived (slot {SLOT}: {state.status})",
            hint=f"SELECT pg_drop_replication_slot('{SLOT}'), start the archive again, and make a physical backup: "
            "earlier ones cannot be restored beyond the gap",
        )
