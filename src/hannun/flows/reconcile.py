"""Recompute every aggregate from the ledgers and report what differs.

The pending roll-up of timelines (the cumulative column, the 15-minute roll-up) is written first. Then all figures are
compared in one snapshot. So this may run beside a service that counts, and reports drift and nothing else.
"""

from collections.abc import Callable, Iterator

from hannun.store import operation_runs, sealed_amounts, timeline_rollup
from hannun.store.database import Connection, snapshot, transactions_on
from hannun.store.reconciliation import CHECKS, Drift, find_drift


def reconcile_on_record(conn: Connection, progress: Callable[[str], None]) -> Iterator[Drift]:
    """As `reconcile`; and where the role may write, the run and the number of differing figures are recorded.

    A run that ends early stays on record without an end.
    """
    run_no = None
    if timeline_rollup.can_roll_up(conn):
        run_no = operation_runs.begin(conn, "reconcile")
    conn.commit()
    found = 0
    for drift in reconcile(conn, progress):
        found += 1
        yield drift
    if run_no is not None:
        conn.set_read_only(False)
        operation_runs.end(conn, run_no, "succeeded", detail={"drift": found})


def reconcile(conn: Connection, progress: Callable[[str], None]) -> Iterator[Drift]:
    """Every figure that differs from its recomputation; none where the drift is 0.

    Args:
        conn: a connection that nobody else uses. With a role that may only read, a pending roll-up stays pending.
        progress: called with the name of each step, before the step.
    """
    progress("writing what is pending of the cumulative column and the roll-up")
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
        if sealed_amounts.may_exist(conn):
            progress("opening encrypted amounts")
            yield from sealed_amounts.find_drift(conn)
