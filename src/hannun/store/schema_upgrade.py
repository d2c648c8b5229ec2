"""Runs the migrations that a database lacks.

Alembic runs the files in the order of their numbers, one transaction each, and keeps the version in
`hannun.schema_version`, in a schema that is there before. There is no Python beside the files: each becomes one
revision of alembic's in memory. Importing alembic takes longer than all else of a start of a migrated service.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.resources.abc import Traversable
from types import ModuleType
from typing import cast

import psycopg
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script
from alembic.script.revision import ResolutionError, RevisionMap
from sqlalchemy import create_engine
from sqlalchemy.exc import StatementError
from sqlalchemy.pool import NullPool

from hannun.errors import OperatorError, StoreUnavailable
from hannun.store.database import Connection, connect
from hannun.store.migration_guard import APPLICATION, MigrationGuard, Patience, Progress
from hannun.store.version import migration_files, newest_version, number_of


def upgrade(owner_url: str, patience: Patience, guard: MigrationGuard) -> None:
    """Run the migrations that the database lacks; one that does not get a lock in time is tried again.

    Raises:
        StoreUnavailable: the connection was lost, or a migration still has no lock when it gives up.
        OperatorError: a newer Hannun has migrated the database.
        psycopg.Error: PostgreSQL refuses a statement, for example for want of a privilege.
    """
    try:
        _upgrade_under_load(owner_url, patience, guard)
    except StatementError as error:  # its cause is PostgreSQL's error, or that of our connection, which is lost
        if error.orig is None:
            raise
        raise error.orig from error
    except ResolutionError as error:
        raise OperatorError(
            f"cannot migrate: the database's schema is of version {error.argument}, and this Hannun knows versions up "
            f"to {newest_version()}",
            hint="run the newer Hannun that migrated this database",
        ) from error


def _upgrade_under_load(owner_url: str, patience: Patience, guard: MigrationGuard) -> None:
    """
    Raises:
        StoreUnavailable: a migration still has no lock when it gives up.
    """
    tried = 1
    while True:
        try:
            return _upgrade_schema(owner_url, patience, guard)
        except psycopg.errors.LockNotAvailable as error:
            if guard.remaining_s() <= patience.pause_s:
                raise StoreUnavailable(
                    f"{guard.migration} did not get a lock in {tried} tries within {patience.give_up_s:g} s; "
                    f"{guard.blockers or 'another session'} held it",
                    hint="end that session (SELECT pg_terminate_backend(...)), or migrate when it is idle. Migrations "
                    "before this one are done, and this one has changed nothing",
                ) from error
            guard.progress(f"{guard.migration}: no lock within {patience.lock_wait_s:g} s, try {tried}; pausing")
            tried += 1
            time.sleep(patience.pause_s)


def _upgrade_schema(owner_url: str, patience: Patience, guard: MigrationGuard) -> None:
    """Run the migrations that the database lacks, one transaction each."""
    # SQLAlchemy rolls a lost connection back and logs that it cannot. The error that is raised says it already.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: _connect(owner_url, patience.lock_wait_s), poolclass=NullPool
    )
    try:
        with engine.connect() as conn:
            driver = conn.connection.driver_connection
            assert driver is not None
            context = MigrationContext.configure(
                conn,
                opts={
                    "fn": partial(_missing_steps, driver, guard.begin),
                    "version_table": "schema_version",
                    "version_table_schema": "hannun",
                    "transaction_per_migration": True,
                },
            )
            with guard.watching(driver.info.backend_pid), context.begin_transaction():
                context.run_migrations()
            conn.commit()
    finally:
        engine.dispose()


def _connect(owner_url: str, lock_wait_s: float) -> Connection:
    """A connection whose statements wait for a lock no longer than `lock_wait_s`."""
    conn = connect(owner_url, application=APPLICATION)
    conn.execute("SELECT set_config('lock_timeout', %s, false)", [f"{round(lock_wait_s * 1000)}ms"])
    conn.commit()
    return conn


def _missing_steps(
    driver: Connection, begins: Progress, versions: Sequence[str], _: MigrationContext
) -> list[RevisionStep]:
    """The migrations that a database of these versions lacks, oldest first. `versions` is one version, or none."""
    revisions = RevisionMap(partial(_revisions, driver, begins))
    newest_first = revisions.iterate_revisions("head", tuple(versions), implicit_base=True)
    scripts = [cast(Script, revision) for revision in newest_first]
    return [MigrationStep.upgrade_from_script(revisions, script) for script in reversed(scripts)]


def _revisions(driver: Connection, begins: Progress) -> Iterator[Script]:
    """Every migration as a revision of alembic's, each upgrading from the one before it."""
    before = None
    for file in migration_files():
        number = number_of(file)
        yield Script(_revision_module(file, before, driver, begins), number, file.name)
        before = number


def _revision_module(file: Traversable, before: str | None, driver: Connection, begins: Progress) -> ModuleType:
    """What alembic expects of a revision: a module with a `down_revision` and a function `upgrade`."""

    def upgrade() -> None:
        begins(file.name)
        # The driver runs the whole file as it stands; SQLAlchemy would look for parameters in it.
        driver.execute(file.read_bytes())

    module = ModuleType(file.name)
    module.__dict__.update(revision=number_of(file), down_revision=before, upgrade=upgrade)
    return module
