"""Connections to the database, for commands; and the migration of its schema."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from hannun.domain.migration_plan import MigrationPlan
from hannun.errors import OperatorError
from hannun.processes.amounts import amounts
from hannun.processes.channels import channel_table
from hannun.settings import Settings, secret_in
from hannun.store.database import Connection, Database, connected
from hannun.store.migration_plan import plan
from hannun.store.missing_right import missing_right
from hannun.store.roles import ROLES
from hannun.store.version import check_version


@contextmanager
def open_connection(settings: Settings, application: str) -> Iterator[Connection]:
    """A connection to a database whose schema version is checked; committed at the end of the block.

    Raises:
        StoreUnavailable: PostgreSQL cannot be reached now, or ends the connection.
        OperatorError: it refuses the login, or the schema is of another version.
    """
    with connected(settings.service_url, application=application, amounts=amounts(settings)) as conn:
        check_version(conn)
        yield conn


@contextmanager
def open_owner_connection(settings: Settings, application: str) -> Iterator[Connection]:
    """A connection of the tables' owner."""
    with connected(owner_url(settings), application=application) as conn:
        yield conn


@contextmanager
def open_database(settings: Settings, application: str) -> Iterator[Database]:
    """A database for several transactions, whose schema version is checked.

    Raises:
        StoreUnavailable: PostgreSQL cannot be reached now.
        OperatorError: it refuses the login, or the schema is of another version.
    """
    with open_connection(settings, application):
        pass
    url, of_process = settings.service_url, amounts(settings)
    database = Database(url, settings.pool, application=application, amounts=of_process)
    try:
        yield database
    finally:
        database.close()


def missing_right_error(error: Exception) -> OperatorError | None:
    """Our error where PostgreSQL refused a command's statement for want of a right; None for any other error."""
    return missing_right(error)


def owner_url(settings: Settings) -> str:
    """The database's address for its owner; without one, for the service.

    Raises:
        OperatorError: neither is set, or only that of a PgBouncer, through which an owner cannot work: locks of a
            session, PostgreSQL's own programs and replication need a session.
    """
    url = settings.secret("owner_database_url")
    if not url and settings.transaction_pooling:
        raise OperatorError(
            "HANNUN_OWNER_DATABASE_URL is not set, and DATABASE_URL leads to PgBouncer",
            hint="set HANNUN_OWNER_DATABASE_URL, with the address of PostgreSQL itself",
        )
    return url or settings.service_url


def migrate(
    settings: Settings,
    environment: Mapping[str, str],
    lock_wait_s: float,
    give_up_s: float,
    progress: Callable[[str], object],
    by: str,
    pack_participants: bool | None = None,
) -> str:
    """Migrate the database as its owner. Returns the schema's version.

    Args:
        environment: holds the passwords that the service's roles get, where the operator sets them.
        lock_wait_s: how long one try waits for a lock.
        give_up_s: how long all tries together wait for locks.
        progress: is called with lines for the operator.
        by: the operator, for the audit log.
        pack_participants: pack participants of quiet events from now on, or pack no more; None leaves it.

    Raises:
        StoreUnavailable: PostgreSQL is away, or a lock was not free in time.
        OperatorError: a right is missing, or a newer Hannun has migrated it.
    """
    from hannun.store import migrate as store  # which no other command needs
    from hannun.store.migration_guard import Patience

    passwords = {role: secret_in(environment, f"HANNUN_{role.upper()}_PASSWORD") for role in ROLES}
    patience = Patience(lock_wait_s=lock_wait_s, give_up_s=give_up_s)
    url, channels = owner_url(settings), channel_table(settings)
    return str(store.migrate(url, channels, passwords, patience, progress, by=by, pack_participants=pack_participants))


def migration_plan(settings: Settings) -> MigrationPlan:
    """What `migrate` would do. Raises as `open_owner_connection`."""
    with open_owner_connection(settings, "hannun-migrate-plan") as conn:
        return plan(conn)
