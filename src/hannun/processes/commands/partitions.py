"""What `hannun partitions` needs, also as a timed job."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from hannun.errors import OperatorError, Transient
from hannun.files.month_archives import MonthArchives
from hannun.flows.partitions.months import PartitionChanges, apply_partition_plan
from hannun.processes.commands.database import open_owner_connection
from hannun.settings import Settings
from hannun.store.database import Connection
from hannun.store.partitions import database_id, lock_maintenance

APPLICATION = "hannun-partitions"


@contextmanager
def open_maintenance(settings: Settings) -> Iterator[Connection]:
    """An autocommit connection of the tables' owner, while nobody else maintains the partitions.

    Raises:
        Transient: somebody else does.
    """
    with open_owner_connection(settings, f"{APPLICATION}-lock") as guard:
        if (holder := lock_maintenance(guard)) is not None:
            raise Transient(
                f"another `hannun partitions` is at work: {holder}",
                hint="wait until it has ended. Each step is complete or undone, so nothing is lost if it is stopped",
            )
        with open_owner_connection(settings, APPLICATION) as conn:
            conn.autocommit = True
            yield conn


def archives_of(settings: Settings, conn: Connection) -> MonthArchives | None:
    """The archive of this database's months; None where no folder is set.

    Raises:
        OperatorError: pyarrow is not installed.
    """
    if not settings.archive_folder:
        return None
    return MonthArchives(Path(settings.archive_folder), database_id(conn))


def needed_archives(settings: Settings, conn: Connection) -> MonthArchives:
    """The archive of this database's months.

    Raises:
        OperatorError: no folder is set, or pyarrow is not installed.
    """
    archives = archives_of(settings, conn)
    if archives is None:
        raise OperatorError(
            "HANNUN_ARCHIVE_FOLDER is not set", hint="export HANNUN_ARCHIVE_FOLDER=/var/lib/hannun/archive"
        )
    return archives


def apply_plan(settings: Settings, today: date, *, by: str, dry_run: bool) -> PartitionChanges:
    """Create the months ahead, detach those that are not kept, and archive and drop their tables, as the settings say.

    Args:
        by: who does it, for the audit log.

    Raises:
        Transient: somebody else does so now, or PostgreSQL is away.
        OperatorError: a month cannot be archived.
    """
    with open_owner_connection(settings, APPLICATION) if dry_run else open_maintenance(settings) as conn:
        return apply_partition_plan(
            conn,
            today,
            ahead=settings.months_ahead,
            keep=settings.months_kept,
            archives=archives_of(settings, conn),
            by=by,
            dry_run=dry_run,
        )
