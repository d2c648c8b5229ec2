"""Create and detach the monthly partitions of the timeline. `domain.partitions` decides which; this applies it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from hannun.domain.partitions import month_after, plan
from hannun.store import partitions
from hannun.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class PartitionChanges:
    """First days of the months whose partitions were created and detached; with `dry_run`, would be."""

    created: Sequence[date]
    detached: Sequence[date]


def apply_partition_plan(
    owner: Connection, today: date, *, ahead: int, keep: int | None, dry_run: bool
) -> PartitionChanges:
    """Create the missing partitions up to `ahead` months after `today`, and detach those older than `keep` months.

    Args:
        owner: a connection of the tables' owner. It is in autocommit mode afterwards.
        keep: whole months to keep before the current one; None detaches nothing new.
    """
    missing = plan(partitions.existing_months(owner), today, ahead=ahead, keep=None).create
    if not dry_run:
        partitions.create_months(owner, missing)
    owner.commit()
    owner.autocommit = True  # PostgreSQL detaches CONCURRENTLY only outside a transaction
    return PartitionChanges(missing, detach_old_months(owner, today, keep=keep, dry_run=dry_run))


def create_months_ahead(database: Database, today: date, *, ahead: int) -> Sequence[date]:
    """Create the missing partitions up to `ahead` months after `today`. Returns the first days of those created."""
    with database.transaction() as conn:
        missing = plan(partitions.existing_months(conn), today, ahead=ahead, keep=None).create
        return partitions.create_months(conn, missing)


def detach_old_months(owner: Connection, today: date, *, keep: int | None, dry_run: bool) -> Sequence[date]:
    """Finish a detachment that was interrupted, and detach the months that are older than `keep` months.

    Args:
        owner: an autocommit connection of the tables' owner.
        keep: whole months to keep before the current one; None finishes what was interrupted and detaches nothing.
        dry_run: change nothing.

    Returns:
        First days of the months that were detached; with `dry_run`, would be.
    """
    interrupted = partitions.detach_pending_months(owner)
    old = [
        month
        for month in plan(partitions.existing_months(owner), today, ahead=0, keep=keep).detach
        if month not in interrupted
    ]
    if not dry_run:
        for month in interrupted:
            partitions.finalize_detach(owner, month)
        for month in old:
            partitions.detach_month(owner, month)
        if keep is not None:
            partitions.delete_roll_up_of_detached_months(owner, month_after(today.replace(day=1), -keep))
    return [*interrupted, *old]
