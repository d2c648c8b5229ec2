"""Prove the figures: recompute every aggregate from the ledgers and say what differs.

First what is owed of timelines is settled (the cumulative column, the quarters), then everything is compared in one
snapshot: so it may run beside a service that counts, and what it finds is drift and nothing else.
"""

from collections.abc import Callable, Iterator

from hannun.store import upkeep
from hannun.store.database import Connection, snapshot
from hannun.store.upkeep import CHECKS, PIECES_MAX, Drift


def reconcile(conn: Connection, progress: Callable[[str], None]) -> Iterator[Drift]:
    """Every figure that is not what the ledgers say; none where the drift is 0.

    Args:
        conn: a connection of its own; a role that may only read leaves what is owed as owed.
        progress: told each step.
    """
    progress("settling the cumulative column and the quarters where they are owed")
    if upkeep.may_write(conn):
        settle_timelines(conn)
    else:
        progress("this role may not write: what is owed stays owed, and is left out of the comparison")
    with snapshot(conn):
        for check in CHECKS:
            progress(f"recomputing {check}")
            yield from upkeep.drift(conn, check)


def settle_timelines(conn: Connection) -> int:
    """Write what is owed of timelines, in short transactions of one event each. Returns the rows whose cumulative was
    wrong."""
    repaired, last = 0, 0
    # Each event once, however fast new debts come: what is owed again meanwhile is left out of the comparison.
    while event_nos := upkeep.owing_events(conn, after=last):
        conn.commit()
        last = event_nos[-1]
        for event_no in event_nos:
            for _ in range(PIECES_MAX):
                with conn.transaction():
                    settled = upkeep.settle_timeline(conn, event_no)
                repaired += settled.repaired
                if not settled.more:
                    break
    conn.commit()
    return repaired
