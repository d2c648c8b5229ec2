"""Compare the files of a base backup with PostgreSQL's own manifest, by pg_verifybackup."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hannun.pg_programs.programs import Programs
from hannun.pg_programs.run import run

PROGRESS_SINCE: Final = 16
TAR_SINCE: Final = 18
"""The first versions whose pg_verifybackup shows progress, and reads tar files."""


def verify_backup(
    programs: Programs, folder: Path, *, tar: bool = False, parse_wal: bool = True, check: Callable[[], None]
) -> None:
    """Check every file of a base backup: its presence, size and checksum.

    Args:
        programs: of the server's version.
        tar: the folder holds tar files; the version is `TAR_SINCE` or newer.
        parse_wal: also read the write-ahead log that the backup needs; not for tar files.
        check: is called a few times a second; what it raises ends the work.

    Raises:
        ProgramFailed: a file is missing or differs.
    """
    options = ["--format=tar", "--no-parse-wal", "--ignore=manifest.json"] if tar else []
    options += [] if parse_wal or tar else ["--no-parse-wal"]
    # Without progress it is silent while it hashes, for hours on a large server: `run` would end it.
    options += ["--progress"] if programs.major >= PROGRESS_SINCE else []
    run([programs.path("pg_verifybackup"), *options, folder], check=check)
