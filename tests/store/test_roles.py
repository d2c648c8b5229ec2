"""What each role may do, and may not: each kind of statement on each table, sequence, function and schema is tried.

The functions `expected_...` say what a role may do, by rules and not object by object. So a new table is covered on the
day on which it is made, and its migration must grant what the rules say. Checked on PostgreSQL 18 and 16.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from world import DATABASE_OWNER as OWNER
from world import PASSWORD, make_database

from hannun.domain.channels import load_table
from hannun.embedded import PostgresServer
from hannun.store.migrate import migrate
from hannun.store.roles import ROLES, SERVER_RIGHTS, grant_server_rights, missing_server_rights

Conn = psycopg.Connection[tuple[Any, ...]]
DENIED = psycopg.errors.InsufficientPrivilege
EVERYONE = (OWNER, *ROLES)

FOR_OTHER_TEAMS = {"hannun.dead_letter_reasons", "hannun.event_totals"}
FOR_MONITORING = {"hannun.monitored_figures", "hannun.schema_version"}
REFUSED_TO_EVERYBODY = {
    "hannun.audit_log": {"update", "delete", "truncate"},
    "hannun.audit_subjects": {"delete", "truncate"},
}
"""By a trigger, so also to the owner: who is recorded must not change the record."""
ONLY_MIGRATIONS_WRITE = {
    "hannun.identity",
    "hannun.participant_packing",
    "hannun.schema_version",
    "hannun.schema_compatibility",
}

READS = {"select"}
WRITES = {"insert", "update", "delete"}
STRUCTURE = {"truncate", "alter", "index", "trigger", "drop", "grant"}

TABLE_STATEMENTS = {
    "select": "SELECT * FROM {object} LIMIT 0",
    "insert": "INSERT INTO {object} DEFAULT VALUES",
    "update": "UPDATE {object} SET {column} = DEFAULT WHERE false",
    "delete": "DELETE FROM {object} WHERE false",
    "truncate": "TRUNCATE {object}",
    "alter": "ALTER TABLE {object} ADD COLUMN mine integer",
    "index": "CREATE INDEX ON {object} ({column})",
    "trigger": "CREATE TRIGGER mine BEFORE INSERT ON {object} EXECUTE FUNCTION hannun.touch_updated_at()",
    "drop": "DROP TABLE {object}",
    "grant": "GRANT SELECT ON {object} TO PUBLIC",
}
VIEW_STATEMENTS = {
    "select": "SELECT * FROM {object} LIMIT 0",
    "alter": "ALTER VIEW {object} RENAME TO mine",
    "drop": "DROP VIEW {object}",
    "grant": "GRANT SELECT ON {object} TO PUBLIC",
}
SEQUENCE_STATEMENTS = {
    "select": "SELECT last_value FROM {object}",
    "nextval": "SELECT nextval('{object}')",
    "setval": "SELECT setval('{object}', 1)",
    "alter": "ALTER SEQUENCE {object} RESTART",
    "drop": "DROP SEQUENCE {object}",
    "grant": "GRANT SELECT ON SEQUENCE {object} TO PUBLIC",
}
SCHEMA_STATEMENTS = {
    "create table": "CREATE TABLE {object}.mine (a integer)",
    "create function": "CREATE FUNCTION {object}.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "create type": "CREATE TYPE {object}.mine AS ENUM ('a')",
    "drop": "DROP SCHEMA {object} CASCADE",
}
STATEMENTS_OF_A_DATABASE_OWNER = (
    "CREATE SCHEMA mine",
    "ALTER DATABASE {database} SET timezone = 'Asia/Seoul'",
    "COMMENT ON DATABASE {database} IS 'mine'",
    "CREATE PUBLICATION mine",
    "CREATE ROLE mine",
    "ALTER DEFAULT PRIVILEGES FOR ROLE hannun_owner GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER ROLE {other} PASSWORD 'mine'",
    "GRANT analytics_readwrite TO analytics_readonly",
)
STATEMENTS_OF_A_SUPERUSER = (
    "CREATE ROLE mine SUPERUSER",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION hannun.touch_updated_at()",
    "CREATE FUNCTION pg_temp.mine() RETURNS integer LANGUAGE c AS 'mine'",
    "COPY public.event_stats TO PROGRAM 'cat'",
    "COPY public.event_stats TO '/tmp/mine'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_reload_conf()",
    "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION postgres",
)


def expected_on_table(role: str, name: str) -> set[str]:
    in_public = name.startswith("public.")
    allowed: set[str] = {
        OWNER: READS | WRITES | STRUCTURE,
        "analytics_readwrite": READS if name in ONLY_MIGRATIONS_WRITE else READS | WRITES,
        "analytics_readonly": READS if in_public or name in FOR_OTHER_TEAMS else set(),
        "analytics_backup": READS,
        "analytics_monitor": READS if name in FOR_MONITORING else set(),
    }[role]
    return allowed - REFUSED_TO_EVERYBODY.get(name, set())


def expected_on_sequence(role: str, _: str) -> set[str]:
    return {
        OWNER: set(SEQUENCE_STATEMENTS),
        "analytics_readwrite": {"select", "nextval"},
        "analytics_backup": {"select"},
    }.get(role, set())


def expected_on_schema(role: str, _: str) -> set[str]:
    return set(SCHEMA_STATEMENTS) if role == OWNER else set()


class Kind(NamedTuple):
    relkinds: str
    statements: dict[str, str]
    expected: Callable[[str, str], set[str]]


RELATIONS = (
    Kind("rp", TABLE_STATEMENTS, expected_on_table),
    Kind("v", VIEW_STATEMENTS, expected_on_table),
    Kind("S", SEQUENCE_STATEMENTS, expected_on_sequence),
)


@pytest.fixture(scope="module")
def name(server: PostgresServer) -> Iterator[str]:
    """A migrated database with a month of the timeline."""
    name = "roles"
    make_database(server, name)
    with psycopg.connect(server.url(name, "analytics_readwrite", PASSWORD)) as conn:
        conn.execute("SELECT hannun.make_timeline_month('2026-11-01')")
    yield name
    with psycopg.connect(server.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=EVERYONE)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def conn(server: PostgresServer, name: str, role: str) -> Iterator[Conn]:
    """A connection of the role. Each statement of a test is undone."""
    with psycopg.connect(server.url(name, role, PASSWORD)) as conn:
        yield conn
        conn.rollback()


def is_allowed(conn: Conn, statement: str) -> bool:
    """Whether a statement is not refused for want of a right; it may fail for another reason. What it did is undone.

    A GRANT without the right to it is a warning, where the role has the privilege itself.
    """
    warnings: list[str] = []
    conn.add_notice_handler(lambda diag: warnings.append(diag.sqlstate or ""))
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement.encode())
    except DENIED:
        return False
    except psycopg.Error:
        return True
    return "01007" not in warnings  # privilege_not_granted


def relations(conn: Conn, relkinds: str) -> list[tuple[str, str]]:
    """The names of relations, each with that of its first column."""
    rows = conn.execute(
        """SELECT format('%%I.%%I', n.nspname, c.relname), format('%%I', a.attname)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1
            WHERE n.nspname IN ('public', 'hannun') AND strpos(%s, c.relkind::text) > 0
            ORDER BY 1""",
        [relkinds],
    )
    return [(str(relation), str(column)) for relation, column in rows]


def surprises(
    conn: Conn, role: str, objects: list[tuple[str, str]], statements: dict[str, str], expected: Callable[..., set[str]]
) -> list[str]:
    """The statements that are allowed and must not be, or the reverse."""
    return [
        f"{role} {'must not' if was_allowed else 'must'} {kind} {name}"
        for name, column in objects
        for kind, statement in statements.items()
        if (was_allowed := is_allowed(conn, statement.format(object=name, column=column)))
        != (kind in expected(role, name))
    ]


def test_each_role_may_do_what_the_rules_say_and_nothing_else_with_every_relation(conn: Conn, role: str) -> None:
    for relkinds, statements, expected in RELATIONS:
        objects = relations(conn, relkinds)
        assert len(objects) >= 3, "the catalogue was read"
        assert surprises(conn, role, objects, statements, expected) == []


def test_only_the_owner_makes_and_drops_in_a_schema(conn: Conn, role: str) -> None:
    schemas = [("public", ""), ("hannun", "")]
    assert surprises(conn, role, schemas, SCHEMA_STATEMENTS, expected_on_schema) == []


def test_only_the_service_executes_functions_that_run_as_the_owner(conn: Conn, role: str) -> None:
    functions = conn.execute(
        """SELECT p.oid::regprocedure::text, p.prosecdef, (SELECT string_agg(format('NULL::%s', type::regtype), ', ')
                                                            FROM unnest(p.proargtypes) AS type)
             FROM pg_proc p WHERE p.pronamespace = 'hannun'::regnamespace AND p.prokind = 'f'"""
    ).fetchall()
    assert {runs_as_owner for _, runs_as_owner, _ in functions} == {True, False}
    for signature, runs_as_owner, arguments in functions:
        call = f"SELECT {signature.partition('(')[0]}({arguments or ''})"
        try:
            with conn.transaction(force_rollback=True):
                conn.execute(call.encode())
            refused = False
        except psycopg.Error as error:
            refused = "permission denied for function" in str(error)
        assert refused == (runs_as_owner and role not in (OWNER, "analytics_readwrite")), f"{role}: {signature}"
        assert not is_allowed(conn, f"DROP FUNCTION {signature}") or role == OWNER


def test_functions_that_run_as_the_owner_have_a_fixed_search_path(server: PostgresServer, name: str) -> None:
    with psycopg.connect(server.url(name, OWNER, PASSWORD)) as conn:
        rows = conn.execute(
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'hannun'::regnamespace AND prosecdef"
        ).fetchall()
    assert "make_timeline_month" in dict(rows)
    for function, settings in rows:
        assert settings == ["search_path=pg_catalog, pg_temp"], function


def test_only_the_owner_changes_the_database_and_other_roles(conn: Conn, role: str, name: str) -> None:
    other = "analytics_monitor" if role == "analytics_readonly" else "analytics_readonly"  # each may change its own
    for statement in STATEMENTS_OF_A_DATABASE_OWNER:
        filled = statement.format(database=name, other=other)
        assert is_allowed(conn, filled) == (role == OWNER), f"{role}: {filled}"


def test_no_role_does_what_only_a_superuser_may(conn: Conn, role: str) -> None:
    assert [statement for statement in STATEMENTS_OF_A_SUPERUSER if is_allowed(conn, statement)] == []


def test_no_role_acts_as_another(conn: Conn, role: str) -> None:
    others = [other for other in (*EVERYONE, "postgres") if other != role]
    assert [other for other in others if is_allowed(conn, f"SET ROLE {other}")] == []


def test_what_is_created_later_follows_the_same_rules(server: PostgresServer, name: str) -> None:
    """Also by a statement of the owner's outside a migration."""
    later = [("public.later", "a"), ("hannun.later", "a"), ("public.timeline_data_2031_05", "event_id")]
    sequences = [("public.later_seq", ""), ("hannun.later_seq", "")]
    with psycopg.connect(server.url(name, OWNER, PASSWORD), autocommit=True) as owner:
        for schema in ("public", "hannun"):
            owner.execute(f"CREATE TABLE {schema}.later (a integer)")
            owner.execute(f"CREATE SEQUENCE {schema}.later_seq")
        owner.execute("SELECT hannun.make_timeline_month('2031-05-01')")
        try:
            for role in EVERYONE:
                with psycopg.connect(server.url(name, role, PASSWORD)) as conn:
                    assert surprises(conn, role, later, TABLE_STATEMENTS, expected_on_table) == []
                    assert surprises(conn, role, sequences, SEQUENCE_STATEMENTS, expected_on_sequence) == []
        finally:
            owner.execute("DROP TABLE public.later, hannun.later, public.timeline_data_2031_05")
            owner.execute("DROP SEQUENCE public.later_seq, hannun.later_seq")


def test_the_roles_can_log_in_and_have_no_other_attribute(server: PostgresServer, name: str) -> None:
    attributes = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
    with psycopg.connect(server.url(name, OWNER, PASSWORD)) as conn:
        for role in ROLES:
            query = f"SELECT rolcanlogin, ARRAY[{', '.join(attributes)}] FROM pg_roles WHERE rolname = %s"
            assert conn.execute(query.encode(), [role]).fetchone() == (True, [False] * len(attributes)), role


def test_rights_on_the_server_are_granted_by_whoever_has_them(server: PostgresServer, name: str) -> None:
    """The owner of the database may not, a superuser may. Then migrating again revokes nothing."""
    url = server.url(name, OWNER, PASSWORD)
    with psycopg.connect(server.superuser_url.rpartition("/")[0] + f"/{name}") as superuser:
        try:
            with psycopg.connect(url) as owner:
                assert grant_server_rights(owner) == list(SERVER_RIGHTS)
            assert grant_server_rights(superuser) == []
            superuser.commit()
            migrate(url, load_table(), dict.fromkeys(ROLES, PASSWORD))
            with psycopg.connect(server.url(name, "analytics_monitor", PASSWORD)) as monitor:
                assert missing_server_rights(monitor) == []
                assert is_allowed(monitor, "SELECT pg_ls_waldir()")
                assert not is_allowed(monitor, "SELECT * FROM public.event_stats")
            replication = server.url(name, "analytics_backup", PASSWORD) + "?replication=database"
            with psycopg.connect(replication, autocommit=True) as backup:
                assert backup.pgconn.exec_(b"IDENTIFY_SYSTEM").get_value(0, 0)
        finally:
            superuser.execute("ALTER ROLE analytics_backup NOREPLICATION")
            superuser.execute("REVOKE pg_monitor FROM analytics_monitor")
            superuser.commit()
