"""The pending roll-up of timelines: the cumulative column of `timeline_data`, and the 15-minute roll-up.

A writer of `timeline_data` lowers its event's watermark, `events.cumulative_owed_from`, to the minute that it wrote.
What is derived from that minute on is pending until a step of `roll_up_pending` has rewritten it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from hannun.store.database import BeginTransaction, Connection
from hannun.store.queries import load

SQL = load("timeline_rollup")

STEP_MINUTES = 20_000
"""About how many minutes one step rewrites. Its transaction locks the event, so no batch counts for it meanwhile."""
STEPS_MAX = 100
"""The most steps of one event in a row: an event that falls behind again and again must not delay the others."""


class RollUpStep(NamedTuple):
    """One step for one event: how many rows had a wrong cumulative figure, and whether later minutes are pending."""

    event_no: int
    repaired: int
    more: bool


def can_roll_up(conn: Connection) -> bool:
    """Whether this role and this session may write the roll-up."""
    row = conn.execute(SQL["can_write"]).fetchone()
    return bool(row and row[0])


def pending_events(conn: Connection, after: int = 0, limit: int = 1_000) -> list[int]:
    """Numbers of events with a pending roll-up, in ascending order, the first `limit` above `after`."""
    rows = conn.execute(SQL["pending_events"], {"after": after, "limit": limit}).fetchall()
    return [int(no) for (no,) in rows]


def roll_up_pending(begin: BeginTransaction, *, after: int = 0, page: int = 1_000) -> Iterator[RollUpStep]:
    """Roll up every pending event with a number above `after`, and yield each step when it is committed.

    Each step is a transaction of its own. Each event has one turn, so this ends however fast new minutes are written.
    """
    while True:
        with begin() as conn:
            event_nos = pending_events(conn, after, page)
        if not event_nos:
            return
        for after in event_nos:
            for _ in range(STEPS_MAX):
                with begin() as conn:
                    step = roll_up_event(conn, after, STEP_MINUTES)
                yield step
                if not step.more:
                    break


def roll_up_event(conn: Connection, event_no: int, minutes: int = STEP_MINUTES) -> RollUpStep:
    """Rewrite an event's cumulative column and 15-minute roll-up over about `minutes` minutes from its watermark on.

    Runs in the caller's transaction, and moves the watermark behind what it has rewritten.
    """
    # A crash of the server may lose this commit: it then loses the moved watermark too, and the step is repeated.
    conn.execute("SET LOCAL synchronous_commit = off")
    conn.execute(SQL["lock_event"], {"event_no": event_no})
    conn.execute(SQL["recount_months"], {"event_no": event_no})
    row = conn.execute(SQL["roll_up_event"], {"event_no": event_no, "minutes": minutes}).fetchone()
    return RollUpStep(event_no, *row) if row else RollUpStep(event_no, 0, more=False)
