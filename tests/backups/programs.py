"""PostgreSQL's programs, as tests want them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def pg_dump_that_waits_for(file: Path, binaries: Path, folder: Path) -> Path:
    """A folder with a pg_dump that connects only when a file is there."""
    folder.mkdir()
    program = folder / "pg_dump"
    waits = f'[ "$1" = --version ] || while [ ! -e "{file}" ]; do sleep 0.05; done'
    program.write_text(f'#!/bin/sh\n{waits}\nexec {binaries}/pg_dump "$@"\n')
    program.chmod(0o755)
    return folder


def commands_of_machine() -> Iterator[str]:
    """The command line of each process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # the process has ended
            yield path.read_bytes().decode(errors="replace")
