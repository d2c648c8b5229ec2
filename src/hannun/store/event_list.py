"""The list of all merchants' events in PostgreSQL. Instants are UTC, without a zone."""

from datetime import datetime
from typing import Any, NamedTuple

from hannun.store.database import AsyncConnection
from hannun.store.queries import load

SQL = load("event_list")


class EventRow(NamedTuple):
    """An event. `created_at` is the `createdAt` of its newest event-created message; `(created_at, row_id)` sorts."""

    row_id: int
    created_at: datetime
    event_id: str
    title: str
    user_id: str
    status: str
    starts_at: datetime | None
    ends_at: datetime | None
    participants: int


async def is_merchant(conn: AsyncConnection, user_id: str) -> bool:
    """Whether the user has an event of any status."""
    return await (await conn.execute(SQL["is_merchant"], {"user_id": user_id}, prepare=True)).fetchone() is not None


async def page(
    conn: AsyncConnection,
    *,
    user_id: str | None,
    status: str | None,
    text: str | None,
    before: tuple[datetime, int] | None,
    limit: int,
) -> list[EventRow]:
    """The events that the filters leave, newest first, after the event with the sort key `before`."""
    before_at, before_id = before or (None, None)
    parameters = {
        "user_id": user_id,
        "status": status,
        "text": text,
        "before_at": before_at,
        "before_id": before_id,
        "limit": limit,
    }
    # Planned each time, for the filters that are given: a generic plan reads every merchant's events for one merchant.
    rows: list[Any] = await (await conn.execute(SQL["page"], parameters, prepare=False)).fetchall()
    return [EventRow(*row) for row in rows]
