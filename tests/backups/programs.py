"""PostgreSQL's programs, as tests want them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def pg_dump_that_waits_for(file: Path, binaries: Path, folder: Path) -> Path:
    """A folder with a pg_dump that connects only when a file is there."""
    waits = f'[ "$1" = --version ] || while [ ! -e "{file}" ]; do sleep 0.05; done'
    return program_of(folder, "pg_dump", f'{waits}\nexec {binaries}/pg_dump "$@"')


def program_of(folder: Path, name: str, script: str) -> Path:
    """A new folder with a program of this name, which runs a script."""
    folder.mkdir()
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return folder


def commands_of_machine() -> Iterator[str]:
    """The command line of each process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # the process has ended
            yield path.read_bytes().decode(errors="replace")
