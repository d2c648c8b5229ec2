"""A scratch server for restore drills: one that the operator names, or one of its own in a temporary folder."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hannun.errors import OperatorError, install_hint
from hannun.processes.commands.backup import program_folders
from hannun.settings import Settings

_NOT_DURABLE: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
}
"""Nothing of a drill must survive a crash."""


@contextmanager
def open_scratch_server(settings: Settings, major: int) -> Iterator[str]:
    """The URL of a server on which a drill may create a database, for a role that may create roles there.

    Args:
        major: the version of PostgreSQL that the backup comes from; the server is not older.

    Raises:
        OperatorError: no setting names one, and none can be started here.
    """
    named = settings.secret("drill_database_url")
    if named:
        yield named
        return
    try:
        from hannun.embedded import PostgresServer
    except ModuleNotFoundError as error:
        raise _none(major, install_hint("embedded")) from error
    binaries = _server_binaries(program_folders(settings), major)
    with (
        TemporaryDirectory(prefix="hannun-drill-") as home,
        PostgresServer(Path(home), binaries=binaries, settings=_NOT_DURABLE) as server,
    ):
        yield server.superuser_url


def _server_binaries(folders: Sequence[Path], major: int) -> Path:
    """The first folder with a server that is not older than `major`."""
    from hannun.embedded.postgres_wheel import read_major_version

    for folder in folders:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file() and read_major_version(folder) >= major:
            return folder
    raise _none(major, "HANNUN_POSTGRES_PROGRAMS may name a folder with initdb and postgres")


def _none(major: int, other: str) -> OperatorError:
    return OperatorError(
        f"no server of PostgreSQL {major} or newer can be started here for the drill",
        hint=f"HANNUN_DRILL_DATABASE_URL names a server where the drill may create a database; or: {other}",
    )
