"""Backups of a real PostgreSQL and a real Redis: what is made can be verified, and what fails leaves nothing."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from backup_clock import NOON, every_second
from programs import commands_of_machine, pg_dump_that_waits_for, program_of
from redis import Redis
from world import World

from hannun.backups.encryption import new_identity
from hannun.backups.folder import BackupFolder
from hannun.backups.manifest import Manifest, Wal
from hannun.cache import RedisAddress
from hannun.embedded import ValkeyServer
from hannun.errors import OperatorError, StoreUnavailable, Transient
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.create import create
from hannun.flows.backup.prune import prune
from hannun.flows.backup.verification import verify
from hannun.store import operation_runs


def outcomes(world: World) -> list[tuple[str, str | None]]:
    """Kind and outcome of each recorded run, oldest first."""
    rows = world.rows("SELECT kind, outcome FROM hannun.operation_runs ORDER BY run_no")
    return [(row.kind, row.outcome) for row in rows]


def logical(context: BackupContext, world: World, recipient: str | None = None) -> Manifest:
    return create(context, "logical", world.redis, recipient=recipient)


@pytest.fixture
def filled(world: World) -> World:
    world.count(world.created(), world.registered("p1"), world.registered("p2"), world.sold(10))
    world.rows("INSERT INTO hannun.positions (topic, partition, topic_id, next_offset) VALUES ('t', 0, 'id', 7)")
    return world


def restored(world: World, dump: Path) -> str:
    """Restore a dump into a database of its own, by PostgreSQL's own program. Returns its name."""
    name = f"{world.name}_restored"
    with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    program = world.postgres.binaries / "pg_restore"
    subprocess.run([program, f"--dbname={world.postgres.url(name)}", dump], check=True, capture_output=True)
    return name


def drop(world: World, name: str) -> None:
    with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def dump_waits(world: World) -> Iterator[Callable[[], object]]:
    """A lock for which pg_dump waits at its beginning, behind its snapshot. Gives what releases it."""
    with psycopg.connect(world.owner_url) as blocker:
        blocker.execute("LOCK TABLE hannun.sales IN ACCESS EXCLUSIVE MODE")
        yield blocker.rollback


# -- logical ---------------------------------------------------------------------------------------------------------


def test_a_logical_backup_holds_what_its_manifest_says(filled: World, context: BackupContext) -> None:
    made = logical(context, filled)
    assert made.snapshot_counts["hannun.participants"] == 2
    assert (made.sums["participants"], made.sums["recorded_revenue"]) == ("2", "10.00")
    assert [(position.topic, position.next_offset) for position in made.positions] == [("t", 7)]
    assert (made.database, made.encrypted, made.files[0].name) == (filled.name, None, "analytics_20261127.dump")
    assert {"analytics_readonly", "analytics_readwrite", "hannun_owner"} <= {role.name for role in made.roles}
    assert "secret" not in (context.folder.path_of(made.name) / "manifest.json").read_text()
    name = restored(filled, context.folder.path_of(made.name) / made.files[0].name)
    try:
        with psycopg.connect(filled.postgres.url(name)) as conn:
            for table, rows in made.snapshot_counts.items():
                assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,), table  # type: ignore[call-overload]
    finally:
        drop(filled, name)
    _, checked = verify(context, made.name)
    assert any("pg_restore reads its contents" in line for line in checked)
    assert outcomes(filled) == [("backup-logical", "succeeded"), ("verify", "succeeded")]
    with filled.database.transaction() as conn:
        newest = operation_runs.newest_successes(conn)["backup-logical"]
    assert (newest.name, newest.size_bytes) == (made.name, made.size_bytes)
    (entry,) = filled.rows("SELECT action, object, reason FROM hannun.audit_log")
    assert (entry.action, entry.object, entry.reason) == ("backup made", made.name, "not encrypted")


def test_what_is_counted_during_the_dump_is_neither_in_it_nor_in_its_manifest(
    filled: World, context: BackupContext, tmp_path: Path
) -> None:
    go = tmp_path / "go"

    def write() -> None:
        """Write between the snapshot of the counts and the first look of pg_dump."""
        if not go.exists():
            filled.count(filled.registered())
            go.touch()

    late = pg_dump_that_waits_for(go, filled.postgres.binaries, tmp_path / "programs")
    made = logical(replace(context, check=write, programs=[late]), filled)
    assert made.snapshot_counts["hannun.participants"] == 2
    name = restored(filled, context.folder.path_of(made.name) / made.files[0].name)
    try:
        with psycopg.connect(filled.postgres.url(name)) as conn:
            found = conn.execute(
                "SELECT count(*), (SELECT sum(participants) FROM hannun.events) FROM hannun.participants"
            )
            assert found.fetchone() == (made.snapshot_counts["hannun.participants"], int(made.sums["participants"]))
    finally:
        drop(filled, name)
    assert filled.rows("SELECT count(*) AS rows FROM hannun.participants")[0].rows > 2


def test_the_password_is_in_no_argument_of_a_program(filled: World, context: BackupContext) -> None:
    seen: list[str] = []
    password = "secret-of-a-test"
    assert password in context.url
    with dump_waits(filled) as release:

        def look() -> None:
            seen.extend(command for command in commands_of_machine() if "pg_dump" in command and filled.name in command)
            if seen:
                release()

        logical(replace(context, check=look), filled)
    assert not [command for command in seen if password in command]


def test_a_second_operator_is_refused_wherever_the_first_works(
    filled: World, context: BackupContext, tmp_path: Path
) -> None:
    """In the same folder, and from another machine, whose folder is another."""
    (tmp_path / "elsewhere").mkdir()
    elsewhere = replace(context, folder=BackupFolder(tmp_path / "elsewhere"))
    refused: list[str] = []
    with dump_waits(filled) as release:

        def try_as_well() -> None:
            for second in (context, elsewhere):
                with pytest.raises(Transient) as error:
                    logical(second, filled)
                refused.append(str(error.value))
            release()

        made = logical(replace(context, check=try_as_well), filled)
    assert any("in " + str(context.folder.path) in message for message in refused)
    assert any("another machine" in message for message in refused)
    assert [found.name for found in context.folder.contents().backups] == [made.name]
    assert outcomes(filled) == [("backup-logical", "succeeded")], "a refusal is no failed backup"


def test_a_stopped_backup_leaves_nothing_behind(filled: World, context: BackupContext) -> None:
    def stop() -> None:
        raise Transient("stopped")

    with pytest.raises(Transient, match="stopped"):
        logical(replace(context, check=stop), filled)
    assert list((context.folder.path / "logical").iterdir()) == []
    assert outcomes(filled) == [("backup-logical", "failed")]
    logical(context, filled)


def test_programs_older_than_the_server_are_refused_before_anything_is_dumped(
    filled: World, context: BackupContext, as_superuser: BackupContext, tmp_path: Path
) -> None:
    older = program_of(tmp_path / "older", "pg_dump", "echo 'pg_dump (PostgreSQL) 15.14'")
    with pytest.raises(OperatorError, match=r"needs programs of PostgreSQL 1\d or newer; found 15\.14 in"):
        logical(replace(context, programs=[older]), filled)
    with pytest.raises(OperatorError, match=r"needs programs of PostgreSQL 1\d; found 15\.14 in"):
        create(replace(as_superuser, programs=[older]), "physical", filled.redis, recipient=None)
    with pytest.raises(OperatorError, match="found none in /nowhere"):
        logical(replace(context, programs=[Path("/nowhere")]), filled)
    assert context.folder.contents() == ([], [])


def test_a_server_that_goes_away_is_worth_another_try(filled: World, context: BackupContext) -> None:
    with dump_waits(filled):

        def end_it() -> None:
            with psycopg.connect(filled.postgres.superuser_url, autocommit=True) as conn:
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = %s AND application_name = 'hannun-backup' AND wait_event_type = 'Lock'",
                    [filled.name],
                )

        with pytest.raises(StoreUnavailable):
            logical(replace(context, check=end_it), filled)
    assert context.folder.contents() == ([], [])


# -- encryption ------------------------------------------------------------------------------------------------------


def test_an_encrypted_backup_opens_with_its_identity_alone(
    filled: World, context: BackupContext, tmp_path: Path
) -> None:
    identity, other = tmp_path / "identity.txt", tmp_path / "other.txt"
    recipient = new_identity(identity)
    new_identity(other)
    assert identity.stat().st_mode & 0o777 == 0o600
    made = logical(context, filled, recipient)
    path = context.folder.path_of(made.name)
    assert sorted(file.name for file in path.iterdir()) == ["analytics_20261127.dump.age", "manifest.json"]
    assert (path / made.files[0].name).read_bytes().startswith(b"age-encryption.org/v1")
    _, checked = verify(context, made.name)
    assert any("is encrypted" in line for line in checked), "without the identity only the hashes are checked"
    _, checked = verify(context, made.name, identity)
    assert any("pg_restore reads" in line for line in checked)
    with pytest.raises(OperatorError, match="cannot decrypt"):
        verify(context, made.name, other)
    with pytest.raises(OperatorError, match="no public key of age"):
        logical(context, filled, "age1nonsense")


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0.0, 0.3, 0.999])
def test_a_truncated_or_changed_dump_is_not_whole(filled: World, context: BackupContext, at: float) -> None:
    made = logical(context, filled)
    path = context.folder.path_of(made.name) / made.files[0].name
    whole = path.read_bytes()
    place = int(at * len(whole))
    for damaged, found in (
        (whole[:place], "bytes instead of"),
        (whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], "SHA-256 differs"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(OperatorError, match=found):
            verify(context, made.name)
    assert outcomes(filled)[-2:] == [("verify", "failed")] * 2


# -- physical --------------------------------------------------------------------------------------------------------


def test_a_physical_backup_is_verified_by_postgresqls_own_program(
    filled: World, as_superuser: BackupContext, tmp_path: Path
) -> None:
    made = create(as_superuser, "physical", filled.redis, recipient=None)
    assert {file.name for file in made.files} == {"base.tar.gz", "pg_wal.tar.gz", "backup_manifest"}
    assert made.wal is not None and made.wal.timeline >= 1 and "/" in made.wal.start_lsn
    _, checked = verify(as_superuser, made.name)
    assert any("pg_verifybackup finds every file" in line for line in checked)
    identity = tmp_path / "identity.txt"
    encrypted = create(as_superuser, "physical", filled.redis, recipient=new_identity(identity))
    names = {file.name for file in encrypted.files}
    assert names == {"base.tar.gz.age", "pg_wal.tar.gz.age", "backup_manifest"}
    path = as_superuser.folder.path_of(encrypted.name)
    assert {file.name for file in path.iterdir()} == names | {"manifest.json"}, "nothing stays in plain"
    verify(as_superuser, encrypted.name, identity)


def test_a_role_without_replication_is_told_that_only_logical_backups_are_left(
    filled: World, context: BackupContext
) -> None:
    with pytest.raises(OperatorError, match="REPLICATION, which hannun_owner does not have") as refused:
        create(context, "physical", filled.redis, recipient=None)
    assert "managed server" in refused.value.hint
    assert "logical" in refused.value.hint
    with pytest.raises(OperatorError, match="cannot be incremental"):
        create(context, "logical", filled.redis, recipient=None, incremental=True)


def test_an_incremental_backup_needs_summaries_and_a_full_one(filled: World, as_superuser: BackupContext) -> None:
    with pytest.raises(OperatorError, match="summarize_wal is off|needs PostgreSQL 17"):
        create(as_superuser, "physical", filled.redis, recipient=None, incremental=True)


# -- Redis -----------------------------------------------------------------------------------------------------------


def test_a_backup_of_redis_is_a_snapshot_that_a_server_loads(filled: World, context: BackupContext, home: Path) -> None:
    key = f"kept:{filled.name}"
    with client_of(filled.redis) as client:
        client.config_set("repl-diskless-sync-delay", "0")  # the server waits for no second replica
        client.set(key, "x" * 300_000)
        made = create(context, "redis", filled.redis, recipient=None)
        client.delete(key)
    verify(context, made.name)
    assert made.files[0].name == "redis_20261127.rdb"
    with ValkeyServer(home / f"valkey-{filled.name}") as server:
        folder = server.home
        server.stop()
        shutil.copy(context.folder.path_of(made.name) / made.files[0].name, folder / "dump.rdb")
        server.start()
        with client_of(RedisAddress(server.host, server.port, server.password)) as client:
            assert client.strlen(key) == 300_000


def client_of(address: RedisAddress) -> Redis:
    return Redis(host=address.host, port=address.port, password=address.password)


# -- prune -----------------------------------------------------------------------------------------------------------


def test_prune_removes_what_is_not_kept_and_what_was_killed_and_not_what_is_damaged(
    filled: World, context: BackupContext
) -> None:
    days_ago = replace(context, now=lambda: NOON - timedelta(days=2))
    first, second = logical(days_ago, filled), logical(context, filled)
    killed = context.folder.begin("logical", context.now())
    damaged = logical(context, filled)
    manifest = context.folder.path_of(damaged.name) / "manifest.json"
    manifest.write_text(manifest.read_text().replace(filled.name, "another"))
    planned = prune(context.folder, daily=1, weekly=0, dry_run=True)
    assert len(list((context.folder.path / "logical").iterdir())) == 4, "nothing has changed"
    assert prune(context.folder, daily=1, weekly=0) == planned
    assert [backup.name for backup in planned.backups] == [first.name]
    assert [found.name for found in planned.unfinished] == [killed]
    assert [found.name for found in planned.damaged] == [damaged.name]
    assert [found.name for found in context.folder.contents().backups] == [second.name]
    assert prune(context.folder, daily=1, weekly=0)[:3] == ([], [], [])


def test_segments_older_than_the_oldest_physical_backup_go(tmp_path: Path) -> None:

    folder = BackupFolder(tmp_path / "backups")
    folder.wal.mkdir(parents=True)
    names = [f"00000001{number // 256:08X}{number % 256:08X}" for number in range(254, 260)]
    for name in (*names, "00000002.history"):
        (folder.wal / name).touch()
        with (folder.wal / name).open("r+b") as file:
            file.truncate(16 << 20)
    assert prune(folder, daily=1, weekly=0).segments == [], "without a physical backup all stay"
    now = every_second()
    name = folder.begin("physical", now())
    manifest = Manifest(
        kind="physical", name=name, started_at=now(), ended_at=now(), hannun_version="1", files=[],
        wal=Wal(1, "1/1000028", "1/1000100"),
    )  # fmt: skip
    folder.finish(manifest)
    assert [path.name for path in prune(folder, daily=1, weekly=0).segments] == names[:3]
    assert sorted(path.name for path in folder.wal.iterdir()) == [*names[3:], "00000002.history"]
