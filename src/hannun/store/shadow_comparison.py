"""What a database holds, in a form that can be compared with another: a digest for each event, then row by row."""

from collections.abc import Collection
from datetime import date

from hannun.domain.replay import FoundDeadLetter, RecordPlace, Replayed, ReplayRange, RowValues
from hannun.store import positions, sealed_amounts
from hannun.store.database import Connection
from hannun.store.queries import load

_QUERIES = load("shadow_parts")
PARTS = (*_QUERIES, sealed_amounts.PART)
"""The parts of a comparison. Each but the last is a query of (event_id, key, value)."""
SQL = load("shadow_comparison")

Digest = tuple[int, int]
"""How many rows an event has in a part, and the sum of their hashes: equal for equal rows, whatever their order."""


def digests(
    conn: Connection,
    part: str,
    event_ids: Collection[str] | None = None,
    months: Collection[date] | None = None,
) -> dict[str, Digest]:
    """The digest of every event in a part of the comparison, or only of these events. Of the timeline only these
    months, by their first days."""
    if part == sealed_amounts.PART:
        return sealed_amounts.digests(conn, event_ids)
    query = SQL["digests"].replace("rows_of_part", f"({_QUERIES[part]})")
    asked = {"event_ids": None if event_ids is None else sorted(event_ids), "months": _sorted(months)}
    return {event_id: (count, int(digest)) for event_id, count, digest in conn.execute(query, asked)}


def rows_of(conn: Connection, part: str, event_id: str, months: Collection[date] | None = None) -> dict[str, RowValues]:
    """The rows of one event in a part, by their keys; each with its values by their columns. Of the timeline only these
    months."""
    if part == sealed_amounts.PART:
        return sealed_amounts.rows_of(conn, event_id)
    query = SQL["rows"].replace("rows_of_part", f"({_QUERIES[part]})")
    return dict(conn.execute(query, {"event_id": event_id, "months": _sorted(months)}).fetchall())


def _sorted(months: Collection[date] | None) -> list[date] | None:
    return None if months is None else sorted(months)


def versions(conn: Connection) -> dict[str, int]:
    """The version of every event. An event that keeps its version was not counted for in between."""
    return dict(conn.execute(SQL["versions"]).fetchall())


def relations(conn: Connection) -> dict[str, RowValues]:
    """Tables and privileges in the database, by name: a swap would lose those that are not Hannun's."""
    return {name: {"kind": kind} for name, kind in conn.execute(SQL["relations"])}


def dead_letters(conn: Connection) -> dict[RecordPlace, FoundDeadLetter]:
    """The dead letters of Kafka's records. Those of HTTP are in no log, and carried over as they are."""
    rows = conn.execute(SQL["dead_letters"]).fetchall()
    return {tuple(place): FoundDeadLetter(reason, resolved) for *place, reason, resolved in rows}


def replayed(live: Connection, shadow: Connection) -> Replayed:
    """What of the logs the shadow has read: all from its start to its position, but what operators have skipped."""
    skipped = positions.skipped_ranges(live)
    ranges = {}
    for topic, number, topic_id, start, end in shadow.execute(SQL["replayed"]):
        log_ = (topic, number), topic_id
        ranges[log_] = ReplayRange(topic_id, start, end, skipped=skipped.get(log_, ()))
    return Replayed(ranges)


def decided(conn: Connection) -> dict[str, int]:
    """How much operators have decided that a swap carries over, by what it is."""
    row = conn.execute(SQL["decided"]).fetchone()
    assert row is not None
    names = ("resolved dead letters", "decisions about positions", "forgotten topics", "share links")
    return {name: count for name, count in zip(names, row, strict=True) if count}
