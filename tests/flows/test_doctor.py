"""Each trouble is produced for real, and the doctor finds it: alone, and two at once. A healthy system yields none."""

import asyncio
import json
import os
import socket
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from pathlib import Path

import psycopg
import pytest
from examining import Scene, examination, redis_client, run
from faults import PostgresRequests, Proxy, RedisRequests
from psycopg.conninfo import make_conninfo
from refresh_rounds import age_rounds, ended_round
from small_disks import SmallDisk, no_mount_reason, small_disk
from typer.testing import CliRunner
from world import DATABASE_OWNER, OWNER, SPRING, World

from hannun import key_ring
from hannun.cache import AnswerCache, Invalidator, keys
from hannun.cache.server_statistics import ServerInspector
from hannun.cli.application import app
from hannun.cli.doctor import _print as print_results
from hannun.domain.answer import EncodedAnswer
from hannun.domain.batch import ChangedEvent
from hannun.domain.findings import CheckResult, Finding, Severity
from hannun.domain.partitions import month_after
from hannun.domain.positions import KnownPosition, PartitionLog, WaitForOperator, resume_or_stop
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import HannunError
from hannun.flows import channel_breakers
from hannun.flows.doctor.examined import Expected
from hannun.flows.doctor.registry import CHECKS
from hannun.store import amount_sweep, operation_runs, positions
from hannun.store.amounts import Amounts
from hannun.store.database import PoolLimits, ReadPool, connect


def a_month_is_missing(scene: Scene) -> None:
    """As where no schedule runs: the newest month of those ahead was never created."""
    this_month = datetime.now(UTC).date().replace(day=1)
    scene.world.rows(f"DROP TABLE public.timeline_data_{month_after(this_month, 3):%Y_%m}")


def the_schema_is_older(scene: Scene) -> None:
    scene.world.rows("UPDATE hannun.schema_version SET version_num = '0001'")


def a_right_is_revoked(scene: Scene) -> None:
    scene.world.rows("REVOKE UPDATE ON hannun.events FROM analytics_readwrite")


def readers_lack_a_right(scene: Scene) -> None:
    scene.world.rows("REVOKE SELECT ON public.channel_stats FROM analytics_readonly")


def dumps_lack_a_right(scene: Scene) -> None:
    """As where another role than the owner has made a table."""
    scene.world.rows("REVOKE SELECT ON hannun.sales FROM analytics_backup")


def the_schema_is_newer_and_can_be_used(scene: Scene) -> None:
    scene.world.rows("UPDATE hannun.schema_version SET version_num = '9999'")


def the_database_is_in_seoul(scene: Scene) -> None:
    scene.world.rows(f"ALTER DATABASE {scene.world.name} SET timezone = 'Asia/Seoul'")


def the_time_zone_is_lost(scene: Scene) -> None:
    """As after pg_restore: a dump leaves out the settings of the database."""
    scene.world.rows(f"ALTER DATABASE {scene.world.name} RESET timezone")


def a_partition_stops(scene: Scene) -> None:
    """As a consumer stops it whose partition's log ends before its position."""
    with connect(scene.world.url, application="test") as conn:
        log = PartitionLog("a-topic", 0, 9)
        stop = resume_or_stop(("sales-recorded", 0), log, KnownPosition("a-topic", 10, None), "", added=False)
        assert isinstance(stop, WaitForOperator)
        positions.stop(conn, "a consumer", "sales-recorded", 0, stop)


def this_machine_is_late(scene: Scene) -> None:
    scene.clock_ahead = timedelta(seconds=-30)


def the_timeline_is_a_plain_table(scene: Scene) -> None:
    scene.world.rows("CREATE TABLE public.plain (LIKE public.timeline_data INCLUDING ALL)")
    scene.world.rows("DROP TABLE public.timeline_data CASCADE")
    scene.world.rows("ALTER TABLE public.plain RENAME TO timeline_data")


def pruning_is_off(scene: Scene) -> None:
    scene.world.rows(f"ALTER DATABASE {scene.world.name} SET enable_partition_pruning = off")


def the_brin_index_is_dropped(scene: Scene) -> None:
    (brin,) = scene.world.rows(
        "SELECT c.oid::regclass::text AS name FROM pg_index JOIN pg_class c ON c.oid = indexrelid "
        "JOIN pg_am a ON a.oid = c.relam WHERE amname = 'brin' AND indrelid = 'public.timeline_data'::regclass"
    )
    scene.world.rows(f"DROP INDEX {brin.name}")


def an_index_is_invalid(scene: Scene) -> None:
    """As after an interrupted build: of a unique index over values that are not unique."""
    with pytest.raises(psycopg.errors.UniqueViolation):
        scene.world.rows("CREATE UNIQUE INDEX CONCURRENTLY a_broken_one ON hannun.participants (event_no)")


def statistics_are_stale(scene: Scene) -> None:
    scene.world.rows("ALTER TABLE hannun.ended_sessions SET (autovacuum_enabled = false)")
    scene.world.rows(
        "INSERT INTO hannun.ended_sessions SELECT sha256(n::text::bytea), now(), now() FROM generate_series(1, 11000) n"
    )
    scene.world.rows("SELECT pg_stat_force_next_flush()")


def connections_run_out(scene: Scene) -> None:
    """Of 40 connections 35 are open: with that of the doctor 90 %."""
    scene.world.rows(f"ALTER DATABASE {scene.world.name} CONNECTION LIMIT 40")
    count = "SELECT count(*) AS open FROM pg_stat_activity WHERE datname = current_database()"
    for _ in range(35 - scene.world.rows(count)[0].open):
        scene.undo.enter_context(connect(scene.world.url, application="another program"))


def a_pool_is_exhausted(scene: Scene) -> None:
    """Both connections of a pool of readers run a statement that does not end."""
    scene.expect(pool_size_max=2, busy_s=0.1)
    pool = ReadPool(scene.world.url, PoolLimits(size_max=2, size_min=2), application="hannun-serve-read")

    async def sleep() -> None:
        async with pool.connection() as conn:
            await conn.execute("SELECT pg_sleep(100)")

    async def read() -> None:
        await pool.open()
        await asyncio.gather(sleep(), sleep(), return_exceptions=True)
        await pool.close()

    thread = threading.Thread(target=lambda: asyncio.run(read()))
    thread.start()
    scene.undo.callback(thread.join)
    scene.undo.callback(end_sessions, scene, "hannun-serve-read")
    waits_for(scene, "hannun-serve-read", 2, "query LIKE '%%pg_sleep%%'")


def a_lock_is_held(scene: Scene) -> None:
    """A session that is idle in its transaction holds a row that another one needs."""
    scene.expect(lock_waited_s=0.1)
    update = "UPDATE hannun.events SET version = version"
    scene.undo.enter_context(connect(scene.world.url, application="a forgotten session")).execute(update)

    def wait() -> None:
        with suppress(HannunError, psycopg.Error), connect(scene.world.url, application="a waiting one") as conn:
            conn.execute(update)

    thread = threading.Thread(target=wait)
    thread.start()
    scene.undo.callback(thread.join)
    scene.undo.callback(end_sessions, scene, "a waiting one")
    waits_for(scene, "a waiting one", 1, "wait_event_type = 'Lock'")


def waits_for(scene: Scene, application: str, sessions: int, condition: str) -> None:
    """Wait until so many sessions have been in a condition for 0.1 s."""
    query = (
        f"SELECT count(*) AS found FROM pg_stat_activity WHERE application_name = %s AND {condition} "
        "AND clock_timestamp() - state_change > interval '0.1 s' AND datname = current_database()"
    )
    with psycopg.connect(scene.world.postgres.superuser_url, dbname=scene.world.name, autocommit=True) as conn:
        scene.world.wait_for(
            application,
            lambda: (row := conn.execute(query, [application]).fetchone()) and row[0] == sessions,  # type: ignore[arg-type]
        )


def end_sessions(scene: Scene, application: str) -> None:
    with psycopg.connect(scene.world.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [application]
        )


def the_database_outgrows_its_disk(scene: Scene) -> None:
    scene.expect(database_bytes_max=scene.world.rows("SELECT pg_database_size(current_database()) AS size")[0].size)


def a_slot_keeps_wal(scene: Scene) -> None:
    scene.expect(slot_bytes_max=0)
    name = f"slot_of_{scene.world.name}"
    with psycopg.connect(scene.world.postgres.superuser_url, autocommit=True) as conn:
        conn.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
    scene.undo.callback(drop_slot, scene, name)
    scene.world.count(scene.world.registered())


def drop_slot(scene: Scene, name: str) -> None:
    with psycopg.connect(scene.world.postgres.superuser_url, autocommit=True) as conn:
        conn.execute("SELECT pg_drop_replication_slot(%s)", [name])


def messages_are_unusable(scene: Scene) -> None:
    scene.expect(dead_letters_an_hour_max=5)
    scene.world.count(*(scene.world.registered(at=f"never {number}") for number in range(5)))


def redis_takes_no_invalidation(scene: Scene) -> None:
    scene.expect(invalidation_late_s=0)
    nobody = Invalidator(replace(scene.world.redis, port=1))
    scene.undo.callback(nobody.close)
    scene.world.counter_on(scene.world.database, nobody).count([scene.world.registered()])


def an_event_is_never_created(scene: Scene) -> None:
    event = "5b0c2f64-0000-4000-8000-0000000000ff"
    scene.world.count(scene.world.registered(event=event))
    scene.world.rows(
        "UPDATE hannun.events SET first_seen_at = first_seen_at - interval '2 h' WHERE event_id = %s", event
    )


def the_backup_is_old(scene: Scene) -> None:
    age(scene, "backup-logical", "2 days")


def the_drill_is_old(scene: Scene) -> None:
    age(scene, "drill", "9 days")


def age(scene: Scene, kind: str, by: str) -> None:
    scene.world.rows(f"UPDATE hannun.operation_runs SET ended_at = ended_at - interval '{by}' WHERE kind = '{kind}'")


def a_figure_is_falsified(scene: Scene) -> None:
    scene.world.rows("UPDATE public.event_stats SET total_participants = total_participants + 1")


def a_conversion_of_amounts_is_interrupted(scene: Scene) -> None:
    """As where `hannun amounts encrypt` was killed after its first step."""
    file = Path(scene.undo.enter_context(tempfile.TemporaryDirectory()), "keys.toml")
    key_ring.add_key(file, "first")
    scene.amounts = Amounts(key_ring.open_key_ring(file))
    with connect(scene.world.owner_url, application="test", amounts=scene.amounts) as conn:
        amount_sweep.begin(conn, amount_sweep.Operation.ENCRYPT, "tester")
    scene.world.rows("UPDATE hannun.amount_sweeps SET heartbeat_at = heartbeat_at - interval '5 minutes'")


def the_key_of_forgotten_ids_is_lost(scene: Scene) -> None:
    scene.world.rows(
        "INSERT INTO hannun.forgotten (kind, event_id, digest, key_id) VALUES ('merchant', '', sha256('x'), 'lost')"
    )


def redis_is_away(scene: Scene) -> None:
    scene.redis_port = 1


def answers_are_evicted(scene: Scene) -> None:
    """Redis has room for 2 MB of 10 MB of answers."""
    # Memory is freed within the command. A busy thread in the background would free it later, and Redis would refuse
    # writes for want of memory until then.
    configure_redis(scene, "lazyfree-lazy-eviction", "no")
    empty_redis(scene)  # else what earlier tests have left is evicted first, and is room for more
    configure_redis(scene, "maxmemory", redis_used(scene) + 2_000_000)
    read_answers(scene, count=200, size=50_000, times=4)


def answers_live_too_short(scene: Scene) -> None:
    scene.expect(answer_lifetime_s=0.02)
    read_answers(scene, count=200, size=10, times=5, until_gone=True)


def answers_are_invalidated_too_often(scene: Scene) -> None:
    """Between two changes of an event its answer is read 20 times, and 8 times before it is filled again."""

    async def read() -> None:
        async with opened_cache(scene) as cache:
            for _ in range(40):
                await fill(cache, keys.dashboard(SPRING), 10)
                assert all([await cache.get(keys.dashboard(SPRING)) for _ in range(20)])
                scene.world.count(scene.world.registered())
                assert not any([await cache.get(keys.dashboard(SPRING)) for _ in range(8)])

    asyncio.run(read())


def answers_are_read_for_the_first_time(scene: Scene) -> None:
    async def read() -> None:
        async with opened_cache(scene) as cache:
            number = 0
            while cache.misses < 1_000:  # Redis may not answer the first ones, while a connection opens
                await cache.get(keys.dashboard(f"event {number}"))
                number += 1

    asyncio.run(read())


def read_answers(scene: Scene, *, count: int, size: int, times: int, until_gone: bool = False) -> None:
    """Fill answers of so many bytes, and read each so often."""

    async def read() -> None:
        async with opened_cache(scene) as cache:
            names = [keys.dashboard(f"event {number}") for number in range(count)]
            for name in names:
                await fill(cache, name, size)
            if until_gone:
                client = redis_client(scene.world)
                scene.undo.callback(client.close)
                scene.world.wait_for("the answers to expire", lambda: not client.exists(names[-1]))
            for name in names * times:
                await cache.get(name)

    asyncio.run(read())


@asynccontextmanager
async def opened_cache(scene: Scene) -> AsyncIterator[AnswerCache]:
    patient = replace(scene.world.redis, timeout_s=10.0)  # a busy machine is no trouble that this test is about
    cache = AnswerCache(patient, lifetime_s=scene.expected.answer_lifetime_s)
    await cache.open()
    try:
        yield cache
    finally:
        await cache.close()


async def fill(cache: AnswerCache, key: str, size: int) -> None:
    """Fill an answer. Where Redis evicts, it may refuse or evict the lease, and refuse the fill: each is a miss."""
    lease = await cache.acquire_lease(key)
    if lease is not None:
        await cache.fill(lease, EncodedAnswer(b'"%s"' % (b"x" * size), 1, OWNER, "an etag"))


def empty_redis(scene: Scene) -> None:
    client = redis_client(scene.world)
    client.execute_command("FLUSHDB", "SYNC")
    client.close()


def redis_used(scene: Scene) -> int:
    client = redis_client(scene.world)
    used = int(client.info("memory")["used_memory"])  # type: ignore[index]
    client.close()
    return used


def configure_redis(scene: Scene, name: str, value: object) -> None:
    """Set an option of Redis until the end of the test."""
    client = redis_client(scene.world)
    before = client.config_get(name)[name]  # type: ignore[index]
    client.config_set(name, str(value))
    scene.undo.callback(client.close)
    scene.undo.callback(client.config_set, name, before)


def redis_is_full(scene: Scene) -> None:
    configure_redis(scene, "maxmemory-policy", "noeviction")
    configure_redis(scene, "maxmemory", redis_used(scene) + 1_000)


def an_operator_holds_a_breaker_open(scene: Scene) -> None:
    ended_round(scene.world, "instagram")
    with scene.world.database.transaction() as conn:
        channel_breakers.hold_open(conn, "instagram", "an operator")


def no_round_has_ended_lately(scene: Scene) -> None:
    if not scene.world.rows("SELECT FROM hannun.rounds"):
        ended_round(scene.world)
    age_rounds(scene.world, timedelta(minutes=11))


TROUBLES: dict[str, Callable[[Scene], None]] = {
    "months-ahead": a_month_is_missing,
    "schema": the_schema_is_older,
    "rights": a_right_is_revoked,
    "time-zone": the_database_is_in_seoul,
    "partitioned": the_timeline_is_a_plain_table,
    "indexes": the_brin_index_is_dropped,
    "pruning": pruning_is_off,
    "statistics": statistics_are_stale,
    "connections": connections_run_out,
    "pool": a_pool_is_exhausted,
    "locks": a_lock_is_held,
    "disk": the_database_outgrows_its_disk,
    "replication-slots": a_slot_keeps_wal,
    "stopped-partitions": a_partition_stops,
    "dead-letters": messages_are_unusable,
    "invalidations": redis_takes_no_invalidation,
    "uncreated-events": an_event_is_never_created,
    "backups": the_backup_is_old,
    "restore-drill": the_drill_is_old,
    "drift": a_figure_is_falsified,
    "key-ring": the_key_of_forgotten_ids_is_lost,
    "amounts": a_conversion_of_amounts_is_interrupted,
    "channels": an_operator_holds_a_breaker_open,
    "refresh": no_round_has_ended_lately,
    "cache-misses": answers_are_evicted,
    "redis-memory": redis_is_full,
    "clocks": this_machine_is_late,
    "redis": redis_is_away,
}
"""A trouble for each check, by the check's name. Those of the servers that these leave out have tests of their own."""


def test_a_healthy_system_yields_no_finding(scene: Scene) -> None:
    assert scene.examine() == {}


@pytest.mark.parametrize("check", TROUBLES)
def test_a_trouble_is_found_by_its_check_and_by_no_other(scene: Scene, check: str) -> None:
    TROUBLES[check](scene)
    assert set(scene.examine()) == {check}


@pytest.mark.parametrize("pair", list(pairwise([*TROUBLES, next(iter(TROUBLES))])))
def test_two_troubles_at_once_are_both_found(scene: Scene, pair: tuple[str, str]) -> None:
    for check in pair:
        TROUBLES[check](scene)
    assert set(scene.examine()) == set(pair)


IN_THE_WAY = ("partitioned", "locks", "rights")
"""Troubles that keep others from being made: they come last, in this order."""
HIDDEN = {
    ("partitioned", "pruning"): "no partition can be pruned",
    ("months-ahead", "partitioned"): "no month can be missing",
    ("cache-misses", "redis"): "nothing can be read of it",
    ("redis-memory", "redis"): "nothing can be read of it",
}
"""Pairs of which one leaves nothing to find of the other."""


@pytest.mark.faults
@pytest.mark.parametrize("pair", [pair for pair in combinations(TROUBLES, 2) if pair not in HIDDEN])
def test_any_two_troubles_at_once_are_both_found(scene: Scene, pair: tuple[str, str]) -> None:
    for check in sorted(pair, key=lambda each: IN_THE_WAY.index(each) if each in IN_THE_WAY else -1):
        TROUBLES[check](scene)
    assert set(scene.examine()) == set(pair)


def no_backup_was_ever_made(scene: Scene) -> None:
    scene.world.rows("DELETE FROM hannun.operation_runs")
    scene.expect(backups=["backup-logical"])


def only_another_kind_of_backup_was_made(scene: Scene) -> None:
    scene.world.rows("UPDATE hannun.operation_runs SET kind = 'backup-redis' WHERE kind = 'backup-logical'")


def no_physical_backup_was_ever_made(scene: Scene) -> None:
    scene.expect(backups=["backup-logical", "backup-physical"])


def a_reconcile_found_drift(scene: Scene) -> None:
    with connect(scene.world.url, application="test") as conn:
        run_no = operation_runs.begin(conn, "reconcile")
        operation_runs.end(conn, run_no, "succeeded", detail={"drift": 2})


def test_the_summary_counts_what_did_not_end_and_what_was_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding(Severity.WARNING, "a disk", "it is full", "make room", {})
    print_results(
        [
            CheckResult("disk", "found", [finding]),
            CheckResult("redis", "skipped", reason="no setting names it"),
            CheckResult("kafka", "unfinished", reason="it did not end in time"),
        ]
    )
    summary = capsys.readouterr().out.splitlines()[-1]
    assert summary == "3 checks: 0 found nothing, 1 unfinished, 1 skipped; 1 finding"


def test_figures_have_separators_of_thousands_and_numbers_that_name_have_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cause = "event number {event_no} has {found} participants; {share} % of them twice"
    evidence = {"event_no": 12345, "found": 1234567, "share": 0.5}
    print_results([CheckResult("drift", "found", [Finding(Severity.CRITICAL, "Drift", cause, "repair", evidence)])])
    title, printed, *_ = capsys.readouterr().out.splitlines()
    assert title == "CRITICAL drift", "a subject that repeats the name of the check is left out"
    assert printed == "  event number 12345 has 1,234,567 participants; 0.5 % of them twice"


@pytest.mark.parametrize(
    ("trouble", "check", "subject"),
    [
        (readers_lack_a_right, "rights", "analytics_readonly"),
        (dumps_lack_a_right, "rights", "analytics_backup"),
        (the_schema_is_newer_and_can_be_used, "schema", "schema hannun"),
        (the_time_zone_is_lost, "time-zone", "the database"),
        (an_index_is_invalid, "indexes", "hannun.a_broken_one"),
        (no_backup_was_ever_made, "backups", "backups"),
        (only_another_kind_of_backup_was_made, "backups", "backup-logical"),
        (no_physical_backup_was_ever_made, "backups", "backup-physical"),
        (a_reconcile_found_drift, "drift", "hannun reconcile"),
        (answers_live_too_short, "cache-misses", "answers in Redis: lifetime"),
        (answers_are_invalidated_too_often, "cache-misses", "answers in Redis: invalidations"),
        (answers_are_read_for_the_first_time, "cache-misses", "answers in Redis: first-reads"),
    ],
)
def test_another_trouble_of_the_same_check_is_found(
    scene: Scene, trouble: Callable[[Scene], None], check: str, subject: str
) -> None:
    trouble(scene)
    findings = scene.examine()
    assert {name: [each.subject for each in of_check] for name, of_check in findings.items()} == {check: [subject]}


def test_the_command_prints_what_to_do_and_its_status_is_the_severity(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(scene).items():
        monkeypatch.setenv(name, value)
    healthy = CliRunner().invoke(app, ["doctor", "--only", "rights", "--only", "schema"])
    assert (healthy.exit_code, healthy.output) == (0, "2 checks: 2 found nothing; 0 findings\n")
    readers_lack_a_right(scene)
    warned = CliRunner().invoke(app, ["doctor"])
    assert warned.exit_code == 1
    assert "GRANT SELECT ON channel_stats TO analytics_readonly;" in warned.output
    a_right_is_revoked(scene)
    critical = CliRunner().invoke(app, ["doctor", "--json", "--only", "rights"])
    assert critical.exit_code == 2
    answer = json.loads(critical.stdout)
    assert answer["severity"] == str(Severity.CRITICAL)
    assert [finding["subject"] for finding in answer["findings"]] == ["analytics_readonly", "analytics_readwrite"]
    assert answer["findings"][1]["statements"] == ["GRANT UPDATE ON hannun.events TO analytics_readwrite;"]


def test_a_flipped_byte_in_a_table_file_is_found(postgres: PostgresServer, valkey: ValkeyServer) -> None:
    """PostgreSQL copies the files of a template without reading their pages, so no page of the copy is cached."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests STRATEGY file_copy OWNER {DATABASE_OWNER}")
        with psycopg.connect(postgres.superuser_url, dbname="template_of_tests") as template:
            row = template.execute("SELECT pg_relation_filenode('hannun.channels')").fetchone()
        oid = conn.execute("SELECT oid FROM pg_database WHERE datname = %s", [name]).fetchone()
        assert row is not None and oid is not None
        flip_byte(postgres.data / "base" / str(oid[0]) / str(row[0]), 8_000)
        try:
            world = World(postgres, valkey, name)
            with examination(world, Expected()) as prepared:
                (result,) = run(prepared, "damaged-pages")
            (finding,) = result.findings
            assert (finding.severity, finding.subject) == (Severity.CRITICAL, "hannun.channels")
            assert "invalid page in block 0" in finding.cause_text
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("granted", [True, False])
def test_a_flipped_byte_in_an_index_file_is_found_where_amcheck_may_be_used(
    postgres: PostgresServer, valkey: ValkeyServer, granted: bool
) -> None:
    """Of an index whose table is whole. No page of a copied file is cached."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests STRATEGY file_copy OWNER {DATABASE_OWNER}")
        try:
            with psycopg.connect(postgres.superuser_url, dbname=name, autocommit=True) as copy:
                copy.execute("CREATE EXTENSION amcheck")
                if granted:
                    copy.execute("GRANT EXECUTE ON FUNCTION bt_index_check(regclass) TO PUBLIC")
                row = copy.execute("SELECT pg_relation_filenode('hannun.channels_pkey')").fetchone()
            oid = conn.execute("SELECT oid FROM pg_database WHERE datname = %s", [name]).fetchone()
            assert row is not None and oid is not None
            flip_byte(postgres.data / "base" / str(oid[0]) / str(row[0]), 2 * 8_192 - 100)
            world = World(postgres, valkey, name)
            with examination(world, Expected(), url=world.url) as prepared:
                (result,) = run(prepared, "damaged-indexes")
            if granted:
                (finding,) = result.findings
                assert (finding.severity, finding.subject) == (Severity.CRITICAL, "hannun.channels_pkey")
                assert "REINDEX INDEX CONCURRENTLY hannun.channels_pkey;" in finding.statements
            else:
                assert result.state == "skipped"
                assert "GRANT EXECUTE ON FUNCTION public.bt_index_check(regclass) TO" in result.reason_text
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_indexes_of_a_healthy_system_are_whole_by_amcheck(scene: Scene) -> None:
    with psycopg.connect(scene.world.postgres.superuser_url, dbname=scene.world.name, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION amcheck")
        conn.execute("GRANT EXECUTE ON FUNCTION bt_index_check(regclass) TO PUBLIC")
    assert scene.examine("damaged-indexes") == {}


def flip_byte(file: Path, at: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        (byte,) = opened.read(1)
        opened.seek(at)
        opened.write(bytes([byte ^ 1]))


@pytest.fixture
def disk(home: Path) -> Iterator[SmallDisk]:
    """A file system of 60 MB; skips, or fails with CI=true, where none can be mounted."""
    if (reason := no_mount_reason()) is not None:
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(f"SKIPPED LOUDLY: {reason}")
    with small_disk(home / f"disk-{uuid.uuid4().hex[:8]}", 60) as disk:
        yield disk


def test_a_nearly_full_disk_is_found(scene: Scene, disk: SmallDisk) -> None:
    scene.expect(folders={"backups": str(disk.folder)})
    assert scene.examine("disk") == {}
    disk.fill(leave_bytes=6_000_000)
    (finding,) = scene.examine("disk")["disk"]
    assert (finding.severity, finding.subject) == (Severity.WARNING, str(disk.folder))
    disk.fill(leave_bytes=1_000_000)
    (finding,) = scene.examine("disk")["disk"]
    assert finding.severity == Severity.CRITICAL


def test_a_full_disk_of_postgresql_is_found_and_then_its_room(
    postgres: PostgresServer, valkey: ValkeyServer, disk: SmallDisk
) -> None:
    """The database is in a tablespace on that disk."""
    folder = disk.folder / "tables"
    folder.mkdir()
    owner = postgres.data.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests TABLESPACE {name} OWNER {DATABASE_OWNER}")
        try:
            with examination(World(postgres, valkey, name), Expected()) as prepared:
                (before,) = run(prepared, "postgresql-disk")  # the first connection writes a file of its own
                disk.fill()
                (full,) = run(prepared, "postgresql-disk")
                disk.make_room()
                (with_room,) = run(prepared, "postgresql-disk")
        finally:
            disk.make_room()
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
            conn.execute(f"DROP TABLESPACE {name}")
    assert (before.state, before.findings) == ("ok", [])
    assert [each.severity for each in full.findings] == [Severity.CRITICAL], full
    assert "is full" in full.findings[0].cause_text
    assert (with_room.state, with_room.findings) == ("ok", [])


def environment_of(scene: Scene) -> dict[str, str]:
    """What the settings of a command need to reach the servers of a test."""
    redis = scene.world.redis
    return {"DATABASE_URL": scene.world.url, "REDIS_PORT": str(redis.port), "REDIS_PASSWORD": redis.password}


def test_postgresql_that_refuses_everybody_is_one_finding_and_the_rest_is_unfinished(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    with examination(scene.world, Expected(), url="postgresql://127.0.0.1:1/nobody") as prepared:
        results = {each.check: each for each in run(prepared)}
    assert [check for check, each in results.items() if each.findings] == ["postgresql"]
    assert results["redis"].state == "ok"
    assert {each.state for each in results.values()} == {"found", "ok", "unfinished", "skipped"}
    print_results(list(results.values()))
    printed = capsys.readouterr().out
    assert printed.count("cannot connect to PostgreSQL") == 1, "only the finding says why"
    assert printed.count("see postgresql") == 1, "the checks that need PostgreSQL share a line"


def test_redis_that_is_away_is_one_finding_and_its_other_checks_name_it(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each check words the trouble by the command that failed."""
    with examination(scene.world, Expected(), redis_port=1) as prepared:
        results = run(prepared)
    assert {each.check for each in results if each.findings} == {"redis"}
    print_results(results)
    printed = capsys.readouterr().out
    assert "unfinished cache-misses, redis-memory: see redis\n" in printed
    assert printed.count("refused") == 1, "only the finding says why"


def test_a_check_alone_says_itself_why_it_did_not_end(scene: Scene) -> None:
    with examination(scene.world, Expected(), redis_port=1) as prepared:
        (result,) = run(prepared, "cache-misses")
    assert result.state == "unfinished"
    assert result.reason_text.startswith("Redis does not answer INFO: ")


def test_no_free_connection_is_a_finding(scene: Scene) -> None:
    scene.world.rows(f"ALTER DATABASE {scene.world.name} CONNECTION LIMIT 1")
    with examination(scene.world, Expected()) as prepared:
        (result,) = run(prepared, "postgresql")
    (finding,) = result.findings
    assert "too many connections" in finding.cause_text


def test_servers_that_hang_do_not_hang_the_doctor(scene: Scene) -> None:
    """Each accepts connections and answers nothing more."""
    world = scene.world
    with (
        Proxy(world.postgres.port, PostgresRequests) as postgres,
        Proxy(world.redis.port, RedisRequests) as valkey,
        socket.create_server(("127.0.0.1", 0)) as broker,
        examination(
            world,
            Expected(),
            url=make_conninfo(world.url, host="127.0.0.1", port=postgres.port),
            redis_port=valkey.port,
            bootstrap=f"127.0.0.1:{broker.getsockname()[1]}",
        ) as prepared,
    ):
        postgres.hold("BEGIN")
        valkey.hold("PING")
        results = prepared.run(list(CHECKS.values()), total_s_max=1.0)  # it would wait for ever
        valkey.release()
        postgres.release()
    assert "redis" in {each.check for each in results if each.findings or each.state == "unfinished"}
    assert {each.check for each in results if each.state == "unfinished"} >= {"schema", "drift", "kafka"}


def test_checks_whether_redis_accepts_deletions_do_not_count_as_invalidations(scene: Scene) -> None:
    inspector, invalidator = ServerInspector(scene.world.redis), Invalidator(scene.world.redis)
    scene.undo.callback(inspector.close)
    scene.undo.callback(invalidator.close)

    async def check_writes_of_serve() -> None:
        cache = AnswerCache(scene.world.redis, lifetime_s=60)
        try:
            await cache.check_writes()
        finally:
            await cache.close()

    before = inspector.count_lookups().invalidations
    invalidator.check()
    asyncio.run(check_writes_of_serve())
    assert inspector.count_lookups().invalidations == before
    invalidator.invalidate([ChangedEvent(SPRING, OWNER, 2, ())])
    assert inspector.count_lookups().invalidations == before + 1


def test_misses_that_rise_are_compared_with_the_counts_that_schedule_records(scene: Scene) -> None:
    inspector = ServerInspector(scene.world.redis)
    scene.undo.callback(inspector.close)
    inspector.record_lookups()
    answers_are_read_for_the_first_time(scene)
    (recorded,) = inspector.recorded_lookups()
    assert inspector.count_lookups().misses - recorded.misses >= 1_000
    (finding,) = scene.examine("cache-misses")["cache-misses"]
    assert finding.severity == Severity.NOTICE
