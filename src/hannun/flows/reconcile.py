"""Prove the figures: recompute every aggregate from the ledgers and say what differs.

First what is owed of timelines is settled (the cumulative column, the quarters), then everything is compared in one
snapshot: so it may run beside a service that counts, and what it finds is drift and nothing else.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from hannun.store import maintenance
from hannun.store.database import Connection, snapshot
from hannun.store.maintenance import CHECKS, Drift


def reconcile(conn: Connection, progress: Callable[[str], None]) -> Iterator[Drift]:
    """Every figure that is not what the ledgers say; none where the drift is 0.

    Args:
        conn: a connection of its own; a role that may only read leaves what is owed as owed.
        progress: told each step.
    """
    progress("settling the cumulative column and the quarters where they are owed")
    if maintenance.may_write(conn):
        conn.commit()
        for _ in maintenance.settle_timelines(partial(_transaction, conn)):
            pass
    else:
        progress("this role may not write: what is owed stays owed, and is left out of the comparison")
    with snapshot(conn):
        for check in CHECKS:
            progress(f"recomputing {check}")
            yield from maintenance.drift(conn, check)


@contextmanager
def _transaction(conn: Connection) -> Iterator[Connection]:
    with conn.transaction():
        yield conn
