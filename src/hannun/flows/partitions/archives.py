"""Archive the table of a detached month to a Parquet file, and drop the table once the file is proven.

detached table ─► file, read back and compared ─► table locked, compared with the file ─► dropped
"""

from collections.abc import Collection, Sequence
from datetime import date

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.errors import OperatorError
from hannun.files.month_archives import Contents, MonthArchives, contents_of_rows
from hannun.store import audit_log, partitions
from hannun.store.database import Connection


def archive_month(owner: Connection, archives: MonthArchives, month: date) -> Contents:
    """Archive the table of a detached month. The table stays.

    Args:
        owner: an autocommit connection of the tables' owner.

    Raises:
        OperatorError: the month has no detached table, or the file cannot be written, or does not read back.
    """
    if month not in partitions.detached_tables(owner):
        raise OperatorError(
            f"cannot archive {month:%Y-%m}: it has no detached table",
            hint="`hannun partitions list` lists the months; `hannun partitions detach MONTH` detaches one",
        )
    return archives.write(month, partitions.rows_of_month(owner, month))


def drop_archived_month(owner: Connection, archives: MonthArchives, month: date, *, by: str) -> Contents:
    """Drop the table of a detached month, if its archive holds every row of it. Returns what the archive holds.

    Args:
        owner: an autocommit connection of the tables' owner.
        by: who does it, for the audit log.

    Raises:
        OperatorError: the table stays, because its archive is missing, damaged or of other rows; or the month has no
            detached table.
    """
    archived = archives.contents(month)
    with owner.transaction():
        if not partitions.lock_detached_month(owner, month):
            raise OperatorError(
                f"cannot drop {month:%Y-%m}: it has no detached table",
                hint="`hannun partitions list` lists the months. A message of the month attaches it again",
            )
        table = contents_of_rows(partitions.rows_of_month(owner, month))
        if table != archived:
            raise OperatorError(
                f"cannot drop {month:%Y-%m}: its archive has {archived.rows:,} rows, and its table "
                f"{table.rows:,}{'' if table.rows != archived.rows else ' with other figures'}",
                hint=f"archive it again: `hannun partitions archive {month:%Y-%m}`",
            )
        partitions.drop_month(owner, month)
        reason = f"archived to {archives.path(month)}"
        audit_log.record(owner, NewEntry(operator(by), Action.MONTH_DROPPED, f"month {month:%Y-%m}", reason=reason))
    return archived


def archive_and_drop(owner: Connection, archives: MonthArchives, month: date, *, by: str) -> Contents:
    """Archive the table of a detached month, and drop it. Raises as `archive_month` and `drop_archived_month`."""
    archive_month(owner, archives, month)
    return drop_archived_month(owner, archives, month, by=by)


def check_archives(archives: MonthArchives, months: Collection[date]) -> Sequence[tuple[date, Contents]]:
    """Read the archives of these months, or of all where none is named, and check them.

    Raises:
        OperatorError: one is missing, damaged or of another database.
    """
    return [(month, archives.contents(month)) for month in sorted(months or archives.months())]
