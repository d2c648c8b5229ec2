"""Bring a database to the newest schema. Run as the database's owner; running it again changes nothing.

Migrations are the numbered files `migrations/NNNN_name.sql`. Alembic runs them in the order of their numbers, one
transaction each, and keeps the version in `hannun.schema_version`. There is no Python beside them: each file becomes
one revision of alembic's in memory. A new migration is a new numbered file, and the same change in `schema.sql`.

    one operator at a time ─► next migration ─► committed ─► next ... ─► channels, passwords, rights
                                   ▲   └── a lock is not free in time: rolled back, pause ─┐
                                   └─────────────────────────────────────────────────────┘

A migration that is killed leaves nothing of itself; the next `hannun migrate` goes on with it.
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

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.channels import ChannelTable
from hannun.errors import HannunError, OperatorError, StoreUnavailable
from hannun.store import audit_log, known_channels
from hannun.store.database import Connection, connect, connected, translate_error
from hannun.store.migration_guard import MigrationGuard, Patience, Progress, guarded
from hannun.store.roles import ROLES, grant_server_rights, set_password
from hannun.store.version import migration_files, newest_version, number_of

APPLICATION = "hannun-migrate"


def migrate(
    owner_url: str,
    channels: ChannelTable,
    passwords: dict[str, str | None],
    patience: Patience = Patience(),  # noqa: B008  it is frozen
    progress: Progress = lambda _: None,
    *,
    by: str = "",
) -> str:
    """Migrate the schema, register the known channels, set the roles' passwords. Returns the schema's version.

    Args:
        owner_url: the owner of the database; it may create roles.
        passwords: by role; a role without one keeps its password.
        by: the operator, for the audit log; "" records nothing.

    Raises:
        StoreUnavailable: the database cannot be reached, or ended a connection, or a lock was not free in time;
            migrating again continues.
        OperatorError: a privilege is missing, or a newer Hannun has migrated it.
    """
    connect(owner_url, application=APPLICATION).close()  # so that a wrong address raises our error, not SQLAlchemy's
    try:
        with guarded(owner_url, patience, f"{APPLICATION}-guard", progress) as guard:
            _upgrade_under_load(owner_url, patience, guard)
            with connected(owner_url, application=APPLICATION) as owner:
                known_channels.register(owner, channels)
                given = {role: password for role, password in passwords.items() if password}
                for role, password in given.items():
                    if role not in ROLES:
                        raise ValueError(f"{role} is no role of Hannun's; the roles are {', '.join(ROLES)}")
                    set_password(owner, role, password)
                for right in grant_server_rights(owner):
                    progress(f"for {right.needed_for}, as a superuser: {right.statement}")
                if by:
                    audit_log.record(owner, *_entries(by, list(guard.begun), list(given)))
    except (psycopg.Error, StatementError) as error:
        cause = error.orig if isinstance(error, StatementError) else error
        if isinstance(cause, HannunError):  # a connection of ours says by itself that it is lost
            raise cause from error
        unavailable = translate_error(cause) if isinstance(cause, psycopg.Error) else None
        if unavailable is not None:
            raise unavailable from error
        if not isinstance(cause, psycopg.errors.InsufficientPrivilege):
            raise
        raise OperatorError(
            f"cannot migrate: {cause.diag.message_primary}",
            hint="run `hannun migrate` as the owner of analytics_db, who needs CREATEROLE once "
            "(HANNUN_OWNER_DATABASE_URL)",
        ) from error
    except ResolutionError as error:
        raise OperatorError(
            f"cannot migrate: the database's schema is of version {error.argument}, and this Hannun knows versions up "
            f"to {newest_version()}",
            hint="run the newer Hannun that migrated this database",
        ) from error
    return newest_version()


def _entries(by: str, migrations: list[str], roles: list[str]) -> list[NewEntry]:
    entries = [NewEntry(operator(by), Action.PASSWORD_SET, f"role {role}") for role in roles]
    if migrations:
        schema = f"schema of version {newest_version()}"
        entries.append(
            NewEntry(operator(by), Action.SCHEMA_MIGRATED, schema, reason=f"{migrations[0]} to {migrations[-1]}")
        )
    return entries


def _upgrade_under_load(owner_url: str, patience: Patience, guard: MigrationGuard) -> None:
    """Run the migrations that the database lacks; one that does not get a lock in time is tried again.

    Raises:
        StoreUnavailable: it still has no lock when the migration gives up.
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
            # Alembic keeps its version table in our schema, and looks for it before the first migration creates both.
            conn.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS hannun")
            conn.commit()
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
