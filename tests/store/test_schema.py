"""The public schema that other teams build on, checked on PostgreSQL 18 and 16.

A test runs over all cases of its rule at once, and its failure names every case that breaks the rule.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from world import DATABASE_OWNER as OWNER
from world import PASSWORD, World, make_database

from hannun.embedded import PostgresServer, ValkeyServer


@pytest.fixture(scope="module")
def name(server: PostgresServer) -> Iterator[str]:
    """The name of a database that was migrated itself: a copy of one lacks the settings of the database."""
    name = "contract"
    make_database(server, name)
    yield name
    with psycopg.connect(server.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


Conn = psycopg.Connection[dict[str, Any]]


def session(server: PostgresServer, name: str, role: str) -> Iterator[Conn]:
    with psycopg.connect(server.url(name, role, PASSWORD), row_factory=dict_row) as conn:
        yield conn
        conn.rollback()


@pytest.fixture
def owner(server: PostgresServer, name: str) -> Iterator[Conn]:
    """A connection of the owner's; the test's transaction is rolled back."""
    yield from session(server, name, OWNER)


@pytest.fixture
def readonly(server: PostgresServer, name: str) -> Iterator[Conn]:
    yield from session(server, name, "analytics_readonly")


@pytest.fixture
def readwrite(server: PostgresServer, name: str) -> Iterator[Conn]:
    yield from session(server, name, "analytics_readwrite")


def fails(conn: Conn, statement: str, error: type[psycopg.Error]) -> bool:
    """Whether a statement fails with an error of this class. What it changes is undone."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement)  # type: ignore[call-overload]
    except error:
        return True
    return False


def accepted(conn: Conn, statements: Iterable[str], error: type[psycopg.Error]) -> list[str]:
    """The statements that do not fail with an error of this class."""
    return [statement for statement in statements if not fails(conn, statement, error)]


# -- tables and columns ----------------------------------------------------------------------------------------------

COUNT = ("integer", "NO", "0")
MONEY = ("numeric(15,2)", "NO", "0.00")
PERCENT = ("numeric(10,2)", "NO", "0.00")
ID = ("bigint", "NO", "nextval")
WRITTEN = {
    "created_at": ("timestamp without time zone", "NO", "now()"),
    "updated_at": ("timestamp without time zone", "NO", "now()"),
}


def text(length: int, default: str | None = None) -> tuple[str, str, str | None]:
    return f"character varying({length})", "NO", default


CONTRACT: dict[str, dict[str, tuple[str, str, str | None]]] = {
    "event_stats": {
        "id": ID,
        "event_id": text(36),
        "event_title": text(255),
        "user_id": text(36),
        "total_participants": COUNT,
        "total_views": COUNT,
        "estimated_roi": PERCENT,
        "target_roi": PERCENT,
        "sales_growth_rate": PERCENT,
        "total_investment": MONEY,
        "expected_revenue": MONEY,
        "status": text(20, "'ACTIVE'"),
        **WRITTEN,
    },
    "channel_stats": {
        "id": ID,
        "event_id": text(36),
        "channel_name": text(50),
        "channel_type": text(20),
        **dict.fromkeys(("impressions", "views", "clicks", "participants", "conversions"), COUNT),
        "distribution_cost": MONEY,
        **dict.fromkeys(("likes", "comments", "shares", "total_calls", "completed_calls", "average_duration"), COUNT),
        **WRITTEN,
    },
    "timeline_data": {
        "id": ID,
        "event_id": text(36),
        "timestamp": ("timestamp without time zone", "NO", None),
        **dict.fromkeys(("participants", "views", "engagement", "conversions", "cumulative_participants"), COUNT),
        **WRITTEN,
    },
}


def columns_of(conn: Conn, table: str) -> dict[str, tuple[str, str, str | None]]:
    rows = conn.execute(
        """SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
                  CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS nullable,
                  pg_get_expr(d.adbin, d.adrelid) AS default_value
             FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped""",
        (f"public.{table}",),
    ).fetchall()
    found = {}
    for row in rows:
        default = row["default_value"]
        if default is not None:
            default = "nextval" if default.startswith("nextval(") else default.split("::")[0]
        found[row["name"]] = (row["type"], row["nullable"], default)
    return found


def test_tables_have_exactly_the_columns_of_the_contract(owner: Conn) -> None:
    assert {table: columns_of(owner, table) for table in CONTRACT} == CONTRACT


def test_the_public_schema_holds_the_contracts_tables_and_their_partitions_and_nothing_else(owner: Conn) -> None:
    owner.execute("SELECT hannun.make_timeline_month('2026-11-15'), hannun.make_timeline_month('2015-01-01')")
    found = owner.execute(
        "SELECT relname AS name, relkind AS kind FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('i', 'I')"
    ).fetchall()
    assert {(row["name"], row["kind"]) for row in found} == {
        ("event_stats", "r"),
        ("channel_stats", "r"),
        ("timeline_data", "p"),
        ("timeline_data_2026_11", "r"),
        ("timeline_data_2015_01", "r"),
        ("event_stats_id_seq", "S"),
        ("channel_stats_id_seq", "S"),
        ("timeline_data_id_seq", "S"),
    }
    other = (
        "SELECT 1 FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL SELECT 1 FROM pg_type "
        "WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')"
    )
    assert owner.execute(other).fetchall() == []


def test_ids_come_from_sequences_that_belong_to_their_columns(owner: Conn) -> None:
    for table in CONTRACT:
        (row,) = owner.execute("SELECT pg_get_serial_sequence(%s, 'id') AS s", (f"public.{table}",)).fetchall()
        assert row["s"] == f"public.{table}_id_seq"


# -- indexes ---------------------------------------------------------------------------------------------------------

INDEXES = {
    "event_stats": {
        "event_stats_pkey": ("btree", "UNIQUE", "(id)"),
        "uk_event_stats_event_id": ("btree", "UNIQUE", "(event_id)"),
        "idx_event_stats_user_id": ("btree", "", "(user_id)"),
        "idx_event_stats_status": ("btree", "", "(status)"),
        "idx_event_stats_created_at": ("btree", "", "(created_at DESC)"),
    },
    "channel_stats": {
        "channel_stats_pkey": ("btree", "UNIQUE", "(id)"),
        "uk_channel_stats_event_channel": ("btree", "UNIQUE", "(event_id, channel_name)"),
        "idx_channel_stats_event_id": ("btree", "", "(event_id)"),
        "idx_channel_stats_channel_type": ("btree", "", "(channel_type)"),
        "idx_channel_stats_participants": ("brin", "", "(participants)"),
    },
    "timeline_data": {
        "idx_timeline_event_timestamp": ("btree", "UNIQUE", '(event_id, "timestamp")'),
        "idx_timeline_timestamp": ("btree", "", '("timestamp")'),
        "idx_timeline_brin_timestamp": ("brin", "", '("timestamp")'),
    },
}


def indexes_of(conn: Conn, table: str) -> dict[str, tuple[str, str, str]]:
    rows = conn.execute(
        "SELECT indexname AS name, indexdef AS made FROM pg_indexes WHERE schemaname = 'public' AND tablename = %s",
        (table,),
    ).fetchall()
    return {
        row["name"]: (
            row["made"].split(" USING ")[1].split(" ")[0],
            "UNIQUE" if " UNIQUE " in row["made"] else "",
            row["made"].split(" USING ")[1].split(" ", 1)[1],
        )
        for row in rows
    }


def test_tables_have_exactly_the_indexes_of_the_contract(owner: Conn) -> None:
    assert {table: indexes_of(owner, table) for table in INDEXES} == INDEXES


def test_primary_keys_are_those_of_the_contract(owner: Conn) -> None:
    rows = owner.execute(
        "SELECT conrelid::regclass::text AS on, pg_get_constraintdef(oid) AS key FROM pg_constraint "
        "WHERE contype = 'p' AND connamespace = 'public'::regnamespace AND conparentid = 0"
    ).fetchall()
    assert {row["on"]: row["key"] for row in rows} == {
        "event_stats": "PRIMARY KEY (id)",
        "channel_stats": "PRIMARY KEY (id)",
        "timeline_data": 'PRIMARY KEY (event_id, "timestamp")',
    }


def test_a_partition_has_every_index_of_the_timeline(owner: Conn) -> None:
    owner.execute("SELECT hannun.make_timeline_month('2026-11-15')")
    assert sorted(indexes_of(owner, "timeline_data_2026_11").values()) == sorted(INDEXES["timeline_data"].values())


# -- the timeline's partitions ---------------------------------------------------------------------------------------


def test_the_timeline_is_partitioned_by_range_of_its_timestamp(owner: Conn) -> None:
    (row,) = owner.execute("SELECT pg_get_partkeydef('public.timeline_data'::regclass) AS key").fetchall()
    assert row["key"] == 'RANGE ("timestamp")'


def test_a_partition_is_named_after_its_month_covers_it_half_open_and_is_created_once(readwrite: Conn) -> None:
    made = "SELECT hannun.make_timeline_month(%s) AS made"
    for day, expected in (("2026-12-31", True), ("2026-12-01", False), ("2027-01-01", True)):
        (row,) = readwrite.execute(made, (day,)).fetchall()
        assert row["made"] is expected
    rows = readwrite.execute(
        "SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'public.timeline_data'::regclass ORDER BY 1"
    ).fetchall()
    assert [(row["name"], row["bounds"]) for row in rows] == [
        ("timeline_data_2026_12", "FOR VALUES FROM ('2026-12-01 00:00:00') TO ('2027-01-01 00:00:00')"),
        ("timeline_data_2027_01", "FOR VALUES FROM ('2027-01-01 00:00:00') TO ('2027-02-01 00:00:00')"),
    ]


def test_there_is_no_default_partition(owner: Conn) -> None:
    (row,) = owner.execute(
        "SELECT partdefid FROM pg_partitioned_table WHERE partrelid = 'public.timeline_data'::regclass"
    ).fetchall()
    assert row["partdefid"] == 0
    outside = "INSERT INTO public.timeline_data (event_id, timestamp) VALUES ('e', '2001-01-01')"
    assert fails(owner, outside, psycopg.errors.CheckViolation)


# -- checks ----------------------------------------------------------------------------------------------------------

ROWS = {
    "event_stats": "INSERT INTO public.event_stats (event_id, event_title, user_id) VALUES ('e', 't', 'u')",
    "channel_stats": "INSERT INTO public.channel_stats (event_id, channel_name, channel_type) VALUES ('e', 'c', 'TV')",
    "timeline_data": "INSERT INTO public.timeline_data (event_id, timestamp) VALUES ('e', '2026-11-20 10:00')",
}
AT_LEAST_ZERO = {
    "event_stats": (
        "total_participants", "total_views", "estimated_roi", "target_roi", "total_investment", "expected_revenue",
    ),
    "channel_stats": (
        "impressions", "views", "clicks", "participants", "conversions", "distribution_cost", "total_calls",
        "average_duration", "completed_calls",
    ),
    "timeline_data": ("participants", "views", "engagement", "conversions", "cumulative_participants"),
}  # fmt: skip


MEANINGLESS = {
    "event_stats": ("status = 'active'", "status = 'DELETED'", "status = ''"),
    "channel_stats": (
        "channel_type = 'CALL'",
        "channel_type = 'tv'",
        "completed_calls = 1",  # of 0 calls
        "completed_calls = 4, total_calls = 3",
    ),
}
ALLOWED = {
    "event_stats": (
        *(f"status = '{status}'" for status in ("ACTIVE", "ENDED", "ARCHIVED")),
        "sales_growth_rate = -99999999.99, estimated_roi = 99999999.99",
        "total_investment = 9999999999999.99, total_participants = 2147483647",
    ),
    "channel_stats": (
        *(f"channel_type = '{kind}'" for kind in ("TV", "SNS", "VOICE")),
        "completed_calls = 3, total_calls = 3",
    ),
}


def updates(changes: dict[str, Iterable[str]]) -> list[str]:
    return [f"UPDATE public.{table} SET {change}" for table, of_table in changes.items() for change in of_table]


@pytest.fixture
def with_rows(owner: Conn) -> Conn:
    """A connection of the owner's, in whose transaction each table has a row."""
    owner.execute("SELECT hannun.make_timeline_month('2026-11-20')")
    for row in ROWS.values():
        owner.execute(row)  # type: ignore[call-overload]
    return owner


def test_figures_below_zero_are_refused_and_others_accepted(with_rows: Conn) -> None:
    figures = [f"public.{table} SET {column}" for table, columns in AT_LEAST_ZERO.items() for column in columns]
    assert accepted(with_rows, [f"UPDATE {figure} = -1" for figure in figures], psycopg.errors.CheckViolation) == []
    for figure in figures:
        if not figure.endswith("completed_calls"):  # at most total_calls, which is 0
            with_rows.execute(f"UPDATE {figure} = 1")  # type: ignore[call-overload]


def test_values_outside_the_contract_are_refused(with_rows: Conn) -> None:
    assert accepted(with_rows, updates(MEANINGLESS), psycopg.errors.CheckViolation) == []


def test_values_of_the_contract_are_accepted(with_rows: Conn) -> None:
    assert accepted(with_rows, updates(ALLOWED), psycopg.Error) == updates(ALLOWED)


def test_no_column_accepts_null(with_rows: Conn) -> None:
    changes = {table: [f"{column} = NULL" for column in columns] for table, columns in CONTRACT.items()}
    # A timestamp that is NULL belongs to no partition, which is another integrity error.
    assert accepted(with_rows, updates(changes), psycopg.IntegrityError) == []


def test_a_second_row_of_the_same_key_is_refused(with_rows: Conn) -> None:
    assert accepted(with_rows, ROWS.values(), psycopg.errors.UniqueViolation) == []


def test_a_new_row_has_zeros_and_is_active(with_rows: Conn) -> None:
    for table in ROWS:
        (row,) = with_rows.execute(f"SELECT * FROM public.{table}").fetchall()  # type: ignore[call-overload]
        zeros = {name for name, (_, _, default) in CONTRACT[table].items() if default in ("0", "0.00")}
        assert {name: row[name] for name in zeros} == dict.fromkeys(zeros, 0), table
        assert row["created_at"] == row["updated_at"], table
        assert row.get("status", "ACTIVE") == "ACTIVE", table


# -- times -----------------------------------------------------------------------------------------------------------


def times_of(conn: Conn, table: str) -> tuple[datetime, datetime]:
    (row,) = conn.execute(f"SELECT created_at, updated_at FROM public.{table}").fetchall()  # type: ignore[call-overload]
    return row["created_at"], row["updated_at"]


def test_every_write_of_any_writer_changes_updated_at(with_rows: Conn) -> None:
    for table in ROWS:
        created_at, updated_at = times_of(with_rows, table)
        seen = [updated_at]
        for _ in range(3):
            with_rows.execute(f"UPDATE public.{table} SET event_id = event_id")  # type: ignore[call-overload]
            seen.append(times_of(with_rows, table)[1])
        assert seen == sorted(set(seen)), f"updated_at of {table} increases with each write"
        assert times_of(with_rows, table)[0] == created_at == seen[0], f"created_at of {table} stays"


def test_sessions_of_every_role_read_and_write_utc(server: PostgresServer, name: str) -> None:
    for role in (OWNER, "analytics_readonly", "analytics_readwrite"):
        for conn in session(server, name, role):
            (row,) = conn.execute("SELECT current_setting('timezone') AS zone").fetchall()
            assert row["zone"] == "UTC"
    for conn in session(server, name, OWNER):
        conn.execute(ROWS["event_stats"])  # type: ignore[call-overload]
        (row,) = conn.execute("SELECT created_at = now() AT TIME ZONE 'UTC' AS utc FROM public.event_stats").fetchall()
        assert row["utc"]


def test_updated_at_is_utc_also_for_a_writer_in_another_time_zone(with_rows: Conn) -> None:
    owner = with_rows
    owner.execute("SET LOCAL timezone = 'Asia/Seoul'")
    owner.execute("UPDATE public.event_stats SET total_views = 1")
    (row,) = owner.execute(
        "SELECT abs(extract(epoch FROM updated_at - clock_timestamp() AT TIME ZONE 'UTC')) < 60 AS utc "
        "FROM public.event_stats"
    ).fetchall()
    assert row["utc"]


# -- roles -----------------------------------------------------------------------------------------------------------

DENIED = psycopg.errors.InsufficientPrivilege


def test_readonly_reads_every_public_table_and_the_views_for_other_teams(readonly: Conn) -> None:
    for table in (*(f"public.{name}" for name in CONTRACT), "hannun.dead_letter_reasons", "hannun.event_totals"):
        assert readonly.execute(f"SELECT * FROM {table}").fetchall() == []  # type: ignore[call-overload]


def test_readonly_reads_partitions_and_tables_that_are_created_later(server: PostgresServer, name: str) -> None:
    with (
        psycopg.connect(server.url(name, OWNER, PASSWORD), autocommit=True) as owner,
        psycopg.connect(server.url(name, "analytics_readwrite", PASSWORD), autocommit=True) as readwrite,
        psycopg.connect(server.url(name, "analytics_readonly", PASSWORD), autocommit=True) as readonly,
    ):
        try:
            owner.execute("CREATE TABLE public.later (a integer)")
            readwrite.execute("SELECT hannun.make_timeline_month('2031-05-01')")
            for table in ("later", "timeline_data_2031_05"):
                assert readonly.execute(f"SELECT * FROM public.{table}").fetchall() == []
                with pytest.raises(DENIED):
                    readonly.execute(f"DELETE FROM public.{table}")
                readwrite.execute(f"DELETE FROM public.{table}")
            made_by = "SELECT tableowner FROM pg_tables WHERE tablename = 'timeline_data_2031_05'"
            assert readonly.execute(made_by).fetchone() == (OWNER,)
        finally:
            owner.execute("DROP TABLE public.later, public.timeline_data_2031_05")


def hannun_tables(conn: Conn) -> list[str]:
    rows = conn.execute(
        "SELECT relname AS name FROM pg_class WHERE relnamespace = 'hannun'::regnamespace AND relkind IN ('r', 'p')"
    ).fetchall()
    return [row["name"] for row in rows]


def test_readonly_reads_no_internal_table(readonly: Conn) -> None:
    tables = hannun_tables(readonly)
    assert {"participants", "identity", "dead_letters", "events"} <= set(tables)
    assert accepted(readonly, [f"SELECT 1 FROM hannun.{table}" for table in tables], DENIED) == []


def test_readonly_writes_nothing(readonly: Conn) -> None:
    statements = [
        "SELECT nextval('public.event_stats_id_seq')",
        "SELECT hannun.make_timeline_month('2026-11-01')",
        "CREATE TABLE public.mine (a integer)",
        "CREATE TABLE hannun.mine (a integer)",
    ]
    for table, row in ROWS.items():
        statements += [row, f"UPDATE public.{table} SET event_id = 'x'"]
        statements += [f"DELETE FROM public.{table}", f"TRUNCATE public.{table}"]
    assert accepted(readonly, statements, DENIED) == []


def test_readwrite_writes_rows_and_creates_partitions(readwrite: Conn) -> None:
    readwrite.execute("SELECT hannun.make_timeline_month('2026-11-01')")
    for table, row in ROWS.items():
        readwrite.execute(row)  # type: ignore[call-overload]
        readwrite.execute(f"UPDATE public.{table} SET event_id = 'x'")  # type: ignore[call-overload]
        assert len(readwrite.execute(f"SELECT * FROM public.{table}").fetchall()) == 1  # type: ignore[call-overload]
        assert readwrite.execute(f"DELETE FROM public.{table}").rowcount == 1  # type: ignore[call-overload]


def test_readwrite_changes_no_table_no_key_and_no_privilege(readwrite: Conn) -> None:
    statements = (
        "CREATE TABLE public.mine (a integer)",
        "CREATE TABLE hannun.mine (a integer)",
        "CREATE SCHEMA mine",
        "CREATE INDEX ON public.event_stats (event_title)",
        "ALTER TABLE public.event_stats ADD mine integer",
        "ALTER TABLE public.timeline_data DISABLE TRIGGER ALL",
        "DROP TABLE public.event_stats",
        "DROP FUNCTION hannun.make_timeline_month(date)",
        "TRUNCATE public.event_stats",
        "UPDATE hannun.identity SET participant_key = 'x'",
        "DELETE FROM hannun.identity",
        "CREATE ROLE mine",
        "SET ROLE hannun_owner",
    )
    assert accepted(readwrite, statements, DENIED) == []


# -- counting on both major versions ---------------------------------------------------------------------------------


def test_counting_and_reconciling_work_on_both_versions(
    server: PostgresServer, valkey: ValkeyServer, name: str
) -> None:
    with World(server, valkey, name) as world:
        try:
            batch = [
                world.created(totalInvestment=100, expectedRevenue=150, baselineRevenue=5),
                world.registered("early", channel="Radio", at="2026-10-31T23:59:59Z"),
                world.distributed(channel="Radio", channelType="CALL", distributionCost="20"),
                world.registered("p1", channel="NAVER"),
                world.registered("p2"),
                world.sold(10),
                world.sold(20, refund=True),
                world.status_changed("ENDED", "2026-11-22T00:00:00Z"),
                world.registered("p3", at="not a time"),
            ]
            assert [outcome.result for outcome in world.count(*batch)] == ["counted"] * 8 + ["dead-letter"]
            assert {outcome.result for outcome in world.count(*batch)} == {"repeated", "dead-letter"}
            event = world.event_stats()
            assert (event.total_participants, event.status, event.estimated_roi) == (3, "ENDED", 25)
            assert event.sales_growth_rate == -300
            assert {n: row.participants for n, row in world.channel_stats().items()} == {"Radio": 1, "NaverBlog": 1}
            assert world.drift() == []
            assert [row.cumulative_participants for row in world.timeline()] == [1, 3]
            world.rows("UPDATE public.event_stats SET total_participants = 7")
            assert [drift.figure for drift in world.drift()] == ["total_participants"]
        finally:
            world.rows("DROP TABLE IF EXISTS public.timeline_data_2026_10, public.timeline_data_2026_11")
            world.rows(
                "TRUNCATE public.event_stats, public.channel_stats, hannun.events, hannun.participants, hannun.sales, "
                "hannun.distributions, hannun.dead_letters, hannun.untyped_participants, hannun.owed_invalidations"
            )
