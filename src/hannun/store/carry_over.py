"""Copy to the shadow what only the live database holds and no log can replay."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hannun.domain.replay import Replayed
from hannun.errors import OperatorError
from hannun.store import amount_state, positions
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("carry_over")

_NO_EVENTS: dict[str, list[Any]] = {
    name: [] for name in ("event_ids", "user_ids", "versions", "first_seen_ats", "created_ats")
}


def carry_over(live: Connection, shadow: Connection, replayed: Replayed, by: str) -> None:
    """Copy what no log holds from the live database to the shadow, in one transaction of the shadow's.

    That is: dead letters and their resolution, share links, ended sessions, runs of operations, circuit breakers,
    outages and budgets of channels, decisions of operators, partitions that wait for one, the audit log, and the
    versions and ages of events. Position epochs are raised above every epoch in use, and every cached answer gets an
    outbox entry. Running it again is harmless. What channels have measured was copied before
    (`store.measurement_copy`).

    Args:
        replayed: what of the logs the shadow has read.
        by: the operator, for the record of the decision.
    """
    with shadow.transaction():
        _carry_over_dead_letters(live, shadow, replayed, by)
        for key_id in amount_state.key_ids(live):  # of the amounts of these dead letters
            amount_state.record_key(shadow, key_id)
        shadow.execute(SQL["delete_failed_swaps"])
        carry_over_decided(live, shadow)
        for stopped in _rows(live, "stopped_partitions"):
            shadow.execute(SQL["copy_stopped_partition"], stopped)
        replayed_to = {(row["topic"], row["partition"]): row["next_offset"] for row in _rows(shadow, "positions")}
        for position in _rows(live, "positions"):
            shadow.execute(SQL["raise_epoch"], position)
            partition = (position["topic"], position["partition"])
            record = {"decided_by": by, "was_at": position["next_offset"], "how": "replay swap", "skipped_from": None}
            goes_on_at = replayed_to.get(partition, position["next_offset"])
            shadow.execute(positions.SQL["record_decision"], position | record | {"goes_on_at": goes_on_at})
        columns = live_events(live)
        shadow.execute(SQL["raise_versions"], columns)
        shadow.execute(SQL["copy_creation_times"], columns)
        shadow.execute(SQL["invalidate_everything"], columns)
        carry_over_audit_log(live, shadow)


def carry_over_audit_log(live: Connection, into: Connection) -> None:
    """Continue the audit log, which holds the beginning of the live one or nothing, to the end of the live one.

    Raises:
        OperatorError: it holds other entries than the live one.
    """
    row = into.execute(SQL["newest_audit_entry"]).fetchone()
    assert row is not None
    if row != live.execute(SQL["audit_entry"], {"entry_no": row[0]}).fetchone():
        raise OperatorError(
            f"the audit logs of {into.info.dbname} and {live.info.dbname} differ before entry {row[0]}",
            hint="one of them was changed, or went its own way after an earlier restore: hannun audit verify",
        )
    _copy(live, into, "audit_subjects", "copy_audit_subject", {})
    _copy(live, into, "audit_entries", "copy_audit_entry", {"after": row[0]})


def _copy(live: Connection, shadow: Connection, query: str, insert: str, parameters: dict[str, object]) -> None:
    """Copy the rows of a query, a thousand at a time."""
    with live.cursor(name=query) as rows, shadow.cursor() as cursor:
        rows.execute(SQL[query], parameters)
        while chunk := rows.fetchmany(1_000):
            cursor.executemany(SQL[insert], chunk)


def carry_over_decided(live: Connection, into: Connection) -> None:
    """Copy what operators and merchants have decided, and what must not be undone, from the live database.

    That is: decisions about positions, share links, ended sessions, runs of operations, circuit breakers, outages and
    budgets of channels, forgotten topics, and that participants are packed. In the caller's transaction. Running it
    again is harmless.
    """
    for decision in _rows(live, "decisions"):
        into.execute(SQL["copy_decision"], decision)
    for share in _rows(live, "shares"):
        into.execute(SQL["copy_share"], share)
    for ended in _rows(live, "ended_sessions"):
        into.execute(SQL["copy_ended_session"], ended)
    for run in _rows(live, "operation_runs"):
        into.execute(SQL["copy_operation_run"], run | {"detail": Jsonb(run["detail"])})
    into.execute(SQL["continue_run_numbers"])
    for breaker in _rows(live, "breakers"):
        into.execute(SQL["copy_breaker"], breaker | {"details": Jsonb(breaker["details"])})
    for outage in _rows(live, "outages"):
        into.execute(SQL["copy_outage"], outage)
    for packing in _rows(live, "packing"):
        into.execute(SQL["copy_packing"], packing)
    for budget in _rows(live, "budgets"):
        into.execute(SQL["copy_budget"], budget)
    for topic in _rows(live, "forgotten_topics"):
        into.execute(SQL["copy_forgotten_topic"], topic)


def live_events(live: Connection | None) -> dict[str, list[Any]]:
    """Every event of the live database as lists of columns, for statements; empty lists where there is none."""
    events = _rows(live, "events") if live is not None else []
    return {f"{name}s": [row[name] for row in events] for name in events[0]} if events else _NO_EVENTS


def _carry_over_dead_letters(live: Connection, shadow: Connection, replayed: Replayed, by: str) -> None:
    """Make the shadow's dead letters those of the live database, and behind them those that only the shadow has.

    A dead letter keeps its number and what an operator has decided about it. One that is open, and whose message the
    shadow has counted, is resolved.
    """
    # What is resolved in the shadow was resolved by a swap that failed: the shadow itself has counted the message.
    in_shadow = {
        _identity(dead_letter): dead_letter
        for dead_letter in _rows(shadow, "dead_letters")
        if dead_letter["resolved_at"] is None
    }
    in_live = {_identity(dead_letter): dead_letter for dead_letter in _rows(live, "dead_letters")}
    shadow.execute(SQL["delete_dead_letters"])
    for identity, dead_letter in in_live.items():
        if dead_letter["resolved_at"] is None and identity in in_shadow:
            dead_letter |= {name: in_shadow[identity][name] for name in _FOUND_BY_COUNTING}
        elif dead_letter["resolved_at"] is None and dead_letter["topic"] is not None and replayed.holds(*identity):
            dead_letter |= {
                "resolved_at": datetime.now(UTC).replace(tzinfo=None),
                "resolution": "retried",
                "resolved_by": by,
            }
        shadow.execute(SQL["copy_dead_letter"], _with_json(dead_letter))
    shadow.execute(
        SQL["continue_numbers"],
        {"highest": max((dead_letter["dead_letter_no"] for dead_letter in in_live.values()), default=0)},
    )
    for identity in in_shadow.keys() - in_live.keys():
        shadow.execute(SQL["add_dead_letter"], _with_json(in_shadow[identity]))


_FOUND_BY_COUNTING = ("kind", "reason", "detail", "event_id", "fields", "sealed_amounts")
"""What the rules of this version say about a message; a version before may have said something else."""


def _identity(dead_letter: dict[str, Any]) -> tuple[Any, ...]:
    """What identifies a dead letter: its record, or over HTTP the hash of its message."""
    if dead_letter["topic"] is None:
        return (bytes(dead_letter["hash"]),)
    return dead_letter["topic"], dead_letter["partition"], dead_letter["topic_id"], dead_letter["record_offset"]


def _with_json(dead_letter: dict[str, Any]) -> dict[str, Any]:
    return dead_letter | {"fields": None if dead_letter["fields"] is None else Jsonb(dead_letter["fields"])}


def _rows(conn: Connection, query: str) -> Sequence[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[query]).fetchall()
