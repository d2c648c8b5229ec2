"""Copy to the shadow what only the live database holds and no log can replay."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hannun.store import positions
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("carry_over")

_NO_EVENTS: dict[str, list[Any]] = {
    name: [] for name in ("event_ids", "user_ids", "versions", "first_seen_ats", "created_ats")
}


def carry_over(live: Connection, shadow: Connection, by: str) -> None:
    """Copy what no log holds from the live database to the shadow, in one transaction of the shadow's.

    That is: dead letters and their resolution, share links, ended sessions, decisions of operators, partitions that
    wait for one, and the versions and ages of events. Position epochs are raised above every epoch in use, and every
    cached answer gets an outbox entry. Running it again is harmless.

    Args:
        by: the operator, for the record of the decision.
    """
    with shadow.transaction():
        for letter in _rows(live, "dead_letters"):
            letter["fields"] = None if letter["fields"] is None else Jsonb(letter["fields"])
            shadow.execute(SQL["copy_resolution"], letter)
            shadow.execute(SQL["copy_dead_letter"], letter)
        shadow.execute(SQL["delete_failed_swaps"])
        for decision in _rows(live, "decisions"):
            shadow.execute(SQL["copy_decision"], decision)
        for share in _rows(live, "shares"):
            shadow.execute(SQL["copy_share"], share)
        for ended in _rows(live, "ended_sessions"):
            shadow.execute(SQL["copy_ended_session"], ended)
        for stopped in _rows(live, "stopped_partitions"):
            shadow.execute(SQL["copy_stopped_partition"], stopped)
        for topic in _rows(live, "forgotten_topics"):
            shadow.execute(SQL["copy_forgotten_topic"], topic)
        replayed_to = {(row["topic"], row["partition"]): row["next_offset"] for row in _rows(shadow, "positions")}
        for position in _rows(live, "positions"):
            shadow.execute(SQL["raise_epoch"], position)
            partition = (position["topic"], position["partition"])
            record = {"decided_by": by, "was_at": position["next_offset"], "how": "replay swap"}
            goes_on_at = replayed_to.get(partition, position["next_offset"])
            shadow.execute(positions.SQL["record_decision"], position | record | {"goes_on_at": goes_on_at})
        events = _rows(live, "events")
        columns = {f"{name}s": [row[name] for row in events] for name in events[0]} if events else _NO_EVENTS
        shadow.execute(SQL["raise_versions"], columns)
        shadow.execute(SQL["copy_creation_times"], columns)
        shadow.execute(SQL["invalidate_everything"], columns)


def _rows(conn: Connection, query: str) -> Sequence[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[query]).fetchall()
