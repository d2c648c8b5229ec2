"""The shadow: a second database that the same migrations create, filled by a replay and compared with the live one.

    live ──────────── counting goes on ───────────────► NAME_before (kept until it is dropped)
    shadow ── replayed ── compared ── carried over ───► live

`store.database_swap` renames the two, and `store.carry_over` copies what no log holds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hannun.domain.channels import ChannelTable
from hannun.errors import OperatorError
from hannun.store.database import Connection, connected
from hannun.store.queries import load
from hannun.store.version import check_version

SQL = load("shadow")
APPLICATION = "hannun-replay"
MAINTENANCE_DATABASE = "postgres"
"""The database to connect to while others are created, renamed and dropped."""
MARK = "hannun replay: "
"""The comment of every database that a replay created starts with this."""


class DatabaseState(NamedTuple):
    """A database that a replay created: its comment, and whether it accepts connections."""

    comment: str
    accepts_connections: bool


class Shadow:
    """The shadow of one live database.

    Args:
        owner_url: the live database, for its owner, who creates, renames and drops databases.
        service_url: the live database, for the role that counts.
    """

    def __init__(self, owner_url: str, service_url: str) -> None:
        self._owner_url = owner_url
        self._service_url = service_url
        given = conninfo_to_dict(owner_url)
        self.live = str(given.get("dbname") or given.get("user") or MAINTENANCE_DATABASE)
        self.name = f"{self.live}_shadow"
        self.before = f"{self.live}_before"

    @property
    def url(self) -> str:
        """The shadow, for the role that counts."""
        return make_conninfo(self._service_url, dbname=self.name)

    # -- create, find, drop

    def find(self, name: str) -> DatabaseState | None:
        """The state of a database that a replay created; None where no database has this name.

        Raises:
            OperatorError: a database has this name, and no replay created it.
        """
        with self.as_server_owner() as conn:
            row = conn.execute(SQL["database"], {"name": name}).fetchone()
        if row is None:
            return None
        if not (row[0] or "").startswith(MARK):
            raise OperatorError(
                f"cannot use the name {name}: a database has it that no replay created",
                hint=f"rename it, or drop it: DROP DATABASE {name}",
            )
        return DatabaseState(*row)

    def create(self, channels: ChannelTable, begun: str) -> bool:
        """Create the shadow, empty and migrated, or finish an interrupted creation. Returns whether it is new.

        Args:
            begun: how the replay was started, for the comment of the database.

        Raises:
            OperatorError: a privilege is missing, or another database has the shadow's name.
        """
        with connected(self._owner_url, application=APPLICATION) as live:
            check_version(live)
            row = live.execute(SQL["participant_key"]).fetchone()
            assert row is not None
        new = self.find(self.name) is None
        if new:
            self._create_database(begun)
        from hannun.store.migrate import migrate  # imports alembic, which no other part of a running service needs

        migrate(make_conninfo(self._owner_url, dbname=self.name), channels, {})
        with self.as_owner(self.name) as conn:
            conn.execute(SQL["set_participant_key"], {"key": row[0]})
        return new

    def _create_database(self, begun: str) -> None:
        name = sql.Identifier(self.name)
        with self.as_server_owner() as conn:
            row = conn.execute(SQL["can_create_databases"]).fetchone()
            if row is None or not row[0]:
                raise OperatorError(
                    f"cannot create the shadow: {conn.info.user} may not create a database",
                    hint=f"ALTER ROLE {conn.info.user} CREATEDB, as a superuser",
                )
            locale = conn.execute(SQL["locale"], {"name": self.live}).fetchone()
            assert locale is not None
            create = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}"
            conn.execute(sql.SQL(create).format(name, *map(sql.Literal, locale)))
            conn.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(f"{MARK}{begun}")))
            grants = conn.execute(SQL["grants"], {"name": self.live}).fetchall()
            if grants:
                conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            for role, public, privilege in grants:
                grantee = sql.SQL("PUBLIC") if public else sql.SQL(role)  # regrole has quoted the name
                conn.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(privilege), name, grantee))

    def drop(self, name: str) -> bool:
        """Drop the shadow, or the database that a swap has left. Returns whether there was one."""
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

    def check_complete(self) -> None:
        """Check that the creation of the shadow was not interrupted.

        Raises:
            OperatorError: it was, so what the shadow holds cannot be compared.
        """
        with self.as_owner(self.live) as live, self.as_owner(self.name) as shadow:
            try:
                keys = [conn.execute(SQL["participant_key"]).fetchone() for conn in (live, shadow)]
                complete = keys[0] == keys[1]
            except psycopg.errors.UndefinedTable:
                complete = False
        if not complete:
            raise OperatorError(
                f"cannot compare {self.name}: its creation was interrupted",
                hint="`hannun replay --from earliest` finishes it, and continues",
            )

    # -- connections

    @contextmanager
    def as_owner(self, name: str) -> Iterator[Connection]:
        """A connection of the owner's to one of the databases; committed at the end of the block.

        Raises:
            StoreUnavailable: PostgreSQL became unavailable in the block.
        """
        with connected(make_conninfo(self._owner_url, dbname=name), application=APPLICATION) as conn:
            yield conn

    @contextmanager
    def as_server_owner(self) -> Iterator[Connection]:
        """An autocommit connection of the owner's to the maintenance database."""
        with connected(make_conninfo(self._owner_url, dbname=MAINTENANCE_DATABASE), application=APPLICATION) as conn:
            conn.autocommit = True
            yield conn

    def end_sessions(self, name: str, but: int = 0) -> None:
        """End the sessions in a database that the owner or the service's role may end, except the backend `but`.

        A role may end its own sessions, and those of roles as which it may act.
        """
        for url in (self._owner_url, self._service_url):
            with connected(make_conninfo(url, dbname=MAINTENANCE_DATABASE), application=APPLICATION) as conn:
                conn.execute(SQL["end_sessions"], {"name": name, "but": but})


def not_the_owner(conn: Connection, name: str) -> OperatorError:
    return OperatorError(
        f"{conn.info.user} does not own the database {name}", hint="HANNUN_OWNER_DATABASE_URL names the role that does"
    )
