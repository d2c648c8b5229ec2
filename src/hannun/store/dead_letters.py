"""Dead letters: the record of each message that could not be used. `store.batches` writes them, with their batch."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

from hannun.domain.batch import RecordId
from hannun.domain.dead_letter_redaction import join_amounts, split_amounts
from hannun.store.amounts import amounts_of, dead_letter_of
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("dead_letters")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be used: reason, position and known fields, never its bytes. Times are UTC."""

    no: int
    created_at: datetime
    kind: str
    reason: str
    detail: str
    event_id: str | None
    topic: str | None
    partition: int | None
    topic_id: str | None
    offset: int | None
    received_at: datetime
    size_bytes: int
    hash: bytes
    fields: dict[str, Any] | None
    resolution: str | None
    resolved_at: datetime | None
    resolved_by: str | None

    @property
    def where(self) -> str:
        """The message's position in Kafka; of a message over HTTP, its hash."""
        return f"{self.topic}[{self.partition}]@{self.offset}" if self.topic else f"http {self.hash.hex()[:12]}"

    def as_json(self) -> dict[str, Any]:
        """Every field, as JSON values."""
        return {
            "no": self.no,
            "createdAt": self.created_at.isoformat() + "Z",
            "kind": self.kind,
            "reason": self.reason,
            "detail": self.detail,
            "eventId": self.event_id,
            "topic": self.topic,
            "partition": self.partition,
            "topicId": self.topic_id,
            "offset": self.offset,
            "receivedAt": self.received_at.isoformat() + "Z",
            "sizeBytes": self.size_bytes,
            "sha256": self.hash.hex(),
            "fields": self.fields,
            "resolution": self.resolution,
            "resolvedAt": self.resolved_at and f"{self.resolved_at.isoformat()}Z",
            "resolvedBy": self.resolved_by,
        }


def seal_amounts(conn: Connection, hash_: bytes, fields: dict[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    """The kept fields without their amounts, and the amounts sealed; None where there is none."""
    rest, amounts = split_amounts(fields)
    if not amounts:
        return fields, None
    return rest, amounts_of(conn).seal_bytes(dead_letter_of(hash_), msgspec.json.encode(amounts))


def with_amounts(conn: Connection, hash_: bytes, fields: dict[str, Any], sealed: bytes) -> dict[str, Any]:
    """The kept fields as they were before `seal_amounts`."""
    return join_amounts(fields, msgspec.json.decode(amounts_of(conn).open_bytes(dead_letter_of(hash_), sealed)))


def _dead_letter(conn: Connection, row: Sequence[Any]) -> DeadLetter:
    *columns, sealed = row
    dead_letter = DeadLetter(*columns)
    if sealed is None or dead_letter.fields is None:
        return dead_letter
    return replace(dead_letter, fields=with_amounts(conn, dead_letter.hash, dead_letter.fields, sealed))


def newest(conn: Connection, reason: str | None, limit: int | None, *, resolved_too: bool = False) -> list[DeadLetter]:
    """The newest dead letters, of one reason or of all. Resolved ones are left out unless `resolved_too`."""
    filters = {"reason": reason, "limit": limit, "resolved_too": resolved_too}
    rows = conn.execute(SQL["newest"], filters).fetchall()
    return [_dead_letter(conn, row) for row in rows]


def find_open(conn: Connection, nos: Collection[int] | None, reason: str | None) -> list[DeadLetter]:
    """The open dead letters of these numbers and of this reason, oldest first. None means any."""
    rows = conn.execute(SQL["find_open"], {"nos": None if nos is None else list(nos), "reason": reason}).fetchall()
    return [_dead_letter(conn, row) for row in rows]


def find(conn: Connection, no: int) -> DeadLetter | None:
    """The dead letter of this number."""
    row = conn.execute(SQL["find"], {"no": no}).fetchone()
    return None if row is None else _dead_letter(conn, row)


def count_open_by_reason(conn: Connection, limit: int) -> dict[str, int]:
    """How many dead letters are open, by their reason, the most frequent first; of the newest `limit`."""
    return dict(conn.execute(SQL["count_open_by_reason"], {"limit": limit}).fetchall())


def resolve(conn: Connection, no: int, resolution: Literal["retried", "dropped"], by: str) -> None:
    """Close a dead letter: a retry has counted its message, or an operator drops it. The row stays as a record."""
    conn.execute(SQL["resolve"], {"no": no, "resolution": resolution, "by": by})


def resolve_counted(conn: Connection, record_ids: Sequence[RecordId], by: str) -> int:
    """Close the open dead letters of messages that were counted by now. Returns how many were closed."""
    arguments = {
        "topics": [each.topic for each in record_ids],
        "topic_ids": [each.topic_id for each in record_ids],
        "partitions": [each.partition for each in record_ids],
        "offsets": [each.offset for each in record_ids],
        "by": by,
    }
    return conn.execute(SQL["resolve_counted"], arguments).rowcount


def unpublished(conn: Connection, limit: int) -> list[DeadLetter]:
    """Dead letters that were not published yet, oldest first."""
    return [_dead_letter(conn, row) for row in conn.execute(SQL["unpublished"], {"limit": limit}).fetchall()]


def mark_published(conn: Connection, nos: Sequence[int]) -> None:
    """Mark dead letters as published: the broker has acknowledged them."""
    conn.execute(SQL["mark_published"], {"nos": list(nos)})


def count(conn: Connection, reason: str | None, *, resolved_too: bool = False) -> int:
    """How many dead letters there are, of one reason or of all."""
    row = conn.execute(SQL["count"], {"reason": reason, "resolved_too": resolved_too}).fetchone()
    return int(row[0]) if row else 0
