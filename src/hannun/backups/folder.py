"""The folder of backups.

    <folder>/<kind>/<YYYYMMDDTHHMMSSZ>/      a backup: its files, then manifest.json
    <folder>/wal/                            archived write-ahead log
    <folder>/*.lock                          held while a backup is made or read, and while the log is archived

A backup is made in its own folder, and its manifest is written last: under another name, then renamed. So what was
interrupted has no manifest, is never taken for a backup, and is removed by `prune`.
"""

import fcntl
import hashlib
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from hannun.backups import manifest as manifests
from hannun.backups.manifest import KINDS, BackupFile, Kind, Manifest
from hannun.errors import OperatorError, Transient

WAL: Final = "wal"
MAKING: Final = "making.lock"
READING: Final = "reading.lock"
ARCHIVING: Final = "archiving.lock"
CHUNK_BYTES: Final = 1 << 20
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(?:(logical|physical|redis)/)?(\d{8}T\d{6}Z)")

OnBytes = Callable[[int], None]
"""Is told how many bytes were read since the last call. May raise, to end the work."""


class Unusable(NamedTuple):
    """A backup that cannot be used, and why: unfinished, or its manifest is damaged."""

    name: str
    path: Path
    why: str
    finished: bool


class Contents(NamedTuple):
    """What a folder of backups holds, each list oldest first."""

    backups: list[Manifest]
    unusable: list[Unusable]


class BackupFolder:
    """The folder of all backups of one installation.

    Args:
        path: must exist. It is never created: where it is missing, a disk may not be mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Check that the folder exists, and that this process may write there.

        Raises:
            OperatorError: it does not exist, or cannot be written to.
        """
        self.check_exists()
        try:
            probe = self.path / f".probe.{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OperatorError(
                f"cannot write to the folder of backups {self.path}: {error.strerror}",
                hint="HANNUN_BACKUP_FOLDER names a folder that this user may write to",
            ) from error

    def check_exists(self) -> None:
        """
        Raises:
            OperatorError: it does not exist, or is no folder.
        """
        if self.path.is_dir():
            return
        found = "is no folder" if self.path.exists() else "does not exist"
        raise OperatorError(
            f"HANNUN_BACKUP_FOLDER names {self.path}, which {found}",
            hint=f"mount the disk of the backups; or, for a new folder: mkdir -m 700 {shlex.quote(str(self.path))}",
        )

    # -- names

    def path_of(self, name: str) -> Path:
        """The folder of a backup, given its name."""
        return self.path / name

    @property
    def wal(self) -> Path:
        """The folder of the archived write-ahead log."""
        return self.path / WAL

    def begin(self, kind: Kind, now: datetime) -> str:
        """Create the folder of a new backup. Returns its name.

        Raises:
            OperatorError: it cannot be created.
        """
        name = f"{kind}/{now.astimezone(UTC).strftime(_STAMP)}"
        try:
            self.path_of(name).mkdir(mode=0o700, parents=True)
        except FileExistsError as error:
            raise Transient(f"a backup {name} was begun in this second", hint="try again in a second") from error
        except OSError as error:
            raise OperatorError(
                f"cannot create {self.path_of(name)}: {error.strerror}", hint=_hint_of(error)
            ) from error
        return name

    def discard(self, name: str) -> None:
        """Remove a backup, its manifest first: one that is half removed is unfinished."""
        path = self.path_of(name)
        (path / manifests.FILE_NAME).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)

    # -- manifests

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: from now on the backup is complete. Everything is on disk when this returns.

        Raises:
            OperatorError: it cannot be written.
        """
        path = self.path_of(manifest.name)
        new = path / f".{manifests.FILE_NAME}.{secrets.token_hex(4)}"
        try:
            for file in manifest.files:
                _sync(path / file.name)
            with new.open("xb") as out:
                out.write(manifests.encode(manifest))
                out.flush()
                os.fsync(out.fileno())
            new.rename(path / manifests.FILE_NAME)
            for folder in (path, path.parent, self.path):
                _sync(folder)
        except OSError as error:
            raise OperatorError(
                f"cannot finish the backup {manifest.name}: {error.strerror}", hint=_hint_of(error)
            ) from error

    def contents(self) -> Contents:
        """All backups, and what cannot be used.

        Raises:
            OperatorError: the folder does not exist.
        """
        self.check_exists()
        found = Contents([], [])
        for kind in KINDS:
            for path in sorted((self.path / kind).glob("*")):
                if not _NAME.fullmatch(path.name):
                    continue
                try:
                    found.backups.append(self.read(f"{kind}/{path.name}"))
                except OperatorError as error:
                    finished = (path / manifests.FILE_NAME).exists()
                    found.unusable.append(Unusable(f"{kind}/{path.name}", path, str(error.args[0]), finished))
        return found

    def read(self, name: str) -> Manifest:
        """The manifest of a backup.

        Raises:
            OperatorError: there is no such backup, it is unfinished, or its manifest is damaged.
        """
        path = self.path_of(name)
        try:
            text = (path / manifests.FILE_NAME).read_bytes()
        except FileNotFoundError as error:
            found = "it is unfinished: it has no manifest" if path.is_dir() else "there is none of that name"
            raise OperatorError(
                f"cannot use the backup {name} in {self.path}: {found}", hint="`hannun backup list` shows them"
            ) from error
        except OSError as error:
            raise OperatorError(
                f"cannot read the manifest of {name}: {error.strerror}", hint=_hint_of(error)
            ) from error
        manifest = manifests.decode(text, name)
        if manifest.name != name:
            raise manifests.damaged(name, f"it is the manifest of {manifest.name}")
        return manifest

    def find(self, name: str) -> Manifest:
        """A backup by its name, with or without its kind in front.

        Raises:
            OperatorError: it is no name of a backup, the folder does not exist, or as `read`.
        """
        self.check_exists()
        given = _NAME.fullmatch(name.strip().strip("/"))
        if given is None:
            raise OperatorError(f"{name!r} is no name of a backup", hint="a name looks like logical/20261127T180000Z")
        kinds = [given[1]] if given[1] else [kind for kind in KINDS if (self.path / kind / given[2]).is_dir()]
        if len(kinds) > 1:
            raise OperatorError(
                f"the name {name} is that of several backups",
                hint=f"name one: {', '.join(f'{k}/{given[2]}' for k in kinds)}",
            )
        return self.read(f"{kinds[0] if kinds else KINDS[0]}/{given[2]}")

    def newest(self, kind: Kind) -> Manifest:
        """The newest complete backup of a kind.

        Raises:
            OperatorError: there is none.
        """
        found = [manifest for manifest in self.contents().backups if manifest.kind == kind]
        if not found:
            raise OperatorError(
                f"there is no complete {kind} backup in {self.path}",
                hint="make one: `hannun backup create` with its --kind",
            )
        return found[-1]

    def chain(self, manifest: Manifest) -> list[Manifest]:
        """An incremental backup with all on which it builds, the full one first.

        Raises:
            OperatorError: one of them is missing or damaged.
        """
        chain = [manifest]
        while chain[0].parent is not None:
            if chain[0].parent in {part.name for part in chain}:
                raise manifests.damaged(manifest.name, "it builds on itself")
            try:
                chain.insert(0, self.find(chain[0].parent))
            except OperatorError as error:
                raise OperatorError(
                    f"{manifest.name} builds on {chain[0].parent}, which cannot be used: {error.args[0]}",
                    hint="use another backup: `hannun backup list` shows them",
                ) from error
        return chain

    # -- files

    def file_path(self, manifest: Manifest, file: BackupFile) -> Path:
        return self.path_of(manifest.name) / file.name

    def describe(self, name: str, files: Sequence[str], on_bytes: OnBytes = lambda _: None) -> list[BackupFile]:
        """Size and hash of files of a backup that is being made, as they lie on disk."""
        path = self.path_of(name)
        return [BackupFile(file, (path / file).stat().st_size, sha256_of(path / file, on_bytes)) for file in files]

    def check_files(self, manifest: Manifest, on_bytes: OnBytes = lambda _: None) -> None:
        """Compare every file of a backup with its size and hash in the manifest.

        Raises:
            OperatorError: one is missing, truncated or changed.
        """
        for file in manifest.files:
            path = self.file_path(manifest, file)
            found = _wrong_size(path, file)
            try:
                if not found and sha256_of(path, on_bytes) != file.sha256:
                    found = "holds other bytes than were written: its SHA-256 differs from the manifest's"
            except OSError as error:
                found = f"cannot be read: {error.strerror}"
            if found:
                raise OperatorError(
                    f"the backup {manifest.name} is damaged: {file.name} {found}",
                    hint="use another backup: `hannun backup list` shows them; restore nothing from this one",
                )

    def wrong_sizes(self, manifest: Manifest) -> list[str]:
        """The files of a backup that are missing or have another size than in the manifest, each with what was found.

        It reads no file, so a changed byte is not found.
        """
        found = {file.name: _wrong_size(self.file_path(manifest, file), file) for file in manifest.files}
        return [f"{name} {wrong}" for name, wrong in found.items() if wrong]

    # -- locks

    @contextmanager
    def making(self) -> Iterator[None]:
        """The right to make or remove backups: one process at a time.

        Raises:
            Transient: another process has it.
        """
        with self._locked(MAKING, fcntl.LOCK_EX, "another backup is being made, or backups are being pruned"):
            yield

    @contextmanager
    def archiving(self) -> Iterator[None]:
        """The right to archive the write-ahead log: one process at a time.

        Raises:
            Transient: another process has it.
        """
        with self._locked(ARCHIVING, fcntl.LOCK_EX, "the write-ahead log is being archived by another process"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing is removed in the block. Any number of processes read at the same time.

        Raises:
            Transient: backups are being removed.
        """
        with self._locked(READING, fcntl.LOCK_SH, "backups are being pruned"):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Nobody reads a backup in the block.

        Raises:
            Transient: a process verifies or restores one.
        """
        with self._locked(READING, fcntl.LOCK_EX, "a backup is being verified or restored"):
            yield

    @contextmanager
    def _locked(self, name: str, mode: int, taken: str) -> Iterator[None]:
        # The file stays: after a removal two processes could lock two files of the same name.
        try:
            file = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise OperatorError(f"cannot lock {self.path}: {error.strerror}", hint=_hint_of(error)) from error
        try:
            try:
                fcntl.flock(file, mode | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(file, 64, 0).decode(errors="replace").strip()
                raise Transient(
                    f"{taken} in {self.path}" + (f" (by {holder})" if holder else ""),
                    hint="wait for its end, and try again",
                ) from error
            if mode == fcntl.LOCK_EX:
                os.ftruncate(file, 0)
                os.pwrite(file, f"pid {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
            yield
        finally:
            os.close(file)


def sha256_of(path: Path, on_bytes: OnBytes = lambda _: None) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            on_bytes(len(chunk))
    return digest.hexdigest()


def _wrong_size(path: Path, file: BackupFile) -> str:
    """What is wrong with the size of a file; empty where nothing is."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return f"has {size:,} bytes instead of {file.bytes:,}" if size != file.bytes else ""


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _hint_of(error: OSError) -> str:
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return "make room in the folder of backups: `hannun backup prune`, or a larger disk; then try again"
    return "check HANNUN_BACKUP_FOLDER and the rights of this user there"
