"""Recompute the aggregates from the ledgers, and find the figures that differ."""

from typing import NamedTuple

from hannun.store.database import Connection
from hannun.store.queries import load

CHECKS = load("reconciliation")
"""One query for each aggregate table, by the table's name."""


class Drift(NamedTuple):
    """A figure of an aggregate that differs from its recomputation."""

    table: str
    place: str
    figure: str
    found: str | None
    expected: str | None

    def __str__(self) -> str:
        return f"{self.table}: {self.place}: {self.figure} is {self.found}, the ledgers say {self.expected}"


def find_drift(conn: Connection, check: str) -> list[Drift]:
    """Every figure of one aggregate that differs from its recomputation."""
    return [Drift(check, *row) for row in conn.execute(CHECKS[check]).fetchall()]
