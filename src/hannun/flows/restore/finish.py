"""Prepare the live database after something else has restored it: a managed server, pgBackRest, a base backup."""

from collections.abc import Callable
from dataclasses import dataclass

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.restores import RestoredPosition
from hannun.errors import RedisUnavailable
from hannun.store import audit_log, operation_runs, restored
from hannun.store.database import Connection
from hannun.store.version import check_version


@dataclass(frozen=True, slots=True)
class Finished:
    """What was done. `cached_keys` is how many keys were deleted in Redis, None where Redis did not answer."""

    positions: list[RestoredPosition]
    cached_keys: int | None


def finish(
    conn: Connection, by: str, delete_cached: Callable[[], int], deliver_pending: Callable[[], object]
) -> Finished:
    """Prepare the live database, then delete what Redis holds of the one before. Running it again is harmless.

    The service may run meanwhile: its consumers claim their partitions again, and resume at the restored positions.

    Args:
        conn: the live database, for its owner.
        by: the operator, for the record.
        delete_cached: deletes every cached answer.
        deliver_pending: delivers the pending invalidations.

    Raises:
        OperatorError: the restored schema is of another version; migrate it first.
    """
    check_version(conn)
    conn.commit()
    run_no = operation_runs.begin(conn, "restore", "restored by other means")
    restored.set_time_zone(conn)
    positions = restored.prepare(conn, None, by, None)
    operation_runs.end(conn, run_no, "succeeded")
    entry = NewEntry(operator(by), Action.RESTORED, f"database {conn.info.dbname}", reason="hannun restore --finish")
    audit_log.record(conn, entry)
    conn.commit()
    keys = delete_or_none(delete_cached)
    deliver_pending()
    return Finished(positions, keys)


def delete_or_none(delete_cached: Callable[[], int]) -> int | None:
    """How many cached keys were deleted; None where Redis is unavailable."""
    try:
        return delete_cached()
    except RedisUnavailable:
        return None
