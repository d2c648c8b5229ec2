"""Of which version the schema of a database is, and which one this code works with.

Apart from `store.migrate`, so that only who migrates loads alembic: it is half of what a command takes to start.
"""

from importlib import resources

from hannun.errors import OperatorError
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("version")


def newest_version() -> str:
    """The version that this code works with: that of its last migration, by number."""
    versions = resources.files("hannun.store").joinpath("migrations", "versions")
    return max(file.name[:4] for file in versions.iterdir() if file.name.endswith(".py"))


def version_of(conn: Connection) -> str | None:
    """The version of the schema behind a connection; None where there is none."""
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
    """
    Raises:
        OperatorError: the database is not of the version that this code needs.
    """
    found, needed = version_of(conn), newest_version()
    if found != needed:
        raise OperatorError(
            f"the database's schema is of version {found or '(none)'}; this Hannun needs {needed}",
            hint="run `hannun migrate`" if found is None or found < needed else "run the newer Hannun that migrated it",
        )
