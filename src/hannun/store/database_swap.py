"""Swap a replacement and the live database by renaming both.

PostgreSQL renames a database only while it has no sessions. So for a moment the live database accepts no connections,
and its sessions are ended. To the service's processes this looks like a restart of PostgreSQL: they reconnect, and then
use the other database.
"""

from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql

from hannun.errors import OperatorError, Transient
from hannun.store.database import Connection
from hannun.store.queries import load
from hannun.store.replacement import Replacement, allow_connections, comment_on, not_the_owner

SQL = load("database_swap")
WRITERS_WAIT_S_MAX = 10.0


def check_owner(replacement: Replacement) -> None:
    """Check that the owner's role may rename both databases.

    Raises:
        OperatorError: it may not.
    """
    with replacement.as_server_owner() as conn:
        for name in (replacement.live, replacement.name):
            row = conn.execute(SQL["owns"], {"name": name}).fetchone()
            if row is None or not row[0]:
                raise not_the_owner(conn, name)


def reopen_live(replacement: Replacement) -> None:
    """Let the live database accept connections again, where a swap that was killed has left it closed."""
    with replacement.as_server_owner() as conn:
        row = conn.execute(SQL["accepts_connections"], {"name": replacement.live}).fetchone()
        if row is not None and not row[0]:
            conn.execute(allow_connections(replacement.live, True))


def lock_out_writers(live: Connection) -> None:
    """Block all writers of the live database until the connection is closed. Readers go on.

    Raises:
        Transient: a writer held its locks for too long.
    """
    live.rollback()
    live.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)  # the snapshot is taken after the lock
    live.execute(f"SET lock_timeout = {int(WRITERS_WAIT_S_MAX * 1000)}")
    live.commit()
    try:
        live.execute(SQL["lock_out_writers"])
    except psycopg.errors.LockNotAvailable as error:
        raise Transient(f"a writer held the live tables for {WRITERS_WAIT_S_MAX:.0f} s; nothing has changed") from error


def swap_names(
    replacement: Replacement,
    live_conn: Connection | None,
    replacement_conn: Connection,
    while_closed: Callable[[], object] = lambda: None,
) -> None:
    """Rename live to before and the replacement to live, in one transaction.

    The two connections are the last sessions in their databases, and are closed. The live database accepts no
    connections before its writers' locks are released, so it ends with exactly what `live_conn` has seen.

    Args:
        live_conn: None where nothing was read of the live database.
        while_closed: called while nobody can read either database.

    Raises:
        OperatorError: a database has a session that we may not end. Nothing has changed.
    """
    ours = [conn.info.backend_pid for conn in (live_conn, replacement_conn) if conn is not None]
    with replacement.as_server_owner() as conn:
        conn.execute(allow_connections(replacement.live, False))
        try:
            replacement.end_sessions(replacement.live, but=ours)
            replacement.end_sessions(replacement.name, but=ours)
            # RENAME waits for the sessions that remain. A writer whose lock is released meanwhile would commit into the
            # database that is renamed away.
            remaining = _sessions(conn, replacement, ours)
            if remaining:
                raise _sessions_remain(remaining)
            while_closed()
            if live_conn is not None:
                live_conn.close()
            replacement_conn.close()
            with conn.transaction():  # so that both are renamed, or none
                conn.execute(_rename(replacement.live, replacement.before))
                conn.execute(_rename(replacement.name, replacement.live))
                conn.execute(allow_connections(replacement.before, True))
                conn.execute(comment_on(replacement.live, None))
                comment = f"{replacement.mark}the live database until a swap"
                conn.execute(comment_on(replacement.before, comment))
        except psycopg.errors.ObjectInUse as error:
            conn.execute(allow_connections(replacement.live, True))
            raise _sessions_remain(_sessions(conn, replacement, [])) from error
        except BaseException:
            conn.execute(allow_connections(replacement.live, True))
            raise


def take_name(replacement: Replacement, replacement_conn: Connection) -> None:
    """Rename the replacement to live where there is no live database. The connection is closed.

    Raises:
        OperatorError: the replacement has another session. Nothing has changed.
    """
    with replacement.as_server_owner() as conn:
        replacement.end_sessions(replacement.name, but=[replacement_conn.info.backend_pid])
        replacement_conn.close()
        try:
            with conn.transaction():
                conn.execute(_rename(replacement.name, replacement.live))
                conn.execute(comment_on(replacement.live, None))
        except psycopg.errors.ObjectInUse as error:
            raise _sessions_remain(_sessions(conn, replacement, [])) from error


def _sessions(conn: Connection, replacement: Replacement, but: Sequence[int]) -> str:
    """Roles and numbers of the sessions in the two databases, except some backends; empty where there is none."""
    found = conn.execute(SQL["sessions"], {"names": [replacement.live, replacement.name], "but": but}).fetchall()
    return ", ".join(f"{role} ({count})" for role, count in found)


def _sessions_remain(roles: str) -> OperatorError:
    return OperatorError(
        f"cannot rename the databases while they have sessions of {roles or 'other roles'}",
        hint="end those sessions, or GRANT pg_signal_backend to the owner; then swap again",
    )


def _rename(name: str, to: str) -> sql.Composed:
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to))
