"""What the database needs done to it besides counting: what is owed of the timeline, and proving that all is right."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("maintenance")
CHECKS = load("reconcile")


def may_write(conn: Connection) -> bool:
    """Whether this role may settle what is owed."""
    row = conn.execute(SQL["may_write"]).fetchone()
    return bool(row and row[0])


def waiting_events(conn: Connection) -> list[tuple[str, int]]:
    """Events of which something was counted and whose creation has not come for an hour, with their participants."""
    return [(event_id, participants) for event_id, participants in conn.execute(SQL["waiting_events"])]


def owing_events(conn: Connection, after: int = 0, limit: int = 1_000) -> list[int]:
    """Numbers of events whose cumulative column and quarters are owed, a page of them: those above `after`."""
    rows = conn.execute(SQL["owing_events"], {"after": after, "limit": limit}).fetchall()
    return [int(no) for (no,) in rows]


def attribute_typed_waiters(conn: Connection) -> int:
    """Give participants to channels that the table knows by now. Returns how many, in the caller's transaction."""
    event_nos = [no for (no,) in conn.execute(SQL["events_with_typed_waiters"])]
    if not event_nos:
        return 0
    row = conn.execute(SQL["attribute_typed_waiters"], {"event_nos": event_nos}).fetchone()
    return int(row[0]) if row else 0


class SettledTimeline(NamedTuple):
    """A piece of an event's timeline: the rows whose cumulative was wrong, and whether more is owed."""

    repaired: int
    more: bool


PIECE_MINUTES = 20_000
"""About how many minutes are settled at once, while nobody counts for their event."""
PIECES_MAX = 100
"""The most pieces of one event at a turn: one that falls behind again and again must not hold up the others."""


def settle_timeline(conn: Connection, event_no: int, minutes: int = PIECE_MINUTES) -> SettledTimeline:
    """Write an event's cumulative column and quarters from where they are owed, over about so many minutes, in the
    caller's transaction."""
    # What a crash of the server takes back, it takes back with the debt.
    conn.execute("SET LOCAL synchronous_commit = off")
    conn.execute(SQL["hold_event"], {"event_no": event_no})
    row = conn.execute(SQL["settle_timeline"], {"event_no": event_no, "minutes": minutes}).fetchone()
    return SettledTimeline(*row) if row else SettledTimeline(0, more=False)


class Piece(NamedTuple):
    """A piece of an event's timeline that was settled: the event's number, and the rows whose cumulative was wrong."""

    event_no: int
    repaired: int


Begin = Callable[[], AbstractContextManager[Connection]]
"""Begins a transaction, and says on which connection."""


def settle_timelines(begin: Begin, *, after: int = 0, page: int = 1_000) -> Iterator[Piece]:
    """Write the cumulative columns and quarters that are owed of events above a number, each piece in a transaction of
    its own, each event once: however fast new debts come, it ends. Tells each piece when it is done."""
    while True:
        with begin() as conn:
            event_nos = owing_events(conn, after, page)
        if not event_nos:
            return
        for after in event_nos:
            for _ in range(PIECES_MAX):
                with begin() as conn:
                    settled = settle_timeline(conn, after, PIECE_MINUTES)
                yield Piece(after, settled.repaired)
                if not settled.more:
                    break


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
