"""The rows that leave for analysts: the ledgers without people. All reads belong into one snapshot."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("lake")
_COPIES = {"arrivals": SQL["arrivals"], "measurements": SQL["measurements"], "timeline": SQL["timeline"]}


class LakeState(NamedTuple):
    """Which state of the database a snapshot shows.

    `read_at` is UTC, `snapshot` PostgreSQL's name of it, `version` the newest version of any event.
    """

    read_at: datetime
    snapshot: str
    version: int


class LakePosition(NamedTuple):
    """Up to where a partition is counted."""

    topic: str
    partition: int
    next_offset: int


class LakeTotals(NamedTuple):
    """What the rows must add up to."""

    participants: int
    views: int


def state(conn: Connection) -> LakeState:
    row = conn.execute(SQL["state"]).fetchone()
    assert row is not None
    return LakeState(*row)


def positions(conn: Connection) -> list[LakePosition]:
    return [LakePosition(*row) for row in conn.execute(SQL["positions"]).fetchall()]


def totals(conn: Connection) -> LakeTotals:
    row = conn.execute(SQL["totals"]).fetchone()
    assert row is not None
    return LakeTotals(*row)


def rows(conn: Connection, table: str) -> Iterator[bytes]:
    """The rows of a table as CSV with a header, ordered by month, its first column. Each chunk ends with a row."""
    with conn.cursor().copy(_COPIES[table]) as copy:
        yield from map(bytes, copy)
