"""XLSX: a sheet for each table, and one that explains them. Rows go to a temporary file as they come, never to memory.

Texts are written as texts, never as formulas or links, and figures as numbers. Excel knows no zones, so an instant is a
local date and time, and the title of its column names the zone. A missing value is an empty cell.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from zoneinfo import ZoneInfo

from hannun.domain import wording
from hannun.domain.codes import Code
from hannun.domain.tables import Cell, Column, Instant, Row
from hannun.domain.terms import Language, Unit, heading, word
from hannun.files.texts import counts_text, guarded

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

TEXT_LENGTH_MAX = 32_767  # of a cell; Excel reports a file with a longer one as broken
_WIDTHS = {Unit.TEXT: 16, Unit.INSTANT: 18, Unit.COUNTS: 30, Unit.WON: 14}
_WIDTH_MIN, _WIDTH_MAX = 10, 40
_WIDER = {"eventTitle": 30, "eventId": 38, "figure": 34, "name": 28, "text": 30}
_FORMATS = {Unit.WON: "#,##0", Unit.PERCENT: '0.00"%"', Unit.NUMBER: "0.####", Unit.INSTANT: "yyyy-mm-dd hh:mm"}


class XlsxWriter:
    """Writes all tables of a view. `as_of` is the file's date, so that the same answer gives the same bytes."""

    def __init__(self, file: BinaryIO, folder: Path, tz: str, language: Language, as_of: str | None) -> None:
        import xlsxwriter  # with the first workbook: it takes 15 ms

        self._book = xlsxwriter.Workbook(
            file,
            {
                "constant_memory": True,
                "tmpdir": str(folder),
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
            },
        )
        made = datetime(2000, 1, 1) if as_of is None else datetime.fromisoformat(as_of).replace(tzinfo=None)
        self._book.set_properties({"title": "Hannun", "created": made})
        font = {"font_name": "맑은 고딕" if language == "ko" else "Calibri"}
        self._head = self._book.add_format(
            {**font, "bold": True, "bottom": 1, "bg_color": "#EEF2F6", "text_wrap": True}
        )
        # `@` keeps a text a text when a user edits its cell; the prefix does so for a text that looks like a formula.
        self._text = self._book.add_format({**font, "num_format": "@"})
        self._guarded = self._book.add_format({**font, "num_format": "@", "quote_prefix": True})
        self._formats = {unit: self._book.add_format({**font, "num_format": form}) for unit, form in _FORMATS.items()}
        self._plain = self._book.add_format(font)
        below = wording.won(0.1, language).replace("₩", "")
        self._below_one_won = self._book.add_format({**font, "num_format": f'"{below}"'})
        self._whole = self._book.add_format({**font, "num_format": "#,##0"})
        self._cents = self._book.add_format({**font, "num_format": "#,##0.00"})
        self._zone = ZoneInfo(tz)
        self._tz = tz
        self._language = language

    def begin(self, name: str, columns: Sequence[Column]) -> None:
        self._sheet: Worksheet = self._book.add_worksheet(word(name, self._language))
        self._columns = list(columns)
        self._unit_at = next((at for at, column in enumerate(columns) if column.key == "unit"), None)
        # When a clock is set back, a local time occurs twice: the offset in the next column tells them apart.
        self._offset_of = 0 if columns[0].unit is Unit.INSTANT else None
        titles = [heading(column.term, self._language, self._tz) for column in columns]
        if self._offset_of is not None:
            titles.append(word("offset", self._language))
        for at, title in enumerate(titles):
            width = _width(columns[at], title) if at < len(columns) else _WIDTH_MIN
            self._sheet.set_column(at, at, width)
        self._sheet.freeze_panes(1, 0)
        for at, title in enumerate(titles):
            self._sheet.write_string(0, at, title, self._head)
        self._next_row = 1

    def rows(self, rows: Iterable[Row]) -> None:
        for row in rows:
            for at, (cell, column) in enumerate(zip(row, self._columns, strict=True)):
                unit = column.unit
                if self._unit_at is not None and column.key == "value":
                    unit = Unit(str(row[self._unit_at])) if row[self._unit_at] else unit
                self._write(at, cell, unit)
            if self._offset_of is not None:
                offset = datetime.fromisoformat(str(row[self._offset_of])).strftime("%z")
                self._sheet.write_string(self._next_row, len(row), f"{offset[:3]}:{offset[3:5]}", self._text)
            self._next_row += 1

    def close(self, about: Sequence[Sequence[str | None]]) -> None:
        sheet = self._book.add_worksheet(word("about", self._language))
        for at, width in enumerate((34, 40, 60, 12)):
            sheet.set_column(at, at, width)
        for at_row, row in enumerate(about):
            for at, text in enumerate(row):
                if text:
                    sheet.write_string(at_row, at, text[:TEXT_LENGTH_MAX], self._head if len(row) == 1 else self._text)
        self._book.close()

    def abandon(self) -> None:
        for sheet in self._book.worksheets():  # each has a temporary file, which only a complete book closes
            if not sheet.row_data_fh_closed:
                sheet.row_data_fh.close()

    def _write(self, at: int, cell: Cell, unit: Unit) -> None:
        sheet, row = self._sheet, self._next_row
        if cell is None:
            return
        if isinstance(cell, bool):
            sheet.write_boolean(row, at, cell, self._plain)
        elif isinstance(cell, int | float):
            sheet.write_number(row, at, cell, self._format_of(cell, unit))
        elif isinstance(cell, list):
            sheet.write_string(row, at, counts_text(cell), self._text)
        elif isinstance(cell, Code):
            sheet.write_string(row, at, cell.name(self._language), self._text)
        elif unit is Unit.INSTANT or isinstance(cell, Instant):
            moment = datetime.fromisoformat(cell).astimezone(self._zone).replace(tzinfo=None)
            sheet.write_datetime(row, at, moment, self._formats[Unit.INSTANT])
        else:
            form = self._text if guarded(cell) == cell else self._guarded
            sheet.write_string(row, at, cell[:TEXT_LENGTH_MAX], form)

    def _format_of(self, figure: float, unit: Unit) -> "Format":
        if unit is Unit.WON and wording.is_below_one_won(figure):
            return self._below_one_won
        if unit in self._formats:
            return self._formats[unit]
        return self._whole if figure == int(figure) else self._cents


def _width(column: Column, title: str) -> float:
    """Wide enough for the cells, and for the title on two lines. A Korean character counts as two."""
    shown = sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in title)
    width = _WIDER.get(column.key, _WIDTHS.get(column.unit, _WIDTH_MIN))
    return min(max(width, shown * 0.7 + 2, _WIDTH_MIN), _WIDTH_MAX)
