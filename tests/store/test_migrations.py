"""Migrations: of an empty database, of earlier versions, repeated, without privileges, and against `schema.sql`."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import psycopg
import pytest
from world import DATABASE_OWNER as OWNER
from world import OWNER as OWNER_ID
from world import PASSWORD, SPRING, World

from hannun.domain.channels import load_table
from hannun.embedded import PostgresServer
from hannun.errors import OperatorError, StoreUnavailable
from hannun.store.database import connect
from hannun.store.migrate import migrate
from hannun.store.roles import ROLES
from hannun.store.version import (
    check_same_version,
    check_version,
    migration_files,
    newest_version,
    number_of,
    version_of,
)

PASSWORDS: dict[str, str | None] = dict.fromkeys(ROLES, PASSWORD)


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[Callable[[], str]]:
    """Creates empty databases of the owner's, and returns the URL of each."""
    names: list[str] = []

    def create() -> str:
        names.append(f"empty_{uuid.uuid4().hex[:12]}")
        conn.execute(f"CREATE DATABASE {names[-1]} OWNER {OWNER}")
        return postgres.url(names[-1], OWNER, PASSWORD)

    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        yield create
        for name in names:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


NAMED = "n.nspname IN ('public', 'hannun')"
CATALOG = {
    "schemas": f"SELECT n.nspname, n.nspacl::text FROM pg_namespace n WHERE {NAMED}",
    "relations": f"""SELECT n.nspname, c.relname, c.relkind, c.relacl::text, c.reloptions, pg_get_userbyid(c.relowner),
                            pg_get_partkeydef(c.oid)
                       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {NAMED}""",
    "columns": f"""SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                          a.attidentity, a.attgenerated, a.attstorage, a.attacl::text, pg_get_expr(d.adbin, d.adrelid)
                     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                     JOIN pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                    WHERE {NAMED} AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": f"""SELECT conrelid::regclass::text, conname, pg_get_constraintdef(p.oid)
                         FROM pg_constraint p JOIN pg_namespace n ON n.oid = p.connamespace WHERE {NAMED}""",
    "indexes": "SELECT schemaname, indexname, indexdef FROM pg_indexes WHERE schemaname IN ('public', 'hannun')",
    "functions": f"""SELECT pg_get_functiondef(p.oid), p.proacl::text, pg_get_userbyid(p.proowner)
                       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {NAMED}""",
    "triggers": f"""SELECT tgrelid::regclass::text, pg_get_triggerdef(t.oid), tgenabled
                      FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE {NAMED}""",
    "views": "SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname IN ('public', 'hannun')",
    "sequences": "SELECT schemaname, sequencename, data_type::text, start_value, increment_by, cycle FROM pg_sequences",
    "default privileges": """SELECT pg_get_userbyid(defaclrole), defaclnamespace::regnamespace::text, defaclobjtype,
                                    defaclacl::text FROM pg_default_acl""",
    "settings": """SELECT setconfig::text FROM pg_db_role_setting
                    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "version": "SELECT version_num FROM hannun.schema_version",
    "packing": "SELECT packs FROM hannun.participant_packing",
    "compatibility": "SELECT oldest_version FROM hannun.schema_compatibility",
}


def catalog_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """What the catalog of a database says of its schema."""
    with psycopg.connect(url) as conn:
        return {what: sorted(conn.execute(query).fetchall(), key=repr) for what, query in CATALOG.items()}


def test_migrating_an_empty_database_makes_it_servable(empty: Callable[[], str]) -> None:
    url = empty()
    with connect(url, application="test") as conn:
        assert version_of(conn) is None
        with pytest.raises(OperatorError, match=r"\(none\).*hannun migrate"):
            check_version(conn)
    assert migrate(url, load_table(), PASSWORDS) == newest_version()
    with connect(url, application="test") as conn:
        check_version(conn)
        known = dict(conn.execute("SELECT name, channel_type FROM hannun.channels").fetchall())
    assert known == {channel.name: channel.type for channel in load_table().known}


def test_migrating_again_changes_nothing(world: World) -> None:
    world.count(world.created(), world.registered("p1", channel="Radio"))
    before, key = catalog_of(world.owner_url), world.rows("SELECT * FROM hannun.identity")
    migrate(world.owner_url, load_table(), PASSWORDS)
    assert catalog_of(world.owner_url) == before
    assert world.rows("SELECT * FROM hannun.identity") == key
    assert [outcome.result for outcome in world.count(world.registered("p1"))] == ["repeated"]
    assert world.drift() == []


def test_each_database_gets_its_own_key_for_hashing_participants(empty: Callable[[], str]) -> None:
    keys = set()
    for url in (empty(), empty()):
        migrate(url, load_table(), PASSWORDS)
        with psycopg.connect(url) as conn:
            (row,) = conn.execute("SELECT participant_key FROM hannun.identity").fetchall()
            keys.add(row[0])
    assert len(keys) == 2
    assert {len(key) for key in keys} == {32}


def test_all_migrations_together_make_what_schema_sql_makes(empty: Callable[[], str]) -> None:
    migrated, loaded = empty(), empty()
    migrate(migrated, load_table(), PASSWORDS)
    with psycopg.connect(loaded) as conn:
        conn.execute(resources.files("hannun.store").joinpath("schema.sql").read_bytes())
    ours, theirs = catalog_of(migrated), catalog_of(loaded)
    for what, rows in ours.items():
        assert rows == theirs[what], what
    with connect(loaded, application="test") as conn:
        check_version(conn)


def test_a_database_of_any_earlier_version_becomes_the_same_as_a_new_one(
    postgres: PostgresServer, empty: Callable[[], str], before: Callable[[str], str]
) -> None:
    new = empty()
    migrate(new, load_table(), PASSWORDS)
    expected = catalog_of(new)
    for later in [number_of(file) for file in migration_files()][1:]:
        old = postgres.url(before(later), OWNER, PASSWORD)
        migrate(old, load_table(), PASSWORDS, pack_participants=True)
        for what, rows in catalog_of(old).items():
            assert rows == expected[what], f"{what} after migrating from the version before {later}"


def test_migrations_are_numbered_without_gap() -> None:
    numbers = [number_of(file) for file in migration_files()]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_ids_that_were_stored_in_capitals_are_found_in_lower_case(world: World) -> None:
    """What a version before has stored: an event in capitals, and another one in two spellings."""
    merchant, sale, twin = OWNER_ID.upper(), str(uuid.uuid4()).upper(), str(uuid.uuid4())
    world.count(
        world.created(), world.registered("p"), world.distributed(channel="NAVER"), world.sold(5, sale.lower()),
        world.created(twin), world.created("another"), world.created("Opaque"),
    )  # fmt: skip
    for table in ("hannun.events", "public.event_stats", "public.channel_stats", "public.timeline_data"):
        for was, now in ((SPRING, SPRING.upper()), ("another", twin.upper())):
            world.rows(f"UPDATE {table} SET event_id = %s WHERE event_id = %s", now, was)
    for table in ("hannun.events", "public.event_stats"):
        world.rows(f"UPDATE {table} SET user_id = %s", merchant)
    world.rows("UPDATE hannun.sales SET sale_id = %s", sale)
    (migration,) = [file for file in migration_files() if file.name.endswith("canonical_ids.sql")]
    world.rows(migration.read_text("utf-8"))
    assert {row.event_id for row in world.rows("SELECT event_id FROM public.event_stats")} == {
        SPRING, twin, twin.upper(), "Opaque",
    }  # fmt: skip
    assert {row.user_id for row in world.rows("SELECT user_id FROM public.event_stats")} == {OWNER_ID}
    assert world.drift() == []
    world.restart()
    again = [world.registered("p"), world.sold(5, sale), world.created(owner=merchant)]
    assert [outcome.result for outcome in world.count(*again)] == ["repeated"] * 3


def test_a_process_that_does_not_migrate_does_not_import_alembic() -> None:
    """Importing it takes half the start-up time of a command."""
    modules = [f"hannun.processes.{name}" for name in ("serve", "ingest", "schedule", "commands")]
    modules += ["hannun.cli", "hannun.flows.reconcile", "hannun.store.shadow", "hannun.store.version"]
    modules += ["hannun.processes.all_in_one", "hannun.store.migrate"]
    code = f"import sys, {', '.join(modules)}; print(sorted({{'alembic', 'sqlalchemy'}} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


def test_migrating_a_migrated_database_imports_no_alembic(world: World) -> None:
    """So the next start of `hannun up` does not wait for it."""
    code = (
        "import sys; from hannun.domain.channels import load_table; from hannun.store.migrate import migrate; "
        f"migrate({world.owner_url!r}, load_table(), {{}}); "
        "print(sorted({'alembic', 'sqlalchemy'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


def test_migrating_without_privileges_names_the_missing_privilege(
    postgres: PostgresServer, empty: Callable[[], str]
) -> None:
    url = empty()
    name = url.rsplit("/", 1)[1]
    for role in ROLES:
        with pytest.raises(OperatorError, match="permission denied") as caught:
            migrate(postgres.url(name, role, PASSWORD), load_table(), PASSWORDS)
        assert "as the owner" in caught.value.hint
    with connect(url, application="test") as conn:
        assert version_of(conn) is None, "nothing is half done"


def test_migrating_a_migrated_database_without_privileges_fails_too(world: World) -> None:
    with pytest.raises(OperatorError) as caught:
        migrate(world.url, load_table(), PASSWORDS)
    assert "as the owner" in caught.value.hint


def test_migrating_with_a_wrong_password_or_url_must_be_corrected_first(
    postgres: PostgresServer, database: str
) -> None:
    for url in (postgres.url(database, OWNER, "wrong"), "no url"):
        with pytest.raises(OperatorError):
            migrate(url, load_table(), PASSWORDS)


def test_migrating_a_server_that_refuses_connections_may_be_tried_again() -> None:
    with pytest.raises(StoreUnavailable, match="cannot connect to PostgreSQL at 127.0.0.1:1"):
        migrate("postgresql://nobody@127.0.0.1:1/x", load_table(), PASSWORDS)


@pytest.mark.parametrize(("version", "usable_from", "hint"), [
    ("0000", "0000", "run `hannun migrate`"),
    ("9999", "9999", "newer Hannun"),
    ("9999", "9998", "newer Hannun"),
])  # fmt: skip
def test_a_schema_of_another_version_is_not_served(world: World, version: str, usable_from: str, hint: str) -> None:
    world.rows("UPDATE hannun.schema_version SET version_num = %s", version)
    world.rows("UPDATE hannun.schema_compatibility SET oldest_version = %s", usable_from)
    with connect(world.url, application="test") as conn, pytest.raises(OperatorError, match=hint):
        check_version(conn)


def test_a_newer_schema_that_this_code_can_use_is_served_and_not_copied(world: World) -> None:
    world.rows("UPDATE hannun.schema_version SET version_num = '9999'")
    world.rows("UPDATE hannun.schema_compatibility SET oldest_version = %s", newest_version())
    with connect(world.url, application="test") as conn:
        check_version(conn)
        with pytest.raises(OperatorError, match="this command of the newer Hannun"):
            check_same_version(conn)


def test_a_schema_of_a_newer_version_is_not_migrated(world: World) -> None:
    world.rows("UPDATE hannun.schema_version SET version_num = '9999'")
    with pytest.raises(OperatorError, match=rf"version 9999.*up to {newest_version()}.*newer Hannun"):
        migrate(world.owner_url, load_table(), PASSWORDS)


def test_a_role_without_a_new_password_keeps_its_password(world: World) -> None:
    migrate(world.owner_url, load_table(), dict.fromkeys(ROLES))
    world.restart()
    assert len(world.count(world.registered())) == 1


def test_what_an_operator_migrates_is_in_the_audit_log_without_passwords(empty: Callable[[], str]) -> None:
    url = empty()
    for given in ({"analytics_readonly": PASSWORD}, {}):  # the second time nothing is missing
        migrate(url, load_table(), {**given}, by="kim@desk")
    migrate(url, load_table(), PASSWORDS)  # nobody is named, as where the product migrates its own database
    with psycopg.connect(url) as conn:
        found = conn.execute("SELECT action, object, reason FROM hannun.audit_log ORDER BY entry_no").fetchall()
    assert found == [
        ("role password set", "role analytics_readonly", ""),
        (
            "schema migrated",
            f"schema of version {newest_version()}",
            f"{migration_files()[0].name} to {migration_files()[-1].name}",
        ),
    ]


def test_a_password_cannot_inject_sql(empty: Callable[[], str], postgres: PostgresServer) -> None:
    url = empty()
    try:
        migrate(url, load_table(), {"analytics_readonly": "a'; DROP SCHEMA hannun; -- %s \\"})
        name = url.rsplit("/", 1)[1]
        with psycopg.connect(postgres.url(name, "analytics_readonly", "a'; DROP SCHEMA hannun; -- %s \\")) as conn:
            assert conn.execute("SELECT count(*) FROM public.event_stats").fetchone() == (0,)
    finally:
        migrate(url, load_table(), PASSWORDS)


def test_no_password_stands_in_a_statement_that_the_server_logs(
    empty: Callable[[], str], postgres: PostgresServer
) -> None:
    url, secret = empty(), "pass-phrase that must stay ours"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET log_statement = 'ddl'")
    try:
        migrate(url, load_table(), {"analytics_readonly": secret})
        with psycopg.connect(postgres.url(url.rsplit("/", 1)[1], "analytics_readonly", secret)):
            logged = (postgres.home / "postgres.log").read_text("utf-8", errors="replace")
    finally:
        migrate(url, load_table(), PASSWORDS)
    assert 'ALTER ROLE "analytics_readonly" PASSWORD' in logged
    assert secret not in logged


def test_a_channel_that_becomes_known_gets_the_participants_who_came_before_its_type_was_known(world: World) -> None:
    """An operator adds a channel to the table and migrates; participants came through it before."""
    world.count(world.created(), world.registered("p1", channel="Radio"), world.registered("p2"))
    migrate(world.owner_url, load_table('[Radio]\ntype = "VOICE"'), PASSWORDS)
    assert world.drift() == []
    world.restart()
    world.count(world.registered("p3", channel="Radio"))
    assert world.drift() == []
    assert (world.event_row().unattributed, world.channel_stats()["Radio"].participants) == (1, 2)
