"""The partitions of `timeline_data`, one a month. `domain.partitions` decides which there must be."""

from collections.abc import Iterable
from datetime import date

from psycopg import sql

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("partitions")
EVENTS_PER_TRANSACTION = 100


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


def detach_month(owner: Connection, month: date) -> None:
    """Detach a month's partition while readers and writers go on. Its table stays, under its name.

    Args:
        owner: an autocommit connection of the owner's: PostgreSQL detaches concurrently only outside a transaction.
    """
    owner.execute(sql.SQL("ALTER TABLE public.timeline_data DETACH PARTITION {} CONCURRENTLY").format(_name(month)))


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


def _name(month: date) -> sql.Identifier:
    return sql.Identifier("public", f"timeline_data_{month:%Y_%m}")
