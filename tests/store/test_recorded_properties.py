"""What a manifest says of a database is applied as it was recorded, and runs no SQL of its own."""

import uuid
from collections.abc import Iterator

import pytest
from psycopg import sql

from hannun.embedded import PostgresServer
from hannun.errors import OperatorError
from hannun.store.database import Connection, connected
from hannun.store.restore_target import apply_setting, grant


@pytest.fixture
def conn(postgres: PostgresServer) -> Iterator[Connection]:
    with connected(postgres.superuser_url, application="test") as conn:
        conn.autocommit = True
        yield conn


@pytest.fixture
def name(conn: Connection) -> Iterator[str]:
    """An empty database."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    conn.execute(f"CREATE DATABASE {name}")
    yield name
    conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def settings_of(conn: Connection, name: str) -> list[str]:
    row = conn.execute(
        "SELECT coalesce((SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = oid AND setrole = 0), '{}') "
        "FROM pg_database WHERE datname = %s",
        [name],
    ).fetchone()
    assert row is not None
    return list(row[0])


@pytest.mark.parametrize("value", [
    """ "$user", public """, "''", """ 'a "quoted" name', 'one, with a comma', "SELECT;" """, "'한국어', pg_catalog",
])  # fmt: skip
def test_a_list_of_names_is_set_as_it_was_recorded(conn: Connection, name: str, value: str) -> None:
    conn.execute(sql.SQL("ALTER DATABASE {} SET search_path TO " + value).format(sql.Identifier(name)))  # type: ignore[arg-type]
    (recorded,) = settings_of(conn, name)
    conn.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))
    apply_setting(conn, name, recorded)
    assert settings_of(conn, name) == [recorded]


@pytest.mark.parametrize("value", ["public; CREATE ROLE intruder", "public CREATE", '"open', "a,,b", "a -- b"])
def test_a_list_that_holds_other_sql_is_refused(conn: Connection, name: str, value: str) -> None:
    with pytest.raises(OperatorError, match="which Hannun never writes"):
        apply_setting(conn, name, f"search_path={value}")
    assert settings_of(conn, name) == []


@pytest.mark.parametrize("privilege", [
    "CONNECT ON DATABASE postgres TO PUBLIC; CREATE ROLE intruder", "CONNECT", "ALL TO PUBLIC",
    "CONNECT TO PUBLIC; CREATE ROLE intruder; --", "CONNECT TO PUBLIC, postgres", 'CONNECT TO "a" WITH GRANT OPTION',
])  # fmt: skip
def test_a_privilege_that_holds_other_sql_is_refused_before_any_changes(
    conn: Connection, name: str, privilege: str
) -> None:
    with pytest.raises(OperatorError, match="which Hannun never writes"):
        grant(conn, name, ["CONNECT TO PUBLIC", privilege])
    assert conn.execute("SELECT datacl FROM pg_database WHERE datname = %s", [name]).fetchone() == (None,)


def test_a_privilege_is_granted_also_to_a_role_whose_name_is_quoted(conn: Connection, name: str) -> None:
    role = f'Role "{name}"'
    conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    try:
        quoted = sql.Identifier(role).as_string(conn)
        grant(conn, name, ["TEMPORARY TO PUBLIC", f"CONNECT TO {quoted}"])
        query = "SELECT has_database_privilege(%s, %s, 'CONNECT')"
        assert conn.execute(query, [role, name]).fetchone() == (True,)
    finally:
        conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(sql.Identifier(name), sql.Identifier(role)))
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
