"""Archived months of the timeline: one Parquet file a month, which holds every row and every column exactly.

    rows of the table (CSV of COPY) ─► file beside ─► read back, compared ─► renamed to timeline_data_YYYY_MM.parquet

The metadata of a file name its month and its database, the number of its rows, and a checksum over their values. So a
file that is damaged, cut off, renamed or of another database is found before anything relies on it. It needs pyarrow,
which is an extra.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from hannun.errors import OperatorError, reason_of
from hannun.files.copied_tables import tables
from hannun.files.parquet_file import missing

FORMAT = 1
_METADATA_KEY = b"hannun.month"
_FILE = re.compile(r"timeline_data_(\d{4})_(\d{2})\.parquet")


class Contents(NamedTuple):
    """What a month holds: the number of rows, and the SHA-256 of their values in the order of the primary key."""

    rows: int
    sha256: str


class MonthArchives:
    """The archived months of one database, in one folder.

    Args:
        folder: may be missing; then no month is archived, and the first one creates it.
        database_id: identifies the database whose months these are.
    """

    def __init__(self, folder: Path, database_id: str) -> None:
        """
        Raises:
            OperatorError: pyarrow is not installed.
        """
        if (hint := missing()) is not None:
            raise OperatorError("HANNUN_ARCHIVE_FOLDER is set, and pyarrow is not installed", hint=hint)
        self._folder = folder
        self._database_id = database_id

    def path(self, month: date) -> Path:
        return self._folder / f"timeline_data_{month:%Y_%m}.parquet"

    def months(self) -> set[date]:
        """First days of the months that have a file. Whether each is intact, `read` and `contents` tell.

        Raises:
            OperatorError: the folder cannot be read.
        """
        with self._disk_errors("read", self._folder):
            names = [path.name for path in self._folder.iterdir()] if self._folder.exists() else []
        found = filter(None, map(_FILE.fullmatch, names))
        return {datetime.strptime(f"{match[1]}-{match[2]}", "%Y-%m").replace(tzinfo=UTC).date() for match in found}

    def write(self, month: date, rows: Iterable[bytes]) -> Contents:
        """Archive a month, and read the file back. A file of the same month is replaced once the new one is proven.

        Args:
            rows: CSV with a header, in the order of the primary key; each chunk ends with a row.

        Raises:
            OperatorError: the file cannot be written, or does not read back as it was written.
        """
        path = self.path(month)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        with self._disk_errors("write", path):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                written = _write(beside, self._metadata(month), rows)
                if self._contents(beside, month) != written:
                    raise OperatorError(
                        f"the archive {path} was written and reads back with other rows: it is not used",
                        hint="check the disk of the folder; then try again",
                    )
                beside.replace(path)
                flush_folder(self._folder)
            finally:
                with suppress(OSError):
                    beside.unlink()
        return written

    def contents(self, month: date) -> Contents:
        """What the file of a month holds; the whole file is read and checked.

        Raises:
            OperatorError: there is no such file, or it is not an intact archive of this month of this database.
        """
        return self._contents(self.path(month), month)

    def read(self, month: date) -> Iterator[bytes]:
        """The rows of a month as CSV without a header, once `contents` has proven the file.

        Raises:
            OperatorError: as `contents`.
        """
        with self._open(self.path(month)) as file:
            for group in file.iter_batches():
                yield _csv(group)

    def _metadata(self, month: date) -> dict[str, Any]:
        return {"format": FORMAT, "month": f"{month:%Y-%m}", "database": self._database_id}

    def _contents(self, path: Path, month: date) -> Contents:
        with self._open(path) as file:
            stated = json.loads((file.metadata.metadata or {}).get(_METADATA_KEY, b"{}"))
            stated_contents = Contents(stated.pop("rows", -1), stated.pop("sha256", ""))
            if stated != self._metadata(month):
                raise OperatorError(
                    f"{path} is not the archive of {month:%Y-%m} of this database, but of {stated or 'something else'}",
                    hint="name the folder of this database in HANNUN_ARCHIVE_FOLDER, or move the file away",
                )
            found = _contents_of(file.iter_batches())
        if found != stated_contents:
            raise self._damaged(path, f"it holds {found.rows:,} rows, and states {stated_contents.rows:,} other ones")
        return found

    @contextmanager
    def _open(self, path: Path) -> Iterator[Any]:
        import pyarrow
        import pyarrow.parquet

        with self._disk_errors("read", path):
            try:
                with pyarrow.parquet.ParquetFile(path) as file:
                    yield file
            except FileNotFoundError as error:
                raise OperatorError(
                    f"there is no archive {path}", hint="`hannun partitions list` shows which months have one"
                ) from error
            except (pyarrow.ArrowException, ValueError) as error:
                raise self._damaged(path, str(error).splitlines()[0]) from error

    @staticmethod
    def _damaged(path: Path, why: str) -> OperatorError:
        return OperatorError(
            f"the archive {path} is damaged: {why}",
            hint="bring back an intact copy of the file; or move it away, and the ledgers take its place",
        )

    @staticmethod
    @contextmanager
    def _disk_errors(verb: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OperatorError(
                f"cannot {verb} {path}: {reason_of(error)}",
                hint="does the folder of HANNUN_ARCHIVE_FOLDER exist, may this user use it, and has its disk room?",
            ) from error


def contents_of_rows(rows: Iterable[bytes]) -> Contents:
    """What a table holds, from its rows as `MonthArchives.write` takes them."""
    return _contents_of(tables(rows, _schema()))


def _write(path: Path, metadata: dict[str, Any], rows: Iterable[bytes]) -> Contents:
    """Write a file, readable by its owner only, and flush it to the disk. Returns what was written."""
    import pyarrow.parquet

    # A part of a killed process may be there, of any mode.
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        with pyarrow.parquet.ParquetWriter(file, _schema(), compression="zstd", write_page_checksum=True) as writer:

            def written() -> Iterator[Any]:
                for table in tables(rows, _schema()):
                    writer.write_table(table)
                    yield table

            contents = _contents_of(written())
            writer.add_key_value_metadata({_METADATA_KEY: json.dumps(metadata | contents._asdict())})
        file.flush()
        os.fsync(file.fileno())
    return contents


def flush_folder(folder: Path) -> None:
    """Make the rename of a file in it durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _contents_of(tables: Iterable[Any]) -> Contents:
    rows, digest = 0, hashlib.sha256()
    for table in tables:
        rows += table.num_rows
        digest.update(_csv(table))
    return Contents(rows, digest.hexdigest())


def _csv(table: Any) -> bytes:
    """The rows of a table as CSV without a header: the form that is hashed, and that COPY reads."""
    import pyarrow
    from pyarrow import csv

    sink = pyarrow.BufferOutputStream()
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return bytes(sink.getvalue())


def _schema() -> Any:
    """The columns of timeline_data, in its order. None of them is ever NULL."""
    import pyarrow

    number, instant = pyarrow.int32(), pyarrow.timestamp("us")
    return pyarrow.schema(
        {
            "id": pyarrow.int64(),
            "event_id": pyarrow.string(),
            "timestamp": instant,
            "participants": number,
            "views": number,
            "engagement": number,
            "conversions": number,
            "cumulative_participants": number,
            "created_at": instant,
            "updated_at": instant,
        }
    )
