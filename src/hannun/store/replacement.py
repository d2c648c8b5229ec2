"""A database beside the live one that is to take its place: created, found, dropped.

    live ───────────────────────────► NAME_... (kept until it is dropped)
    replacement ── filled, checked ─► live

`store.database_swap` renames the two. A replay fills a replacement from the logs (`store.shadow`), a restore from a
backup.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from psycopg import sql

from hannun.errors import OperatorError
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.database import Connection, connected
from hannun.store.database_urls import parse_url, with_database
from hannun.store.queries import load

SQL = load("replacement")
MAINTENANCE_DATABASE = "postgres"
"""The database to connect to while others are created, renamed and dropped."""


class DatabaseState(NamedTuple):
    """A database that Hannun created beside the live one: its comment, and whether it accepts connections."""

    comment: str
    accepts_connections: bool

    @property
    def is_unfinished(self) -> bool:
        """Whether its creation was interrupted: it accepts connections as the last step, so it is empty."""
        return not self.accepts_connections


class Replacement:
    """The replacement of one live database.

    Args:
        owner_url: the live database, for its owner, who creates, renames and drops databases.
        service_url: the live database, for the role that counts.
        suffix: of the replacement's name, behind that of the live database.
        before: the suffix of the name under which a swap keeps the live database.
        mark: the comment of every database that this kind of replacement creates or keeps starts with it.
        application: the name of its connections in `pg_stat_activity`.
        amounts: how the owner's connections read and write amounts.
    """

    def __init__(
        self,
        owner_url: str,
        service_url: str,
        *,
        suffix: str,
        before: str,
        mark: str,
        application: str,
        amounts: Amounts = WITHOUT_KEYS,
    ) -> None:
        self.owner_url = owner_url
        self._service_url = service_url
        given = parse_url(owner_url)
        self.live = str(given.get("dbname") or given.get("user") or MAINTENANCE_DATABASE)
        self.name = f"{self.live}{suffix}"
        self.before = f"{self.live}{before}"
        self.mark = mark
        self._application = application
        self.amounts = amounts

    @property
    def url(self) -> str:
        """The replacement, for the role that counts."""
        return with_database(self._service_url, self.name)

    def owner_url_of(self, name: str) -> str:
        """One of the databases, for the owner."""
        return with_database(self.owner_url, name)

    # -- create, find, drop

    def find(self, name: str) -> DatabaseState | None:
        """The state of a database that this kind of replacement created; None where no database has this name.

        Raises:
            OperatorError: a database has this name, and something else created it.
        """
        with self.as_server_owner() as conn:
            row = conn.execute(SQL["database"], {"name": name}).fetchone()
        if row is None:
            return None
        state = DatabaseState(row[0] or "", row[1])
        if not state.comment.startswith(self.mark) and not state.is_unfinished:
            raise OperatorError(
                f"cannot use the name {name}: another database already has it",
                hint=f"use another name, or rename that database: ALTER DATABASE {name} RENAME TO ...",
            )
        return state

    def exists(self, name: str) -> bool:
        """Whether a database has this name, whoever created it."""
        with self.as_server_owner() as conn:
            return conn.execute(SQL["database"], {"name": name}).fetchone() is not None

    def set_comment(self, text: str) -> None:
        """Set the comment of the replacement, behind the mark: what it holds, and how far it is."""
        with self.as_server_owner() as conn:
            conn.execute(comment_on(self.name, f"{self.mark}{text}"))

    def create_database(self, text: str) -> None:
        """Create the replacement, empty, with the locale and the privileges of the live database where there is one.

        It accepts connections as the last step. So one whose creation was interrupted holds nothing; drop it first.

        Args:
            text: the comment of the database, behind the mark.

        Raises:
            OperatorError: the owner may not create databases.
        """
        name = sql.Identifier(self.name)
        with self.as_server_owner() as conn:
            row = conn.execute(SQL["can_create_databases"]).fetchone()
            if row is None or not row[0]:
                raise OperatorError(
                    f"cannot create {self.name}: {conn.info.user} may not create a database",
                    hint=f"ALTER ROLE {conn.info.user} CREATEDB, as a superuser",
                )
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name)
            locale = conn.execute(SQL["locale"], {"name": self.live}).fetchone()
            if locale is not None:
                create_as = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}"
                create = sql.SQL(create_as).format(name, *map(sql.Literal, locale))
            conn.execute(sql.SQL("{} ALLOW_CONNECTIONS false").format(create))
            conn.execute(comment_on(self.name, f"{self.mark}{text}"))
            grants = conn.execute(SQL["grants"], {"name": self.live}).fetchall()
            if grants:
                conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            for role, public, privilege in grants:
                grantee = sql.SQL("PUBLIC") if public else sql.SQL(role)  # regrole has quoted the name
                conn.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(privilege), name, grantee))
            conn.execute(allow_connections(self.name, True))

    def drop(self, name: str) -> bool:
        """Drop the replacement, or the database that a swap has kept. Returns whether there was one."""
        if self.find(name) is None:
            return False
        with self.as_server_owner() as conn:
            self.end_sessions(name)
            try:
                conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
            except psycopg.errors.ObjectInUse as error:
                raise OperatorError(
                    f"cannot drop {name}: it has sessions that {conn.info.user} may not end",
                    hint="end those sessions, or GRANT pg_signal_backend to the owner; then drop it again",
                ) from error
            except psycopg.errors.InsufficientPrivilege as error:
                raise not_the_owner(conn, name) from error
        return True

    # -- connections

    @contextmanager
    def as_owner(self, name: str) -> Iterator[Connection]:
        """A connection of the owner's to one of the databases; committed at the end of the block.

        Raises:
            StoreUnavailable: PostgreSQL became unavailable in the block.
        """
        with connected(self.owner_url_of(name), application=self._application, amounts=self.amounts) as conn:
            yield conn

    @contextmanager
    def as_server_owner(self) -> Iterator[Connection]:
        """An autocommit connection of the owner's to the maintenance database."""
        with connected(self.owner_url_of(MAINTENANCE_DATABASE), application=self._application) as conn:
            conn.autocommit = True
            yield conn

    def end_sessions(self, name: str, but: Sequence[int] = ()) -> None:
        """End the sessions in a database that the owner or the service's role may end, except the backends `but`.

        A role may end its own sessions, and those of roles as which it may act.
        """
        for url in (self.owner_url, self._service_url):
            with connected(with_database(url, MAINTENANCE_DATABASE), application=self._application) as conn:
                conn.execute(SQL["end_sessions"], {"name": name, "but": list(but)})


def not_the_owner(conn: Connection, name: str) -> OperatorError:
    """The error where the owner's role does not own a database."""
    return OperatorError(
        f"{conn.info.user} does not own the database {name}", hint="HANNUN_OWNER_DATABASE_URL names the role that does"
    )


def comment_on(name: str, text: str | None) -> sql.Composed:
    """The statement that sets the comment of a database; None removes it."""
    return sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text))


def allow_connections(name: str, allow: bool) -> sql.Composed:
    """The statement that lets a database accept new connections, or none."""
    statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    return statement.format(sql.Identifier(name), sql.Literal(allow))
