"""Event ownership in PostgreSQL."""

from hannun.store.database import AsyncConnection
from hannun.store.queries import load

SQL = load("ownership")


async def owns(conn: AsyncConnection, event_id: str, user_id: str) -> bool:
    """Whether the event exists and belongs to this user."""
    parameters = {"event_id": event_id, "user_id": user_id}
    return await (await conn.execute(SQL["owns"], parameters, prepare=True)).fetchone() is not None
