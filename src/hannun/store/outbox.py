"""The outbox of invalidations: written in the batch's transaction, deleted after Redis has acknowledged the
invalidation.

The table is `hannun.owed_invalidations`; its name is older than the term.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from hannun.domain.batch import ChangedEvent
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("outbox")
READ_MAX = 100
"""The most entries that `pending` returns."""


def add(conn: Connection, events: Sequence[ChangedEvent]) -> int:
    """Add an entry in the caller's transaction. Returns its number."""
    changes = {
        event.event_id: {"userId": event.user_id, "version": event.version, "channels": event.channels}
        for event in events
    }
    row = conn.execute(SQL["add_entry"], {"events": Jsonb(changes, msgspec.json.encode)}).fetchone()
    assert row is not None
    return int(row[0])


def mark_delivered(conn: Connection, entry_nos: Sequence[int]) -> None:
    """Delete delivered entries, without a flush to disk: an entry that a crash brings back is delivered again."""
    conn.execute(SQL["commit_without_flush"])
    conn.execute(SQL["delete_entries"], {"entry_nos": list(entry_nos)})


def pending(conn: Connection, older_than_s: float) -> list[tuple[int, list[ChangedEvent]]]:
    """Entries that were not delivered for `older_than_s` seconds, twice that with 1,000 events or more, oldest first.

    At most `READ_MAX`.
    """
    rows = conn.execute(SQL["pending_entries"], {"older_than_s": older_than_s, "limit": READ_MAX}).fetchall()
    return [(int(entry_no), _changed_events(events)) for entry_no, events in rows]


def count(conn: Connection) -> int:
    """How many entries are not delivered."""
    row = conn.execute(SQL["count_entries"]).fetchone()
    assert row is not None
    return int(row[0])


def _changed_events(changes: Any) -> list[ChangedEvent]:
    return [
        ChangedEvent(event_id, event["userId"], event["version"], tuple(event["channels"]))
        for event_id, event in changes.items()
    ]
