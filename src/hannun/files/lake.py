"""A dataset of Parquet files for analysts: folders by table and month, in versions that are whole.

    LAKE/current ─► version-7/manifest.json
                    version-7/arrivals/month=2026-11/rows.parquet

A version is written beside the others and renamed when it is whole; then the link `current` moves to it. So a reader
of `current` sees a whole version whenever the writer was stopped. A file that has not changed since the version before
is the same file (a hard link), and takes no room twice. The version before stays for readers that are still in it. It
needs pyarrow, which is an extra.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from hannun.errors import OperatorError, reason_of
from hannun.files.copied_tables import tables
from hannun.files.month_archives import flush_folder
from hannun.files.parquet_file import missing

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CURRENT: Final = "current"
_NEXT: Final = ".next"
_LINK: Final = ".current"
_FILE: Final = "rows.parquet"
_VERSION = re.compile(r"version-(\d+)")
_MANIFEST_BYTES_MAX = 100_000_000
_BLOCK_BYTES = 1 << 20

_TEXT, _NUMBER, _FLAG, _INSTANT = "text", "number", "flag", "instant"
COLUMNS: Final[dict[str, dict[str, str]]] = {
    "arrivals": {"event_id": _TEXT, "channel": _TEXT, "timestamp": _INSTANT, "participants": _NUMBER},
    "measurements": {
        "event_id": _TEXT,
        "channel": _TEXT,
        "timestamp": _INSTANT,
        "baseline": _FLAG,
        "impressions": _NUMBER,
        "views": _NUMBER,
        "clicks": _NUMBER,
        "conversions": _NUMBER,
        "likes": _NUMBER,
        "comments": _NUMBER,
        "shares": _NUMBER,
        "total_calls": _NUMBER,
        "completed_calls": _NUMBER,
    },
    "timeline": {
        "event_id": _TEXT,
        "timestamp": _INSTANT,
        "participants": _NUMBER,
        "views": _NUMBER,
        "engagement": _NUMBER,
        "conversions": _NUMBER,
    },
}
"""The tables and their columns. The month is the name of a folder, and no column of a file. None names a person."""


class LakeFile(NamedTuple):
    """One file of a version, as its manifest lists it."""

    path: str
    table: str
    month: str
    rows: int
    sums: dict[str, int]
    bytes: int
    sha256: str


class WrittenVersion(NamedTuple):
    """What an export has done. `new` are files whose contents no version before had at their place."""

    version: int
    files: list[LakeFile]
    new: int


class Lake:
    """The dataset of one database, in one folder."""

    def __init__(self, folder: Path, database_id: str) -> None:
        """
        Raises:
            OperatorError: pyarrow is not installed.
        """
        if (hint := missing()) is not None:
            raise OperatorError("a dataset of Parquet files needs pyarrow, which is not installed", hint=hint)
        self._folder = folder
        self._database_id = database_id

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One export at a time. The lock comes before the snapshot, so that no older one is published after a newer.

        It ends with the process.

        Raises:
            OperatorError: another export writes the folder, or it cannot be created.
        """
        with self._lock():
            yield

    def _lock(self) -> BinaryIO:
        with self._disk_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            file = (self._folder / ".lock").open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.close()
                raise OperatorError(
                    f"another export writes {self._folder} now", hint="try again when it has ended"
                ) from error
            return file

    def write(
        self,
        copied: Mapping[str, Iterable[bytes]],
        about: Mapping[str, Any],
        check: Callable[[list[LakeFile]], None] = lambda _: None,
    ) -> WrittenVersion:
        """Write a version, and let `current` lead to it. Where nothing has changed, the current one stays.

        Call it while the folder is `locked`.

        Args:
            copied: the rows of each table as CSV with a header, ordered by month.
            about: which state of the database they show, for the manifest.
            check: raises where the files may not be published.

        Raises:
            OperatorError: the folder is of another database, or the disk refuses it.
        """
        with self._disk_errors():
            before = self._read_current()
            try:
                return self._write_next(before, copied, about, check)
            except Exception:
                shutil.rmtree(self._folder / _NEXT, ignore_errors=True)  # a full disk has its room back
                raise

    def _write_next(
        self,
        before: WrittenVersion | None,
        copied: Mapping[str, Iterable[bytes]],
        about: Mapping[str, Any],
        check: Callable[[list[LakeFile]], None],
    ) -> WrittenVersion:
        """What `write` does, where `before` is the current version."""
        next_ = self._folder / _NEXT
        if next_.exists():
            shutil.rmtree(next_)
        next_.mkdir()
        known = {} if before is None else {file.path: file for file in before.files}
        written = [each for table, rows in copied.items() for each in self._write_table(table, rows, known)]
        files, new = [file for file, _ in written], sum(is_new for _, is_new in written)
        check(files)
        if before is not None and not new and len(files) == len(known):
            shutil.rmtree(next_)
            self._prune(before.version)
            return WrittenVersion(before.version, files, 0)
        number = 1 + max(self._versions(), default=0)
        self._write_manifest(next_, number, files, about)
        self._publish(next_, number)
        self._prune(number)
        return WrittenVersion(number, files, new)

    def manifest(self) -> dict[str, Any]:
        """The manifest of the current version.

        Raises:
            OSError, ValueError: there is none, or it cannot be read.
        """
        with (self._folder / CURRENT / MANIFEST).open("rb") as file:
            read: dict[str, Any] = json.loads(file.read(_MANIFEST_BYTES_MAX))
        return read

    def check(self) -> list[str]:
        """Files of the current version that are not as its manifest lists them; none where it is intact."""
        listed = [LakeFile(**file) for file in self.manifest()["files"]]
        return [file.path for file in listed if not self._is_intact(self._folder / CURRENT / file.path, file)]

    @staticmethod
    def _is_intact(path: Path, file: LakeFile) -> bool:
        return path.is_file() and _sha256(path) == file.sha256

    def _read_current(self) -> WrittenVersion | None:
        """
        Raises:
            OperatorError: what is there is not the dataset of this database.
        """
        if not (self._folder / CURRENT).is_symlink():
            if others := [path.name for path in self._folder.iterdir() if not self._is_ours(path.name)]:
                raise OperatorError(
                    f"{self._folder} holds something else: {', '.join(sorted(others)[:3])}",
                    hint="name an empty folder, or one that does not exist",
                )
            return None
        try:
            manifest = self.manifest()
            found = (manifest["format"], manifest["database"])
            files = [LakeFile(**file) for file in manifest["files"]]
            number = int(manifest["version"])
        except (ValueError, KeyError, TypeError) as error:
            raise OperatorError(
                f"the manifest in {self._folder / CURRENT} cannot be read: {error}",
                hint="move the folder away; the next export writes everything anew",
            ) from error
        if found != (FORMAT, self._database_id):
            raise OperatorError(f"{self._folder} holds the dataset of another database", hint="name another folder")
        return WrittenVersion(number, files, 0)

    @staticmethod
    def _is_ours(name: str) -> bool:
        return name in (".lock", _NEXT, _LINK) or _VERSION.fullmatch(name) is not None

    def _write_table(
        self, table: str, rows: Iterable[bytes], known: Mapping[str, LakeFile]
    ) -> Iterator[tuple[LakeFile, bool]]:
        """Write the files of a table, a month after the other. Yields each, and whether it is new."""
        for month, blocks in _by_month(tables(rows, _copied_schema(table), nulls=True)):
            path = f"{table}/month={month}/{_FILE}"
            target = self._folder / _NEXT / path
            target.parent.mkdir(parents=True)
            file = _write_file(target, table, month, path, blocks)
            is_new = known.get(path) != file or not self._is_intact(self._folder / CURRENT / path, file)
            if not is_new:
                target.unlink()
                os.link(self._folder / CURRENT / path, target)
            flush_folder(target.parent)
            yield file, is_new

    def _write_manifest(self, next_: Path, number: int, files: list[LakeFile], about: Mapping[str, Any]) -> None:
        manifest = {
            "format": FORMAT,
            "version": number,
            "database": self._database_id,
            **about,
            "files": [file._asdict() for file in files],
        }
        with (next_ / MANIFEST).open("w") as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        for folder in [path for path in next_.rglob("*") if path.is_dir()]:
            flush_folder(folder)
        flush_folder(next_)

    def _publish(self, next_: Path, number: int) -> None:
        """The moment from which readers see the version is the rename of the link."""
        os.rename(next_, self._folder / f"version-{number}")
        link = self._folder / _LINK
        link.unlink(missing_ok=True)
        os.symlink(f"version-{number}", link)
        flush_folder(self._folder)
        os.replace(link, self._folder / CURRENT)
        flush_folder(self._folder)

    def _versions(self) -> list[int]:
        found = (_VERSION.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def _prune(self, current: int) -> None:
        """Remove all versions but the current one and the one before: readers may still be in that."""
        for number in self._versions():
            if number < current - 1 or number > current:
                shutil.rmtree(self._folder / f"version-{number}")

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OperatorError(
                f"cannot write the dataset {self._folder}: {reason_of(error)}",
                hint="may this user write there, has the disk room, and does it know links?",
            ) from error


def _copied_schema(table: str) -> Any:
    """The columns as they are copied: the month first, instants without their zone."""
    import pyarrow

    types = {
        _TEXT: pyarrow.string(),
        _NUMBER: pyarrow.int64(),
        _FLAG: pyarrow.bool_(),
        _INSTANT: pyarrow.timestamp("us"),
    }
    return pyarrow.schema({"month": pyarrow.date32(), **{name: types[kind] for name, kind in COLUMNS[table].items()}})


def _file_schema(table: str) -> Any:
    """The columns of a file: no month, instants in UTC."""
    import pyarrow

    instant = pyarrow.timestamp("us", tz="UTC")
    fields = [field for field in _copied_schema(table) if field.name != "month"]
    return pyarrow.schema([field.with_type(instant) if field.name == "timestamp" else field for field in fields])


def _by_month(blocks: Iterable[Any]) -> Iterator[tuple[str, Iterator[Any]]]:
    """The blocks of each month, of rows in the order of months. Take all of one before the next."""
    import pyarrow.compute as compute

    parts = (
        (str(month.as_py())[:7], block.filter(compute.equal(block["month"], month)).drop_columns(["month"]))
        for block in blocks
        for month in block["month"].unique()
    )
    pending = next(parts, None)

    def of_month(month: str) -> Iterator[Any]:
        nonlocal pending
        while pending is not None and pending[0] == month:
            yield pending[1]
            pending = next(parts, None)

    while pending is not None:
        yield pending[0], of_month(pending[0])


def _write_file(target: Path, table: str, month: str, path: str, blocks: Iterable[Any]) -> LakeFile:
    """Write a file and flush it to the disk. The same rows give the same bytes."""
    import pyarrow.compute as compute
    import pyarrow.parquet

    schema, rows = _file_schema(table), 0
    sums = {name: 0 for name, kind in COLUMNS[table].items() if kind == _NUMBER}
    with target.open("xb") as file:
        with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
            for block in blocks:
                writer.write_table(block.cast(schema))
                rows += block.num_rows
                for name in sums:
                    sums[name] += compute.sum(block[name]).as_py() or 0
        file.flush()
        os.fsync(file.fileno())
    return LakeFile(path, table, month, rows, sums, target.stat().st_size, _sha256(target))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
