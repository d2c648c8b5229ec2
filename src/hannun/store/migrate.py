"""Bring a database to the newest schema. Run as the owner; running it again changes nothing.

Migrations are plain SQL (`migrations/*.sql`), numbered and run by alembic, one transaction each.
"""

from importlib import resources

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.util.exc import CommandError
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from hannun.domain.channels import ChannelTable
from hannun.errors import OperatorError
from hannun.store import maintenance
from hannun.store.database import Connection, connect
from hannun.store.queries import load
from hannun.store.version import newest_version

SQL = load("migrate")
ROLES = ("analytics_readonly", "analytics_readwrite")


def migrate(owner_url: str, channels: ChannelTable, passwords: dict[str, str | None]) -> str:
    """Migrate, make the known channels known, give the roles their passwords. Returns the schema's version.

    Args:
        owner_url: the owner of the database; it may create roles.
        passwords: by role; a role without one keeps what it has.

    Raises:
        OperatorError: no connection, or a right is missing.
    """
    connect(owner_url, application="hannun-migrate").close()  # our words for a wrong address, before alembic's
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connect(owner_url, application="hannun-migrate"), poolclass=NullPool
    )
    try:
        with engine.connect() as conn:
            # Alembic keeps its table in our schema, and looks for it before the first migration has made that.
            conn.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS hannun")
            conn.commit()
            config = _config()
            config.attributes["connection"] = conn
            command.upgrade(config, "head")
            conn.commit()
        with connect(owner_url, application="hannun-migrate") as own:
            _know_channels(own, channels)
            for role, password in passwords.items():
                if password:
                    own.execute(_password_statement(role, password))
    except (psycopg.errors.InsufficientPrivilege, ProgrammingError) as error:
        cause = error.orig if isinstance(error, ProgrammingError) else error
        if not isinstance(cause, psycopg.errors.InsufficientPrivilege):
            raise
        raise OperatorError(
            f"cannot migrate: {cause.diag.message_primary}",
            hint="run `hannun migrate` as the owner of analytics_db, who needs CREATEROLE once "
            "(HANNUN_OWNER_DATABASE_URL)",
        ) from error
    except CommandError as error:
        raise OperatorError(
            f"cannot migrate: {error}", hint="run the newer Hannun that migrated this database"
        ) from error
    finally:
        engine.dispose()
    return newest_version()


def _know_channels(conn: Connection, channels: ChannelTable) -> None:
    """Make the table of channels known. What was counted before under a new name, type or none at all, follows."""
    for channel in channels.known:
        was = conn.execute(SQL["name_of_channel"], channel._asdict()).fetchone()
        changed = conn.execute(SQL["know_channel"], channel._asdict()).fetchone()
        if was is not None and changed is not None:
            renamed = channel._asdict() | {"was": was[0]}
            conn.execute(SQL["hold_events_of_channel"], renamed)
            conn.execute(SQL["rename_channel"], renamed)
            conn.execute(SQL["retype_distributions"], renamed)
            conn.execute(SQL["touch_events_of_channel"], renamed)
    maintenance.attribute_typed_waiters(conn)


def run_sql(name: str) -> None:
    """Run one file of `migrations/`; called by its version."""
    statements = resources.files("hannun.store").joinpath("migrations", name).read_text("utf-8")
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(statements)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("hannun.store").joinpath("migrations")))
    return config


def _password_statement(role: str, password: str) -> sql.Composed:
    if role not in ROLES:
        raise ValueError(f"no role of ours: {role}")
    return sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
