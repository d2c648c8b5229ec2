"""The database that a restore fills: created, given what a dump leaves out, checked, and then swapped in.

    live ────────────────────────────────────► NAME_before_restore (kept until it is dropped)
    target ── loaded ── checked ── prepared ──► live

Its comment says which backup it holds and how far the restore has come, so an interrupted one goes on, or begins anew.
"""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final, NamedTuple

import psycopg
from psycopg import sql

from hannun.errors import OperatorError, Transient
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.database import Connection
from hannun.store.database_facts import RoleFacts
from hannun.store.queries import load
from hannun.store.replacement import Replacement

SQL = load("restore_target")
MARK: Final = "hannun restore: "
NEW_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_LISTS: Final = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"})
"""Settings whose value is a list of names that are quoted already."""
_ATTRIBUTE: Final = re.compile(r"LOGIN|NOINHERIT|CREATEDB|CREATEROLE|REPLICATION|CONNECTION LIMIT \d+")
"""The attributes that a new role gets from a backup."""
_ELEMENT: Final = r'"(?:[^"]|"")*"|[^\s",;]+'
_LIST: Final = re.compile(rf"(?:(?:{_ELEMENT})(?:, *(?:{_ELEMENT}))*)?")
_PRIVILEGE: Final = re.compile(r'(CREATE|CONNECT|TEMPORARY) TO (PUBLIC|[a-z_][a-z0-9_$]*|"(?:[^"]|"")+")')


class Stage(StrEnum):
    """How far the restore into a database has come."""

    LOADING = "loading"
    CHECKED = "checked"


class LiveFacts(NamedTuple):
    """What is known of the live database without reading its tables."""

    owner: str
    size_bytes: int


class RestoreTarget(Replacement):
    """The database that a restore fills.

    Args:
        owner_url: the live database, for its owner, who creates, renames and drops databases.
        service_url: the live database, for the role that counts.
        into: another name than that of the live database with `_restored`; it is not swapped in then.
        amounts: how the owner's connections read amounts, which a reconcile does.

    Raises:
        OperatorError: `into` is the name of a database that is kept, or no name for a new one.
    """

    def __init__(
        self, owner_url: str, service_url: str, into: str | None = None, amounts: Amounts = WITHOUT_KEYS
    ) -> None:
        super().__init__(
            owner_url,
            service_url,
            suffix="_restored",
            before="_before_restore",
            mark=MARK,
            application="hannun-restore",
            amounts=amounts,
        )
        if into is not None:
            self._check_new_name(into)
            self.name = into

    def _check_new_name(self, name: str) -> None:
        """
        Raises:
            OperatorError: it is the name of a database that is kept, or would need quotes.
        """
        kept = {self.live: "the live database", self.before: "the database that the last restore has replaced"}
        if name in kept:
            raise OperatorError(
                f"--into {name}: {name} is {kept[name]}",
                hint="give --into the name of a new database; without --into the live database is replaced",
            )
        if not NEW_NAME.fullmatch(name):
            raise OperatorError(
                f"--into {name!r}: it is no name for a new database",
                hint="1 to 63 of a-z, 0-9, _ and -; the first is a letter or _",
            )

    def stage_of(self, backup: str) -> Stage | None:
        """How far an earlier restore of this backup into this database has come; None where there is none.

        Raises:
            OperatorError: another database has the name.
        """
        state = self.find(self.name)
        if state is None:
            return None
        return Stage.CHECKED if state.comment == self._comment(backup, Stage.CHECKED) else Stage.LOADING

    def set_stage(self, backup: str, stage: Stage) -> None:
        """Record how far the restore has come."""
        self.set_comment(self._comment(backup, stage).removeprefix(MARK))

    def create(self, backup: str) -> None:
        """Create the database, empty. One that an interrupted restore has left is dropped."""
        self.drop(self.name)
        self.create_database(self._comment(backup, Stage.LOADING).removeprefix(MARK))

    def live_facts(self) -> LiveFacts | None:
        """Owner and size of the live database; None where there is none."""
        with self.as_server_owner() as conn:
            row = conn.execute(SQL["live"], {"name": self.live}).fetchone()
        return None if row is None else LiveFacts(*row)

    def _comment(self, backup: str, stage: Stage) -> str:
        return f"{MARK}{backup}, {stage}"


def lock(conn: Connection, name: str) -> None:
    """Take the right to restore a database of this server, until the connection is closed.

    Args:
        conn: to the maintenance database.

    Raises:
        Transient: another session has it.
    """
    row = conn.execute(SQL["lock"], {"name": name}).fetchone()
    if row is None or not row[0]:
        raise Transient(
            f"{name} is being restored already, perhaps from another machine",
            hint="wait for its end: SELECT * FROM pg_stat_activity WHERE application_name = 'hannun-restore'",
        )


def roles_not_ours(conn: Connection, roles: Collection[str]) -> list[str]:
    """Those of the existing roles as which this one may not act: it cannot give them what they owned."""
    return [str(name) for (name,) in conn.execute(SQL["not_ours"], {"names": sorted(roles)})]


def create_missing_role(conn: Connection, role: RoleFacts) -> bool:
    """Create a role that the server does not have, without a password. Returns whether it did.

    Attributes, settings and memberships that this role may not give are left out. So are SUPERUSER and BYPASSRLS, which
    open more than this database: nobody gets them from a file.

    Raises:
        OperatorError: this role may not create roles.
    """
    if _role_exists(conn, role.name):
        return False
    name = sql.Identifier(role.name)
    try:
        conn.execute(sql.SQL("CREATE ROLE {}").format(name))
    except psycopg.errors.InsufficientPrivilege as error:
        raise OperatorError(
            f"the server has no role {role.name}, and {conn.info.user} may not create it: {error.diag.message_primary}",
            hint=f"CREATE ROLE {role.name}, as a superuser; or ALTER ROLE {conn.info.user} CREATEROLE",
        ) from error
    for attribute in role.attributes:
        if _ATTRIBUTE.fullmatch(attribute):
            _try(conn, sql.SQL("ALTER ROLE {} {}").format(name, sql.SQL(attribute)))
    for setting in role.settings:
        _try(conn, _set(sql.SQL("ROLE {}").format(name), setting))
    for group in role.memberships:
        if _role_exists(conn, group):
            _try(conn, sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), name))
    return True


def apply_setting(conn: Connection, database: str, setting: str, role: str | None = None) -> None:
    """Set a setting of a database, or of a role in it, where this role may and the server knows it.

    Args:
        setting: as the catalogue holds it, `TimeZone=UTC`.
    """
    at = sql.SQL("DATABASE {}").format(sql.Identifier(database))
    if role is not None:
        at = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), sql.Identifier(database))
    _try(conn, _set(at, setting))


def _role_exists(conn: Connection, name: str) -> bool:
    return conn.execute(SQL["role_exists"], {"name": name}).fetchone() is not None


def _set(at: sql.Composed, setting: str) -> sql.Composed:
    name, _, value = setting.partition("=")
    shown = sql.SQL(", ").join(map(sql.Literal, _elements(setting, value) if name in _LISTS else [value]))
    return sql.SQL("ALTER {} SET {} TO {}").format(at, sql.Identifier(name), shown)


def _try(conn: Connection, statement: sql.Composed) -> None:
    """Execute a statement, unless this role may not, or this version of the server does not know what it names."""
    with suppress(
        psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject, psycopg.errors.InvalidParameterValue
    ):
        conn.execute(statement)


def _elements(setting: str, value: str) -> list[str]:
    """The elements of a list, without their quotes. An empty list has one element, which is empty.

    Raises:
        OperatorError: it is no list.
    """
    if _LIST.fullmatch(value) is None:
        raise _not_from_hannun(f"the setting {setting!r}")
    return [_unquoted(element) for element in re.findall(_ELEMENT, value)] or [""]


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _not_from_hannun(what: str) -> OperatorError:
    return OperatorError(
        f"the backup's manifest holds {what}, which Hannun never writes: somebody may have changed it",
        hint="restore nothing from this backup; use another one: `hannun backup list` shows them",
    )


def grant(conn: Connection, database: str, privileges: Sequence[str]) -> None:
    """Grant the privileges on a database that a backup records, as `CONNECT TO analytics_readwrite`.

    Raises:
        OperatorError: one is no privilege on a database.
    """
    if not privileges:
        return
    parsed = [_parsed_privilege(privilege) for privilege in privileges]
    name = sql.Identifier(database)
    conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    for what, whom in parsed:
        conn.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(what, name, whom))


def _parsed_privilege(privilege: str) -> tuple[sql.Composable, sql.Composable]:
    """What is granted, and to whom."""
    found = _PRIVILEGE.fullmatch(privilege)
    if found is None:
        raise _not_from_hannun(f"the privilege {privilege!r}")
    what, whom = found[1], found[2]
    return sql.SQL(what), sql.SQL(whom) if whom == "PUBLIC" else sql.Identifier(_unquoted(whom))


def give_to(conn: Connection, database: str, owner: str) -> None:
    """Make a role the owner of a database."""
    conn.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), sql.Identifier(owner)))


def extensions_to_leave_out(conn: Connection, names: Collection[str]) -> list[str]:
    """Those of the extensions that this server does not have, or that this role may not create."""
    return [str(name) for (name,) in conn.execute(SQL["not_creatable"], {"names": sorted(names)})]


def owners_to_leave_out(conn: Connection) -> list[str]:
    """The roles that this role may not make the owner of what it creates."""
    return [str(name) for (name,) in conn.execute(SQL["not_settable"])]


def analyze(conn: Connection) -> None:
    """Gather the statistics that a dump leaves out, and mark pages as visible, which index-only scans need."""
    conn.autocommit = True
    conn.execute("VACUUM (ANALYZE)")
