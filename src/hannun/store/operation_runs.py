"""The record of operations (hannun.operation_runs): each function in the caller's transaction.

    begin ─► the operation ─► end: succeeded or failed

A run that was killed stays without an end. All times are those of PostgreSQL's clock, UTC without a zone.
"""

from collections.abc import Mapping
from typing import Any, Literal

from psycopg.types.json import Jsonb

from hannun.domain.operation_runs import Kind, OperationRun, Success
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("operation_runs")
Outcome = Literal["succeeded", "failed"]


def begin(conn: Connection, kind: Kind, name: str = "") -> int:
    """Record that an operation begins, and delete old records. Returns the number of the run.

    Args:
        name: what it makes or reads, as the name of a backup.
    """
    row = conn.execute(SQL["begin"], {"kind": kind, "name": name}).fetchone()
    assert row is not None
    conn.execute(SQL["prune"])
    return int(row[0])


def end(
    conn: Connection,
    run_no: int,
    outcome: Outcome,
    *,
    name: str | None = None,
    size_bytes: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Record how a run ended. A run that has ended already keeps its first outcome.

    Args:
        name: replaces the name that was given at the beginning.
        size_bytes: how large what it made is.
        detail: what else is worth keeping; nothing personal.
    """
    given = {
        "run_no": run_no,
        "outcome": outcome,
        "name": name,
        "bytes": size_bytes,
        "detail": Jsonb(dict(detail or {})),
    }
    conn.execute(SQL["end"], given)


def extend(conn: Connection, run_no: int, *, detail: Mapping[str, Any]) -> None:
    """Record that an operation without an end, as the archive of the write-ahead log, has succeeded up to now."""
    conn.execute(SQL["extend"], {"run_no": run_no, "detail": Jsonb(dict(detail))})


def newest_successes(conn: Connection) -> dict[str, Success]:
    """The newest success of each kind that has one."""
    return {kind: Success(*found) for kind, *found in conn.execute(SQL["newest_successes"]).fetchall()}


def newest_drift(conn: Connection) -> int | None:
    """How many figures differed in the newest run of `hannun reconcile` that has ended; None before the first."""
    row = conn.execute(SQL["newest_drift"]).fetchone()
    return None if row is None else row[0]


def newest(conn: Connection, limit: int) -> list[OperationRun]:
    """The newest runs, newest first."""
    return [OperationRun(*row) for row in conn.execute(SQL["newest"], {"limit": limit}).fetchall()]
