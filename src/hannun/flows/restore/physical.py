"""Restore a physical backup into an empty folder: a data folder of PostgreSQL, which recovers to its end or a moment.

    hashes ─► unpack the full backup and those that build on it ─► pg_combinebackup ─► pg_verifybackup
        ─► where the archived log is, and when to stop ─► the operator starts it

Nothing is started or replaced: the folder may belong to another machine, or to another user.
"""

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hannun.backups import encryption
from hannun.backups.archived_log import ArchivedLog, Continuation
from hannun.backups.manifest import Manifest
from hannun.backups.unpack import unpack_physical
from hannun.errors import OperatorError
from hannun.flows.restore.loading import BackupSource, Shown, major_of
from hannun.pg_programs import programs
from hannun.pg_programs.programs import Programs
from hannun.pg_programs.run import RunProgress, run
from hannun.pg_programs.verify_backup import verify_backup

SIGNAL: Final = "recovery.signal"
SETTINGS: Final = "postgresql.auto.conf"
CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""By how much the clocks of the server and of the archive's file system may differ, at most."""


@dataclass(frozen=True, slots=True)
class RestoredFolder:
    """A data folder that can be started. `recovers_to` and `wal` are None where no archived log belongs to it."""

    path: Path
    programs: Programs
    recovers_to: str | None
    wal: Path | None

    def access_commands(self, user: str) -> list[str]:
        """The commands, for root, after which this user of the system can start the server and read the log."""
        commands = [f"chown -R {user} {shlex.quote(str(self.path))}"]
        if self.wal is not None:
            wal, backups = shlex.quote(str(self.wal)), shlex.quote(str(self.wal.parent))
            # The folders are readable by their owner only. X: folders may be entered, files are not made executable.
            commands.append(f"setfacl -m u:{user}:x {backups} && setfacl -R -m u:{user}:rX {wal}")
        return commands


def restore_physical(
    manifest: Manifest, source: BackupSource, into: Path, to_time: datetime | None, shown: Shown
) -> RestoredFolder:
    """Restore a physical backup into a folder that is empty or does not exist.

    Args:
        to_time: the moment to which PostgreSQL recovers; None for the end of the archived log.

    Raises:
        OperatorError: the backup is damaged, the folder is not empty, the log does not reach the moment, or there is
            no room. The folder is empty again.
    """
    if manifest.kind != "physical":
        raise OperatorError(
            f"{manifest.name} is no physical backup", hint="a logical one is restored into a database, without --folder"
        )
    found = programs.exactly(source.program_folders, major_of(manifest.server_version), "restoring a physical backup")
    log = ArchivedLog(source.folder.wal)
    archived = log.continuation(manifest.wal)
    if to_time is not None:
        _check_moment(manifest, archived, source.folder.wal, to_time)
    with source.folder.reading(), _empty_folder(into):
        chain = source.folder.chain(manifest)
        for part in chain:
            encryption.check_opens(part.name, part.encrypted, source.identities)
        for part in chain:
            shown.step(f"checking the files of {part.name}")
            source.folder.check_files(part, lambda _: shown.check())
        _unpack(chain, source, found, into, shown)
        shown.step("pg_verifybackup compares the files with PostgreSQL's own manifest")
        verify_backup(found, into, parse_wal=False, check=shown.check)
        if log.segments:
            _write_recovery(into, source.folder.wal, to_time)
    if not log.segments:
        return RestoredFolder(into, found, None, None)
    return RestoredFolder(into, found, _recovers_to(archived, to_time), source.folder.wal)


def _recovers_to(archived: Continuation, to_time: datetime | None) -> str:
    if to_time is not None:
        return f"{to_time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
    if archived.missing is not None:
        return f"the end of the log before segment {archived.missing}, which is missing in the archive"
    return "the end of the archived log"


def _check_moment(manifest: Manifest, archived: Continuation, wal: Path, to_time: datetime) -> None:
    """
    Raises:
        OperatorError: the recovery cannot end at this moment: PostgreSQL would refuse to start.
    """
    if to_time < manifest.ended_at:
        raise OperatorError(
            f"{manifest.name} was complete at {manifest.ended_at:%Y-%m-%d %H:%M:%S} UTC, after {to_time.isoformat()}",
            hint="restore an older backup: `hannun backup list` shows them",
        )
    if not archived.segments and archived.missing is None:
        raise OperatorError(
            "there is no archived log, so nothing leads from the backup to a moment after it",
            hint="leave --to-time out; `hannun backup wal` archives the log from now on",
        )
    newest = _newest(archived.segments)
    if archived.missing is not None and (newest is None or to_time > newest):
        reach = "does not continue the backup" if newest is None else f"leads to {newest:%Y-%m-%d %H:%M:%S} UTC"
        raise OperatorError(
            f"the archived log {reach}, and {to_time.isoformat()} is behind that: segment {archived.missing} is "
            f"missing in {wal}",
            hint="restore a backup that was made behind the gap, while `hannun backup wal` ran; or leave --to-time "
            "out: PostgreSQL then recovers to the gap",
        )
    if newest is not None and to_time > newest + CLOCKS_DIFFER:
        raise OperatorError(
            f"the archived log reaches to {newest:%Y-%m-%d %H:%M:%S} UTC, and not to {to_time.isoformat()}",
            hint="leave --to-time out to recover to its end",
        )


def _newest(segments: Sequence[Path]) -> datetime | None:
    """When the newest of the segments was written last."""
    return max((datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in segments), default=None)


@contextmanager
def _empty_folder(path: Path) -> Iterator[None]:
    """An empty folder for the block, which is empty again where the block raises.

    Raises:
        OperatorError: it is not empty, or cannot be created.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise OperatorError(f"{path} is not empty", hint="name a folder that is empty, or does not exist")
        path.chmod(0o700)  # PostgreSQL starts on no other
    except OSError as error:
        raise OperatorError(
            f"cannot restore into {path}: {error.strerror}", hint="name a folder of your own"
        ) from error
    try:
        yield
    except BaseException:
        for entry in path.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        raise


def _unpack(chain: Sequence[Manifest], source: BackupSource, found: Programs, into: Path, shown: Shown) -> None:
    """Unpack a full backup, or combine it with those that build on it."""

    def show(file: str) -> None:
        shown.check()
        shown.progress(f"unpacking {file}")

    if len(chain) == 1:
        shown.step(f"unpacking {chain[0].name}")
        unpack_physical(source.folder, chain[0], into, identities=source.identities, on_file=show)
        return
    parts = into / "parts"
    for number, part in enumerate(chain):
        shown.step(f"unpacking {part.name}")
        folder = parts / str(number)
        unpack_physical(source.folder, part, folder, identities=source.identities, on_file=show)
    shown.step(f"combining {len(chain)} backups")
    _combine([parts / str(number) for number in range(len(chain))], found, into, shown)
    shutil.rmtree(parts)


def _combine(parts: Sequence[Path], found: Programs, into: Path, shown: Shown) -> None:
    """Let pg_combinebackup make one data folder, and put its files into `into`."""
    whole = into / "parts" / "whole"

    def show(progress: RunProgress) -> None:
        shown.progress(f"{progress.size_bytes / 1e6:,.1f} MB combined")

    run([found.path("pg_combinebackup"), "-o", whole, *parts], grows=whole, on_progress=show, check=shown.check)
    for entry in whole.iterdir():
        entry.rename(into / entry.name)


def _write_recovery(data: Path, wal: Path, to_time: datetime | None) -> None:
    """Say where the archived log is, and when to stop."""
    segment = shlex.quote(f"{wal}/")
    # The newest segment is complete up to where it was received, and has another name.
    command = f'cp {segment}%f "%p" || cp {segment}%f.partial "%p"'
    settings = {"restore_command": command, "recovery_target_action": "promote", "recovery_target_timeline": "latest"}
    if to_time is not None:
        settings["recovery_target_time"] = to_time.astimezone(UTC).isoformat(sep=" ")
    with (data / SETTINGS).open("a", encoding="utf-8") as file:
        file.write("# hannun restore\n")
        for name, value in settings.items():
            file.write("{} = '{}'\n".format(name, value.replace("'", "''")))
        file.flush()
        os.fsync(file.fileno())
    (data / SIGNAL).touch()
