"""Remove the backups that retention does not keep, and what interrupted ones have left.

Archived write-ahead log goes with the physical backups: what is older than the oldest of them restores nothing.
"""

from pathlib import Path
from typing import NamedTuple

from hannun.backups.archived_log import ArchivedLog
from hannun.backups.folder import BackupFolder, Unusable
from hannun.backups.manifest import Manifest
from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.retention import KeptBackup, to_remove
from hannun.errors import StoreUnavailable
from hannun.store import audit_log
from hannun.store.database import Database
from hannun.telemetry import log


class PrunePlan(NamedTuple):
    """What is removed: backups; unfinished ones; segments of archived log. `damaged` stays: an operator decides."""

    backups: list[Manifest]
    unfinished: list[Unusable]
    segments: list[Path]
    damaged: list[Unusable]


def prune(folder: BackupFolder, *, daily: int, weekly: int, dry_run: bool = False) -> PrunePlan:
    """Remove what is not kept. Returns what was removed, or would be.

    Raises:
        Transient: a backup is being made, verified or restored.
    """
    folder.check()
    with folder.making():
        return prune_while_making(folder, daily=daily, weekly=weekly, dry_run=dry_run)


def prune_while_making(folder: BackupFolder, *, daily: int, weekly: int, dry_run: bool = False) -> PrunePlan:
    """As `prune`, for a caller that has the right to make backups."""
    with folder.removing():
        plan = _plan(folder, daily=daily, weekly=weekly)
        if not dry_run:
            for backup in plan.backups:
                folder.discard(backup.name)
            for unfinished in plan.unfinished:
                folder.discard(unfinished.name)
            for segment in plan.segments:
                segment.unlink(missing_ok=True)
            if plan.backups or plan.unfinished or plan.segments:
                log.info(
                    "backups were pruned",
                    removed=[backup.name for backup in plan.backups],
                    unfinished=len(plan.unfinished),
                    segments=len(plan.segments),
                )
    return plan


def record_removed(records: Database, plan: PrunePlan, by: str) -> None:
    """Record in the audit log what was removed. While PostgreSQL is away, the process's log alone says it."""
    removed = [*(each.name for each in plan.backups), *(f"{each.name}, unfinished" for each in plan.unfinished)]
    if plan.segments:
        removed.append(f"{len(plan.segments):,} segments of archived write-ahead log")
    try:
        with records.transaction() as conn:
            audit_log.record(conn, *(NewEntry(operator(by), Action.BACKUP_REMOVED, each) for each in removed))
    except StoreUnavailable as error:
        log.warning("the audit log does not say which backups were removed", removed=removed, error=str(error))


def _plan(folder: BackupFolder, *, daily: int, weekly: int) -> PrunePlan:
    contents = folder.contents()
    known = [KeptBackup(found.name, found.kind, found.started_at, found.parent) for found in contents.backups]
    names = to_remove(known, daily=daily, weekly=weekly)
    by_name = {found.name: found for found in contents.backups}
    return PrunePlan(
        [by_name[name] for name in names],
        [found for found in contents.unusable if not found.finished],
        _unneeded_segments(folder.wal, [found for found in contents.backups if found.name not in names]),
        [found for found in contents.unusable if found.finished],
    )


def _unneeded_segments(wal: Path, kept: list[Manifest]) -> list[Path]:
    """Segments older than the first that a kept physical backup needs. Where there is no such backup, all stay."""
    return ArchivedLog(wal).older_than([found.wal.start_lsn for found in kept if found.wal is not None])
