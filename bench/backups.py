"""`backups`: a backup and a restore drill, compared with plain pg_dump and pg_restore of the same database.

The drill restores on the same server as plain pg_restore does. It also compares every table with the manifest, gathers
statistics and recomputes every figure.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from bench.counting import BATCH_MESSAGES, InProcessIngestion
from bench.figures import Figure
from bench.messages import batches, registrations
from bench.servers import BenchDatabase, Servers
from hannun.backups.folder import BackupFolder
from hannun.domain.channels import load_table
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.create import create
from hannun.flows.reconcile import reconcile
from hannun.flows.restore.drill import drill
from hannun.flows.restore.loading import JOBS_MAX, BackupSource, Shown
from hannun.store.database import Database, PoolLimits
from hannun.store.restore_target import RestoreTarget

PARTICIPANTS = "BENCH_BACKUP_PARTICIPANTS"
"""The environment variable with the number of participants: 10000000 for the figures of the documentation."""


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `backups`."""
    participants = int(os.environ.get(PARTICIPANTS, 100_000 if quick else 1_000_000))
    with ExitStack() as stack:
        database = servers.create_database("bench_backups")
        stack.callback(servers.drop_database, database)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hannun-bench-backups-", dir=servers.home)))
        _fill(servers, database, participants)
        return _measure(servers, database, folder, f"{participants:,} participants of 100 events")


def _fill(servers: Servers, database: BenchDatabase, participants: int) -> None:
    with ExitStack() as stack:
        ingestion = InProcessIngestion(database, stack)
        load = batches(registrations(31, events=100, count=participants), BATCH_MESSAGES)
        for number, batch in enumerate(load):
            ingestion.counter.count(batch, ingestion.offset_ranges(batch))
            if number % 100 == 99:
                servers.log_progress(f"backups: {BATCH_MESSAGES * (number + 1):,} participants")
    with psycopg.connect(database.owner_url, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE)")


def _measure(servers: Servers, database: BenchDatabase, folder: Path, samples: str) -> list[Figure]:
    programs = servers.postgres.binaries
    archive = folder / "plain.dump"
    plain_dump = _seconds(lambda: _run([programs / "pg_dump", "-Fc", "-f", archive, database.owner_url]))
    servers.log_progress("backups: plain pg_dump is done")
    plain_restore = _plain_restore(servers, archive)
    servers.log_progress("backups: plain pg_restore is done")
    records = Database(database.url, PoolLimits(), application="bench")
    (folder / "backups").mkdir(mode=0o700)
    backups = BackupFolder(folder / "backups")
    context = BackupContext(backups, records, database.owner_url, [programs], "bench", lambda: datetime.now(UTC))
    try:
        backup = _seconds(lambda: create(context, "logical", database.redis, recipient=None))
    finally:
        records.close()
    servers.log_progress("backups: the backup is done")
    manifest = backups.newest("logical")
    url = servers.postgres.superuser_url
    target = RestoreTarget(url, url, "bench_drill")
    source = BackupSource(backups, None, [programs])
    proven = _seconds(lambda: drill(target, manifest, source, load_table(), reconcile, Shown()))
    ratio = (backup + proven) / (plain_dump + plain_restore)
    return [
        Figure("backups", "backup and drill beside pg_dump and pg_restore", ratio, "times (target: 3)", samples),
        Figure("backups", "  plain pg_dump -Fc", plain_dump, "s", f"{archive.stat().st_size / 1e6:,.0f} MB"),
        Figure("backups", "  hannun backup create", backup, "s", "the dump, counts of one snapshot, hashes"),
        Figure("backups", "  plain pg_restore", plain_restore, "s", f"-j {JOBS_MAX} at most, as the drill"),
        Figure("backups", "  hannun restore --drill", proven, "s", "restored, compared, analysed, recomputed, dropped"),
    ]


def _plain_restore(servers: Servers, archive: Path) -> float:
    with psycopg.connect(servers.postgres.superuser_url, autocommit=True) as conn:
        conn.execute("CREATE DATABASE bench_plain_restore TEMPLATE template0")
        jobs = min(JOBS_MAX, os.cpu_count() or 1)
        into = servers.postgres.url("bench_plain_restore")
        command = [servers.postgres.binaries / "pg_restore", f"-j{jobs}", "-d", into, archive]
        took = _seconds(lambda: _run(command))
        conn.execute("DROP DATABASE bench_plain_restore WITH (FORCE)")
    return took


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
