"""What the missing migrations will do to the tables of a database."""

from importlib.resources.abc import Traversable

from hannun.domain.migration_plan import (
    STOPS,
    MigrationPlan,
    PlannedLock,
    PlannedMigration,
    TableLock,
    declared_locks,
    planned_lock,
    purpose_of,
)
from hannun.store.database import Connection
from hannun.store.queries import load
from hannun.store.version import migration_files, number_of, version_of

SQL = load("migration_plan")


def plan(conn: Connection) -> MigrationPlan:
    """What `hannun migrate` would do now. It changes nothing, and takes no locks but those of a reader.

    Raises:
        OperatorError: the role may not read the version.
    """
    found = version_of(conn)
    missing = [file for file in migration_files() if found is None or number_of(file) > found]
    return MigrationPlan(found, [_planned(conn, file, empty=found is None) for file in missing])


def _planned(conn: Connection, file: Traversable, *, empty: bool) -> PlannedMigration:
    text = file.read_text("utf-8")
    locks = [] if empty else [_planned_lock(conn, lock) for lock in declared_locks(text)]
    return PlannedMigration(file.name, purpose_of(text), locks)


def _planned_lock(conn: Connection, lock: TableLock) -> PlannedLock:
    ((size, heap),) = conn.execute(SQL["sizes"], {"table": lock.table}).fetchall()
    held_by = conn.execute(SQL["holders"], {"table": lock.table}).fetchall() if lock.mode in STOPS else []
    sessions = [f"session {pid} ({role}, {application or 'no name'})" for pid, role, application in held_by]
    return planned_lock(lock, int(size), int(heap), sessions)
