"""Sign-in codes and ended sessions in PostgreSQL. Both are known by their hashes only."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hannun.store.database import AsyncConnection, Connection
from hannun.store.queries import load

SQL = load("sessions")


def insert_code(conn: Connection, code_hash: bytes, user_id: str, roles: Sequence[str], lasts_s: float) -> None:
    """Insert a sign-in code, and delete those that have expired."""
    conn.execute(SQL["delete_expired_codes"])
    parameters = {"code_hash": code_hash, "user_id": user_id, "roles": list(roles), "lasts_s": lasts_s}
    conn.execute(SQL["insert_code"], parameters)


def use_code(conn: Connection, code_hash: bytes) -> tuple[str, list[str]] | None:
    """The userId and roles of a code, which is used up by that; None where it is unknown, used or expired."""
    row: Any = conn.execute(SQL["use_code"], {"code_hash": code_hash}).fetchone()
    return None if row is None else (row[0], row[1])


def insert_ended(conn: Connection, token_hash: bytes, expires_at: datetime) -> None:
    """Record that a session has ended, and delete the records of expired ones. `expires_at` is UTC, without a zone."""
    conn.execute(SQL["delete_expired_sessions"])
    conn.execute(SQL["insert_ended"], {"token_hash": token_hash, "expires_at": expires_at})


async def ended(conn: AsyncConnection, back_s: float | None) -> list[tuple[bytes, float]]:
    """The sessions that ended within the last `back_s` seconds, or ever: hash and expiry in seconds since 1970."""
    query = SQL["all_ended"] if back_s is None else SQL["ended_since"]
    rows: list[Any] = await (await conn.execute(query, {"back_s": back_s})).fetchall()
    return rows
