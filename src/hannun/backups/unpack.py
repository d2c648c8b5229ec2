"""Unpack a physical backup: its tar files become a data folder of PostgreSQL."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from hannun.backups import encryption
from hannun.backups.folder import BackupFolder
from hannun.backups.manifest import Manifest
from hannun.errors import OperatorError, reason_of

BASE: Final = "base.tar"
WAL: Final = "pg_wal.tar"
POSTGRES_MANIFEST: Final = "backup_manifest"


def unpack_physical(
    folder: BackupFolder,
    manifest: Manifest,
    target: Path,
    *,
    identities: list[Any] | None = None,
    on_file: Callable[[str], object] = lambda _: None,
) -> None:
    """Unpack one physical backup into an empty folder, with PostgreSQL's own manifest in it.

    An incremental one is only a part: pg_combinebackup makes one data folder of it and those before it.

    Args:
        identities: open the files, where they are encrypted.
        on_file: is called with the name of each file that is unpacked. May raise, to end the work.

    Raises:
        OperatorError: a file is encrypted and no identity opens it, is damaged, or there is no room.
    """
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in manifest.files:
            path = folder.file_path(manifest, file)
            if file.name == POSTGRES_MANIFEST:
                (target / POSTGRES_MANIFEST).write_bytes(path.read_bytes())
                continue
            into = target / "pg_wal" if file.name.startswith(WAL) else target
            if not file.name.startswith((BASE, WAL)):
                raise OperatorError(
                    f"{manifest.name} holds {file.name}, a tablespace, which is not restored by this command",
                    hint="unpack it by hand: docs/backup.md",
                )
            on_file(file.name)
            with encryption.opened(path, identities, target) as plain, tarfile.open(plain, "r:*") as tar:
                tar.extractall(into, filter="data")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise OperatorError(
            f"cannot unpack {manifest.name} into {target}: {reason_of(error)}",
            hint=f"is there room? `hannun backup verify {manifest.name}` says whether the backup is whole",
        ) from error
