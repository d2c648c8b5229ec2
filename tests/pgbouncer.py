"""A real PgBouncer with the configuration that the documents give."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from polling import wait_for

from hannun.embedded import PostgresServer
from hannun.embedded.ports import find_free_port

CONFIGURATION = Path(__file__).parents[1] / "deploy/pgbouncer/pgbouncer.ini"
ADMIN = "the_pooler_s_admin"


class PgBouncer:
    """PgBouncer in front of a server, for one role, with so many connections to it."""

    def __init__(self, folder: Path, postgres: PostgresServer, role: str, password: str, pool_size: int) -> None:
        self.port = find_free_port()
        self._log = folder / "pgbouncer.log"
        self._role, self._password = role, password
        of_hannun = CONFIGURATION.read_text("utf-8")
        for written, here in (
            ("host=postgresql.internal port=5432", f"host={postgres.host} port={postgres.port}"),
            ("listen_addr = 0.0.0.0", "listen_addr = 127.0.0.1"),
            ("listen_port = 6432", f"listen_port = {self.port}\nadmin_users = {ADMIN}"),
            ("/etc/pgbouncer/userlist.txt", f"{folder}/userlist.txt"),
            ("default_pool_size = 40", f"default_pool_size = {pool_size}"),
        ):
            assert of_hannun.count(written) == 1
            of_hannun = of_hannun.replace(written, here)
        self._ini = folder / "pgbouncer.ini"
        self._ini.write_text(of_hannun)
        Path(folder, "userlist.txt").write_text(f'"{role}" "{password}"\n"{ADMIN}" "{password}"\n')
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                ["pgbouncer", "-q", *user, str(self._ini)], stdout=log, stderr=log
            )
        wait_for("PgBouncer to answer", lambda: process.poll() is not None or self._answers())
        assert process.poll() is None, self._log.read_text("utf-8")

    def kill(self) -> None:
        """End it at once, with all connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def url(self, database: str) -> str:
        """The address of a database through it, for the role."""
        return self._url(database, self._role)

    def environment(self, database_url: str) -> dict[str, str]:
        """The settings by which the service reaches the database of this URL through it."""
        return {"DATABASE_URL": self.url(database_url.rpartition("/")[2]), "HANNUN_TRANSACTION_POOLING": "true"}

    def show(self, what: str) -> list[dict[str, object]]:
        """The answer of its console, such as SHOW CLIENTS."""
        with psycopg.connect(self._url("pgbouncer", ADMIN), autocommit=True, row_factory=psycopg.rows.dict_row) as conn:
            return conn.execute(f"SHOW {what}".encode()).fetchall()

    def _url(self, database: str, role: str) -> str:
        return f"postgresql://{role}:{self._password}@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        try:
            return bool(self.show("VERSION"))
        except psycopg.OperationalError:
            return False


@contextmanager
def pgbouncer(postgres: PostgresServer, role: str, password: str, *, pool_size: int) -> Iterator[PgBouncer]:
    """A PgBouncer, running until the block ends."""
    with tempfile.TemporaryDirectory(prefix="hannun-pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        running = PgBouncer(Path(folder), postgres, role, password, pool_size)
        try:
            running.start()
            yield running
        finally:
            running.kill()
