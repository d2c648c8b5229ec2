"""The version of a database's schema, and the version that this code needs.

This module stays apart from `store.migrate`: importing alembic takes half the start-up time of a command, and only
`hannun migrate` and the making of a shadow need it.
"""

from importlib import resources
from importlib.resources.abc import Traversable

from hannun.errors import OperatorError
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("version")


def migration_files() -> list[Traversable]:
    """The migrations, oldest first: `migrations/NNNN_name.sql`. The number is the version that the file makes."""
    folder = resources.files("hannun.store").joinpath("migrations")
    return sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)


def number_of(migration: Traversable) -> str:
    """The version that a migration makes: the four digits at the start of its file name."""
    return migration.name[:4]


def newest_version() -> str:
    """The version that this code needs: the number of its last migration."""
    return number_of(migration_files()[-1])


def version_of(conn: Connection) -> str | None:
    """The version of a database's schema; None where the database has no schema of Hannun.

    Raises:
        OperatorError: the role may not read the version.
    """
    row = conn.execute(SQL["version_is_readable"]).fetchone()
    if row is None or row[0] is None:
        return None
    if not row[0]:
        raise OperatorError(
            f"the database user {conn.info.user} may not read schema hannun",
            hint=f"GRANT analytics_readwrite TO {conn.info.user}; or use that role's URL",
        )
    found = conn.execute("SELECT version_num FROM hannun.schema_version").fetchone()
    return str(found[0]) if found else None


def check_version(conn: Connection) -> None:
    """Check that the database's schema has the version that this code needs.

    Raises:
        OperatorError: it has another version, or none.
    """
    found, needed = version_of(conn), newest_version()
    if found != needed:
        raise OperatorError(
            f"the database's schema is of version {found or '(none)'}; this Hannun needs {needed}",
            hint="run `hannun migrate`" if found is None or found < needed else "run the newer Hannun that migrated it",
        )
