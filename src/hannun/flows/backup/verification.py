"""Verify a backup without restoring it: hashes first, then what PostgreSQL's own programs say of the files."""

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from hannun.backups import encryption
from hannun.backups.manifest import Kind, Manifest
from hannun.backups.unpack import unpack_physical
from hannun.errors import OperatorError
from hannun.flows.backup.context import BackupContext, recorded
from hannun.flows.backup.redis import CHECKSUM_BYTES, is_whole
from hannun.pg_programs import programs
from hannun.pg_programs.run import run
from hannun.pg_programs.verify_backup import TAR_SINCE, verify_backup

_TABLE_DATA = re.compile(rb"^\d+; \d+ \d+ TABLE DATA (\S+) (\S+) ", re.MULTILINE)
SHOW_EVERY_BYTES: Final = 1 << 26


def verify(context: BackupContext, name: str, identity: Path | None = None) -> tuple[Manifest, list[str]]:
    """Verify a backup, and all on which it builds. Returns its manifest, and what was checked, line by line.

    Args:
        identity: the file that opens encrypted backups. Without it, only their hashes are checked.

    Raises:
        OperatorError: the backup is unfinished, truncated, changed, or cannot be read by PostgreSQL's programs.
        Transient: backups are being removed at this moment.
    """
    manifest = context.folder.find(name)
    identities = None if identity is None else encryption.read_identities(identity)
    checked: list[str] = []
    with context.folder.reading(), recorded(context.records, "verify", manifest.name) as run_record:
        for part in context.folder.chain(manifest):
            _check_hashes(context, part)
            checked.append(f"{part.name}: size and SHA-256 of {', '.join(file.name for file in part.files)}")
            if part.encrypted and identities is None:
                checked.append(f"{part.name}: is encrypted; with --identity its contents are checked, too")
            else:
                checked.append(f"{part.name}: {_CONTENTS[part.kind](context, part, identities)}")
        run_record.size_bytes = manifest.size_bytes
    return manifest, checked


def _check_hashes(context: BackupContext, manifest: Manifest) -> None:
    read = 0

    def on_bytes(count: int) -> None:
        nonlocal read
        context.check()
        if read // SHOW_EVERY_BYTES != (read + count) // SHOW_EVERY_BYTES:
            context.show(f"{manifest.name}: {(read + count) / 1e6:,.0f} of {manifest.size_bytes / 1e6:,.0f} MB hashed")
        read += count

    context.folder.check_files(manifest, on_bytes)


def _check_dump(context: BackupContext, manifest: Manifest, identities: list[Any] | None) -> str:
    """Read the dump's own table of contents, and compare its tables with those that were counted."""
    found = programs.newer_or_equal(context.programs, _major_of(manifest.program_version), "reading this dump")
    (file,) = manifest.files
    listing = bytearray()
    with (
        tempfile.TemporaryDirectory(prefix="hannun-verify-") as scratch,
        encryption.opened(context.folder.file_path(manifest, file), identities, Path(scratch)) as plain,
    ):
        command: list[str | Path] = [found.path("pg_restore"), "--list", plain]
        run(command, consume=lambda source: listing.extend(source.read()), check=context.check)
    tables = {f"{schema.decode()}.{table.decode()}" for schema, table in _TABLE_DATA.findall(bytes(listing))}
    missing = sorted(set(manifest.snapshot_counts) - tables)
    if missing:
        raise OperatorError(
            f"the dump of {manifest.name} holds no data of {', '.join(missing[:3])}"
            + (f" and {len(missing) - 3} more tables" if len(missing) > 3 else ""),
            hint="use another backup: `hannun backup list` shows them",
        )
    return f"pg_restore reads its contents: {len(tables)} tables"


def _check_base(context: BackupContext, manifest: Manifest, identities: list[Any] | None) -> str:
    """Let pg_verifybackup compare every file of the server with PostgreSQL's own manifest."""
    found = programs.exactly(context.programs, _major_of(manifest.server_version), "verifying this backup")
    if manifest.encrypted is None and found.major >= TAR_SINCE:
        context.show(f"{manifest.name}: pg_verifybackup reads its files")
        verify_backup(found, context.folder.path_of(manifest.name), tar=True, check=context.check)
    else:
        scratch = Path(tempfile.mkdtemp(prefix="hannun-verify-"))
        try:
            unpack_physical(
                context.folder, manifest, scratch / "data", identities=identities, on_file=_shows(context, manifest)
            )
            verify_backup(found, scratch / "data", check=context.check)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return "pg_verifybackup finds every file as it was copied"


def _shows(context: BackupContext, manifest: Manifest) -> Callable[[str], None]:
    def show(file: str) -> None:
        context.check()
        context.show(f"{manifest.name}: unpacking {file}")

    return show


def _check_rdb(context: BackupContext, manifest: Manifest, identities: list[Any] | None) -> str:
    (file,) = manifest.files
    with (
        tempfile.TemporaryDirectory(prefix="hannun-verify-") as scratch,
        encryption.opened(context.folder.file_path(manifest, file), identities, Path(scratch)) as plain,
        plain.open("rb") as rdb,
    ):
        head = rdb.read(10)
        rdb.seek(-min(CHECKSUM_BYTES + 1, plain.stat().st_size), 2)
        tail = rdb.read()
    if not is_whole(head, tail):
        raise OperatorError(
            f"{file.name} of {manifest.name} is no whole snapshot of Redis", hint="use another backup, or none"
        )
    return "the snapshot begins and ends as one"


_CONTENTS: Final[dict[Kind, Callable[[BackupContext, Manifest, list[Any] | None], str]]] = {
    "logical": _check_dump,
    "physical": _check_base,
    "redis": _check_rdb,
}


def _major_of(version: str) -> int:
    found = re.match(r"\d+", version)
    return 0 if found is None else int(found[0])
