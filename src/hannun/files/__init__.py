"""Tables as files: CSV and XLSX that a Korean Excel opens correctly, and Parquet. Each format is a module of its own.

A writer takes the columns of a table, then its rows in batches, then the next table, and is closed at the end. Written
rows are in its file, not in memory, so a table may have any length.
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
    """The format of an export."""

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
    def is_for_programs(self) -> bool:
        """Whether programs read it: it has codes and paths of the API where files for people have words."""
        return self is Format.PARQUET

    @property
    def grows(self) -> bool:
        """Whether the file may be read before it is complete."""
        return self is Format.CSV

    @property
    def missing(self) -> str | None:
        """How to install what this format needs; None where nothing is missing."""
        return parquet_missing() if self is Format.PARQUET else None


_MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class FileWriter(Protocol):
    """Writes one file."""

    def begin(self, name: str, columns: Sequence[Column]) -> None:
        """Begin the next table."""

    def rows(self, rows: Iterable[Row]) -> None:
        """Add rows to the current table."""

    def close(self, about: About) -> None:
        """Complete the file; `about` explains it, where the format has room for that."""

    def abandon(self) -> None:
        """Release what is open, without completing the file."""


def writer_of(
    format_: Format, file: BinaryIO, folder: Path, tz: str, language: Language, as_of: str | None
) -> FileWriter:
    """A writer into `file`. `folder` holds the temporary files of a format; `tz` is the zone of the instants."""
    if format_ is Format.CSV:
        return CsvWriter(file, tz, language)
    if format_ is Format.XLSX:
        return XlsxWriter(file, folder, tz, language, as_of)
    return ParquetWriter(file, tz, language)
