"""What a backup records of a database and its server: versions, settings, roles, counts, positions."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from hannun.errors import OperatorError, Transient
from hannun.store.database import Connection
from hannun.store.database_urls import parse_url
from hannun.store.queries import load
from hannun.store.version import version_of

SQL = load("database_facts")


class ServerVersion(NamedTuple):
    """The version of a server: 18, and `18.6`."""

    major: int
    text: str


class DatabaseFacts(NamedTuple):
    """What CREATE DATABASE needs to make a database again, and what a dump leaves out."""

    name: str
    owner: str
    encoding: str
    collate: str
    ctype: str
    privileges: list[str]
    size_bytes: int
    settings: list[str]
    time_zone: str


class RoleFacts(NamedTuple):
    """A role of the database, see `backups.manifest.Role`."""

    name: str
    attributes: list[str]
    settings: list[str]
    database_settings: list[str]
    memberships: list[str]


class PositionFacts(NamedTuple):
    """Up to where a partition is counted."""

    topic: str
    partition: int
    topic_id: str
    next_offset: int
    leader_epoch: int | None


class Counted(NamedTuple):
    """What a snapshot holds: rows of each table, a few totals, positions, and the hash of the identity."""

    counts: dict[str, int]
    sums: dict[str, str]
    positions: list[PositionFacts]
    identity_hash: str
    schema_version: str


class Replication(NamedTuple):
    """What a base backup needs. `summarizes_wal` is None where the server has no incremental backups."""

    allowed: bool
    wal_level: str
    senders_max: int
    summarizes_wal: str | None


def client_parameters(url: str) -> dict[str, Any]:
    """The parameters with which PostgreSQL's programs connect. The password is among them.

    Raises:
        OperatorError: the URL cannot be parsed.
    """
    return {"connect_timeout": 10, "application_name": "hannun-backup", **parse_url(url)}


def server_version(conn: Connection) -> ServerVersion:
    number, text = _row(conn, "server")
    return ServerVersion(number // 10_000, str(text).split()[0])


def database_facts(conn: Connection) -> DatabaseFacts:
    """Facts of the connection's database."""
    name, owner, encoding, collate, ctype, privileges, size, settings, zone = _row(conn, "database")
    return DatabaseFacts(name, owner, encoding, collate, ctype, privileges, size, settings or [], zone)


def roles(conn: Connection, names: Collection[str] = ()) -> list[RoleFacts]:
    """The roles that own, or have privileges on, something of the connection's database, and those with these names."""
    return [RoleFacts(*row) for row in conn.execute(SQL["roles"], {"names": sorted(names)}).fetchall()]


def replication(conn: Connection) -> Replication:
    """What the server and this role allow."""
    return Replication(*_row(conn, "replication"))


def counted(conn: Connection) -> Counted:
    """Count every table, in the snapshot of the connection's transaction.

    Raises:
        OperatorError: the database is no database of Hannun's, or the role may not read it.
    """
    version = version_of(conn)
    if version is None:
        raise OperatorError(
            f"the database {conn.info.dbname} has no schema of Hannun", hint="DATABASE_URL names the right one"
        )
    try:
        counts = {f"{schema}.{table}": _count(conn, schema, table) for schema, table in conn.execute(SQL["tables"])}
        with conn.cursor(row_factory=dict_row) as cursor:
            sums = cursor.execute(SQL["sums"]).fetchone()
        positions = [PositionFacts(*row) for row in conn.execute(SQL["positions"])]
        identity = identity_hash(conn)
    except psycopg.errors.InsufficientPrivilege as error:
        raise OperatorError(
            f"{conn.info.user} may not read the whole database: {error.diag.message_primary}",
            hint="HANNUN_BACKUP_DATABASE_URL names the owner, or a role with pg_read_all_data",
        ) from error
    assert sums is not None
    return Counted(counts, sums, positions, identity, version)


def _count(conn: Connection, schema: str, table: str) -> int:
    row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))).fetchone()
    assert row is not None
    return int(row[0])


def system_identifier(conn: Connection) -> str:
    """The number that tells this server's data from those of another."""
    (found,) = _row(conn, "system_identifier")
    return str(found)


def schema_version(conn: Connection) -> str:
    """The version of the schema; empty where the database has none of Hannun's."""
    return version_of(conn) or ""


def identity_hash(conn: Connection) -> str:
    """The SHA-256 of this installation's identity, in hexadecimal."""
    (found,) = _row(conn, "identity")
    return str(found)


@contextmanager
def exported_snapshot(conn: Connection) -> Iterator[str]:
    """A snapshot that other connections, as pg_dump's, read while the block runs. The connection reads it, too."""
    conn.rollback()
    conn.set_read_only(True)
    conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    with conn.transaction():
        (name,) = _row(conn, "export_snapshot")
        yield name


def lock_backup(conn: Connection) -> None:
    """Take the right to make a backup of this database, until the connection is closed.

    Raises:
        Transient: another session has it.
    """
    (locked,) = _row(conn, "lock_backup")
    conn.commit()
    if not locked:
        raise Transient(
            f"another backup of {conn.info.dbname} is being made, perhaps on another machine",
            hint="wait for its end: SELECT * FROM pg_stat_activity WHERE application_name = 'hannun-backup'",
        )


def _row(conn: Connection, query: str) -> Any:
    row = conn.execute(SQL[query]).fetchone()
    assert row is not None
    return row
