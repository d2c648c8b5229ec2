"""`hannun watch` about the servers: rate, lag, months, sizes, the slowest queries, Redis."""

import json
import re
from typing import get_args

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner
from world import World

from hannun.cache.server_statistics import ServerInspector
from hannun.cli.application import app
from hannun.cli.watch import SECTIONS
from hannun.cli.watch_text import duration, size
from hannun.domain.operation_runs import Kind
from hannun.domain.positions import WaitForOperator
from hannun.store import operation_runs, positions
from hannun.store.database_statistics import slowest_queries


def shown(world: World, *options: str, **environment: str) -> str:
    servers = {
        "DATABASE_URL": world.url,
        "REDIS_HOST": world.redis.host,
        "REDIS_PORT": str(world.redis.port),
        "REDIS_PASSWORD": world.redis.password,
    }
    ran = CliRunner().invoke(app, ["watch", *options], env={**servers, **environment}, catch_exceptions=False)
    assert ran.exit_code == 0
    return ran.output


def succeed(world: World, *kinds: Kind) -> None:
    """Record a success of each kind, a second ago."""
    with world.database.transaction() as conn:
        for kind in kinds:
            operation_runs.end(conn, operation_runs.begin(conn, kind), "succeeded")


@pytest.fixture
def with_statement_statistics(world: World) -> World:
    """A database whose slowest queries can be seen, with none yet."""
    url = make_conninfo(world.postgres.superuser_url, dbname=world.name)
    with psycopg.connect(url, autocommit=True) as superuser:
        if not superuser.execute("SELECT current_setting('pg_stat_statements.max', true)").fetchone()[0]:
            pytest.skip("SKIPPED LOUDLY: this PostgreSQL has no pg_stat_statements")
        superuser.execute("CREATE EXTENSION pg_stat_statements")
    return world


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_fits_80_columns(world: World, section: str) -> None:
    world.count(world.created(), world.registered())
    lines = shown(world, "--once", "--section", section).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 80


def test_the_overview_fits_a_terminal_of_24_lines(with_statement_statistics: World) -> None:
    world = with_statement_statistics
    world.count(world.created(), world.registered())
    succeed(world, *get_args(Kind))
    lines = shown(world, "--once", "--section", "overview").splitlines()
    assert len(lines) + 1 <= 24, "with the line of sections above"
    labels = [line.split()[0] for line in lines if line]
    for label in ("Kafka", "counted", "refresh", "breakers", "months", "backups", "database", "Redis", "hit"):
        assert label in labels


def test_every_kind_of_backup_is_shown_whole_and_named_once(world: World) -> None:
    succeed(world, *get_args(Kind))
    lines = shown(world, "--once", "--section", "sizes").splitlines()
    (first,) = [number for number, line in enumerate(lines) if line.startswith("backups ")]
    (behind,) = [number for number, line in enumerate(lines) if line.startswith("database ")]
    assert max(map(len, lines)) <= 80
    parts = [part for line in lines[first:behind] for part in re.split(r" {3,}", line.removeprefix("backups ").strip())]
    assert {part.split(" ")[0] for part in parts} == {kind.removeprefix("backup-") for kind in get_args(Kind)}
    assert all(re.fullmatch(r"[a-z-]+ \d+ s ago", part) for part in parts), parts


def test_tables_and_indexes_are_listed_the_largest_first_with_partitions_summed(world: World) -> None:
    for month in ("2026-09-01", "2026-10-01"):
        world.rows(f"SELECT hannun.make_timeline_month('{month}')")
    view = json.loads(shown(world, "--json"))
    tables = [(each["bytes"] + each["indexBytes"], each["name"]) for each in view["tables"]]
    assert [total for total, _ in tables] == sorted((total for total, _ in tables), reverse=True)
    assert next(each["partitions"] for each in view["tables"] if each["name"] == "timeline_data") > 1
    assert not [name for _, name in tables if name.startswith("timeline_data_")]
    indexes = [each["bytes"] for each in view["indexes"]]
    assert indexes == sorted(indexes, reverse=True)
    assert any(each["name"] == "idx_timeline_brin_timestamp" for each in view["indexes"])


def test_without_the_extension_it_says_what_to_do(world: World) -> None:
    assert "CREATE EXTENSION" in shown(world, "--once", "--section", "queries")


def test_the_ten_slowest_queries_are_shown_with_calls_total_and_mean_time(with_statement_statistics: World) -> None:
    world = with_statement_statistics
    with world.database.transaction() as conn:  # the role of the service sees its own queries only
        for _ in range(3):
            conn.execute("SELECT pg_sleep(0.05)")
        for columns in range(12):
            conn.execute(f"SELECT 1{', 1' * columns}")
    with world.database.transaction() as conn:
        found = slowest_queries(conn, 10)
    assert found.hint is None
    assert len(found.queries) == 10
    totals = [each.total_exec_time for each in found.queries]
    assert totals == sorted(totals, reverse=True)
    (slept,) = [each for each in found.queries if each.text == "SELECT pg_sleep($1)"]  # a loaded machine delays others
    assert slept.calls == 3
    assert slept.total_exec_time >= 150
    assert slept.mean_exec_time == pytest.approx(slept.total_exec_time / 3)
    lines = shown(world, "--once", "--section", "queries").splitlines()
    assert any(line.startswith("SELECT pg_sleep($1)") and line.split()[2] == "3" for line in lines)


def test_a_query_is_folded_between_words_and_a_cut_is_shown(with_statement_statistics: World) -> None:
    world = with_statement_statistics
    names = [f"a_long_column_{number}" for number in range(9)]
    with world.database.transaction() as conn:
        conn.execute(f"SELECT {', '.join(f'{number} AS {name}' for number, name in enumerate(names))}, pg_sleep(0.05)")
    lines = shown(world, "--once", "--section", "queries").splitlines()
    (first,) = [number for number, line in enumerate(lines) if line.startswith("SELECT $1 AS a_long_column_0")]
    further = lines[first + 1]
    assert further.startswith("  ") and further.endswith(" ...")
    words = (lines[first][:39].strip() + further.removesuffix(" ...")).replace("SELECT", "").replace(",", " ").split()
    assert {word for word in words if word != "AS" and not word.startswith("$")} <= set(names), "no word is cut"


def test_where_queries_of_other_roles_are_hidden_it_says_what_to_grant(with_statement_statistics: World) -> None:
    world = with_statement_statistics
    grant = "<insufficient privilege>: as a superuser, GRANT pg_monitor TO the role of DATABASE_URL"
    with psycopg.connect(world.postgres.url(world.name)) as other:
        other.execute("SELECT pg_sleep(0.05)")
    lines = shown(world, "--once", "--section", "queries").splitlines()
    assert max(map(len, lines)) <= 80
    assert "  ".join(lines).split()[-len(grant.split()) :] == grant.split()
    superuser = make_conninfo(world.postgres.superuser_url, dbname=world.name)
    assert "pg_monitor" not in shown(world, "--once", "--section", "queries", DATABASE_URL=superuser)


def test_redis_is_shown_with_memory_hit_rate_and_slow_log(world: World) -> None:
    inspector = ServerInspector(world.redis)
    inspector._execute("CONFIG SET", "slowlog-log-slower-than", "0")
    try:
        inspector._execute("SET", "private-key", "private-value")
    finally:
        inspector._execute("CONFIG SET", "slowlog-log-slower-than", "10000")
    text = shown(world, "--once", "--section", "redis")
    assert "since its start" in text and "slow log" in text and "SET with 2 arguments" in text
    assert "private" not in text


def test_without_redis_the_rest_is_shown_and_why_redis_is_not(world: World) -> None:
    text = shown(world, "--once", "--section", "overview", REDIS_PORT="1")
    assert "Redis is away" in text and "largest tables" in text
    assert "redis" in json.loads(shown(world, "--json", REDIS_PORT="1"))["errors"]


def test_a_stopped_partition_is_pointed_out(world: World) -> None:
    with world.database.transaction() as conn:
        positions.stop(conn, "test", "t", 0, WaitForOperator("a reason", "a hint", until_decided=True))
    assert "stopped 1 !" in shown(world, "--once", "--section", "counting")


def test_sizes_and_durations_have_one_unit() -> None:
    assert [size(each) for each in (0, 999, 1_000, 123_456_789, 5e12)] == ["0 B", "999 B", "1.0 kB", "123 MB", "5.0 TB"]
    assert [duration(each) for each in (-3, 59, 7_200, 200_000)] == ["0 s", "59 s", "2 h", "2 d"]
