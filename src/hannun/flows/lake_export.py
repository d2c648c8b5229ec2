"""Write the history for analysts: the ledgers without people, as a dataset of Parquet files, from one snapshot."""

from collections.abc import Callable, Iterator
from typing import Any

from hannun.errors import OperatorError
from hannun.files.lake import COLUMNS, Lake, LakeFile, WrittenVersion
from hannun.store import lake
from hannun.store.database import Connection, snapshot


def export_lake(conn: Connection, target: Lake, progress: Callable[[str], None]) -> WrittenVersion:
    """Write a version of the dataset; where nothing has changed, the current version stays.

    Args:
        conn: a connection that nobody else uses, to the primary or to a replica.
        target: whose folder is locked, so that no snapshot of before another export's is published after it.
        progress: called with a line about what is read.

    Raises:
        OperatorError: the dataset cannot be written.
    """
    with snapshot(conn):
        totals = lake.totals(conn)
        copied = {table: _rows(conn, table, progress) for table in COLUMNS}
        return target.write(copied, _about(conn, totals), lambda files: _check_sums(files, totals))


def _rows(conn: Connection, table: str, progress: Callable[[str], None]) -> Iterator[bytes]:
    """The rows of a table, read when they are taken."""
    count = 0
    progress(f"reading {table} ...")
    for count, chunk in enumerate(lake.rows(conn, table)):
        if count % 10_000 == 0:
            progress(f"{table}: {count:,} rows")
        yield chunk
    progress(f"{table}: {count:,} rows")


def _about(conn: Connection, totals: lake.LakeTotals) -> dict[str, Any]:
    """Which state of the database the snapshot shows."""
    state = lake.state(conn)
    return {
        "readAt": f"{state.read_at.isoformat()}Z",
        "snapshot": state.snapshot,
        "newestVersion": state.version,
        "positions": [position._asdict() for position in lake.positions(conn)],
        "totals": totals._asdict(),
    }


def _check_sums(files: list[LakeFile], totals: lake.LakeTotals) -> None:
    """
    Raises:
        OperatorError: the rows do not add up to the totals.
    """
    for table, figure, expected in (
        ("arrivals", "participants", totals.participants),
        ("timeline", "participants", totals.participants),
        ("measurements", "views", totals.views),
        ("timeline", "views", totals.views),
    ):
        found = sum(file.sums[figure] for file in files if file.table == table)
        if found != expected:
            raise OperatorError(
                f"{table} has {found:,} {figure}, and the totals of the events {expected:,}: nothing was written",
                hint="`hannun reconcile` shows what differs",
            )
