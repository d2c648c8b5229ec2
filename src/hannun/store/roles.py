"""The roles that Hannun creates, and the rights on the whole server that two of them need.

    analytics_readonly    other teams: reads schema `public` and two views
    analytics_readwrite   the service: reads and writes rows, changes no table
    analytics_backup      dumps: reads every table; base backups and WAL need REPLICATION
    analytics_monitor     monitoring: reads figures without ids; statistics of the server need pg_monitor

The owner of the database creates all of them, and is no member of any. Migrations grant rights on tables; what only a
superuser, or a role with the same right, may grant is in `SERVER_RIGHTS`.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("roles")

ROLES = ("analytics_readonly", "analytics_readwrite", "analytics_backup", "analytics_monitor")


@dataclass(frozen=True, slots=True)
class ServerRight:
    """A right on the whole server.

    Args:
        statement: grants it.
        needed_for: what does not work without it.
    """

    role: str
    statement: str
    needed_for: str


REPLICATION = ServerRight(
    "analytics_backup", "ALTER ROLE analytics_backup REPLICATION", "physical backups and the archive of the WAL"
)
MONITOR = ServerRight(
    "analytics_monitor", "GRANT pg_monitor TO analytics_monitor", "the statistics of other roles' queries"
)
SERVER_RIGHTS = (REPLICATION, MONITOR)


def set_password(conn: Connection, role: str, password: str) -> None:
    """Set a role's password. The server gets its SCRAM verifier: a statement may stand in logs and statistics."""
    verifier = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    conn.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode("ascii")))
    )


def missing_server_rights(conn: Connection) -> list[ServerRight]:
    """The rights on the server that a role does not have. Any role may call this."""
    (row,) = conn.execute(SQL["server_rights"]).fetchall()
    return [right for right, granted in zip(SERVER_RIGHTS, row, strict=True) if not granted]


def grant_server_rights(conn: Connection) -> list[ServerRight]:
    """Grant the missing rights on the server. Returns those that the role of this connection may not grant."""
    refused = []
    for right in missing_server_rights(conn):
        try:
            with conn.transaction():
                conn.execute(right.statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            refused.append(right)
    return refused
