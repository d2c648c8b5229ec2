"""Months of the timeline: which partitions there must be, and which may go. Pure; the store does it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

MINUTES_A_DAY = 1_440


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """What to do so that the partitions are as they should be. A second run plans nothing."""

    create: tuple[date, ...]
    detach: tuple[date, ...]


def plan(existing: Collection[date], today: date, *, ahead: int, keep: int | None) -> PartitionPlan:
    """Months to create and to detach.

    Args:
        existing: first days of the months that have a partition.
        ahead: months after the current one that must exist.
        keep: whole months before the current one to keep; None keeps all.
    """
    this_month = today.replace(day=1)
    wanted = [month_after(this_month, count) for count in range(ahead + 1)]
    oldest = None if keep is None else month_after(this_month, -keep)
    return PartitionPlan(
        tuple(month for month in wanted if month not in existing),
        tuple(sorted(month for month in existing if oldest is not None and month < oldest)),
    )


def month_after(month: date, count: int) -> date:
    """The first day of the month `count` months after `month` (before it where negative)."""
    months = month.year * 12 + month.month - 1 + count
    return date(months // 12, months % 12 + 1, 1)


def months_of(minutes: Iterable[int]) -> set[date]:
    """First days of the months (UTC) in which these minutes since 1970 lie."""
    days = {minute // MINUTES_A_DAY for minute in minutes}
    return {datetime.fromtimestamp(day * 86_400, UTC).date().replace(day=1) for day in days}
