"""Tables as files: CSV and XLSX that open right in a Korean Excel, and Parquet. One format each, none knows another.

A writer is told a table's columns, then its rows in batches, then the next table, and is closed at the end. What it has
written lies in its file, never in memory: a table may be as long as it likes.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from hannun.domain.tables import Column, Row
from hannun.domain.terms import Language
from hannun.files.csv_file import CsvWriter
from hannun.files.parquet_file import ParquetWriter
from hannun.files.parquet_file import missing as parquet_missing
from hannun.files.xlsx_file import XlsxWriter

About = Sequence[Sequence[str | None]]


class Format(StrEnum):
    """What an export can be."""

    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]

    @property
    def holds_one_table(self) -> bool:
        return self is not Format.XLSX

    @property
    def grows(self) -> bool:
        """Whether what is written already may be read before the file is complete."""
        return self is Format.CSV

    @property
    def missing(self) -> str | None:
        """What must be installed before this can be made; None where nothing is missing."""
        return parquet_missing() if self is Format.PARQUET else None


_MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class FileWriter(Protocol):
    """A file that is being written."""

    def begin(self, name: str, columns: Sequence[Column]) -> None:
        """The next table."""

    def rows(self, rows: Iterable[Row]) -> None:
        """Rows of the table that was begun last."""

    def close(self, about: About) -> None:
        """The end; `about` explains the file, where the format has room for it."""

    def abandon(self) -> None:
        """Nobody wants the file any more: let go of what is open."""


def writer_of(
    wanted: Format, file: BinaryIO, folder: Path, tz: str, language: Language, as_of: str | None
) -> FileWriter:
    """A writer into `file`. `folder` takes what a format must put aside; `tz` is the zone of the instants."""
    if wanted is Format.CSV:
        return CsvWriter(file, tz, language)
    if wanted is Format.XLSX:
        return XlsxWriter(file, folder, tz, language, as_of)
    return ParquetWriter(file, tz, language)
