"""Invalidations owed: written with the batch, deleted when Redis has acknowledged them."""

from collections.abc import Sequence
from typing import Any

from hannun.domain.batch import ChangedEvent
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("outbox")
AT_ONCE = 100
"""How many old debts are read at a time."""


def settle(conn: Connection, debt_nos: Sequence[int]) -> None:
    """Forget debts that are paid, without waiting for the disk: one that a crash brings back is only paid again."""
    conn.execute(SQL["settle_without_waiting"])
    conn.execute(SQL["settle_debts"], {"owed_nos": list(debt_nos)})


def old(conn: Connection, older_than_s: float) -> list[tuple[int, list[ChangedEvent]]]:
    """Debts that nobody has paid for `older_than_s` seconds, oldest first, at most `AT_ONCE`."""
    rows = conn.execute(SQL["old_debts"], {"older_than_s": older_than_s, "limit": AT_ONCE}).fetchall()
    return [(int(no), _events(events)) for no, events in rows]


def count(conn: Connection) -> int:
    """How many are not paid yet."""
    row = conn.execute(SQL["count_debts"]).fetchone()
    assert row is not None
    return int(row[0])


def _events(owed: Any) -> list[ChangedEvent]:
    return [
        ChangedEvent(event_id, event["userId"], event["version"], tuple(event["channels"]))
        for event_id, event in owed.items()
    ]
