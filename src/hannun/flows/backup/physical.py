"""A physical backup: pg_basebackup of the whole server, as compressed tar files, with the log that it needs."""

from pathlib import Path

import msgspec

from hannun.backups import encryption
from hannun.backups.manifest import Manifest, Wal
from hannun.errors import OperatorError, reason_of
from hannun.flows.backup.context import BackupContext
from hannun.pg_programs import programs
from hannun.pg_programs.programs import Programs
from hannun.pg_programs.run import RunProgress, connection_arguments, run
from hannun.pg_programs.verify_backup import TAR_SINCE, verify_backup
from hannun.store import database_facts
from hannun.store.database import Connection

BACKUP_MANIFEST = "backup_manifest"
"""PostgreSQL's own manifest: names, sizes and checksums of the server's files. It stays plain: the next incremental
backup needs it, and it names nobody."""
INCREMENTAL_SINCE = 17
COMPRESSION = "gzip:3"
"""Half the time of gzip's default for 4 % more bytes; every build of PostgreSQL has gzip."""


def copy(context: BackupContext, conn: Connection, name: str, recipient: str | None, *, incremental: bool) -> Manifest:
    """Copy the server into the folder of this backup. Returns the manifest, which is not written yet.

    Raises:
        Transient: the server went away.
        OperatorError: the server or the role allows no base backup, the programs do not fit, or there is no room.
    """
    started_at = context.now()
    version = database_facts.server_version(conn)
    _check_replication(conn, version.major, incremental=incremental)
    found = programs.exactly(context.programs, version.major, "a physical backup")
    facts, system = database_facts.database_facts(conn), database_facts.system_identifier(conn)
    parent = _newest_of(context, system) if incremental else None
    path = context.folder.path_of(name)
    _run_pg_basebackup(context, found, path, parent)
    if version.major >= TAR_SINCE:
        context.show("verifying what was written")
        verify_backup(found, path, tar=True, check=context.check)
    wal = read_wal_range(path / BACKUP_MANIFEST)
    files = sorted(file.name for file in path.iterdir())
    if recipient is not None:
        files = _encrypt(context, path, files, recipient)
    context.show("hashing the files")
    return Manifest(
        kind="physical",
        name=name,
        started_at=started_at,
        ended_at=context.now(),
        hannun_version=context.hannun_version,
        schema_version=database_facts.schema_version(conn),
        server_version=version.text,
        program_version=found.version,
        database=facts.name,
        time_zone=facts.time_zone,
        identity_hash=database_facts.identity_hash(conn),
        system_identifier=system,
        files=context.folder.describe(name, files, lambda _: context.check()),
        encrypted=recipient,
        wal=wal,
        parent=None if parent is None else parent.name,
    )


def _check_replication(conn: Connection, major: int, *, incremental: bool) -> None:
    """
    Raises:
        OperatorError: the role may not replicate, or the server's settings do not allow it.
    """
    found = database_facts.replication(conn)
    logical_only = "a managed server gives no access to its files: make logical backups there, and set "
    logical_only += "HANNUN_BACKUP_PHYSICAL_AT to nothing"
    if not found.allowed:
        raise OperatorError(
            f"a physical backup needs the right REPLICATION, which {conn.info.user} does not have",
            hint=f"ALTER ROLE {conn.info.user} REPLICATION, or name another role in HANNUN_BACKUP_DATABASE_URL; "
            + logical_only,
        )
    if found.wal_level == "minimal" or found.senders_max < 2:
        raise OperatorError(
            f"a physical backup needs wal_level replica and 2 max_wal_senders; the server has {found.wal_level} and "
            f"{found.senders_max}",
            hint="set them in postgresql.conf and restart PostgreSQL; " + logical_only,
        )
    if incremental and major < INCREMENTAL_SINCE:
        raise OperatorError(
            f"an incremental backup needs PostgreSQL {INCREMENTAL_SINCE} or newer; the server is {major}",
            hint="leave --incremental out",
        )
    if incremental and found.summarizes_wal != "on":
        raise OperatorError(
            "an incremental backup needs summaries of the write-ahead log, and summarize_wal is off",
            hint="ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf(); then make a full backup",
        )


def _newest_of(context: BackupContext, system: str) -> Manifest:
    """The newest physical backup of this server.

    Raises:
        OperatorError: there is none.
    """
    of_this = [
        found
        for found in context.folder.contents().backups
        if found.kind == "physical" and found.system_identifier == system
    ]
    if not of_this:
        raise OperatorError(
            "there is no physical backup of this server on which an incremental one could build",
            hint="make a full one first: hannun backup create --kind physical",
        )
    context.folder.chain(of_this[-1])
    return of_this[-1]


def _run_pg_basebackup(context: BackupContext, found: Programs, path: Path, parent: Manifest | None) -> None:
    arguments, environment = connection_arguments(database_facts.client_parameters(context.url))
    command: list[str | Path] = [
        found.path("pg_basebackup"), f"--pgdata={path}", "--format=tar", f"--compress={COMPRESSION}",
        "--wal-method=stream", "--checkpoint=fast", "--label=hannun", "--progress", "--verbose", "--no-sync",
        *arguments,
    ]  # fmt: skip
    if parent is not None:
        command.append(f"--incremental={context.folder.path_of(parent.name) / BACKUP_MANIFEST}")

    def show(progress: RunProgress) -> None:
        context.show(f"{progress.size_bytes / 1e6:,.1f} MB  {progress.line.removeprefix('pg_basebackup: ')}")

    run(command, environment=environment, grows=path, on_progress=show, check=context.check)


def _encrypt(context: BackupContext, path: Path, files: list[str], recipient: str) -> list[str]:
    """Encrypt each file but PostgreSQL's manifest, and remove it in plain. Returns the names of all files then."""
    key, encrypted = encryption.parse_recipient(recipient), [BACKUP_MANIFEST]
    for file in files:
        if file == BACKUP_MANIFEST:
            continue
        context.check()
        context.show(f"encrypting {file}")
        with (path / file).open("rb") as source:
            encryption.encrypt(source, path / (file + encryption.SUFFIX), key)
        (path / file).unlink()
        encrypted.append(file + encryption.SUFFIX)
    return encrypted


def read_wal_range(path: Path) -> Wal:
    """The part of the write-ahead log that a backup needs, from PostgreSQL's manifest.

    Raises:
        OperatorError: the manifest has none.
    """
    try:
        last = msgspec.json.decode(path.read_bytes())["WAL-Ranges"][-1]
        return Wal(int(last["Timeline"]), str(last["Start-LSN"]), str(last["End-LSN"]))
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise OperatorError(
            f"cannot read which write-ahead log the backup needs from {path.name}: {reason_of(error)}",
            hint="make the backup again",
        ) from error
