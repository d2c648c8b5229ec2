"""Streaming replicas of the tests' own PostgreSQL, made by pg_basebackup."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from polling import wait_for

from hannun.embedded import PostgresServer


@contextmanager
def streaming_replica(primary: PostgresServer, home: Path) -> Iterator[PostgresServer]:
    """A hot standby that follows a running server, and ends a read at once where it is in the way of replaying."""
    home.mkdir()
    home.chmod(0o711)
    program = [
        str(primary.binaries / "pg_basebackup"),
        "--dbname",
        primary.superuser_url,
        "--pgdata",
        str(home / "data"),
    ]
    subprocess.run([*program, "--write-recovery-conf", "--checkpoint", "fast"], check=True, capture_output=True)
    for path in (home / "data").rglob("*"):
        path.chmod(0o755)  # PostgreSQL's user takes the folder from here, as another folder of a stopped server
    shutil.copy(primary.home / "postgres.password", home)
    replica = PostgresServer(home, settings={"fsync": "off", "max_standby_streaming_delay": "0"})
    with replica:
        yield replica
    replica.destroy()


class Replay:
    """The replay of the primary's log on a replica."""

    def __init__(self, primary: PostgresServer, replica: PostgresServer) -> None:
        self.primary = primary
        self.replica = replica

    def pause(self) -> None:
        """Replay nothing more from here on: the replica lags."""
        self.run("SELECT pg_wal_replay_pause()")
        wait_for("the replay to pause", lambda: self.run("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def resume(self) -> None:
        self.run("SELECT pg_wal_replay_resume()")

    def end_read(self, url: str, pid: int) -> None:
        """Let the replay end the read of a connection to the replica: it needs a row that a change removes for good.

        Args:
            url: of the database's owner on the primary.
            pid: of the connection's server process, which has a snapshot.
        """
        reading = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND backend_xmin IS NOT NULL"
        assert self.run(reading) == 1, "the connection has no snapshot"
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("CREATE TABLE IF NOT EXISTS public.changed AS SELECT 1 AS number")

            def ended() -> bool:
                # Again and again: another snapshot on the primary may keep the row of one change.
                owner.execute("UPDATE public.changed SET number = number + 1")
                owner.execute("VACUUM public.changed")
                return self.run(reading) == 0

            wait_for("the replay to end the read", ended)

    def run(self, query: str) -> object:
        """The first value of a query on the replica."""
        with psycopg.connect(self.replica.superuser_url, autocommit=True) as conn:
            row = conn.execute(query).fetchone()
        return None if row is None else row[0]
