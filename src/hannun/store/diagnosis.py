"""What `hannun doctor` reads of the server and of the schema."""

import json
import re
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from hannun.domain.partitions import month_after
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
    """Rights that this role, analytics_readonly or analytics_backup needs and lacks."""
    return [MissingRight(*row) for row in conn.execute(SQL["missing_rights"]).fetchall()]


class ConnectionUse(NamedTuple):
    """How many connections are open, and how many there may be."""

    scope: str
    used: int
    most: int


def connection_use(conn: Connection) -> list[ConnectionUse]:
    """The use of each limit of connections that holds for this role and database."""
    return [ConnectionUse(*row) for row in conn.execute(SQL["connection_use"]).fetchall()]


class BusyReaders(NamedTuple):
    """Connections of the pools of `serve` that have been busy for a while."""

    busy: int
    longest_s: float
    waiting_for_locks: int


def busy_readers(conn: Connection, busy_s: float) -> BusyReaders:
    """Connections of the pools of `serve` that have been busy for so long."""
    row = conn.execute(SQL["busy_readers"], {"busy_s": busy_s}).fetchone()
    assert row is not None
    return BusyReaders(*row)


class Blocker(NamedTuple):
    """A session that others wait for, and how long the oldest of them has waited."""

    pid: int
    application: str
    state: str
    transaction_s: float
    waiting: int
    waited_s: float


def blockers(conn: Connection, waited_s: float) -> list[Blocker]:
    """Sessions for whose locks others have waited for so long."""
    return [Blocker(*row) for row in conn.execute(SQL["blockers"], {"waited_s": waited_s}).fetchall()]


class RetainingSlot(NamedTuple):
    """A replication slot that nobody reads, and how much WAL it keeps."""

    name: str
    bytes: int


def retaining_slots(conn: Connection) -> list[RetainingSlot]:
    """Replication slots that nobody reads, the largest first."""
    return [RetainingSlot(*row) for row in conn.execute(SQL["retaining_slots"]).fetchall()]


CONTRACT_INDEXES: Final = (
    ("event_stats", "CREATE UNIQUE INDEX uk_event_stats_event_id ON public.event_stats USING btree (event_id)"),
    ("event_stats", "CREATE INDEX idx_event_stats_user_id ON public.event_stats USING btree (user_id)"),
    ("event_stats", "CREATE INDEX idx_event_stats_status ON public.event_stats USING btree (status)"),
    ("event_stats", "CREATE INDEX idx_event_stats_created_at ON public.event_stats USING btree (created_at DESC)"),
    (
        "channel_stats",
        "CREATE UNIQUE INDEX uk_channel_stats_event_channel ON public.channel_stats USING btree "
        "(event_id, channel_name)",
    ),
    ("channel_stats", "CREATE INDEX idx_channel_stats_event_id ON public.channel_stats USING btree (event_id)"),
    ("channel_stats", "CREATE INDEX idx_channel_stats_channel_type ON public.channel_stats USING btree (channel_type)"),
    ("channel_stats", "CREATE INDEX idx_channel_stats_participants ON public.channel_stats USING brin (participants)"),
    ("timeline_data", 'CREATE INDEX idx_timeline_timestamp ON public.timeline_data USING btree ("timestamp")'),
    ("timeline_data", 'CREATE INDEX idx_timeline_brin_timestamp ON public.timeline_data USING brin ("timestamp")'),
    (
        "timeline_data",
        'CREATE UNIQUE INDEX idx_timeline_event_timestamp ON public.timeline_data USING btree (event_id, "timestamp")',
    ),
)
"""The table and the statement of each index of the contract; one of the same kind under another name is as good."""


class MissingIndex(NamedTuple):
    """An index of the contract that is missing, and the statement that creates it."""

    table: str
    statement: str


def missing_indexes(conn: Connection) -> list[MissingIndex]:
    """Indexes of the contract that are missing, or that PostgreSQL does not use."""
    existing = {(table, kind) for table, _, kind, valid in conn.execute(SQL["indexes"]).fetchall() if valid}
    return [
        MissingIndex(f"public.{table}", f"{statement};")
        for table, statement in CONTRACT_INDEXES
        if (table, statement.partition(" USING ")[2]) not in existing
    ]


def invalid_indexes(conn: Connection) -> list[str]:
    """Indexes that PostgreSQL does not use, as of an interrupted CREATE INDEX CONCURRENTLY."""
    return [name for (name,) in conn.execute(SQL["invalid_indexes"]).fetchall()]


def timeline_is_partitioned(conn: Connection) -> bool:
    """Whether public.timeline_data is a partitioned table."""
    row = conn.execute(SQL["timeline_kind"]).fetchone()
    return row is not None and row[0] == "p"


def partitions_of_a_months_plan(conn: Connection, month: date) -> int:
    """How many partitions of the timeline PostgreSQL would read for one month of an event."""
    row = conn.execute(SQL["explain_month"], {"month": month, "end": month_after(month, 1)}).fetchone()
    assert row is not None
    return len(set(re.findall(r'"(timeline_data_[0-9]{4}_[0-9]{2})"', json.dumps(row[0]))))


class StaleStatistics(NamedTuple):
    """A table of which much has changed since it was last analysed. `unwatched`: no autovacuum runs for it."""

    table: str
    changed: int
    rows: int
    unwatched: bool


def stale_statistics(conn: Connection, changed_min: int) -> list[StaleStatistics]:
    """Tables of which at least so many rows, and 30 % of all, have changed since they were last analysed."""
    return [StaleStatistics(*row) for row in conn.execute(SQL["stale_statistics"], {"changed_min": changed_min})]


class Checksums(NamedTuple):
    """Whether pages have checksums, and how many pages were found with a wrong one, the last time in UTC."""

    enabled: bool
    failures: int
    last_at: datetime | None


def checksums(conn: Connection) -> Checksums:
    """The checksums of this database's pages."""
    row = conn.execute(SQL["checksums"]).fetchone()
    assert row is not None
    return Checksums(*row)


_DAMAGED = (psycopg.errors.DataCorrupted, psycopg.errors.InternalError_, psycopg.errors.IndexCorrupted)
"""What PostgreSQL raises for a damaged page, or an index that contradicts itself."""


def table_pages(conn: Connection) -> list[tuple[str, int]]:
    """The tables that hold rows, with their pages, the smallest first."""
    return [(name, pages) for name, pages in conn.execute(SQL["table_pages"]).fetchall()]


def unreadable_page(conn: Connection, table: str, pages_max: int, pages: int) -> str | None:
    """Read a table, or a sample of about `pages_max` of its pages. Returns PostgreSQL's error about a damaged page."""
    share = min(100.0, 100.0 * pages_max / max(pages, 1))
    # A sample reads the table's own pages. A count could be answered by an index alone.
    query: Any = sql.SQL("SELECT count(t.*) FROM {} AS t TABLESAMPLE SYSTEM ({})").format(
        sql.Identifier(*table.split(".")), sql.Literal(share)
    )
    try:
        with conn.transaction():
            conn.execute(query)
    except _DAMAGED as error:
        return str(error.diag.message_primary or error)
    return None


class IndexCheck(NamedTuple):
    """The function of the extension amcheck that checks an index, with its schema."""

    function: str
    allowed: bool


def index_check(conn: Connection) -> IndexCheck | None:
    """What checks an index; None where the extension amcheck is not installed in this database."""
    row = conn.execute(SQL["index_check"]).fetchone()
    return None if row is None else IndexCheck(*row)


def checkable_indexes(conn: Connection, *, pages_max: int, count_max: int) -> list[str]:
    """B-tree indexes of at most so many pages: unique ones first, since they keep rows from counting twice."""
    given = {"pages_max": pages_max, "count_max": count_max}
    return [name for (name,) in conn.execute(SQL["checkable_indexes"], given).fetchall()]


def index_damage(conn: Connection, function: str, index: str) -> str | None:
    """Check an index. Returns PostgreSQL's error where it is damaged. One that is locked now is passed over."""
    query: Any = sql.SQL("SELECT {}({}::regclass)").format(sql.SQL(function), sql.Literal(index))
    try:
        with conn.transaction():
            conn.execute("SET LOCAL lock_timeout = '100ms'")
            conn.execute(query)
    except psycopg.errors.LockNotAvailable:
        return None
    except _DAMAGED as error:
        return str(error.diag.message_primary or error)
    return None


class DifferingFigure(NamedTuple):
    """Participants of an event in a table, and what its ledger says."""

    event_no: int
    table: str
    found: int | None
    expected: int


def sampled_drift(conn: Connection, *, events: int, participants_max: int, seed: int) -> list[DifferingFigure]:
    """Figures of some events, of at most so many participants, that differ from the ledger. `seed` chooses them."""
    rows = conn.execute(
        SQL["sampled_drift"], {"events": events, "participants_max": participants_max, "seed": seed}
    ).fetchall()
    return [DifferingFigure(*row) for row in rows]


class DeadLetterRate(NamedTuple):
    """Dead letters of a kind and reason in the last hour, and in the hour before."""

    kind: str
    reason: str
    newest: int
    before: int


def dead_letters_by_hour(conn: Connection) -> list[DeadLetterRate]:
    """Dead letters of the last two hours, the most frequent first."""
    return [DeadLetterRate(*row) for row in conn.execute(SQL["dead_letters_by_hour"]).fetchall()]


def late_invalidations(conn: Connection, late_s: float) -> tuple[int, float]:
    """Outbox entries that are not delivered after so long, and the age of the oldest in seconds."""
    row = conn.execute(SQL["late_invalidations"], {"late_s": late_s}).fetchone()
    assert row is not None
    return row[0], row[1]
