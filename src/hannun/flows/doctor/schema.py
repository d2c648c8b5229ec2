"""Checks of the database's schema, rights and settings."""

from collections import defaultdict
from collections.abc import Iterator

from hannun.domain.findings import Finding, Severity
from hannun.errors import OperatorError
from hannun.flows.doctor.examined import Examined
from hannun.store import diagnosis
from hannun.store.version import check_version, newest_version, version_of

RIGHTS_SHOWN = 5
OTHER_ROLES = ("analytics_readonly", "analytics_backup")
"""Without their rights other teams, or backups, fail; the service goes on."""


def schema(examined: Examined) -> Iterator[Finding]:
    """Whether this code can use the schema's version, and is of that version."""
    try:
        check_version(examined.conn)
    except OperatorError as error:
        yield Finding(
            Severity.CRITICAL, "schema hannun", "{error}", "{hint}", {"error": error.args[0], "hint": error.hint}
        )
        return
    found = version_of(examined.conn)
    if found != newest_version():
        yield Finding(
            Severity.NOTICE,
            "schema hannun",
            "the schema is of version {found}, and this Hannun of {needed}: a deployment has not ended",
            "replace the processes that are left of the version before",
            {"found": found, "needed": newest_version()},
        )


def rights(examined: Examined) -> Iterator[Finding]:
    """Whether the service's role, analytics_readonly and analytics_backup have the rights that they need."""
    missing: defaultdict[str, list[diagnosis.MissingRight]] = defaultdict(list)
    for each in diagnosis.missing_rights(examined.conn):
        missing[each.role].append(each)
    for role, lacking in missing.items():
        yield Finding(
            Severity.WARNING if role in OTHER_ROLES else Severity.CRITICAL,
            role,
            "the role {role} lacks {count} of its rights: {first}",
            "grant them, as the owner of the tables",
            {
                "role": role,
                "count": len(lacking),
                "first": ", ".join(f"{each.right} on {each.object}" for each in lacking[:RIGHTS_SHOWN]),
            },
            tuple(f"GRANT {each.right} ON {_kind(each)}{each.object} TO {role};" for each in lacking[:RIGHTS_SHOWN]),
        )


def _kind(missing: diagnosis.MissingRight) -> str:
    return {"EXECUTE": "FUNCTION ", "USAGE": "SEQUENCE "}.get(missing.right, "")


def time_zone(examined: Examined) -> Iterator[Finding]:
    """Whether the database writes UTC also in sessions that set no time zone."""
    database = examined.conn.info.dbname
    zones = diagnosis.other_time_zones(examined.conn)
    for role, zone in zones.items():
        where = f"ROLE {role} IN DATABASE {database}" if role else f"DATABASE {database}"
        yield Finding(
            Severity.WARNING,
            role or "the database",
            "the time zone of {where} is {zone}: other programs write DEFAULT now() in local time",
            "set it to UTC, as the owner; new sessions follow",
            {"where": where, "zone": zone},
            (f"ALTER {where} SET timezone = 'UTC';",),
        )
    if not zones and not diagnosis.names_time_zone(examined.conn):
        yield Finding(
            Severity.NOTICE,
            "the database",
            "the database {database} sets no time zone, as after a restore of a dump, which leaves it out",
            "set it to UTC, as the owner; new sessions follow",
            {"database": database},
            (f"ALTER DATABASE {database} SET timezone = 'UTC';",),
        )
