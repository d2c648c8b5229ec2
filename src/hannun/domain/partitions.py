"""The timeline's monthly partitions: which must exist, which to detach, and which to archive and drop.

`flows.partitions` applies the plan.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

MINUTES_A_DAY = 1_440


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """The months to create and to detach, and those whose tables then go into the archive, by their first days.

    After they are applied, a second plan is empty.
    """

    create: tuple[date, ...]
    detach: tuple[date, ...]
    archive: tuple[date, ...]


def plan(
    existing: Collection[date],
    today: date,
    *,
    ahead: int,
    keep: int | None,
    detached: Collection[date] = (),
) -> PartitionPlan:
    """Plan which months to create, which to detach, and which to archive.

    Args:
        existing: first days of the months that have a partition.
        ahead: months after the current one that must exist.
        keep: whole months before the current one to keep; None keeps all.
        detached: first days of the months whose table is detached, and still there.
    """
    this_month = today.replace(day=1)
    wanted = [month_after(this_month, count) for count in range(ahead + 1)]
    oldest = None if keep is None else month_after(this_month, -keep)
    old = [month for month in sorted({*existing, *detached}) if oldest is not None and month < oldest]
    return PartitionPlan(
        create=tuple(month for month in wanted if month not in existing),
        detach=tuple(month for month in old if month in existing),
        archive=tuple(old),
    )


def count_months_ahead(existing: Collection[date], today: date) -> int:
    """How many months after the current one have a partition, up to the first that has none."""
    count = 0
    while month_after(today.replace(day=1), count + 1) in existing:
        count += 1
    return count


def month_after(month: date, count: int) -> date:
    """The first day of the month `count` months after `month`, or before it where `count` is negative."""
    months = month.year * 12 + month.month - 1 + count
    return date(months // 12, months % 12 + 1, 1)


def months_of(minutes: Iterable[int]) -> set[date]:
    """First days of the months (UTC) that contain these minutes since 1970."""
    days = {minute // MINUTES_A_DAY for minute in minutes}
    return {datetime.fromtimestamp(day * 86_400, UTC).date().replace(day=1) for day in days}
