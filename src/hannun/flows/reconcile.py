"""Recompute every aggregate from the ledgers and report what differs.

The pending roll-up of timelines (the cumulative column, the 15-minute roll-up) is written first. Then all figures are
compared in one snapshot. So this may run beside a service that counts, and reports drift and nothing else.
"""

from collections.abc import Callable, Iterator

from hannun.store import timeline_rollup
from hannun.store.database import Connection, snapshot, transactions_on
from hannun.store.reconciliation import CHECKS, Drift, find_drift


def reconcile(conn: Connection, progress: Callable[[str], None]) -> Iterator[Drift]:
    """Every figure that differs from its recomputation; none where the drift is 0.

    Args:
        conn: a connection that nobody else uses. With a role that may only read, a pending roll-up stays pending.
        progress: called with the name of each step, before the step.
    """
    progress("writing the cumulative column and the 15-minute roll-up where they are pending")
    if timeline_rollup.can_roll_up(conn):
        conn.commit()
        for _ in timeline_rollup.roll_up_pending(transactions_on(conn)):
            pass
    else:
        progress("this role may not write: the pending roll-up stays pending, and is left out of the comparison")
    with snapshot(conn):
        for check in CHECKS:
            progress(f"recomputing {check}")
            yield from find_drift(conn, check)
