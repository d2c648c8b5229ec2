"""Bring a database to the newest schema. Run as the database's owner; running it again changes nothing.

Migrations are the numbered files `migrations/NNNN_name.sql`, which `schema_upgrade` runs. A new migration is a new
numbered file, and the same change in `schema.sql`.

    one operator at a time ─► next migration ─► committed ─► next ... ─► channels, passwords, rights
                                   ▲   └── a lock is not free in time: rolled back, pause ─┐
                                   └─────────────────────────────────────────────────────┘

A migration that is killed leaves nothing of itself; the next `hannun migrate` goes on with it.
"""

import psycopg

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.channels import ChannelTable
from hannun.errors import OperatorError
from hannun.store import audit_log, known_channels, packing
from hannun.store.database import Connection, connected, translate_error
from hannun.store.migration_guard import APPLICATION, Patience, Progress, guarded
from hannun.store.roles import ROLES, grant_server_rights, set_password
from hannun.store.version import newest_version, version_of


def migrate(
    owner_url: str,
    channels: ChannelTable,
    passwords: dict[str, str | None],
    patience: Patience = Patience(),  # noqa: B008  it is frozen
    progress: Progress = lambda _: None,
    *,
    by: str = "",
    pack_participants: bool | None = None,
) -> str:
    """Migrate the schema, register the known channels, set the roles' passwords. Returns the schema's version.

    Args:
        owner_url: the owner of the database; it may create roles.
        passwords: by role; a role without one keeps its password.
        by: the operator, for the audit log; "" records nothing.
        pack_participants: pack the participants of quiet events from now on, or pack no more; None leaves it. A new
            database packs them.

    Raises:
        StoreUnavailable: the database cannot be reached, or ended a connection, or a lock was not free in time;
            migrating again continues.
        OperatorError: a privilege is missing, or a newer Hannun has migrated it.
    """
    try:
        with guarded(owner_url, patience, f"{APPLICATION}-guard", progress) as guard:
            with connected(owner_url, application=APPLICATION) as owner:
                found = _found_version(owner)
            if found != newest_version():
                from hannun.store.schema_upgrade import upgrade  # imports alembic, which a later start does not need

                upgrade(owner_url, patience, guard)
            with connected(owner_url, application=APPLICATION) as owner:
                known_channels.register(owner, channels)
                if pack_participants is None and found is None:  # no older process can have counted here
                    packing.set_packs(owner, packs=True)
                elif pack_participants is not None:
                    packing.set_packs(owner, packs=pack_participants)
                given = {role: password for role, password in passwords.items() if password}
                for role, password in given.items():
                    if role not in ROLES:
                        raise ValueError(f"{role} is no role of Hannun's; the roles are {', '.join(ROLES)}")
                    set_password(owner, role, password)
                for right in grant_server_rights(owner):
                    progress(f"for {right.needed_for}, as a superuser: {right.statement}")
                if by:
                    audit_log.record(owner, *_entries(by, list(guard.begun), list(given), pack_participants))
    except psycopg.Error as error:
        unavailable = translate_error(error)
        if unavailable is not None:
            raise unavailable from error
        if not isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise
        raise OperatorError(
            f"cannot migrate: {error.diag.message_primary}",
            hint="run `hannun migrate` as the owner of analytics_db, who needs CREATEROLE once "
            "(HANNUN_OWNER_DATABASE_URL)",
        ) from error
    return newest_version()


def _entries(by: str, migrations: list[str], roles: list[str], pack_participants: bool | None) -> list[NewEntry]:
    entries = [NewEntry(operator(by), Action.PASSWORD_SET, f"role {role}") for role in roles]
    if pack_participants is not None:
        entries.append(NewEntry(operator(by), Action.PACKING_SET, "on" if pack_participants else "off"))
    if migrations:
        schema = f"schema of version {newest_version()}"
        entries.append(
            NewEntry(operator(by), Action.SCHEMA_MIGRATED, schema, reason=f"{migrations[0]} to {migrations[-1]}")
        )
    return entries


def _found_version(owner: Connection) -> str | None:
    """The version of the schema; None where there is none yet.

    It creates an empty schema where there is none: a role that may not do that is refused, whatever is there.
    """
    owner.execute("CREATE SCHEMA IF NOT EXISTS hannun")
    row = owner.execute("SELECT to_regclass('hannun.schema_version')").fetchone()
    return version_of(owner) if row is not None and row[0] is not None else None
