"""Runs `hannun` with one change of its code: `python variants.py NAME ARGUMENTS`.

Tests show with a variant that they find a mistake, or that a guarantee does not depend on an order of the code.
"""

import runpy
import sys
from collections.abc import Callable
from typing import Any

from hannun.counting.batch_counter import BatchCounter
from hannun.store.batches import BatchWriter, advance


def positions_last() -> None:
    """The positions are written after the counts, in the same transaction. No mistake: the order does not matter."""
    write: Callable[..., Any] = BatchWriter.write

    def write_positions_last(
        writer: Any, conn: Any, batch: Any, by_event: Any, ranges: Any = (), text: Any = None
    ) -> Any:
        written = write(writer, conn, batch, by_event, (), text)
        advance(conn, ranges)
        return written

    BatchWriter.write = write_positions_last  # type: ignore[method-assign]


def positions_committed_before() -> None:
    """The positions are committed before the counts: a crash between the two loses messages."""
    write: Callable[..., Any] = BatchCounter._write

    def write_positions_before(counter: Any, prepared: Any, ranges: Any, quarantine: Any) -> Any:
        with counter._transaction() as conn:
            advance(conn, ranges)
        return write(counter, prepared, (), quarantine)

    BatchCounter._write = write_positions_before  # type: ignore[method-assign]


def positions_committed_after() -> None:
    """The positions are committed after the counts: a crash between the two counts messages that are read again."""
    write: Callable[..., Any] = BatchCounter._write

    def write_positions_after(counter: Any, prepared: Any, ranges: Any, quarantine: Any) -> Any:
        counted = write(counter, prepared, (), quarantine)
        with counter._transaction() as conn:
            advance(conn, ranges)
        return counted

    BatchCounter._write = write_positions_after  # type: ignore[method-assign]


VARIANTS = {
    "positions-last": positions_last,
    "positions-committed-before": positions_committed_before,
    "positions-committed-after": positions_committed_after,
}


if __name__ == "__main__":
    VARIANTS[sys.argv[1]]()
    sys.argv = ["hannun", *sys.argv[2:]]
    runpy.run_module("hannun", run_name="__main__", alter_sys=True)
