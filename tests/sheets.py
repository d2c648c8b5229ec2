"""Reads exported files without code of the service: CSV, XLSX by its XML, Parquet."""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet

_SPREADSHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_EXCEL_EPOCH = datetime(1899, 12, 30)


def csv_rows(body: bytes) -> list[list[str]]:
    """The rows of a CSV. Byte order mark and line ends are checked, and guards are removed from texts."""
    assert body.startswith(b"\xef\xbb\xbf"), "without a byte order mark a Korean Excel reads CP949"
    assert b"\n" not in body.replace(b"\r\n", b""), "lines end with CRLF"
    rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    return [[cell.removeprefix("'") for cell in row] for row in rows]


def parquet(body: bytes) -> pyarrow.parquet.ParquetFile:
    return pyarrow.parquet.ParquetFile(io.BytesIO(body))


class Workbook:
    """A workbook: cells by sheet, as Excel would show them."""

    def __init__(self, body: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(body))
        assert self._zip.testzip() is None
        relations = {r.get("Id"): r.get("Target") for r in self._xml("xl/_rels/workbook.xml.rels")}
        book = self._xml("xl/workbook.xml")
        self._files = {
            str(sheet.get("name")): f"xl/{relations[sheet.get(_RELATION)]}"
            for sheet in book.iter(f"{_SPREADSHEET}sheet")
        }
        styles = self._xml("xl/styles.xml")
        self._formats = {f.get("numFmtId"): f.get("formatCode") for f in styles.iter(f"{_SPREADSHEET}numFmt")}
        cells = styles.find(f"{_SPREADSHEET}cellXfs")
        assert cells is not None
        self._styles = list(cells)

    def _xml(self, path: str) -> ElementTree.Element:
        return ElementTree.fromstring(self._zip.read(path))

    @property
    def sheets(self) -> list[str]:
        return list(self._files)

    def xml(self, sheet: str) -> str:
        return self._zip.read(self._files[sheet]).decode()

    def rows(self, sheet: str) -> list[list[Any]]:
        """The values of the cells: text, number, bool, datetime without a zone, or None."""
        return [[cell and cell[0] for cell in row] for row in self._rows(sheet)]

    def formats(self, sheet: str, row: int) -> list[str | None]:
        """The number formats of a row's cells."""
        return [cell and cell[1] for cell in self._rows(sheet)[row]]

    def _rows(self, sheet: str) -> list[list[tuple[Any, str] | None]]:
        root = ElementTree.fromstring(self._zip.read(self._files[sheet]))
        rows = [dict(self._cells(row)) for row in root.iter(f"{_SPREADSHEET}row")]
        width = max((max(row, default=-1) for row in rows), default=-1) + 1
        return [[row.get(at) for at in range(width)] for row in rows]

    def _cells(self, row: ElementTree.Element) -> Iterator[tuple[int, tuple[Any, str]]]:
        for cell in row:
            assert cell.find(f"{_SPREADSHEET}f") is None, "no cell may be a formula"
            letters = re.match(r"[A-Z]+", str(cell.get("r")))
            assert letters is not None
            at = 0
            for letter in letters[0]:
                at = at * 26 + ord(letter) - 64
            style = self._styles[int(cell.get("s", 0))]
            form = self._formats.get(style.get("numFmtId"), str(style.get("numFmtId")))
            text = "".join(part.text or "" for part in cell.iter(f"{_SPREADSHEET}t"))
            value = cell.find(f"{_SPREADSHEET}v")
            if cell.get("t") == "inlineStr":
                yield at - 1, (_unescaped(text), str(form))
            elif value is not None and cell.get("t") == "b":
                yield at - 1, (value.text == "1", str(form))
            elif value is not None:
                figure = float(value.text or "nan")
                shown = _EXCEL_EPOCH + timedelta(days=figure) if "yyyy" in str(form) else figure
                yield at - 1, (shown, str(form))


def _unescaped(text: str) -> str:
    return re.sub(r"_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), text)
