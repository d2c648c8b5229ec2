"""The list of merchants in PostgreSQL. Instants are UTC, without a zone."""

from datetime import datetime
from typing import Any, NamedTuple

from hannun.store.database import AsyncConnection
from hannun.store.queries import load

SQL = load("merchant_list")


class MerchantRow(NamedTuple):
    """A merchant. `events` leaves the ARCHIVED ones out; `running` counts those that run by status and dates."""

    user_id: str
    all_events: int
    events: int
    running: int
    participants: int
    newest_title: str
    newest_at: datetime


async def page(
    conn: AsyncConnection, *, text: str | None, after: str | None, now: datetime, limit: int
) -> list[MerchantRow]:
    """The merchants after the id `after`, by id; with a text, those that have it in the id or in an event's title."""
    parameters = {"text": text, "after": after, "now": now, "limit": limit}
    # Planned each time, for the filters that are given: without a text, no title is read to find the page.
    rows: list[Any] = await (await conn.execute(SQL["page"], parameters, prepare=False)).fetchall()
    return [MerchantRow(*row) for row in rows]
