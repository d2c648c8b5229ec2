"""Share links in PostgreSQL: each grants read access to one event. Instants are UTC, without a zone."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hannun.domain.authorization import ShareGrant
from hannun.store.database import AsyncConnection, Connection
from hannun.store.queries import load

SQL = load("shares")


@dataclass(frozen=True, slots=True)
class NewShare:
    """A share link to insert. The store knows only the hash of its secret."""

    share_id: str
    event_id: str
    secret_hash: bytes
    label: str
    created_by: str
    now: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """A share link as the event's owner sees it."""

    share_id: str
    label: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None


def insert(conn: Connection, share: NewShare, *, active_max: int, inactive_kept_max: int) -> bool:
    """Insert a link. Returns False where the event has `active_max` active links already, or does not exist.

    Of the event's inactive links (revoked or expired), only the newest `inactive_kept_max` are kept.
    """
    conn.execute(
        SQL["delete_oldest_inactive"],
        {"event_id": share.event_id, "now": share.now, "inactive_kept_max": inactive_kept_max},
    )
    return conn.execute(SQL["insert"], {**asdict(share), "active_max": active_max}).rowcount == 1


def event_exists(conn: Connection, event_id: str) -> bool:
    """Whether the event was created."""
    return conn.execute(SQL["event_exists"], {"event_id": event_id}).fetchone() is not None


def revoke(conn: Connection, event_id: str, share_id: str, now: datetime) -> bool:
    """Revoke a link; a second call changes nothing. Returns False where the event has no such link."""
    return conn.execute(SQL["revoke"], {"event_id": event_id, "share_id": share_id, "now": now}).rowcount == 1


async def list_of_event(conn: AsyncConnection, event_id: str, now: datetime, *, limit: int) -> list[Share] | None:
    """An event's links: the active ones first, then the newest of the others; None where there is no such event."""
    parameters = {"event_id": event_id, "now": now, "limit": limit}
    rows: list[Any] = await (await conn.execute(SQL["list_of_event"], parameters)).fetchall()
    return [Share(*row) for row in rows if row[0] is not None] if rows else None


async def find_grant(conn: AsyncConnection, event_id: str, secret_hash: bytes, now: datetime) -> ShareGrant | None:
    """The grant of an active link with this secret; None where the secret opens nothing of this event."""
    parameters = {"event_id": event_id, "secret_hash": secret_hash, "now": now}
    row: Any = await (await conn.execute(SQL["find_grant"], parameters, prepare=True)).fetchone()
    return None if row is None else ShareGrant(row[0], event_id, row[1], row[2])
