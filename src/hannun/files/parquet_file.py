"""Parquet, for programs: columns, paths and codes as in the API; title and unit are metadata of the column.

Money is decimal, instants are timestamps with their zone, a missing value is null. It needs pyarrow, which is an extra.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, BinaryIO

from hannun.domain.codes import Code
from hannun.domain.tables import Cell, Column, Row
from hannun.domain.terms import Language, Unit, heading
from hannun.errors import install_hint

GROUP_ROWS = 10_000
_CENT = Decimal("0.01")
_DIGITS = 24
"""Digits of a money column: sums of numeric(15, 2) over any number of events fit."""


def missing() -> str | None:
    """How to install pyarrow; None where it is installed."""
    try:
        found = find_spec("pyarrow") is not None
    except ValueError:
        found = False
    return None if found else install_hint("parquet")


class ParquetWriter:
    """Writes one table, in row groups."""

    def __init__(self, file: BinaryIO, tz: str, language: Language) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow: Any = pyarrow
        self._parquet: Any = pyarrow.parquet
        self._file = file
        self._tz = tz
        self._language = language
        self._pending: list[Row] = []

    def begin(self, name: str, columns: Sequence[Column]) -> None:
        self._units = [column.unit for column in columns]
        self._schema = self._arrow.schema(
            [
                self._arrow.field(
                    column.key,
                    self._type(column.unit),
                    metadata={"title": heading(column.term, self._language, self._tz), "unit": column.unit.value},
                )
                for column in columns
            ]
        )
        self._writer = self._parquet.ParquetWriter(self._file, self._schema, compression="zstd")

    def rows(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._pending.append(row)
            if len(self._pending) >= GROUP_ROWS:
                self._write_group()

    def close(self, about: Sequence[Sequence[str | None]]) -> None:
        self._write_group()
        self._writer.add_key_value_metadata({"hannun.about": json.dumps(about, ensure_ascii=False)})
        self._writer.close()

    def abandon(self) -> None:
        self._writer.close()

    def _write_group(self) -> None:
        if not self._pending:
            return
        columns = [
            self._arrow.array([_value(cell, unit) for cell in cells], self._type(unit))
            for cells, unit in zip(zip(*self._pending, strict=True), self._units, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(columns, schema=self._schema))
        self._pending = []

    def _type(self, unit: Unit) -> Any:
        arrow = self._arrow
        types = {
            Unit.TEXT: arrow.string(),
            Unit.COUNT: arrow.int64(),
            Unit.PERCENT: arrow.float64(),
            Unit.WON: arrow.decimal128(_DIGITS, 2),
            Unit.SECONDS: arrow.int64(),
            Unit.NUMBER: arrow.float64(),
            Unit.INSTANT: arrow.timestamp("us", tz=self._tz),
            Unit.YES_NO: arrow.bool_(),
            Unit.COUNTS: arrow.list_(arrow.int64()),
        }
        return types[unit]


def _value(cell: Cell, unit: Unit) -> Any:
    if cell is None:
        return None
    if unit is Unit.WON:
        return Decimal(repr(cell)).quantize(_CENT)
    if unit is Unit.INSTANT:
        return datetime.fromisoformat(str(cell))
    # a cell without a code is words for people
    return str(cell) or None if isinstance(cell, Code) else str(cell) if unit is Unit.TEXT else cell
