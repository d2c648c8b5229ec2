"""Messages that could not be used: what is kept of them. `batches` writes them, with the batch they came in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from hannun.domain.batch import RecordId
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("dead_letters")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be used: why, where it stood, and its known fields, never its bytes. Times are UTC."""

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
        """Its position in Kafka; over HTTP, its hash."""
        return f"{self.topic}[{self.partition}]@{self.offset}" if self.topic else f"http {self.hash.hex()[:12]}"

    def told(self) -> dict[str, Any]:
        """All of it, as JSON."""
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


def newest(conn: Connection, reason: str | None, limit: int | None, *, resolved_too: bool = False) -> list[DeadLetter]:
    """The newest, of one reason or of all; those that are resolved only where they are asked for too."""
    asked = {"reason": reason, "limit": limit, "resolved_too": resolved_too}
    rows = conn.execute(SQL["newest"], asked).fetchall()
    return [DeadLetter(*row) for row in rows]


def chosen(conn: Connection, nos: Collection[int] | None, reason: str | None) -> list[DeadLetter]:
    """The open ones of these numbers and of this reason, oldest first; None asks for any."""
    rows = conn.execute(SQL["chosen"], {"nos": None if nos is None else list(nos), "reason": reason}).fetchall()
    return [DeadLetter(*row) for row in rows]


def one(conn: Connection, no: int) -> DeadLetter | None:
    """The one of this number."""
    row = conn.execute(SQL["one"], {"no": no}).fetchone()
    return None if row is None else DeadLetter(*row)


def resolve(conn: Connection, no: int, resolution: Literal["retried", "dropped"], by: str) -> None:
    """Close a letter: its message was counted after all, or an operator drops it. It stays, as a record."""
    conn.execute(SQL["resolve"], {"no": no, "resolution": resolution, "by": by})


def resolve_counted(conn: Connection, places: Sequence[RecordId], by: str) -> int:
    """Close the open letters of messages that were counted after all. Returns how many there were."""
    asked = {
        "topics": [place.topic for place in places],
        "topic_ids": [place.topic_id for place in places],
        "partitions": [place.partition for place in places],
        "offsets": [place.offset for place in places],
        "by": by,
    }
    return conn.execute(SQL["resolve_counted"], asked).rowcount


def unpublished(conn: Connection, limit: int) -> list[DeadLetter]:
    """Letters that were not published yet, oldest first."""
    return [DeadLetter(*row) for row in conn.execute(SQL["unpublished"], {"limit": limit})]


def mark_published(conn: Connection, nos: Sequence[int]) -> None:
    """The broker has them."""
    conn.execute(SQL["mark_published"], {"nos": list(nos)})


def count(conn: Connection, reason: str | None, *, resolved_too: bool = False) -> int:
    """How many there are, of one reason or of all."""
    row = conn.execute(SQL["count"], {"reason": reason, "resolved_too": resolved_too}).fetchone()
    return int(row[0]) if row else 0
