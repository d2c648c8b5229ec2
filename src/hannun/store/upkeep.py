"""What the database needs done to it besides counting: the owed cumulative column, and proving that all is right."""

from typing import NamedTuple

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("upkeep")
CHECKS = load("reconcile")


def may_write(conn: Connection) -> bool:
    """Whether this role may settle what is owed."""
    row = conn.execute(SQL["may_write"]).fetchone()
    return bool(row and row[0])


def waiting_events(conn: Connection) -> list[tuple[str, int]]:
    """Events of which something was counted and whose creation has not come for an hour, with their participants."""
    return [(event_id, participants) for event_id, participants in conn.execute(SQL["waiting_events"])]


def owed_cumulatives(conn: Connection, after: int = 0, limit: int = 1_000) -> list[int]:
    """Numbers of events whose cumulative column is owed, a page of them: those above `after`."""
    rows = conn.execute(SQL["owed_cumulatives"], {"after": after, "limit": limit}).fetchall()
    return [int(no) for (no,) in rows]


def attribute_typed_waiters(conn: Connection) -> int:
    """Give participants to channels that the table knows by now. Returns how many, in the caller's transaction."""
    event_nos = [no for (no,) in conn.execute(SQL["events_with_typed_waiters"])]
    if not event_nos:
        return 0
    row = conn.execute(SQL["attribute_typed_waiters"], {"event_nos": event_nos}).fetchone()
    return int(row[0]) if row else 0


def settle_cumulative(conn: Connection, event_no: int) -> int:
    """Write an event's cumulative column from where it is owed. Returns the rows that were wrong."""
    conn.execute(SQL["hold_event"], {"event_no": event_no})
    row = conn.execute(SQL["settle_cumulative"], {"event_no": event_no}).fetchone()
    return int(row[0]) if row else 0


class Drift(NamedTuple):
    """A figure that is not what the ledgers say."""

    table: str
    place: str
    figure: str
    found: str | None
    expected: str | None

    def __str__(self) -> str:
        return f"{self.table}: {self.place}: {self.figure} is {self.found}, the ledgers say {self.expected}"


def drift(conn: Connection, check: str) -> list[Drift]:
    """Everything in which one aggregate differs from its recomputation out of the ledgers."""
    return [Drift(check, *row) for row in conn.execute(CHECKS[check]).fetchall()]
