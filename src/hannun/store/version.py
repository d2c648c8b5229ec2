"""The version of a database's schema, and the version that this code needs.

This module stays apart from `store.schema_upgrade`: importing alembic takes half the start-up time of a command, and
only a migration of a schema that is not the newest needs it.
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
    """Check that this code can use the database's schema: it has the version of this code, or a newer one that says so.

    Processes of two versions run side by side while a deployment replaces one by the other.

    Raises:
        OperatorError: it has an older version, or none, or a newer one that this code cannot use.
    """
    found = version_of(conn)
    if found is None or found < newest_version():
        raise _other_version(found, "run `hannun migrate`")
    if found > newest_version() and oldest_usable_version(conn) > newest_version():
        raise _other_version(found, "run the newer Hannun that migrated it")


def check_same_version(conn: Connection) -> None:
    """Check that the database's schema has exactly the version of this code, for what copies a whole database.

    Raises:
        OperatorError: it has another version, or none.
    """
    check_version(conn)
    found = version_of(conn)
    if found != newest_version():
        raise _other_version(found, "run this command of the newer Hannun that migrated it")


def oldest_usable_version(conn: Connection) -> str:
    """The oldest version of code that can use the schema as it is."""
    (row,) = conn.execute(SQL["oldest_usable_version"]).fetchall()
    return str(row[0])


def _other_version(found: str | None, hint: str) -> OperatorError:
    return OperatorError(
        f"the database's schema is of version {found or '(none)'}; this Hannun needs {newest_version()}", hint=hint
    )
