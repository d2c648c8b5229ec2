"""Migrations beside a running service: short waits for locks, one operator at a time; they go on after a break."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psycopg
import pytest
from polling import wait_for
from world import DATABASE_OWNER as OWNER
from world import PASSWORD

from hannun.domain.channels import load_table
from hannun.embedded import PostgresServer
from hannun.errors import StoreUnavailable
from hannun.store.migrate import migrate
from hannun.store.migration_guard import Patience
from hannun.store.version import migration_files, newest_version
from store.test_migrations import PASSWORDS, catalog_of

LOCKED = "hannun.position_decisions"
LOCKS_IT = "0016"
"""A migration that adds a column to the table `LOCKED`."""
PATIENT = Patience(lock_wait_s=0.2, pause_s=0.05, give_up_s=120)


@contextmanager
def long_transaction(url: str, statement: str = f"SELECT count(*) FROM {LOCKED}") -> Iterator[psycopg.Connection]:
    """A transaction that has read the table, as a report of another team, and stays open."""
    with psycopg.connect(url, application_name="long-report") as conn:
        conn.execute(statement.encode())
        yield conn
        conn.rollback()


@pytest.fixture
def old(postgres: PostgresServer, before: Callable[[str], str]) -> str:
    """The URL of a database of an older version, whose next migration locks a table."""
    return postgres.url(before(LOCKS_IT), OWNER, PASSWORD)


def version(url: str) -> str:
    with psycopg.connect(url) as conn:
        (row,) = conn.execute("SELECT version_num FROM hannun.schema_version").fetchall()
    return str(row[0])


def test_a_migration_waits_for_a_lock_in_short_tries_and_others_go_on_meanwhile(old: str) -> None:
    lines: list[str] = []
    with ThreadPoolExecutor(1) as pool, long_transaction(old) as held:
        migrated = pool.submit(migrate, old, load_table(), PASSWORDS, PATIENT, lines.append)
        wait_for("three tries", lambda: any("try 3" in line for line in lines))
        with psycopg.connect(old, autocommit=True) as other:
            # Longer than one try, far shorter than the transaction that holds the lock.
            other.execute("SET statement_timeout = '20s'")
            for _ in range(5):
                other.execute(f"SELECT count(*) FROM {LOCKED}".encode())
        wait_for("the name of the session in the way", lambda: any("long-report" in line for line in lines))
        assert not migrated.done()
        held.rollback()
        assert migrated.result(60) == newest_version()
    assert any(line.startswith("0016_skipped_offsets.sql waits for a lock that session") for line in lines)


def test_a_migration_that_gets_no_lock_gives_up_changes_nothing_and_goes_on_later(old: str) -> None:
    hasty = Patience(lock_wait_s=1.5, pause_s=0.05, give_up_s=2)
    with long_transaction(old):
        with pytest.raises(
            StoreUnavailable, match=r"0016_skipped_offsets.sql did not get a lock .*long-report"
        ) as caught:
            migrate(old, load_table(), PASSWORDS, hasty)
        assert "pg_terminate_backend" in caught.value.hint
        assert version(old) == "0015"
    assert migrate(old, load_table(), PASSWORDS, PATIENT) == newest_version()


def test_operators_who_migrate_at_once_migrate_once(old: str) -> None:
    lines: list[str] = []
    with ThreadPoolExecutor(3) as pool, long_transaction(old) as held:
        operators = [pool.submit(migrate, old, load_table(), PASSWORDS, PATIENT, lines.append) for _ in range(3)]
        wait_for(
            "two that wait for the third", lambda: sum("another `hannun migrate` runs" in line for line in lines) == 2
        )
        held.rollback()
        assert {operator.result(60) for operator in operators} == {newest_version()}
    assert [line for line in lines if line == "0018_operation_runs.sql ..."] == ["0018_operation_runs.sql ..."]


def test_an_operator_who_waits_for_another_one_gives_up(old: str) -> None:
    with psycopg.connect(old, autocommit=True, application_name="the-other") as other:
        other.execute("SELECT pg_advisory_lock(hashtext('hannun migrate'), 0)")
        with pytest.raises(StoreUnavailable, match="another `hannun migrate` still runs: session .*the-other"):
            migrate(old, load_table(), PASSWORDS, Patience(give_up_s=0.5))
    assert version(old) == "0015"


def waits_for_a_lock(url: str) -> bool:
    with psycopg.connect(url) as conn:
        query = "SELECT FROM pg_stat_activity WHERE application_name = 'hannun-migrate' AND wait_event_type = 'Lock'"
        return bool(conn.execute(query).fetchall())


def test_a_command_that_is_killed_while_it_migrates_does_not_stand_in_the_way_of_the_next(old: str) -> None:
    command = [sys.executable, "-m", "hannun", "migrate", "--lock-wait", "300"]
    with long_transaction(old):
        killed = subprocess.Popen(
            command, env={**os.environ, "HANNUN_OWNER_DATABASE_URL": old}, stderr=subprocess.DEVNULL
        )
        try:
            wait_for("the command to wait for the lock", lambda: waits_for_a_lock(old))
        finally:
            killed.kill()
            killed.wait()
    # Its session at the server may still wait, get the lock, and only then notice that nobody is there.
    assert migrate(old, load_table(), PASSWORDS, PATIENT) == newest_version()


@pytest.mark.faults
def test_a_migration_killed_at_any_statement_leaves_nothing_and_the_next_goes_on(
    postgres: PostgresServer, before: Callable[[str], str]
) -> None:
    """The session is ended at the first statement of each migration, then at the second, until it gets through."""
    name = before("0002")
    url = postgres.url(name, OWNER, PASSWORD)
    with psycopg.connect(postgres.superuser_url.rpartition("/")[0] + f"/{name}", autocommit=True) as superuser:
        superuser.execute("CREATE SCHEMA killing")
        superuser.execute("GRANT USAGE ON SCHEMA killing TO PUBLIC")
        superuser.execute("CREATE SEQUENCE killing.statements")
        superuser.execute("CREATE TABLE killing.at (statement integer)")
        superuser.execute("INSERT INTO killing.at VALUES (1)")
        superuser.execute(
            """CREATE FUNCTION killing.kill() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                IF nextval('killing.statements') >= (SELECT statement FROM killing.at) THEN
                    PERFORM pg_terminate_backend(pg_backend_pid());
                END IF;
            END $$"""
        )
        superuser.execute("CREATE EVENT TRIGGER killing ON ddl_command_end EXECUTE FUNCTION killing.kill()")
        reached, kills, at = "0001", 0, 1
        while reached != newest_version():
            superuser.execute("SELECT setval('killing.statements', 1, false)")
            superuser.execute("UPDATE killing.at SET statement = %s", [at])
            with suppress(StoreUnavailable):
                migrate(url, load_table(), PASSWORDS)
            kills += 1
            now = version(url)
            at = 1 if now != reached else at + 1
            reached = now
        superuser.execute("DROP EVENT TRIGGER killing")
        superuser.execute("DROP SCHEMA killing CASCADE")
    assert kills > len(migration_files())
    fresh = postgres.url(before("0003"), OWNER, PASSWORD)
    migrate(url, load_table(), PASSWORDS)
    migrate(fresh, load_table(), PASSWORDS)
    assert catalog_of(url) == catalog_of(fresh)
