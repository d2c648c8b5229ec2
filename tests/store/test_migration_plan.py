"""`hannun migrate --plan`: the locks are those that migrations take, the sizes those of the database."""

import json
import re
from collections.abc import Callable
from importlib.resources.abc import Traversable
from typing import Any

import psycopg
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner
from world import DATABASE_OWNER as OWNER
from world import PASSWORD

from hannun.cli.application import app
from hannun.domain.channels import load_table
from hannun.domain.migration_plan import BYTES_A_S, STOPS, TableLock, declared_locks
from hannun.embedded import PostgresServer
from hannun.store.database import connect
from hannun.store.migrate import migrate
from hannun.store.migration_plan import plan
from hannun.store.version import migration_files, newest_version, number_of

FROM_WEAK_TO_STRONG = (
    "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)  # fmt: skip
"""Without ACCESS SHARE, the lock of a reader. It counts where the whole table is read, which takes time."""

TABLES = """
    SELECT c.oid, coalesce(i.inhparent, c.oid)::regclass::text, c.relfilenode
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
     WHERE n.nspname IN ('public', 'hannun') AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_version'"""


def locks_taken(conn: psycopg.Connection[Any], migration: Traversable) -> list[TableLock]:
    """Run a migration in the open transaction. Returns its locks on tables that exist before it."""
    conn.execute("SELECT hannun.make_timeline_month('2026-11-01')")
    conn.commit()
    conn.execute("SET search_path = pg_catalog")  # so that regclass names the schema
    before = {oid: (name, file) for oid, name, file in conn.execute(TABLES).fetchall()}
    conn.execute(migration.read_bytes())
    conn.execute("SET search_path = pg_catalog")
    files = {oid: file for oid, _, file in conn.execute(TABLES).fetchall()}
    modes: dict[str, set[str]] = {}
    scanned: set[str] = set()
    query = "SELECT relation, mode, pg_stat_get_xact_numscans(relation) FROM pg_locks WHERE pid = pg_backend_pid()"
    for oid, mode, scans in conn.execute(f"{query} AND locktype = 'relation'").fetchall():
        if oid in before:
            name = before[oid][0]
            modes.setdefault(name, set()).add(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", mode.removesuffix("Lock")).upper())
            scanned |= {name} if scans else set()
    rewritten = {name for oid, (name, file) in before.items() if oid in files and files[oid] != file}
    locks = []
    for name, held in sorted(modes.items()):
        strongest = [mode for mode in FROM_WEAK_TO_STRONG if mode in held]
        if strongest or name in scanned:
            written = "ROW EXCLUSIVE" in held
            work = "rewritten" if name in rewritten else "written" if written else "scanned" if name in scanned else ""
            locks.append(TableLock(name, strongest[-1] if strongest else "ACCESS SHARE", work))  # type: ignore[arg-type]
    return locks


def declared(migration: Traversable) -> list[TableLock] | None:
    try:
        return declared_locks(migration.read_text())
    except ValueError:
        return None


def test_each_migration_declares_the_locks_that_it_takes(
    postgres: PostgresServer, before: Callable[[str], str]
) -> None:
    """Where it fails for a new migration: append the lines that it prints to the file."""
    first, *later = migration_files()
    wrong = [] if declared(first) == [] else [f"{first.name}:", "-- locks: nothing"]
    name = before(number_of(later[0]))
    for migration in later:
        with psycopg.connect(postgres.url(name, OWNER, PASSWORD)) as conn:  # a new one: it has scanned nothing yet
            taken = locks_taken(conn, migration)
            if taken != declared(migration):
                lines = [f"-- locks: {t.table} {t.mode}{f', {t.work}' if t.work else ''}" for t in taken]
                wrong += [f"{migration.name}:", *(lines or ["-- locks: nothing"])]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.fixture
def old(postgres: PostgresServer, before: Callable[[str], str]) -> str:
    """A database whose next migration rewrites the ledger of participants, which has rows."""
    url = postgres.url(before("0008"), OWNER, PASSWORD)
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO hannun.participants (event_no, participant, minute, channel_no) "
            "SELECT 1, gen_random_uuid(), 1, 0 FROM generate_series(1, 50000)"
        )
    return url


def test_the_plan_names_what_is_locked_how_long_and_how_much_disk_it_takes(old: str) -> None:
    with connect(old, application="test") as conn, psycopg.connect(old, application_name="a-report") as report:
        report.execute("SELECT FROM hannun.participants LIMIT 1")
        found = plan(conn)
        ((size,),) = report.execute("SELECT pg_total_relation_size('hannun.participants')").fetchall()
    assert found.found == "0007"
    assert [each.name[:4] for each in found.migrations] == [number_of(file) for file in migration_files()[7:]]
    (lock,) = [lock for lock in found.migrations[0].locks if lock.lock.table == "hannun.participants"]
    assert (lock.lock.mode, lock.lock.work, lock.stops) == ("ACCESS EXCLUSIVE", "rewritten", "readers and writers wait")
    assert (lock.size_bytes, lock.disk_bytes, lock.seconds) == (size, 2 * size, size / BYTES_A_S["rewritten"])
    assert len(lock.held_by) == 1
    assert "a-report" in lock.held_by[0]
    assert found.seconds >= lock.seconds
    assert found.disk_bytes >= lock.disk_bytes


@pytest.mark.parametrize("columns", [80])
def test_the_command_prints_the_plan_and_then_that_nothing_is_missing(old: str, columns: int) -> None:
    environment = {"HANNUN_OWNER_DATABASE_URL": old, "COLUMNS": str(columns)}
    shown = CliRunner().invoke(app, ["migrate", "--plan"], env=environment)
    assert shown.exit_code == 0, shown.output
    assert [line for line in shown.stdout.splitlines() if cell_len(line) > columns] == []
    text = " ".join(shown.stdout.split())
    assert f"the schema is of version 0007; `hannun migrate` brings it to {newest_version()}" in text
    assert "hannun.participants" in text
    assert "readers and writers wait" in text
    as_json = json.loads(CliRunner().invoke(app, ["migrate", "--plan", "--json"], env=environment).stdout)
    assert as_json["migrations"][0]["name"].startswith("0008_")
    migrate(old, load_table(), {})
    shown = CliRunner().invoke(app, ["migrate", "--plan"], env=environment)
    assert f"the schema is of version {newest_version()}; nothing is missing" in " ".join(shown.stdout.split())


def test_every_lock_that_stops_somebody_is_one_of_postgresqls() -> None:
    assert set(STOPS) <= set(FROM_WEAK_TO_STRONG)
