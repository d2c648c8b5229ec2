"""Backups under load, on a full disk, and killed: what is not whole is never taken for a backup."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from polling import wait_for
from programs import commands_of_machine, pg_dump_that_waits_for
from world import World

from hannun.backups.folder import BackupFolder
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.create import create
from hannun.flows.backup.prune import prune
from hannun.flows.reconcile import reconcile
from hannun.store.database import Database, PoolLimits, connected

BATCH = 300


def environment(world: World, folder: Path, programs: Path) -> dict[str, str]:
    """The settings of a command on the test's database."""
    return {
        **os.environ,
        "DATABASE_URL": world.url,
        "HANNUN_OWNER_DATABASE_URL": world.owner_url,
        "HANNUN_BACKUP_FOLDER": str(folder),
        "HANNUN_POSTGRES_PROGRAMS": str(programs),
        "COLUMNS": "80",
    }


def hannun(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hannun", *arguments]


def outcomes(world: World) -> Sequence[tuple[str, str | None]]:
    rows = world.rows("SELECT kind, outcome FROM hannun.operation_runs ORDER BY run_no")
    return [(row.kind, row.outcome) for row in rows]


@pytest.mark.faults
def test_a_killed_backup_ends_its_program_and_is_never_taken_for_a_good_one(world: World, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    folder = BackupFolder(tmp_path / "backups")
    programs = pg_dump_that_waits_for(tmp_path / "never", world.postgres.binaries, tmp_path / "programs")
    killed = subprocess.Popen(
        hannun("backup", "create"), env=environment(world, folder.path, programs), stderr=subprocess.DEVNULL
    )

    def dumps() -> bool:
        return any(str(programs / "pg_dump") in command for command in commands_of_machine())

    wait_for("pg_dump to be started", dumps)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    wait_for("pg_dump to be ended with the command", lambda: not dumps())
    assert [found.why for found in folder.contents().unusable] != []
    assert folder.contents().backups == []
    listed = subprocess.run(
        hannun("backup", "list"), env=environment(world, folder.path, programs), capture_output=True, text=True
    )
    assert listed.returncode == 1
    assert "unfinished" in listed.stdout
    again = subprocess.run(
        hannun("backup", "create"),
        env=environment(world, folder.path, world.postgres.binaries),
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    assert outcomes(world) == [("backup-logical", None), ("backup-logical", "succeeded")]
    assert len(prune(folder, daily=7, weekly=4).unfinished) == 1
    assert len(folder.contents().backups) == 1
    assert folder.contents().unusable == []


@pytest.mark.parametrize("options", [(), pytest.param(("--encrypt",), marks=pytest.mark.faults)])
def test_on_a_full_disk_nothing_half_counts_as_a_backup_and_the_failure_is_recorded(
    world: World, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """On a file system of 300 kB, which is nearly full."""
    require_mounts()
    world.rows("CREATE TABLE public.incompressible AS SELECT gen_random_uuid() FROM generate_series(1, 20000)")
    public = subprocess.run(hannun("backup", "keys", str(tmp_path / "key")), capture_output=True, text=True, check=True)
    recipient = {"HANNUN_BACKUP_RECIPIENT": public.stdout.strip()} if options else {}
    folder = tmp_path / "backups"
    folder.mkdir()
    script = (
        f"mount -t tmpfs -o size=300k nothing {folder} && {' '.join(hannun('backup', 'create', *options))}; "
        f"echo status $?; find {folder} -name '*.*' -not -name '*.lock'; df --output=used {folder} | tail -1"
    )
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=environment(world, folder, world.postgres.binaries) | recipient,
        capture_output=True,
        text=True,
    )
    assert "status 2" in ran.stdout, ran.stdout + ran.stderr
    said = " ".join(ran.stderr.split())
    assert "No space left on device" in said
    assert "make room in the folder of backups" in said
    assert not [line for line in ran.stdout.splitlines() if "analytics_" in line or "manifest" in line]
    assert int(ran.stdout.splitlines()[-1]) < 100, "what was written is removed again"
    assert outcomes(world) == [("backup-logical", "failed")]
    assert "No space left" in world.rows("SELECT detail->>'error' AS why FROM hannun.operation_runs")[0].why


def require_mounts() -> None:
    """Skip where this user may not mount a file system; CI is root."""
    may = subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs nothing /mnt"], capture_output=True)
    if may.returncode != 0:
        assert os.environ.get("CI") != "true", f"CI must run this: {may.stderr.decode()}"
        pytest.skip("SKIPPED LOUDLY: mounting a file system needs root")


@pytest.fixture
def writers(world: World) -> Iterator[threading.Event]:
    """Two writers that count as fast as they can until the test ends. The event is set after the first batch."""
    stopped, begun = threading.Event(), threading.Event()

    def write(database: Database) -> None:
        with closing(database):
            counter = world.counter_on(database)
            while not stopped.is_set():
                counter.count([world.registered() for _ in range(BATCH)])
                begun.set()

    world.count(world.created())
    databases = [Database(world.url, PoolLimits(wait_s=5), application="writer") for _ in range(2)]
    threads = [threading.Thread(target=write, args=[database]) for database in databases]
    for thread in threads:
        thread.start()
    yield begun
    stopped.set()
    for thread in threads:
        thread.join()


@pytest.mark.faults
def test_under_full_load_the_dump_holds_exactly_what_its_manifest_counts(
    world: World, context: BackupContext, writers: threading.Event
) -> None:
    wait_for("the first batch", writers.is_set)
    name = f"{world.name}_restored"
    for _ in range(3):
        made = create(context, "logical", world.redis, recipient=None)
        dump = context.folder.path_of(made.name) / made.files[0].name
        with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}")
        try:
            program = world.postgres.binaries / "pg_restore"
            subprocess.run([program, f"--dbname={world.postgres.url(name)}", dump], check=True, capture_output=True)
            with connected(world.postgres.url(name), application="test") as conn:
                for table, rows in made.snapshot_counts.items():
                    assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,), table  # type: ignore[call-overload]
                conn.rollback()
                assert list(reconcile(conn, lambda _: None)) == []
        finally:
            with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
                conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
