"""What `hannun doctor` reads of the server and of the schema."""

from datetime import UTC, datetime
from typing import NamedTuple

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("diagnosis")


class MissingRight(NamedTuple):
    """A right that a role needs and lacks."""

    role: str
    right: str
    object: str


def clock(conn: Connection) -> datetime:
    """The server's clock now, not at the start of the transaction."""
    row = conn.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now.replace(tzinfo=UTC)


def other_time_zones(conn: Connection) -> dict[str, str]:
    """Time zones other than UTC that the database ('') or one of the service's roles has set."""
    settings = conn.execute(SQL["time_zone_settings"]).fetchall()
    return {role: zone for role, zone in settings if zone.upper() not in ("UTC", "ETC/UTC", "GMT")}


def names_time_zone(conn: Connection) -> bool:
    """Whether the database names a time zone at all. If not, the server's own holds."""
    return any(not role for role, _ in conn.execute(SQL["time_zone_settings"]).fetchall())


def missing_rights(conn: Connection) -> list[MissingRight]:
    """Rights that this role, or analytics_readonly, needs and lacks."""
    return [MissingRight(*row) for row in conn.execute(SQL["missing_rights"]).fetchall()]
