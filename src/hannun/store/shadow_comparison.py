"""What a database says, in a form in which two can be compared: by a digest for each event, then row by row."""

from collections.abc import Collection

from hannun.store.database import Connection
from hannun.store.queries import load

PARTS = load("shadow_parts")
SQL = load("shadow_comparison")

Digest = tuple[int, int]
"""How many rows an event has in a part, and the sum of their hashes: equal for equal rows, whatever their order."""


def digests(conn: Connection, part: str, event_ids: Collection[str] | None = None) -> dict[str, Digest]:
    """The digest of every event in a part of the comparison, or only of these."""
    asked = SQL["digests"].replace("said_of_a_part", f"({PARTS[part]})")
    rows = conn.execute(asked, {"event_ids": None if event_ids is None else sorted(event_ids)})
    return {event_id: (count, int(digest)) for event_id, count, digest in rows}


def rows_of(conn: Connection, part: str, event_id: str) -> dict[str, str]:
    """The rows of one event in a part, by their keys."""
    asked = SQL["rows"].replace("said_of_a_part", f"({PARTS[part]})")
    return dict(conn.execute(asked, {"event_id": event_id}).fetchall())


def versions(conn: Connection) -> dict[str, int]:
    """The version of every event: where two looks see the same one, nothing was counted for it in between."""
    return dict(conn.execute(SQL["versions"]).fetchall())


def relations(conn: Connection) -> dict[str, str]:
    """Tables and rights in the database, by their names: to find what others keep in it."""
    return dict(conn.execute(SQL["relations"]).fetchall())
