"""Links that open one event read-only, in PostgreSQL. Instants are UTC, without a zone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hannun.domain.authorization import ShareGrant
from hannun.store.database import AsyncConnection, Connection
from hannun.store.queries import load

SQL = load("shares")


@dataclass(frozen=True, slots=True)
class NewShare:
    """A link that is to be made. Of its secret only the hash is known here."""

    share_id: str
    event_id: str
    secret_hash: bytes
    label: str
    created_by: str
    now: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """A link as its maker sees it."""

    share_id: str
    label: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None


def add(conn: Connection, share: NewShare, *, count_max: int, ended_kept: int) -> bool:
    """Make a link. False where `count_max` open the event already, or there is none.

    Of those that open it no more, the newest `ended_kept` stay.
    """
    told = {name: getattr(share, name) for name in NewShare.__slots__}
    conn.execute(SQL["forget_oldest"], {"event_id": share.event_id, "now": share.now, "kept": ended_kept})
    return conn.execute(SQL["add"], told | {"count_max": count_max}).rowcount == 1


def exists(conn: Connection, event_id: str) -> bool:
    """Whether an event was created."""
    return conn.execute(SQL["exists"], {"event_id": event_id}).fetchone() is not None


def revoke(conn: Connection, event_id: str, share_id: str, now: datetime) -> bool:
    """End a link; again is fine. False where the event has no such link."""
    return conn.execute(SQL["revoke"], {"event_id": event_id, "share_id": share_id, "now": now}).rowcount == 1


async def of_event(conn: AsyncConnection, event_id: str, now: datetime, *, limit: int) -> list[Share]:
    """An event's links: those that open it first, then the newest."""
    told = {"event_id": event_id, "now": now, "limit": limit}
    rows: Any = await (await conn.execute(SQL["of_event"], told)).fetchall()
    return [Share(*row) for row in rows]


async def opened_by(conn: AsyncConnection, event_id: str, secret_hash: bytes, now: datetime) -> ShareGrant | None:
    """What a secret opens; None where it opens nothing of this event."""
    told = {"event_id": event_id, "secret_hash": secret_hash, "now": now}
    row: Any = await (await conn.execute(SQL["opened_by"], told, prepare=True)).fetchone()
    return None if row is None else ShareGrant(row[0], event_id, row[1], row[2])
