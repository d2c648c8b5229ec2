"""The partitions of `timeline_data`, one a month. `domain.partitions` decides which there must be."""

from collections.abc import Iterable
from datetime import date
from typing import Literal, NamedTuple

import psycopg
from psycopg import sql

from hannun.domain.batch import ChangedEvent
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("partitions")
EVENTS_PER_TRANSACTION = 100

MonthState = Literal["attached", "detached", "dropped"]
"""Of a detached month the table is still there. Of a dropped one it is not: only the ledgers have its participants."""


class MonthChange(NamedTuple):
    """A month that was attached or detached, whose answers are not invalidated yet."""

    month: date
    attached: bool


def create_months(conn: Connection, months: Iterable[date]) -> list[date]:
    """Create the partitions that are missing. Returns the months that were created.

    Any role with the right to execute `hannun.make_timeline_month` may do it: the function runs as the owner.
    """
    created = []
    for month in sorted(months):
        row = conn.execute(SQL["create_month"], {"month": month}).fetchone()
        if row is not None and row[0]:
            created.append(month)
    return created


def existing_months(conn: Connection) -> set[date]:
    """First days of the months that have a partition."""
    return {month for (month,) in conn.execute(SQL["months"]).fetchall()}


def detach_pending_months(conn: Connection) -> list[date]:
    """First days of the months whose detachment was interrupted. PostgreSQL has at most one at a time."""
    return [month for (month,) in conn.execute(SQL["detach_pending_months"]).fetchall()]


def detach_month(owner: Connection, month: date) -> bool:
    """Detach a month's partition while readers and writers go on. Its table stays, under its name.

    Args:
        owner: an autocommit connection of the owner's: PostgreSQL detaches concurrently only outside a transaction.

    Returns:
        Whether it is detached. Not so where a message for the month has attached it again meanwhile.
    """
    detach = sql.SQL("ALTER TABLE public.timeline_data DETACH PARTITION {} CONCURRENTLY").format(_name(month))
    try:
        owner.execute(detach)
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return False
    return True


def finalize_detach(owner: Connection, month: date) -> None:
    """Finish an interrupted detachment of a month; waits for the transactions that still read it."""
    owner.execute(sql.SQL("ALTER TABLE public.timeline_data DETACH PARTITION {} FINALIZE").format(_name(month)))


def delete_roll_up_of_detached_months(owner: Connection, month: date) -> int:
    """Delete the 15-minute roll-up of detached months before `month`, in short transactions. Returns how many rows.

    No query reads those rows any more. A month that was re-attached keeps its rows.
    """
    row = owner.execute(SQL["highest_event_with_roll_up"]).fetchone()
    highest, deleted = (row and row[0]) or 0, 0
    for after in range(0, highest, EVENTS_PER_TRANSACTION):
        with owner.transaction():
            owner.execute(SQL["lock_partition_changes"])
            page = {"after": after, "up_to": after + EVENTS_PER_TRANSACTION, "month": month}
            deleted += owner.execute(SQL["delete_roll_up_of_detached_months"], page).rowcount
    return deleted


def month_states(conn: Connection) -> dict[date, MonthState]:
    """Every month that the timeline has or had, by its first day, oldest first."""
    return dict(conn.execute(SQL["month_states"]).fetchall())


def changed_months(conn: Connection) -> list[MonthChange]:
    """The months that were attached or detached, by anybody, since `record_change` was called for them."""
    return [MonthChange(*row) for row in conn.execute(SQL["changed_months"]).fetchall()]


def raise_versions(conn: Connection, change: MonthChange, after: int, limit: int) -> dict[int, ChangedEvent]:
    """Raise the version of events with something in a month: the first `limit` with a number above `after`.

    Returns the changes by the number of the event, to be added to the outbox in the same transaction.
    """
    rows = conn.execute(SQL["raise_versions_of_month"], {**change._asdict(), "after": after, "limit": limit})
    return {no: ChangedEvent(event_id, user_id, version, ()) for no, event_id, user_id, version in rows.fetchall()}


def record_change(conn: Connection, change: MonthChange) -> None:
    """Record that the answers over a month are invalidated."""
    conn.execute(SQL["record_attached" if change.attached else "record_detached"], {"month": change.month})


def _name(month: date) -> sql.Identifier:
    return sql.Identifier("public", f"timeline_data_{month:%Y_%m}")
