"""Sizes and the slowest queries of the database, as PostgreSQL's catalogs report them. It reads only."""

from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg import sql

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("database_statistics")
TABLES_MAX = 60
"""More than the service has; so the series of Prometheus are bounded, whatever else the schemas hold."""
OPEN_DEAD_LETTERS_MAX = 100_000
QUERY_CHARACTERS_MAX = 400


class TableSize(NamedTuple):
    """A table, or a partitioned one as the sum of its partitions. `rows` is an estimate, negative where unknown."""

    name: str
    bytes: int
    index_bytes: int
    rows: int
    partitions: int


class IndexSize(NamedTuple):
    """An index, or that of a partitioned table as the sum over its partitions, and its scans since the last reset."""

    name: str
    bytes: int
    scans: int


class SlowQuery(NamedTuple):
    """A statement with its constants removed. Times are milliseconds since the statistics began."""

    calls: int
    total_exec_time: float
    mean_exec_time: float
    text: str


class Counting(NamedTuple):
    """How far messages are counted, by PostgreSQL's clock (UTC, without a zone).

    Args:
        offsets: the sum of all positions in Kafka.
        ledger_rows: participants and sales that were added since PostgreSQL's statistics began.
        stopped: partitions that wait for an operator.
        counted_at: when a position last moved; None where none ever did.
        pending: outbox entries that are not delivered.
    """

    now: datetime
    offsets: int
    ledger_rows: int
    stopped: int
    counted_at: datetime | None
    pending: int


class SlowQueries(NamedTuple):
    """The slowest statements by total time; or, where the server has no statistics, what to do."""

    queries: list[SlowQuery]
    hint: str | None = None


def table_sizes(conn: Connection, limit: int = TABLES_MAX) -> list[TableSize]:
    """The service's tables, the largest first."""
    return [TableSize(*row) for row in conn.execute(SQL["relation_sizes"], {"limit": limit}).fetchall()]


def index_sizes(conn: Connection, limit: int) -> list[IndexSize]:
    """The service's indexes, the largest first."""
    return [IndexSize(*row) for row in conn.execute(SQL["index_sizes"], {"limit": limit}).fetchall()]


def database_bytes(conn: Connection) -> int:
    """The size of the database on disk."""
    return _value(conn, "database_bytes")


def counting(conn: Connection) -> Counting:
    """How far messages are counted now."""
    row = conn.execute(SQL["counting"]).fetchone()
    assert row is not None
    return Counting(*row)


def open_dead_letters(conn: Connection) -> int:
    """How many dead letters nobody has retried or dropped; `OPEN_DEAD_LETTERS_MAX` stands for more."""
    row = conn.execute(SQL["open_dead_letters"], {"limit": OPEN_DEAD_LETTERS_MAX}).fetchone()
    assert row is not None
    return int(row[0])


def slowest_queries(conn: Connection, limit: int) -> SlowQueries:
    """The statements of this database that took the most time in all, by pg_stat_statements.

    A role that is not a member of pg_read_all_stats sees the text of its own statements only.
    """
    row = conn.execute(SQL["statement_statistics"]).fetchone()
    assert row is not None
    schema, loaded = row
    if schema is None or not loaded:
        return SlowQueries([], _statistics_hint(created=schema is not None, loaded=loaded))
    query = sql.SQL(
        "SELECT calls, total_exec_time, mean_exec_time, left(regexp_replace(query, '\\s+', ' ', 'g'), {length})"
        " FROM {schema}.pg_stat_statements"
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " ORDER BY total_exec_time DESC LIMIT {limit}"
    ).format(length=QUERY_CHARACTERS_MAX, schema=sql.Identifier(schema), limit=limit)
    try:
        with conn.transaction():
            return SlowQueries([SlowQuery(*row) for row in conn.execute(query).fetchall()])
    except psycopg.errors.InsufficientPrivilege:
        return SlowQueries([], "this role may not read pg_stat_statements: GRANT pg_read_all_stats TO it")


def _statistics_hint(*, created: bool, loaded: bool) -> str:
    steps = []
    if not loaded:
        steps.append("set shared_preload_libraries = 'pg_stat_statements' and restart PostgreSQL")
    if not created:
        steps.append("in this database, as a superuser: CREATE EXTENSION pg_stat_statements")
    return "PostgreSQL keeps no statistics of statements: " + "; then ".join(steps)


def _value(conn: Connection, name: str) -> int:
    row = conn.execute(SQL[name]).fetchone()
    assert row is not None
    return int(row[0])
