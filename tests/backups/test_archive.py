"""Incremental backups and the archive of the write-ahead log, on a server of their own.

The server is shared by the tests of this module, because it takes seconds to create.
"""

import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from backup_clock import every_second
from polling import wait_for
from world import NOT_DURABLE, PASSWORD, World, make_database, make_owner

from hannun.backups.encryption import new_identity
from hannun.backups.folder import BackupFolder
from hannun.backups.unpack import unpack_physical
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import OperatorError, Transient
from hannun.flows.backup import wal
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.create import create
from hannun.flows.backup.verification import verify
from hannun.store import operation_runs

SUMMARIES = {"summarize_wal": "on", "wal_level": "replica", "max_wal_senders": "10"}
pytestmark = pytest.mark.xdist_group("archive")


@pytest.fixture(scope="module")
def archived(home: Path) -> Iterator[PostgresServer]:
    with PostgresServer(home / "archived", settings=NOT_DURABLE | SUMMARIES) as server:
        make_owner(server)
        make_database(server, "analytics")
        yield server


@pytest.fixture
def site(archived: PostgresServer, valkey: ValkeyServer) -> Iterator[World]:
    with World(archived, valkey, "analytics") as world:
        yield world


@pytest.fixture
def backups(site: World, tmp_path: Path) -> BackupContext:
    """By the role that migrations create for backups."""
    with psycopg.connect(site.postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE analytics_backup REPLICATION")
    url = site.postgres.url("analytics", "analytics_backup", PASSWORD)
    (tmp_path / "backups").mkdir()
    folder = BackupFolder(tmp_path / "backups")
    return BackupContext(folder, site.database, url, [site.postgres.binaries], "0.test", every_second())


def physical(context: BackupContext, site: World, *, incremental: bool = False) -> str:
    return create(context, "physical", site.redis, recipient=None, incremental=incremental).name


@pytest.mark.faults
def test_incremental_backups_build_on_each_other_and_combine_to_one_server(
    site: World, backups: BackupContext, tmp_path: Path
) -> None:
    full = physical(backups, site)
    site.count(site.created(), *[site.registered() for _ in range(50)])
    first = physical(backups, site, incremental=True)
    site.count(*[site.registered() for _ in range(50)])
    second = physical(backups, site, incremental=True)
    chain = backups.folder.chain(backups.folder.read(second))
    assert [part.name for part in chain] == [full, first, second]
    assert chain[2].size_bytes < chain[0].size_bytes / 2, "an incremental backup is smaller"
    _, checked = verify(backups, second)
    assert len([line for line in checked if "pg_verifybackup" in line]) == 3
    identity = tmp_path / "identity"
    recipient = new_identity(identity)
    encrypted = create(backups, "physical", site.redis, recipient=recipient, incremental=True)
    assert encrypted.parent == second
    _, checked = verify(backups, encrypted.name, identity)
    assert len([line for line in checked if "pg_verifybackup" in line]) == 4
    for number, part in enumerate(chain):
        unpack_physical(backups.folder, part, tmp_path / f"part-{number}")
    combined = tmp_path / "combined"
    parts = [tmp_path / f"part-{number}" for number in range(3)]
    programs = site.postgres.binaries
    subprocess.run([programs / "pg_combinebackup", f"--output={combined}", *parts], check=True, capture_output=True)
    subprocess.run([programs / "pg_verifybackup", combined], check=True, capture_output=True)
    backups.folder.discard(first)
    with pytest.raises(OperatorError, match=f"builds on {first}, which cannot be used"):
        verify(backups, second)


@pytest.mark.faults
def test_the_log_is_archived_without_a_gap_while_the_server_restarts_and_until_it_is_stopped(
    site: World, backups: BackupContext
) -> None:
    stop = threading.Event()
    shown: list[str] = []

    def archive() -> None:
        wal.archive(
            replace(backups, show=shown.append),
            stopped=stop.is_set,
            wait=lambda _: stop.wait(0.2),
            free_bytes_min=0,
            record_every_s=0.2,
        )

    def recorded() -> dict[str, operation_runs.Success]:
        with site.database.transaction() as conn:
            return operation_runs.newest_successes(conn)

    def archived_to_now() -> bool:
        """Write, switch to the next segment, and wait until the archive has the finished one."""
        with psycopg.connect(site.postgres.superuser_url, autocommit=True) as conn:
            (segment,) = conn.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
            conn.execute("SELECT pg_create_restore_point('something to write')")
        wait_for(f"segment {segment}", lambda: (backups.folder.wal / segment).exists())
        return True

    archiving = threading.Thread(target=archive)
    archiving.start()
    try:
        wait_for("the record of the archive", lambda: "wal-archive" in recorded())
        with pytest.raises(Transient, match="archived by another process"):
            wal.archive(backups, stopped=stop.is_set, wait=stop.wait, free_bytes_min=0)
        site.count(site.created("one"))
        assert archived_to_now()
        site.postgres.restart("immediate")
        site.count(site.created("two"))
        assert archived_to_now()
        wait_for("the record to go on", lambda: any("the server keeps" in line for line in shown[-1:]))
    finally:
        stop.set()
        archiving.join(30)
    assert not archiving.is_alive()
    names = sorted(path.name for path in backups.folder.wal.iterdir() if len(path.name) == 24)
    numbers = [int(name[8:16], 16) * 256 + int(name[16:], 16) for name in names]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "no segment is missing"


@pytest.mark.parametrize(("of_another", "why"), [(True, "is of another server"), (False, "to an earlier moment")])
def test_an_archive_that_this_server_cannot_continue_is_refused_and_the_hint_says_what_to_do(
    site: World, backups: BackupContext, *, of_another: bool, why: str
) -> None:
    with psycopg.connect(site.postgres.superuser_url, autocommit=True) as conn:
        (system, size) = conn.execute(
            "SELECT system_identifier, pg_size_bytes(current_setting('wal_segment_size')) FROM pg_control_system()"
        ).fetchone() or (0, 0)
        drop_slot = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
        conn.execute(drop_slot, [wal.SLOT])
        backups.folder.check()
        backups.folder.wal.mkdir()
        newest = backups.folder.wal / "00000001000000FF00000001"
        newest.write_bytes((bytes(24) + struct.pack("=Q", system + of_another)).ljust(size, b"\0"))
        with pytest.raises(OperatorError, match=why) as refused:
            wal.archive(backups, stopped=lambda: False, wait=lambda _: None, free_bytes_min=0)
        assert f"mv {backups.folder.wal} {backups.folder.wal}-before" in (refused.value.hint or "")
        kept = conn.execute(drop_slot, [wal.SLOT]).fetchall()
        assert not (of_another and kept), "the server keeps no log for an archive that was never begun"


@pytest.mark.faults
def test_log_that_the_server_removed_before_it_was_archived_is_a_gap_and_said(
    site: World, backups: BackupContext
) -> None:
    stop = threading.Event()
    with psycopg.connect(site.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [wal.SLOT]
        )
        conn.execute("SELECT pg_create_physical_replication_slot(%s, true)", [wal.SLOT])
        conn.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        conn.execute("SELECT pg_reload_conf()")
        try:

            def lost() -> bool:
                conn.execute("SELECT pg_create_restore_point('something to write'), pg_switch_wal()")
                conn.execute("CHECKPOINT")
                query = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s"
                return conn.execute(query, [wal.SLOT]).fetchone() == ("lost",)

            wait_for("the slot to be lost", lost)
            with pytest.raises(OperatorError, match="removed write-ahead log that was not archived"):
                wal.archive(backups, stopped=stop.is_set, wait=stop.wait, free_bytes_min=0, record_every_s=0.0)
        finally:
            conn.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            conn.execute("SELECT pg_reload_conf(), pg_drop_replication_slot(%s)", [wal.SLOT])


@pytest.mark.faults
def test_the_archive_ends_before_the_folder_is_full(site: World, backups: BackupContext) -> None:
    stop = threading.Event()
    with pytest.raises(OperatorError, match="MB left"):
        wal.archive(backups, stopped=stop.is_set, wait=stop.wait, free_bytes_min=10**18, record_every_s=0.0)
    with site.database.transaction() as conn:
        (newest,) = operation_runs.newest(conn, limit=1)
    assert (newest.kind, newest.outcome) == ("wal-archive", "failed")
