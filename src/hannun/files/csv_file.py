"""CSV for Excel: UTF-8 with a mark that says so (a Korean Excel reads CP949 without it), CRLF, every text quoted.

A text is never a formula, a number or a date to who opens it: one that could be taken for such has an apostrophe in
front, and so has one that begins with an apostrophe already. Whoever takes one apostrophe off the front of every text
that has one has the texts as they are. Figures are never touched: -5 stays -5. Nothing is an empty cell.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import BinaryIO

from hannun.domain.tables import Cell, Column, Row
from hannun.domain.terms import Language, Unit, heading
from hannun.files.texts import guarded

MARK = b"\xef\xbb\xbf"


class CsvWriter:
    """Writes one table."""

    def __init__(self, file: BinaryIO, tz: str, language: Language) -> None:
        self._file = file
        self._tz = tz
        self._language = language

    def begin(self, name: str, columns: Sequence[Column]) -> None:
        self._are_texts = [column.unit is Unit.TEXT for column in columns]
        titles = ",".join(_quoted(heading(column.term, self._language, self._tz)) for column in columns)
        self._file.write(MARK + f"{titles}\r\n".encode())

    def rows(self, rows: Iterable[Row]) -> None:
        lines = [",".join(map(_cell, row, self._are_texts)) for row in rows]
        if lines:
            self._file.write(("\r\n".join(lines) + "\r\n").encode())

    def close(self, about: object) -> None:
        pass

    def abandon(self) -> None:
        pass


def _cell(cell: Cell, is_text: bool) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return _quoted(guarded(cell) if is_text else cell)
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, list):
        return _quoted(" ".join(map(str, cell)))
    # Never an exponent, which Excel would show instead of the figure.
    return str(cell) if isinstance(cell, int) else f"{Decimal(repr(cell)):f}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
