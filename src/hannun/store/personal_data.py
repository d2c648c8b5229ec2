"""Search the tables for personal data: PostgreSQL's own regular expressions over every column that can hold a text."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg import sql

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("personal_data")

NAMES_OF_OPERATORS = frozenset({
    "hannun.dead_letters.resolved_by",
    "hannun.position_decisions.decided_by",
    "hannun.positions.owner",
    "hannun.round_work.owner",
    "hannun.rounds.owner",
    "hannun.stopped_partitions.found_by",
    "hannun.stopped_topics.forgotten_by",
    "hannun.stopped_topics.found_by",
})  # fmt: skip
"""`user@host` stands there on purpose."""
SEARCHED_ELSEWHERE = frozenset({"public.timeline_data.event_id", "public.channel_stats.event_id"})
"""Every id there is one of hannun.events too, and a timeline has millions of rows."""
_EXPRESSIONS = {"hannun.audit_subjects.subject_id": "CASE WHEN kind <> 'operator' THEN subject_id END"}


class Column(NamedTuple):
    """A column that can hold a text, and the expression that is searched."""

    table: str
    name: str
    expression: str

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


def text_columns(conn: Connection) -> list[Column]:
    """The columns of the service's tables in which any text can stand."""
    columns = [Column(*row) for row in conn.execute(SQL["text_columns"]).fetchall()]
    left_out = NAMES_OF_OPERATORS | SEARCHED_ELSEWHERE
    return [column._replace(expression=_EXPRESSIONS.get(str(column), column.expression))
            for column in columns if str(column) not in left_out]  # fmt: skip


def count_matches(
    conn: Connection, column: Column, patterns: Mapping[str, str], seconds_max: float
) -> dict[str, int] | None:
    """How many rows of a column match each pattern; None where that takes longer."""
    counts = sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE value ~* {})").format(p) for p in patterns.values())
    query = sql.SQL("SELECT {} FROM (SELECT ({})::text AS value FROM {}) searched").format(
        counts, sql.SQL(column.expression), sql.SQL(column.table)
    )
    try:
        with conn.transaction():
            conn.execute("SELECT set_config('statement_timeout', %s, true)", [str(max(1, round(seconds_max * 1000)))])
            row = conn.execute(query).fetchone()
    except psycopg.errors.QueryCanceled:
        return None
    assert row is not None
    return {kind: count for kind, count in zip(patterns, row, strict=True) if count}


def user_ids(conn: Connection) -> Iterator[tuple[str, str]]:
    """Every userId in the tables, with the column in which it stands."""
    with conn.cursor(name="user_ids") as cursor:
        yield from cursor.execute(SQL["user_ids"])


def participants(conn: Connection, event_id: str) -> Iterator[str]:
    """The participants of an event as the ledger stores them, 32 hexadecimal digits each."""
    with conn.cursor(name="participants") as cursor:
        cursor.itersize = 10_000
        for (participant,) in cursor.execute(SQL["participants"], {"event_id": event_id}):
            yield participant


def dead_letter_participants(conn: Connection) -> Iterator[tuple[str | None, str]]:
    """The participants that dead letters keep, as the ledger stores them, each with its event or None."""
    with conn.cursor(name="dead_letter_participants") as cursor:
        cursor.itersize = 10_000
        yield from cursor.execute(SQL["dead_letter_participants"])


class ExposedEvent(NamedTuple):
    """Whose data an event holds."""

    owner: str | None
    participants: int
    first_counted_at: datetime


def people(conn: Connection, event_id: str) -> Iterator[tuple[str, str]]:
    """("merchant" or "participant", id) of everybody whose data an event holds; of a participant as in the ledger."""
    with conn.cursor(name="people") as cursor:
        cursor.itersize = 10_000
        yield from cursor.execute(SQL["people"], {"event_id": event_id})


class Reader(NamedTuple):
    """An entry of the audit log about somebody who may have seen an event."""

    at: datetime
    kind: str | None
    id: str | None
    action: str
    object: str


class ActiveLink(NamedTuple):
    """A share link that could be used in a time."""

    share_id: str
    created_at: datetime
    until: datetime


def exposed_event(conn: Connection, event_id: str) -> ExposedEvent | None:
    """Whose data an event holds; None where there is no such event."""
    row = conn.execute(SQL["exposed_event"], {"event_id": event_id}).fetchone()
    return None if row is None else ExposedEvent(*row)


def readers(conn: Connection, owner: str | None, objects: list[str], since: datetime) -> list[Reader]:
    """The entries of the audit log about these objects, or about all events of the owner, since an instant."""
    parameters = {"owner": owner, "objects": objects, "since": since}
    return [Reader(*row) for row in conn.execute(SQL["readers"], parameters).fetchall()]


def active_links(conn: Connection, event_id: str, since: datetime) -> list[ActiveLink]:
    """The share links of an event that could be used since an instant."""
    return [ActiveLink(*row) for row in conn.execute(SQL["active_links"], {"event_id": event_id, "since": since})]
