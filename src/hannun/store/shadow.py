"""The shadow: a second database beside the live one, made by the same migrations, and how the two change places.

    live ──────────────── counts go on ────────────────► live_before (kept until it is dropped)
    shadow ── replayed ── compared ── carried over ────► live

PostgreSQL renames a database only while nobody is in it. So for a moment nobody is let in and who is there is put out;
the service's processes take that for a restart of PostgreSQL, and come back to the other one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hannun.domain.channels import ChannelTable
from hannun.errors import OperatorError, Transient
from hannun.store import positions
from hannun.store.database import Connection, connect, translate_error
from hannun.store.queries import load
from hannun.store.version import check_version

SQL = load("shadow")
MAINTENANCE = "postgres"
"""The database to stand in while others are made, renamed and dropped."""
WRITERS_WAIT_S_MAX = 10.0


class Kept(NamedTuple):
    """A database of ours on the server: what it says of itself, and whether it lets anybody in."""

    about: str
    open: bool


class Shadow:
    """The shadow of one live database.

    Args:
        owner_url: the live database's owner, who makes, renames and drops.
        service_url: the role that counts.
    """

    def __init__(self, owner_url: str, service_url: str) -> None:
        self._owner_url = owner_url
        self._service_url = service_url
        given = conninfo_to_dict(owner_url)
        self.live = str(given.get("dbname") or given.get("user") or MAINTENANCE)
        self.name = f"{self.live}_shadow"
        self.before = f"{self.live}_before"

    @property
    def url(self) -> str:
        """The shadow, for the role that counts."""
        return make_conninfo(self._service_url, dbname=self.name)

    # -- make, look, drop

    def kept(self, name: str) -> Kept | None:
        """What the server has under a name; None where there is nothing.

        Raises:
            OperatorError: it is a database, and not one that a replay has made.
        """
        with self._server() as conn:
            row = conn.execute(SQL["database"], {"name": name}).fetchone()
        if row is None:
            return None
        if not (row[0] or "").startswith(_MARK):
            raise OperatorError(
                f"there is a database {name}, and no replay has made it",
                hint=f"rename it, or drop it: DROP DATABASE {name}",
            )
        return Kept(row[0], row[1])

    def make(self, channels: ChannelTable, begun: str) -> bool:
        """Make the shadow, empty and migrated, or finish making it. Returns whether it was not there before.

        Raises:
            OperatorError: a right is missing, or something else has its name.
        """
        with connect(self._owner_url, application="hannun-replay") as live:
            check_version(live)
            row = live.execute("SELECT participant_key FROM hannun.identity").fetchone()
            assert row is not None
        new = self.kept(self.name) is None
        if new:
            self._create(begun)
        from hannun.store.migrate import migrate  # brings alembic, which nobody else of a running service needs

        migrate(make_conninfo(self._owner_url, dbname=self.name), channels, {})
        with self.as_owner(self.name) as conn:
            conn.execute(SQL["take_key"], {"key": row[0]})
        return new

    def _create(self, begun: str) -> None:
        name = sql.Identifier(self.name)
        with self._server() as conn:
            row = conn.execute(SQL["may_make_databases"]).fetchone()
            if row is None or not row[0]:
                raise OperatorError(
                    f"{conn.info.user} may not make a database for the shadow",
                    hint=f"ALTER ROLE {conn.info.user} CREATEDB, as a superuser",
                )
            form = conn.execute(SQL["form"], {"name": self.live}).fetchone()
            assert form is not None
            create = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}"
            conn.execute(sql.SQL(create).format(name, *map(sql.Literal, form)))
            conn.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(f"{_MARK}{begun}")))
            grants = conn.execute(SQL["grants"], {"name": self.live}).fetchall()
            if grants:
                conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            for role, public, right in grants:
                to = sql.SQL("PUBLIC") if public else sql.SQL(role)  # regrole quotes it
                conn.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(right), name, to))

    def drop(self, name: str) -> bool:
        """Drop the shadow, or what a swap has left. Returns whether there was one."""
        if self.kept(name) is None:
            return False
        with self._server() as conn:
            for role in (self._owner_url, self._service_url):
                self._end_sessions(role, name)
            try:
                conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
            except psycopg.errors.ObjectInUse as error:
                raise OperatorError(
                    f"cannot drop {name}: somebody is in it whom {conn.info.user} may not put out",
                    hint="end those sessions, or GRANT pg_signal_backend to the owner; then drop it again",
                ) from error
            except psycopg.errors.InsufficientPrivilege as error:
                raise _not_the_owner(conn, name) from error
        return True

    def check_complete(self) -> None:
        """
        Raises:
            OperatorError: the making of the shadow was cut short, and what is in it cannot be compared.
        """
        with self.as_owner(self.live) as live, self.as_owner(self.name) as shadow:
            try:
                complete = live.execute(SQL["key"]).fetchone() == shadow.execute(SQL["key"]).fetchone()
            except psycopg.errors.UndefinedTable:
                complete = False
        if not complete:
            raise OperatorError(
                f"the making of {self.name} was cut short",
                hint="`hannun replay --from earliest` makes it whole, and goes on",
            )

    @contextmanager
    def as_owner(self, name: str) -> Iterator[Connection]:
        """A connection of the owner's to one of the databases; committed at the end of the block.

        Raises:
            StoreUnavailable: PostgreSQL went away in the block.
        """
        try:
            with connect(make_conninfo(self._owner_url, dbname=name), application="hannun-replay") as conn:
                yield conn
        except psycopg.Error as error:
            away = translate_error(error)
            if away is None:
                raise
            raise away from error

    # -- change places

    def check_owner(self) -> None:
        """
        Raises:
            OperatorError: we may not rename the databases.
        """
        with self._server() as conn:
            for name in (self.live, self.name):
                row = conn.execute(SQL["owns"], {"name": name}).fetchone()
                if row is None or not row[0]:
                    raise _not_the_owner(conn, name)

    def open_live(self) -> None:
        """Let everybody into the live database again: a swap that was killed may have left it shut."""
        with self._server() as conn:
            row = conn.execute(SQL["database"], {"name": self.live}).fetchone()
            if row is not None and not row[1]:
                conn.execute(_let_in(self.live, True))

    def change_places(self, live: Connection, shadow: Connection) -> None:
        """Rename live to before and shadow to live. The connections are the last in their databases, and are closed.

        Nobody is let into live before its writers are let go, so what `live` has seen is what it ends with.

        Raises:
            OperatorError: somebody is in one of them whom we may not put out. Nothing has changed.
        """
        with self._server() as conn:
            conn.execute(_let_in(self.live, False))
            try:
                for role in (self._owner_url, self._service_url):
                    self._end_sessions(role, self.live, but=live.info.backend_pid)
                    self._end_sessions(role, self.name, but=shadow.info.backend_pid)
                # RENAME waits for whoever is left; a writer that is let go meanwhile would commit into what is left.
                there = self._others(conn, live.info.backend_pid, shadow.info.backend_pid)
                if there:
                    raise _in_the_way(there)
                live.close()
                shadow.close()
                with conn.transaction():
                    # Both or none.
                    conn.execute(_rename(self.live, self.before))
                    conn.execute(_rename(self.name, self.live))
                    conn.execute(_let_in(self.before, True))
                    conn.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(sql.Identifier(self.live)))
                    about = sql.Literal(f"{_MARK}the live database until a swap")
                    conn.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(self.before), about))
            except psycopg.errors.ObjectInUse as error:
                conn.execute(_let_in(self.live, True))
                raise _in_the_way(self._others(conn)) from error
            except BaseException:
                conn.execute(_let_in(self.live, True))
                raise

    def _others(self, conn: Connection, *but: int) -> str:
        """Who is in the two databases, beside some sessions; empty where nobody is."""
        there = conn.execute(SQL["sessions"], {"names": [self.live, self.name], "but": list(but)}).fetchall()
        return ", ".join(f"{role} ({count})" for role, count in there)

    def _end_sessions(self, role_url: str, name: str, but: int = 0) -> None:
        """A role may always end its own sessions; others only if it may act as they do."""
        with connect(make_conninfo(role_url, dbname=MAINTENANCE), application="hannun-replay") as conn:
            conn.execute(SQL["end_sessions"], {"name": name, "but": but})

    @contextmanager
    def _server(self) -> Iterator[Connection]:
        with connect(make_conninfo(self._owner_url, dbname=MAINTENANCE), application="hannun-replay") as conn:
            conn.autocommit = True
            yield conn


_MARK = "hannun replay: "


def _not_the_owner(conn: Connection, name: str) -> OperatorError:
    return OperatorError(
        f"{conn.info.user} does not own the database {name}", hint="HANNUN_OWNER_DATABASE_URL names the role that does"
    )


def _in_the_way(who: str) -> OperatorError:
    return OperatorError(
        f"the databases cannot change places while {who or 'somebody'} are in them",
        hint="end those sessions, or GRANT pg_signal_backend to the owner; then swap again",
    )


def _rename(name: str, to: str) -> sql.Composed:
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to))


def _let_in(name: str, anybody: bool) -> sql.Composed:
    allow = "ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}"
    return sql.SQL(allow).format(sql.Identifier(name), sql.Literal(anybody))


def hold_writers(live: Connection) -> None:
    """From here on nobody writes into live, until the connection is closed; who reads goes on reading.

    Raises:
        Transient: a writer does not let go.
    """
    live.rollback()
    live.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)  # the snapshot is taken after the lock
    live.execute(f"SET lock_timeout = {int(WRITERS_WAIT_S_MAX * 1000)}")
    live.commit()
    try:
        live.execute(SQL["hold_writers"])
    except psycopg.errors.LockNotAvailable as error:
        raise Transient(f"a writer held the live tables for {WRITERS_WAIT_S_MAX:.0f} s; nothing has changed") from error


def carry_over(live: Connection, shadow: Connection, by: str) -> None:
    """Give the shadow what only the live database knows and no log tells, in one transaction of the shadow's.

    Dead letters and what became of them, share links, decisions of operators, partitions that wait for one, versions,
    ages; epochs above those that anybody holds; and the debt of every cached answer. Doing it again changes nothing
    that counts.
    """
    with shadow.transaction():
        for letter in _rows(live, "letters"):
            letter["fields"] = None if letter["fields"] is None else Jsonb(letter["fields"])
            shadow.execute(SQL["carry_resolution"], letter)
            shadow.execute(SQL["carry_letter"], letter)
        shadow.execute(SQL["forget_swaps"])
        for decision in _rows(live, "decisions"):
            shadow.execute(SQL["carry_decision"], decision)
        for share in _rows(live, "shares"):
            shadow.execute(SQL["carry_share"], share)
        for stopped in _rows(live, "stopped"):
            shadow.execute(SQL["carry_stopped"], stopped)
        now = {(at["topic"], at["partition"]): at["next_offset"] for at in _rows(shadow, "positions")}
        for stood in _rows(live, "positions"):
            shadow.execute(SQL["outdo_epoch"], stood)
            place = (stood["topic"], stood["partition"])
            record = {"decided_by": by, "was_at": stood["next_offset"], "how": "replay swap"}
            goes_on_at = now.get(place, stood["next_offset"])
            shadow.execute(positions.SQL["record_decision"], stood | record | {"goes_on_at": goes_on_at})
        ages = _rows(live, "ages")
        columns = {f"{name}s": [row[name] for row in ages] for name in ages[0]} if ages else _NO_AGES
        shadow.execute(SQL["outdo_versions"], columns)
        shadow.execute(SQL["keep_birthdays"], columns)
        shadow.execute(SQL["owe_all"], columns)


_NO_AGES: dict[str, list[Any]] = {
    name: [] for name in ("event_ids", "user_ids", "versions", "first_seen_ats", "created_ats")
}


def _rows(conn: Connection, query: str) -> Sequence[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[query]).fetchall()
