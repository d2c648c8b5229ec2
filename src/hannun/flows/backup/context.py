"""What every operation on backups needs, and the record of its run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hannun.backups.folder import BackupFolder
from hannun.domain.audit_chain import NewEntry
from hannun.domain.operation_runs import Kind as OperationKind
from hannun.errors import HannunError, StoreUnavailable
from hannun.store import audit_log, operation_runs
from hannun.store.database import Database
from hannun.telemetry import log


@dataclass(frozen=True, slots=True)
class BackupContext:
    """What every operation on backups needs.

    Args:
        folder: of all backups.
        records: the live database, where runs are recorded.
        url: the database for the role that makes backups.
        programs: folders in which PostgreSQL's programs may be, the first that fits is taken.
        hannun_version: the version of this Hannun, for the manifest.
        now: the time of day, in UTC.
        show: shows how far the work has come, on one line.
        check: raises where the operator has stopped the work. Called a few times a second.
        by: the operator, or the process at set times, for the audit log.
    """

    folder: BackupFolder
    records: Database
    url: str
    programs: Sequence[Path]
    hannun_version: str
    now: Callable[[], datetime]
    show: Callable[[str], object] = lambda _: None
    check: Callable[[], None] = lambda: None
    by: str = "hannun"


@dataclass(slots=True)
class Run:
    """A run of an operation that is being recorded. All but its name is known at its end.

    `entry` is written into the audit log where the run succeeds.
    """

    name: str = ""
    size_bytes: int | None = None
    entry: NewEntry | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(records: Database, kind: OperationKind, name: str = "") -> Iterator[Run]:
    """Record the block as a run: succeeded at its end, failed where it raises.

    An end that cannot be recorded is logged: what was done stays done.

    Raises:
        StoreUnavailable: PostgreSQL is away at the beginning.
    """
    with records.transaction() as conn:
        run_no = operation_runs.begin(conn, kind, name)
    run = Run(name)
    try:
        yield run
    except BaseException as error:
        why = str(error.args[0]) if isinstance(error, HannunError) and error.args else type(error).__name__
        _end(records, run_no, "failed", run, run.detail | {"error": why})
        raise
    _end(records, run_no, "succeeded", run, run.detail)


def _end(records: Database, run_no: int, outcome: operation_runs.Outcome, run: Run, detail: Mapping[str, Any]) -> None:
    try:
        with records.transaction() as conn:
            operation_runs.end(conn, run_no, outcome, name=run.name, size_bytes=run.size_bytes, detail=detail)
            if run.entry is not None:
                audit_log.record(conn, run.entry)
    except StoreUnavailable as error:
        log.warning("the end of an operation could not be recorded", outcome=outcome, name=run.name, error=str(error))
