"""The months of the timeline in PostgreSQL. Which there must be is decided in `domain.partitions`."""

from collections.abc import Iterable
from datetime import date

from psycopg import sql

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("partitions")
EVENTS_AT_ONCE = 100


def make_months(conn: Connection, months: Iterable[date]) -> list[date]:
    """Make the partitions that are missing, as the owner, whoever asks. Returns those that were made."""
    made = []
    for month in sorted(months):
        row = conn.execute(SQL["make_month"], {"month": month}).fetchone()
        if row is not None and row[0]:
            made.append(month)
    return made


def existing_months(conn: Connection) -> set[date]:
    """First days of the months that have a partition."""
    return {month for (month,) in conn.execute(SQL["months"]).fetchall()}


def broken_off_months(conn: Connection) -> list[date]:
    """First days of the months whose detachment was begun and not ended: PostgreSQL has at most one at a time."""
    return [month for (month,) in conn.execute(SQL["broken_off"]).fetchall()]


def detach_month(owner: Connection, month: date) -> None:
    """Take a month out of the timeline, readers and writers going on. Its table stays, under its name.

    Args:
        owner: an autocommit connection of the owner's: PostgreSQL detaches concurrently only outside a transaction.
    """
    owner.execute(sql.SQL("ALTER TABLE public.timeline_data DETACH PARTITION {} CONCURRENTLY").format(_name(month)))


def finish_detaching(owner: Connection, month: date) -> None:
    """Take a month out whose detachment was broken off; waits for who still reads it."""
    owner.execute(sql.SQL("ALTER TABLE public.timeline_data DETACH PARTITION {} FINALIZE").format(_name(month)))


def forget_quarters(owner: Connection, month: date) -> int:
    """Forget the quarters before a month that was let go with all before it, in short transactions. Returns how many.

    Nobody reads them any more; a month that was taken in again keeps its own.
    """
    row = owner.execute(SQL["newest_quartered"]).fetchone()
    newest, forgotten = (row and row[0]) or 0, 0
    for after in range(0, newest, EVENTS_AT_ONCE):
        with owner.transaction():
            owner.execute(SQL["hold_months"])
            asked = {"after": after, "up_to": after + EVENTS_AT_ONCE, "month": month}
            forgotten += owner.execute(SQL["forget_quarters"], asked).rowcount
    return forgotten


def _name(month: date) -> sql.Identifier:
    return sql.Identifier("public", f"timeline_data_{month:%Y_%m}")
