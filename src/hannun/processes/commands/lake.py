"""What `hannun export --lake` needs."""

from collections.abc import Callable
from pathlib import Path

from hannun.domain.audit_chain import Action, NewEntry
from hannun.domain.audit_chain import operator as operator_named
from hannun.errors import DiskFull, StoreUnavailable
from hannun.files.lake import Lake, WrittenVersion
from hannun.flows import lake_export
from hannun.processes.commands.database import open_connection
from hannun.settings import Settings
from hannun.store import audit_log, partitions
from hannun.store.database import Connection
from hannun.store.replica import connected_replica, written_by
from hannun.telemetry import log, metrics

_OBJECT = "history of all events, without people"


def export_lake(settings: Settings, folder: Path, by: str, progress: Callable[[str], None]) -> WrittenVersion:
    """Write the dataset of a folder, once the audit log says so: from the replica, where there is one.

    Raises:
        StoreUnavailable: PostgreSQL cannot be reached now, or the replica's disk is full.
        OperatorError: the database or the folder cannot be used, with what to do.
    """
    with open_connection(settings, "hannun-export") as conn:
        lake = Lake(folder, partitions.database_id(conn))
        audit_log.record(conn, NewEntry(operator_named(by), Action.EXPORTED, _OBJECT))
        conn.commit()
        with lake.locked():
            if (written := _from_replica(settings, conn, lake, progress)) is not None:
                return written
            return lake_export.export_lake(conn, lake, progress)


def _from_replica(
    settings: Settings, primary: Connection, lake: Lake, progress: Callable[[str], None]
) -> WrittenVersion | None:
    """The version that was written from the replica; None where there is no replica, or it could not be read."""
    if not settings.secret("replica_database_url"):
        return None
    source, written_log = settings.source("replica_database_url"), written_by(primary)
    primary.rollback()  # an open transaction would keep removed rows for as long as the replica reads
    try:
        with connected_replica(
            written_log, source, wait_s=settings.replica_wait_s, application="hannun-export-replica"
        ) as conn:
            written = lake_export.export_lake(conn, lake, progress)
    except DiskFull:
        raise  # sorting on the primary would fill its disk, too
    except StoreUnavailable as error:
        log.warning("the dataset is read from the primary", error=str(error), hint=error.hint)
        metrics.replica_reads.labels("primary").inc()
        return None
    metrics.replica_reads.labels("replica").inc()
    return written
