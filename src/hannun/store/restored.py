"""Prepare a restored database to become the live one: consumers resume at its positions, no older answer is trusted.

A restore goes back in time. What was given out since must not be valid again: epochs of consumers, versions of answers,
one-time codes, ended sessions, revoked share links.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from hannun.domain.restores import RestoredPosition
from hannun.key_ring import KeyRing
from hannun.store import carry_over, positions
from hannun.store.database import Connection
from hannun.store.forgotten_again import forget_again
from hannun.store.queries import load

SQL = load("restored")


def set_time_zone(conn: Connection) -> None:
    """Set the time zone of the database: in another one `DEFAULT now()` writes local time. A dump leaves it out."""
    conn.execute(SQL["set_time_zone"])


def prepare(restored: Connection, live: Connection | None, by: str, ring: KeyRing | None) -> list[RestoredPosition]:
    """Prepare a restored database, in one transaction. Running it again is harmless. Returns where reading resumes.

    Epochs and versions rise above all that were given out before, and every answer that may be cached gets an outbox
    entry. What operators and merchants have decided since the backup is copied from the live database.

    Args:
        live: the database that is replaced, with its writers locked out; None where it is lost, or damaged.
        by: the operator, for the record of the decision.
        ring: the keys by which people were forgotten; None where none is set. Only needed where `live` is read.

    Raises:
        OperatorError: the key ring lacks a key by which somebody was forgotten since, or the audit logs differ.
    """
    with restored.transaction():
        restored.execute(SQL["raise_epochs"])
        restored.execute(SQL["raise_versions"])
        restored.execute(SQL["delete_sign_in_codes"])
        live_positions = {} if live is None else _copy_from_live(restored, live, ring)
        resumed = [
            RestoredPosition(**position, was_at=live_positions.get((position["topic"], position["partition"])))
            for position in _rows(restored, "positions")
        ]
        for position in resumed:
            restored.execute(positions.SQL["record_decision"], _decision(position, by))
        restored.execute(carry_over.SQL["invalidate_everything"], carry_over.live_events(live))
    return resumed


def _copy_from_live(restored: Connection, live: Connection, ring: KeyRing | None) -> dict[tuple[str, int], int]:
    """Copy what was decided since the backup. Returns the position of each partition in the live database."""
    carry_over.carry_over_decided(live, restored)
    carry_over.carry_over_audit_log(live, restored)
    forget_again(restored, live, ring)
    events = carry_over.live_events(live)
    restored.execute(SQL["raise_versions_above"], events)
    for position in _rows(live, "first_positions"):
        restored.execute(SQL["add_position"], position)
    with live.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(carry_over.SQL["positions"]).fetchall()
    for position in found:
        restored.execute(SQL["raise_epoch"], position)
    return {(position["topic"], position["partition"]): position["next_offset"] for position in found}


def _decision(position: RestoredPosition, by: str) -> dict[str, Any]:
    """What is recorded: offsets from here on are read again, also those that operators have skipped since."""
    return {
        "decided_by": by,
        "topic": position.topic,
        "partition": position.partition,
        "topic_id": position.topic_id,
        "was_at": position.was_at,
        "goes_on_at": position.next_offset,
        "how": "restore",
        "skipped_from": None,
    }


def _rows(conn: Connection, query: str) -> Sequence[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[query]).fetchall()
