"""Connections through PgBouncer in transaction mode: a session of PostgreSQL belongs to a client for one transaction.

What an ordinary connection keeps in its session, such a connection does otherwise:

    options at the start (lock_timeout, ...) ─► set for each transaction; PgBouncer refuses them
    prepared statements ──────────────────────► none
    "a new connection, so perhaps another database" ─► each transaction compares the server's identity
"""

from typing import TYPE_CHECKING, Any

from hannun.errors import ConnectionLost
from hannun.store.queries import load

if TYPE_CHECKING:
    from hannun.store.connections import SyncConnection

SQL = load("pooled_connections")


class PooledUrl(str):
    """The URL of a PgBouncer in transaction mode."""

    __slots__ = ()


def begin(conn: "SyncConnection", lock_wait_s: float, statement_s: float) -> None:
    """Let a transaction that has just begun have its limits, and check that it runs where the earlier ones ran.

    PgBouncer connects anew without a word, after a failover, a restore or a swap. What the client has cached is then
    that of another database, and its connection must not outlive it.

    Raises:
        ConnectionLost: the server, or the database under this name, is another one. The connection is closed.
    """
    limits = {"lock": str(round(lock_wait_s * 1000)), "statement": str(round(statement_s * 1000))}
    row: Any = conn.execute(SQL["begin"], limits).fetchone()
    identity = row[2:]
    if conn.server_identity not in (None, identity):
        conn.close()
        raise ConnectionLost("PgBouncer leads to another server or database than before")
    conn.server_identity = identity
