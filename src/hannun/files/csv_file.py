"""CSV for Excel: UTF-8 with a byte order mark (without it a Korean Excel reads CP949), CRLF, every text quoted.

A spreadsheet must not read a text as a formula, a number or a date. A text that it could read so gets an apostrophe in
front, and so does a text that starts with an apostrophe: removing one leading apostrophe from every text restores the
texts. Figures are never changed: -5 stays -5. A missing value is an empty cell. Instants are in the zone that the title
of their column names, and codes are words.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import BinaryIO
from zoneinfo import ZoneInfo

from hannun.domain.codes import Code
from hannun.domain.tables import Cell, Column, Instant, Row
from hannun.domain.terms import Language, Unit, heading
from hannun.files.texts import counts_text, guarded

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class CsvWriter:
    """Writes one table."""

    def __init__(self, file: BinaryIO, tz: str, language: Language) -> None:
        self._file = file
        self._tz = tz
        self._zone = ZoneInfo(tz)
        self._language = language

    def begin(self, name: str, columns: Sequence[Column]) -> None:
        self._units = [column.unit for column in columns]
        titles = ",".join(_quoted(heading(column.term, self._language, self._tz)) for column in columns)
        self._file.write(BYTE_ORDER_MARK + f"{titles}\r\n".encode())

    def rows(self, rows: Iterable[Row]) -> None:
        lines = [",".join(map(self._cell, row, self._units)) for row in rows]
        if lines:
            self._file.write(("\r\n".join(lines) + "\r\n").encode())

    def close(self, about: object) -> None:
        pass

    def abandon(self) -> None:
        pass

    def _cell(self, cell: Cell, unit: Unit) -> str:
        if cell is None:
            return ""
        if isinstance(cell, str):
            return _quoted(self._text(cell, unit))
        if isinstance(cell, bool):
            return "TRUE" if cell else "FALSE"
        if isinstance(cell, list):
            return _quoted(counts_text(cell))
        # never with an exponent, which Excel would show as such
        return str(cell) if isinstance(cell, int) else f"{Decimal(repr(cell)):f}"

    def _text(self, cell: str, unit: Unit) -> str:
        if isinstance(cell, Code):
            return cell.name(self._language)
        if unit is Unit.INSTANT or isinstance(cell, Instant):
            return datetime.fromisoformat(cell).astimezone(self._zone).isoformat()
        return guarded(cell)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
