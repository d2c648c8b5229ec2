"""A physical backup and the archived log lead to any moment: another server starts there, and goes on."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from made_backups import NOT_SHOWN, PROGRAMS
from polling import wait_for
from world import World, make_database, make_owner

from hannun.backups.folder import BackupFolder
from hannun.backups.manifest import Manifest, Wal
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import OperatorError
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.create import create
from hannun.flows.backup.wal import SLOT, archive
from hannun.flows.restore.finish import finish
from hannun.flows.restore.loading import BackupSource
from hannun.flows.restore.physical import RestoredFolder, restore_physical
from hannun.pg_programs.programs import Programs
from hannun.store.database import connected

DATABASE = "pitr"


def event(number: int) -> str:
    return f"5b0c2f64-0000-4000-8000-{number:012}"


def source(folder: Path) -> BackupSource:
    return BackupSource(BackupFolder(folder), None, PROGRAMS)


@pytest.fixture
def folder(home: Path) -> Iterator[Path]:
    """The folder of backups, where PostgreSQL's user can read the archived log, too."""
    path = home / "backups-of-pitr"
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(home: Path) -> Iterator[PostgresServer]:
    """A server of this test's own, which can make incremental backups."""
    with PostgresServer(home / "pitr", settings={"summarize_wal": "on", "fsync": "off"}) as server:
        make_owner(server)
        make_database(server, DATABASE)
        yield server
    server.destroy()


@pytest.fixture
def restored_home(home: Path, server: PostgresServer) -> Iterator[Path]:
    """The home of the server that is restored, with the password of the old one."""
    path = home / "pitr-restored"
    path.mkdir()
    path.chmod(0o711)
    shutil.copy(server.home / "postgres.password", path)
    yield path
    PostgresServer(path).destroy()


@contextmanager
def archiving(context: BackupContext, server: PostgresServer) -> Iterator[None]:
    """Archive the log in the block, all of it."""
    stop, done = threading.Event(), "SELECT pg_wal_lsn_diff(flush_lsn, %s) >= 0 FROM pg_stat_replication"
    thread = threading.Thread(
        target=archive, args=[context], kwargs={"stopped": stop.is_set, "wait": stop.wait, "free_bytes_min": 0}
    )
    thread.start()
    try:
        with psycopg.connect(server.superuser_url, autocommit=True) as conn:
            active = f"SELECT active FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
            wait_for("the archive to receive", lambda: conn.execute(active).fetchone() == (True,))
            yield
            row = conn.execute("SELECT pg_current_wal_lsn()").fetchone()
            wait_for("the archive to be complete", lambda: conn.execute(done, row).fetchone() == (True,))
    finally:
        stop.set()
        thread.join()


def readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)


@pytest.mark.faults
def test_a_server_starts_at_the_moment_before_a_mistake_and_goes_on(
    server: PostgresServer, valkey: ValkeyServer, folder: Path, restored_home: Path
) -> None:
    with World(server, valkey, DATABASE) as world:
        seconds = iter(range(100))
        began = datetime.now(UTC) - timedelta(hours=1)
        context = BackupContext(
            BackupFolder(folder),
            world.another_database(),
            server.url(DATABASE),
            PROGRAMS,
            "test",
            lambda: began + timedelta(seconds=next(seconds)),
        )
        with archiving(context, server):
            world.count(world.created(event(1)), world.registered("p1", event(1)))
            create(context, "physical", world.redis, recipient=None)
            world.count(world.created(event(2)), world.registered("p2", event(2)))
            backup = create(context, "physical", world.redis, recipient=None, incremental=True)
            world.count(world.created(event(3)), world.registered("p3", event(3)))
            moment = world.rows("SELECT clock_timestamp() AS now")[0].now
            world.rows("DELETE FROM hannun.participants")  # the mistake
        readable(folder)
        done = restore_physical(backup, source(folder), restored_home / "data", moment, NOT_SHOWN)
        assert done.recovers_to is not None
        version = world.event_row(event(3)).version
    with PostgresServer(restored_home, settings={"fsync": "off"}) as again:
        with psycopg.connect(again.superuser_url, autocommit=True) as conn:
            recovering = "SELECT pg_is_in_recovery()"
            wait_for("the recovery to end", lambda: conn.execute(recovering).fetchone() == (False,))
        with World(again, valkey, DATABASE) as world:
            for number in (1, 2, 3):
                assert world.event_row(event(number)).participants == 1
            assert world.drift() == []
            with connected(world.owner_url, application="test") as owner:
                finish(owner, "an operator", lambda: 0, world.deliver_pending)
            assert world.event_row(event(3)).version > version
            world.count(world.registered("p4", event(3)))
            assert world.event_row(event(3)).participants == 2
            assert world.drift() == []


def manifest(**fields: object) -> Manifest:
    at = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
    given = {"server_version": "18.1", "files": [], **fields}
    return Manifest(
        kind="physical", name="physical/20261122T190000Z", started_at=at, ended_at=at, hannun_version="", **given
    )  # type: ignore[arg-type]


def test_a_moment_that_cannot_be_reached_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    made = manifest()
    for moment, found in (
        (made.ended_at - timedelta(seconds=1), "was complete at"),
        (made.ended_at + timedelta(seconds=1), "no archived log"),
    ):
        with pytest.raises(OperatorError, match=found):
            restore_physical(made, source(tmp_path), tmp_path / "data", moment, NOT_SHOWN)
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / "000000010000000000000001.partial").touch()
    with pytest.raises(OperatorError, match="the archived log reaches to"):
        restore_physical(made, source(tmp_path), tmp_path / "data", datetime.now(UTC) + timedelta(days=1), NOT_SHOWN)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("segments", "missing"), [(["0D", "0E"], "0B"), (["0B", "0D"], "0C"), (["09"], "0B")])
def test_a_moment_behind_a_gap_in_the_archived_log_is_refused_before_anything_is_unpacked(
    tmp_path: Path, segments: list[str], missing: str
) -> None:
    made = manifest(wal=Wal(1, "0/A000028", "0/B000120"))
    (tmp_path / "wal").mkdir()
    for number in segments:
        path = tmp_path / "wal" / f"0000000100000000000000{number}"
        with path.open("wb") as file:
            file.truncate(16 << 20)
        written = made.ended_at.timestamp() + (60 if number == "0B" else 3600)
        os.utime(path, (written, written))
    with pytest.raises(OperatorError, match=f"segment 0000000100000000000000{missing} is missing in .*/wal"):
        restore_physical(made, source(tmp_path), tmp_path / "data", made.ended_at + timedelta(minutes=30), NOT_SHOWN)
    assert not (tmp_path / "data").exists()


def test_the_user_of_postgresql_is_given_the_data_folder_and_the_archived_log() -> None:
    restored = RestoredFolder(Path("/srv/to day"), Programs(Path("/usr/bin"), 18, "18.1"), "the end", Path("/b/wal"))
    assert restored.access_commands("postgres") == [
        "chown -R postgres '/srv/to day'",
        "setfacl -m u:postgres:x /b && setfacl -R -m u:postgres:rX /b/wal",
    ]


def test_only_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "of-somebody").touch()
    with pytest.raises(OperatorError, match="is not empty"):
        restore_physical(manifest(), source(tmp_path), tmp_path / "data", None, NOT_SHOWN)
    assert (tmp_path / "data" / "of-somebody").exists()


def test_a_logical_backup_is_no_folder(tmp_path: Path) -> None:
    logical = msgspec.structs.replace(manifest(), kind="logical")
    with pytest.raises(OperatorError, match="no physical backup"):
        restore_physical(logical, source(tmp_path), tmp_path / "data", None, NOT_SHOWN)
