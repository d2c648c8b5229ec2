"""Find PostgreSQL's programs, and the ones among them that fit a server."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hannun.errors import OperatorError

VERSION_S_MAX: Final = 10.0
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(\S*)")


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with programs of one version of PostgreSQL."""

    folder: Path
    major: int
    version: str

    def path(self, program: str) -> Path:
        """The path of a program.

        Raises:
            OperatorError: the folder does not have it.
        """
        path = self.folder / program
        if not path.is_file():
            raise OperatorError(
                f"looked for {program} of PostgreSQL {self.version} in {self.folder}, and found none",
                hint="install all of PostgreSQL's programs of that version, or name their folder in "
                "HANNUN_POSTGRES_PROGRAMS",
            )
        return path


def newer_or_equal(folders: Sequence[Path], major: int, what: str) -> Programs:
    """Programs that dump, or restore into, a server of this major version: theirs is the same or newer.

    Raises as `exactly`.
    """
    fitting = [found for found in _installed(folders) if found.major >= major]
    # The nearest version: a dump of a newer program can only be restored by a program that is as new.
    if fitting:
        return min(fitting, key=lambda found: found.major)
    raise _none_fits(folders, f"{what} needs programs of PostgreSQL {major} or newer")


def exactly(folders: Sequence[Path], major: int, what: str) -> Programs:
    """Programs of exactly this major version, for what works on files of the server.

    Args:
        folders: where to look, in this order.
        what: what is to be done, for the error.

    Raises:
        OperatorError: no folder has programs that fit.
    """
    for found in _installed(folders):
        if found.major == major:
            return found
    raise _none_fits(folders, f"{what} needs programs of PostgreSQL {major}")


def _none_fits(folders: Sequence[Path], needed: str) -> OperatorError:
    found = ", ".join(f"{found.version} in {found.folder}" for found in _installed(folders))
    searched = ", ".join(map(str, folders)) or "no folder: PATH is empty"
    return OperatorError(
        f"{needed}; found {found}" if found else f"{needed}; found none in {searched}",
        hint="install them (Debian: postgresql-client-NN), or name their folder in HANNUN_POSTGRES_PROGRAMS",
    )


def _installed(folders: Sequence[Path]) -> Iterator[Programs]:
    for folder in folders:
        version = _version_of(folder / "pg_dump")
        if version is not None:
            yield Programs(folder, int(version[1]), version[1] + version[2])


def _version_of(program: Path) -> re.Match[str] | None:
    """What `--version` prints; None where the program does not run."""
    try:
        ran = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=VERSION_S_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _VERSION.search(ran.stdout)
