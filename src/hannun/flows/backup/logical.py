"""A logical backup: pg_dump in its custom format, and what a dump leaves out.

export a snapshot ─┬─► pg_dump --snapshot ─► analytics_YYYYMMDD.dump (encrypted on its way to the disk)
                   └─► count every table, read the positions: beside it, of the same snapshot
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from hannun.backups import encryption
from hannun.backups.manifest import DatabaseProperties, Manifest, Position, Role
from hannun.flows.backup.context import BackupContext
from hannun.pg_programs import programs
from hannun.pg_programs.run import RunProgress, connection_arguments, run
from hannun.store import database_facts
from hannun.store.database import Connection
from hannun.store.database_facts import Counted

LOCK_WAIT_MS = 60_000
"""How long pg_dump waits for a table that a migration holds."""


def dump(context: BackupContext, conn: Connection, name: str, recipient: str | None) -> Manifest:
    """Dump the database into the folder of this backup. Returns the manifest, which is not written yet.

    Raises:
        Transient: the server went away, or a table stayed locked.
        OperatorError: the role may not read everything, the programs are older than the server, or there is no room.
    """
    started_at = context.now()
    version = database_facts.server_version(conn)
    found = programs.newer_or_equal(context.programs, version.major, "a logical backup")
    facts, roles = database_facts.database_facts(conn), database_facts.roles(conn)
    file = f"analytics_{started_at:%Y%m%d}.dump" + (encryption.SUFFIX if recipient else "")
    path = context.folder.path_of(name) / file
    with database_facts.exported_snapshot(conn) as snapshot, ThreadPoolExecutor(1, "count") as thread:
        counting = thread.submit(database_facts.counted, conn)
        try:
            _run_pg_dump(context, found.path("pg_dump"), snapshot, path, recipient, counting)
        except BaseException:
            conn.cancel()
            raise
        counted = counting.result()
    context.show("hashing the dump")
    return Manifest(
        kind="logical",
        name=name,
        started_at=started_at,
        ended_at=context.now(),
        hannun_version=context.hannun_version,
        schema_version=counted.schema_version,
        server_version=version.text,
        program_version=found.version,
        database=facts.name,
        database_properties=DatabaseProperties(
            facts.owner, facts.encoding, facts.collate, facts.ctype, facts.privileges
        ),
        time_zone=facts.time_zone,
        database_settings=facts.settings,
        roles=[Role(*role) for role in roles],
        snapshot_counts=counted.counts,
        sums=counted.sums,
        positions=[Position(*position) for position in counted.positions],
        identity_hash=counted.identity_hash,
        files=context.folder.describe(name, [file], lambda _: context.check()),
        encrypted=recipient,
    )


def _run_pg_dump(
    context: BackupContext,
    program: Path,
    snapshot: str,
    path: Path,
    recipient: str | None,
    counting: "Future[Counted]",
) -> None:
    arguments, environment = connection_arguments(database_facts.client_parameters(context.url))
    command: list[str | Path] = [
        program, "--format=custom", "--large-objects", "--verbose", f"--snapshot={snapshot}",
        f"--lock-wait-timeout={LOCK_WAIT_MS}", *arguments,
    ]  # fmt: skip

    def check() -> None:
        context.check()
        if counting.done():
            counting.result()  # raises what it raised: then the dump is of no use

    def show(progress: RunProgress) -> None:
        context.show(f"{progress.size_bytes / 1e6:,.1f} MB  {progress.line.removeprefix('pg_dump: ')}")

    if recipient is None:
        # The file is written by pg_dump itself, which can then note where each table begins: a restore in several
        # jobs needs it. The manifest's step writes it to the disk.
        command += [f"--file={path}", "--no-sync"]
        run(command, environment=environment, grows=path, on_progress=show, check=check)
    else:
        key = encryption.parse_recipient(recipient)
        run(
            command,
            environment=environment,
            consume=lambda source: encryption.encrypt(source, path, key),
            on_progress=show,
            check=check,
        )
