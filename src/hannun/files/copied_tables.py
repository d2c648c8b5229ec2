"""Rows of PostgreSQL's COPY (CSV with a header) as tables of Arrow, a block at a time. It needs pyarrow."""

from collections.abc import Iterable, Iterator
from typing import Any

BLOCK_BYTES = 4_000_000
"""CSV that becomes one row group. Memory holds a block as CSV and as columns."""


def tables(rows: Iterable[bytes], schema: Any, *, nulls: bool = False) -> Iterator[Any]:
    """The rows as tables of `BLOCK_BYTES` each.

    Args:
        rows: each chunk ends with a row.
        nulls: text that is empty and not quoted is a missing value.
    """
    header: bytes | None = None
    block = bytearray()
    for chunk in rows:
        if header is None:
            first, _, rest = bytes(chunk).partition(b"\n")
            header = first + b"\n"
            block += rest
        else:
            block += chunk
        if len(block) >= BLOCK_BYTES:
            yield _parsed(header + block, schema, nulls=nulls)
            block.clear()
    if header is not None and block:
        yield _parsed(header + block, schema, nulls=nulls)


def _parsed(csv_text: bytes | bytearray, schema: Any, *, nulls: bool) -> Any:
    import pyarrow
    from pyarrow import csv

    options = csv.ConvertOptions(
        column_types=schema,
        include_columns=schema.names,
        null_values=[""] if nulls else [],
        strings_can_be_null=nulls,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )
    return csv.read_csv(pyarrow.BufferReader(bytes(csv_text)), convert_options=options)
