"""A PostgreSQL server for newcomers and tests. All its files lie in its home:

    home/data                 the data folder, or a link to it (`postgres_storage`)
    home/postgres.password    the superuser's password, readable by its owner only
    home/postgres.port        the port of the last start, tried first at the next one
    home/postgres.log         truncated at a start if it has grown too long
    home/postgres.lock        held by the process that runs the server

PostgreSQL refuses to run as root. When root starts it, it therefore runs as another user (`postgres_os_user`).
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote

import psycopg

from hannun.embedded.home_lock import HomeLock
from hannun.embedded.local_server import LocalServer
from hannun.embedded.logs import last_lines
from hannun.embedded.polling import attempts_within
from hannun.embedded.ports import HOST
from hannun.embedded.postgres_os_user import change_owner, choose_os_user
from hannun.embedded.postgres_settings import render_settings
from hannun.embedded.postgres_storage import LOCK_NAME, SYSTEM_FOLDER, find_storage_folder
from hannun.embedded.postgres_wheel import (
    DEFAULT_MAJOR,
    INSTALL_HINTS,
    copy_binaries,
    postgres_binaries,
    read_major_version,
)
from hannun.embedded.private_files import read_or_create_password, write_private_file
from hannun.embedded.process import OsUser, find_children, is_alive, run_as
from hannun.errors import OperatorError

SUPERUSER = "postgres"
ORPHANED_BACKENDS_S_MAX = 15.0

_ORPHANED_BACKENDS_MESSAGE = "pre-existing shared memory block"


class PostgresServer(LocalServer):
    """A PostgreSQL server on 127.0.0.1, with the superuser `postgres` and the database `postgres`.

    Args:
        home: its folder; created if it does not exist.
        binaries: the folder of its binaries (`postgres_binaries`); by default those of PostgreSQL 18.
        port: 0 for the port of the last start, or any free one.
        settings: of postgresql.conf; they replace ours. With `fsync=off` also initdb does not sync to disk.
        system_folder: where binaries and data go if PostgreSQL's user cannot reach them (only if root starts it).
    """

    name = "postgres"
    program = "postgres"
    # Fast shutdown, then immediate shutdown. After the latter the next start recovers from the WAL.
    stop_signals: ClassVar = ((signal.SIGINT, 12.0), (signal.SIGQUIT, 5.0))
    # Includes crash recovery.
    start_s_max: ClassVar = 120.0

    def __init__(
        self,
        home: Path,
        *,
        binaries: Path | None = None,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        system_folder: Path = SYSTEM_FOLDER,
    ) -> None:
        super().__init__(home, port=port, settings=settings)
        self._requested_binaries = binaries
        self._binaries: Path | None = None
        self._system_folder = system_folder
        self._storage: Path | None = None
        self._storage_lock: HomeLock | None = None
        self._user: OsUser | None = None

    # -- state ---------------------------------------------------------------------------------------------------

    def url(self, database: str = SUPERUSER, user: str | None = None, password: str | None = None) -> str:
        """The connection URL for this user. Without a user: for the superuser, with the password."""
        if user is None:
            user, password = SUPERUSER, self._password
        credential = "" if password is None else ":" + quote(password, safe="")
        return f"postgresql://{quote(user, safe='')}{credential}@{HOST}:{self.port}/{quote(database, safe='')}"

    @property
    def superuser_url(self) -> str:
        return self.url()

    @property
    def data(self) -> Path:
        """The data folder, with links resolved. It belongs to PostgreSQL's user."""
        return (self.home / "data").resolve()

    @property
    def binaries(self) -> Path:
        """The folder of this server's binaries: psql, pg_dump, pg_basebackup and so on."""
        if self._binaries is None:
            self._binaries = self._requested_binaries or postgres_binaries(DEFAULT_MAJOR)
        return self._binaries

    # -- life cycle ----------------------------------------------------------------------------------------------

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server in this shutdown mode and start it again. After `immediate` it recovers from the WAL."""
        self._stop_process(first_signal=("fast", "immediate").index(mode))
        self.start()

    def destroy(self) -> None:
        """Stop the server. Remove its data, wherever they lie, and all its other files in the home."""
        self.stop()
        if not self.home.is_dir():
            return
        with HomeLock(self.home, name=LOCK_NAME):
            link = self.home / "data"
            if link.is_symlink():
                shutil.rmtree(link.readlink().parent, ignore_errors=True)
                link.unlink()
            shutil.rmtree(link, ignore_errors=True)
            for name in ("postgres.password", "postgres.port", "postgres.log"):
                (self.home / name).unlink(missing_ok=True)

    # -- what LocalServer requires -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._user = choose_os_user(self.home / "data")
        self._storage = find_storage_folder(self.home, self._user, self._system_folder)
        if self._storage != self.home:
            # Two homes link to one storage folder after a home was copied.
            self._storage_lock = self._storage_lock or HomeLock(self._storage, name=LOCK_NAME)
            self._storage_lock.acquire()
        self._binaries = self._find_runnable_binaries()
        if not (self._storage / "data" / "PG_VERSION").exists():
            self._initialize_data()
        self._link_home_to_storage()
        self._check_version_and_owner()

    def _configure(self, port: int) -> Sequence[str]:
        self._remove_stale_pid_file()
        self._write_settings(port)
        return [str(self.binaries / "postgres"), "-D", str(self._marker_path())]

    def _marker_path(self) -> Path:
        assert self._storage is not None
        return self._storage / "data"

    def _os_user(self) -> OsUser | None:
        return self._user

    def _start_on(self, port: int) -> None:
        # If the postmaster was killed from outside, its backends end only after a moment, and until then they hold
        # the shared memory.
        for _ in attempts_within(ORPHANED_BACKENDS_S_MAX):
            try:
                return super()._start_on(port)
            except OperatorError as error:
                if _ORPHANED_BACKENDS_MESSAGE not in str(error):
                    raise
                failed = error
        raise failed

    def _is_ready(self, port: int) -> bool:
        try:
            # Every parameter is explicit, so that PGHOSTADDR, PGSSLMODE and the like have no influence.
            psycopg.connect(
                host=HOST, hostaddr=HOST, port=port, user=SUPERUSER, password=self._password, dbname=SUPERUSER,
                sslmode="disable", gssencmode="disable", connect_timeout=5, options="",
            ).close()  # fmt: skip
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise OperatorError(
                    f"started PostgreSQL in {self.home}, which refuses the password in {self._password_file}",
                    hint=f"put back the password file that belongs to {self.data}",
                ) from error
            return False
        return True

    def _log_reports_taken_port(self, log: str) -> bool:
        return "could not bind" in log and "Address already in use" in log

    def _hint_for(self, log: str) -> str:
        if re.search(r"PANIC|invalid checkpoint|could not (open|read) file|invalid page|incorrect checksum", log):
            return f"the data in {self.data} look damaged: put a backup of it back, or give another --home"
        if "hannun.conf" in log or "invalid value for parameter" in log:
            return "correct the settings that were given for this server"
        if _ORPHANED_BACKENDS_MESSAGE in log:
            return f"processes of an earlier server still use {self.data}: end them, then start again"
        return super()._hint_for(log)

    def _kill_process(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the postmaster and its children: an orphaned backend holds the shared memory while its query runs."""
        # Stop the postmaster first, so that it forks no more children while we list them.
        process.send_signal(signal.SIGSTOP)
        children = find_children(process.pid)
        super()._kill_process(process)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for _ in attempts_within(10.0):
            if not any(is_alive(child) for child in children):
                return

    def _release_locks(self) -> None:
        if self._storage_lock is not None:
            self._storage_lock.release()
            self._storage_lock = None
        super()._release_locks()

    # -- binaries ------------------------------------------------------------------------------------------------

    def _find_runnable_binaries(self) -> Path:
        """The binaries, or a copy below the system folder if PostgreSQL's user cannot run them where they are."""
        source = self._requested_binaries or postgres_binaries(DEFAULT_MAJOR)
        if not (source / "postgres").is_file():
            raise OperatorError(
                f"looked for PostgreSQL's binaries in {source}, and found none", hint=INSTALL_HINTS[DEFAULT_MAJOR]
            )
        if self._can_run(source):
            return source
        copy = copy_binaries(source, self._system_folder)
        if self._can_run(copy):
            return copy
        assert self._user is not None
        raise OperatorError(
            f"PostgreSQL runs as the user {self._user.name}, who can run neither {source}/postgres nor {copy}/postgres",
            hint=f"check that other users may enter {self._system_folder} and that it is not mounted noexec; or start "
            "Hannun as an ordinary user",
        )

    def _can_run(self, binaries: Path) -> bool:
        try:
            return run_as(self._user, [str(binaries / "postgres"), "--version"]).returncode == 0
        except PermissionError:
            return False

    # -- the data folder -----------------------------------------------------------------------------------------

    @property
    def _password_file(self) -> Path:
        return self.home / "postgres.password"

    @property
    def _password(self) -> str:
        return read_or_create_password(self._password_file, create=not (self.home / "data").exists())

    def _initialize_data(self) -> None:
        """Run initdb in a temporary folder, and rename that at the end. A start that crashes here can be repeated."""
        data = self._marker_path()
        if data.exists() and any(data.iterdir()):
            raise OperatorError(
                f"{data} is not empty, and is not a data folder of PostgreSQL (it has no PG_VERSION)",
                hint="look what it is, and move it away; or give another --home",
            )
        new = data.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password_file = data.with_name("data.new.password")
        write_private_file(password_file, self._password + "\n", owner=self._user)
        if self._user is not None:
            os.chown(new, self._user.uid, self._user.gid)
        command = [
            str(self.binaries / "initdb"), "-D", str(new), "-U", SUPERUSER, f"--pwfile={password_file}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums", "--no-instructions",
            *_locale_options(read_major_version(self.binaries)),
        ]  # fmt: skip
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        try:
            done = run_as(self._user, command)
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            output = last_lines(done.stdout)
            raise OperatorError(
                f"cannot create a database in {self.home}: initdb failed:\n{output}\n", hint=self._hint_for(output)
            )
        with (new / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("\ninclude 'hannun.conf'  # rewritten at each start\n")
        if data.exists():
            data.rmdir()  # it is empty, see above
        new.rename(data)
        _sync_folder(data.parent)

    def _link_home_to_storage(self) -> None:
        link = self.home / "data"
        if self._storage not in (None, self.home) and not link.is_symlink():
            link.symlink_to(self._marker_path())

    def _check_version_and_owner(self) -> None:
        data = self._marker_path()
        data_major, binaries_major = (data / "PG_VERSION").read_text().strip(), read_major_version(self.binaries)
        if data_major != str(binaries_major):
            raise OperatorError(
                f"the data in {data} are of PostgreSQL {data_major}, and the binaries in {self.binaries} are of "
                f"{binaries_major}",
                hint=f"dump them with PostgreSQL {data_major} (pg_dumpall) and load them into a new home (psql)",
            )
        if self._user is not None and data.stat().st_uid == 0:
            # Root has put the data here, from a backup. PostgreSQL accepts only data that belong to its user.
            change_owner(data, self._user)

    def _write_settings(self, port: int) -> None:
        has_statistics = (self.binaries.parent / "lib" / "pg_stat_statements.so").exists()
        settings = render_settings(
            port=port,
            free_disk_bytes=shutil.disk_usage(self._marker_path()).free,
            preload_libraries="pg_stat_statements" if has_statistics else None,
            overrides=self._settings,
        )
        write_private_file(self._marker_path() / "hannun.conf", settings, owner=self._user)

    def _remove_stale_pid_file(self) -> None:
        """Remove a postmaster.pid whose pid now belongs to an unrelated process: PostgreSQL would refuse to start.

        No postmaster of this home runs at this point, since orphaned servers have been stopped. So a process with that
        pid is an unrelated one. PostgreSQL still notices orphaned backends of a killed postmaster, by the shared
        memory that they hold.
        """
        pid_file = self._marker_path() / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            if is_alive(int(pid_file.read_text().splitlines()[0])):
                pid_file.unlink()


def _locale_options(major: int) -> list[str]:
    # Text sorts by code point, independent of the machine's C library, whose upgrades corrupt indexes.
    if major >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C"]


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
