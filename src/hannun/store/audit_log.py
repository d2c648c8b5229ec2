"""The audit log in PostgreSQL. The database chains the entries; `domain.audit_chain` checks them.

An entry locks the end of the log until its transaction commits. So write it last: a transaction that waits for other
locks behind it makes every other writer of the log wait.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from hannun.domain.audit_chain import Entry, NewEntry, Newest, StoredSubject, Subject
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("audit_log")
_ROWS_AT_A_TIME = 1_000


class ListedEntry(NamedTuple):
    """An entry as an operator reads it. The id of a person who was forgotten is None."""

    no: int
    at: datetime
    actor_kind: str | None
    actor_id: str | None
    action: str
    object: str
    subject_kind: str | None
    subject_id: str | None
    reason: str
    hash: str


def record(conn: Connection, *entries: NewEntry) -> None:
    """Append entries, in the caller's transaction and as the last that it writes."""
    for entry in entries:
        kind, id_ = (None, None) if entry.subject is None else entry.subject
        conn.execute(
            SQL["add"],
            {
                "actor_kind": entry.actor.kind,
                "actor_id": entry.actor.id,
                "action": entry.action,
                "object": entry.object,
                "subject_kind": kind,
                "subject_id": id_,
                "reason": entry.reason,
            },
        )


def forget(conn: Connection, person: Subject) -> None:
    """Forget whom entries name: their reference stays. An entry of the action FORGOTTEN names them already."""
    conn.execute(SQL["forget"], {"kind": person.kind, "id": person.id})


def names(conn: Connection, person: Subject) -> bool:
    """Whether an entry names this person, who was not forgotten."""
    return conn.execute(SQL["named"], {"kind": person.kind, "id": person.id}).fetchone() is not None


def entries(conn: Connection) -> Iterator[Entry]:
    """All entries, oldest first, a thousand at a time."""
    return (Entry(*row) for row in _stream(conn, "entries"))


def subjects(conn: Connection) -> Iterator[StoredSubject]:
    """All people that entries name, a thousand at a time."""
    return (StoredSubject(*row) for row in _stream(conn, "subjects"))


def _stream(conn: Connection, query: str) -> Iterator[Any]:
    with conn.cursor(name=f"audit_{query}") as cursor:
        cursor.itersize = _ROWS_AT_A_TIME
        yield from cursor.execute(SQL[query])


def unnamed(conn: Connection) -> list[tuple[int, int]]:
    """References that name nobody: the first entry with each, and how many entries have it."""
    return conn.execute(SQL["unnamed"]).fetchall()


def newest(conn: Connection) -> Newest | None:
    """The end of the chain; None while the log is empty."""
    row = conn.execute(SQL["newest"]).fetchone()
    return None if row is None else Newest(*row)


def find(
    conn: Connection, *, action: str | None, object_: str | None, person: str | None, since: datetime | None, limit: int
) -> list[ListedEntry]:
    """The newest entries that fit all filters; None is any."""
    filters = {"action": action, "object": object_, "person": person, "since": since, "limit": limit}
    return [ListedEntry(*row) for row in conn.execute(SQL["find"], filters).fetchall()]
