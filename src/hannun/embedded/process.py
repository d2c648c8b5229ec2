"""What the embedded servers share: one server program, from its start to its end.

    stopped --start()--> running --stop()--> stopped
                            |                   ^
                            +---kill(), crash---+      start() again goes on with the same data

What can go wrong, and who sees to it:

- Two owners on one home: `HomeLock` lets in the first; the second gets an `OperatorError` with the first one's pid.
- The owner is killed: the kernel sends the server its ordinary stop signal (Linux, PR_SET_PDEATHSIG). We chose that
  over a supervisor process because it costs nothing and cannot hit a stranger whose pid was reused. It is a
  courtesy, not a promise (other systems lack it), therefore:
- A server of ours still runs at the next start: it is found by its command line, which names the home, never by a
  pid from a file alone, and is ended before the new one starts.
- The port of last time is taken: another one is, unless the caller insisted on it.
"""

import concurrent.futures
import contextlib
import ctypes
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from hannun.errors import OperatorError

HOST = "127.0.0.1"
LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_TAIL_LINES = 12
FRESH_PORT_TRIES = 5
POLL_S_MIN, POLL_S_MAX = 0.002, 0.05


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the machine, under which a server runs."""

    name: str
    uid: int
    gid: int


class PortTaken(Exception):
    """Another process listens on this port. Never leaves this package."""


class LocalServer(ABC):
    """One server program on 127.0.0.1, whose files lie in `home`.

    Starting twice and stopping twice are fine. One object belongs to one thread at a time. What a child adds: which
    files it needs, which program it runs, when it answers.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    # What is sent to end it, and how long each may take (seconds). SIGKILL follows by itself.
    stop_signals: ClassVar[tuple[tuple[signal.Signals, float], ...]]
    start_s_max: ClassVar[float]

    def __init__(self, home: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        # Leftovers are known by this path: it must be the same one whichever way the caller names it.
        self.home = home.resolve()
        self._port_wanted = port
        self._settings = dict(settings or {})
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = HomeLock(self.home, name=f"{self.name}.lock")
        self._log_start = 0

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start, and return when the server answers.

        Raises:
            OperatorError: it cannot start, or another process uses the home. The last lines of its log are told.
        """
        if self.running:
            return
        make_folder(self.home)
        self._lock.acquire()
        try:
            self._process = None
            self._prepare()
            self._end_leftovers()
            self._start_on_a_port()
        except BaseException as error:
            self._end_process()
            self._release()
            if isinstance(error, OSError):
                raise OperatorError(
                    f"cannot start {self.name} in {self.home}: {error}", hint=self._hint(str(error))
                ) from error
            raise

    def stop(self) -> None:
        """End the server in its ordinary way; if that takes too long, by force."""
        self._end_process()
        self._release()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would. The home stays ours; `start` brings the server back."""
        if self._process is not None:
            self._kill_process(self._process)
            self._process = None

    def restart(self) -> None:
        """Stop and start again, on the same port if it is still free."""
        self._end_process()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what one may ask ----------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the program of the last start still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def host(self) -> str:
        return HOST

    @property
    def port(self) -> int:
        """The port of the last start. Raises `OperatorError` before the first one."""
        if self._port is None:
            raise OperatorError(f"asked for the port of {self.name}, which was not started", hint="call start() first")
        return self._port

    @property
    def pid(self) -> int | None:
        """The process of the server while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    def log_tail(self) -> str:
        """The last lines that the server wrote since its last start."""
        return tail_of(self.log, self._log_start)

    # -- what a child adds ---------------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the server needs on disk. Runs before each start; does nothing where all is there."""

    @abstractmethod
    def _command(self, port: int) -> Sequence[str]:
        """Write the settings for this port and return the command. It must name a path below the home."""

    @abstractmethod
    def _marker(self) -> Path:
        """The path in the command by which a leftover of this home is known."""

    @abstractmethod
    def _answers(self, port: int) -> bool:
        """Whether the server serves clients by now. May raise OperatorError where waiting is in vain."""

    def _account(self) -> Account | None:
        """The user to run as; None for our own."""
        return None

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def _port_is_taken_says(self, log: str) -> bool:
        return "already in use" in log

    def _hint(self, log: str) -> str:
        """What mends a start that failed with these last lines."""
        if "No space left on device" in log:
            return f"make room on the disk of {self.home}"
        return f"the whole log is {self.log}"

    def _kill_process(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def _release(self) -> None:
        self._lock.release()

    # -- starting ------------------------------------------------------------------------------------------------

    def _start_on_a_port(self) -> None:
        for port in self._ports():
            try:
                self._start_on(port)
            except PortTaken:
                continue
            self._port = port
            write_private(self._port_file, f"{port}\n")
            return
        wanted = self._port_wanted or "any of several free ports"
        raise OperatorError(
            f"cannot start {self.name} on {HOST}, port {wanted}: another process listens there",
            hint="stop that process, or choose another port (0 for any free one)",
        )

    @property
    def _port_file(self) -> Path:
        return self.home / f"{self.name}.port"

    def _ports(self) -> Iterator[int]:
        """The ports to try: the wanted one alone; or this object's, that of last time, then fresh ones."""
        if self._port_wanted:
            yield self._port_wanted
            return
        with contextlib.suppress(FileNotFoundError, ValueError):
            yield int(self._port_file.read_text())
        for _ in range(FRESH_PORT_TRIES):
            yield free_port()

    def _start_on(self, port: int) -> None:
        if not port_is_free(port):
            raise PortTaken
        command = self._command(port)
        self._log_start = shorten(self.log)
        with self.log.open("ab") as log:
            self._process = spawn(
                command,
                log=log.fileno(),
                environment=self._environment(),
                account=self._account(),
                when_we_die=self.stop_signals[0][0],
            )
        try:
            self._wait_until_it_answers(self._process, port)
        except BaseException:
            self._end_process()
            raise

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], port: int) -> None:
        for _ in polls(self.start_s_max):
            if process.poll() is not None:
                break
            if self._answers(port):
                return
        log = self.log_tail()
        if process.poll() is None:
            found = f"it did not answer within {self.start_s_max:.0f} s"
        elif self._port_is_taken_says(log):
            raise PortTaken
        else:
            found = f"it ended with status {process.returncode}"
        raise OperatorError(f"cannot start {self.name} in {self.home}: {found}:\n{log}\n", hint=self._hint(log))

    # -- ending --------------------------------------------------------------------------------------------------

    def _end_process(self, first: int = 0) -> None:
        """End our server, beginning with this one of the stop signals."""
        if self._process is None:
            return
        for number, wait_s_max in self.stop_signals[first:]:
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(wait_s_max)
                break
        else:
            self._kill_process(self._process)
        self._process = None

    def _end_leftovers(self) -> None:
        """End what an owner that was killed has left behind on this home."""
        for number, wait_s_max in (*self.stop_signals, (signal.SIGKILL, 10.0)):
            left = processes_of(self.program, self._marker())
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            for _ in polls(wait_s_max):
                if not processes_of(self.program, self._marker()):
                    return
        raise OperatorError(
            f"cannot start {self.name} in {self.home}: an old one (pid {left[0]}) still runs there and does not end",
            hint=f"end it: kill -9 {left[0]}",
        )


class HomeLock:
    """The right to use a home, held by one process at a time and given up by the kernel when that process ends."""

    def __init__(self, home: Path, *, name: str = "lock") -> None:
        self.path = home.resolve() / name
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock, or do nothing where this object has it.

        Raises:
            OperatorError: another process has it (or another object of this one).
        """
        if self._file is not None:
            return
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise OperatorError(
                f"cannot lock {self.path.parent} for our use: {error}",
                hint="run as the user who made that folder, or give another --home",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            # The holder writes its pid after taking the lock: an unlucky moment shows none.
            holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise OperatorError(
                f"cannot use {self.path.parent}: a running hannun (pid {holder}) uses it",
                hint=f"stop that one (kill {holder}), or give another --home",
            ) from error
        except BaseException:
            os.close(file)
            raise
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock up. The file stays: removing it would let two processes lock two files of one name."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


# -- processes ---------------------------------------------------------------------------------------------------


def spawn(
    command: Sequence[str],
    *,
    log: int,
    environment: Mapping[str, str],
    account: Account | None,
    when_we_die: signal.Signals,
    inherit: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program that outlives no owner: when this process dies, the kernel sends it `when_we_die`.

    Args:
        inherit: file descriptors that stay open in it.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            # Our own folder may be one that the account must not enter.
            cwd="/",
            # Ctrl-C in the terminal is for us; the server ends when we have finished with it.
            start_new_session=True,
            # The signal is forgotten when the user changes, so it is set after that: Popen runs this last. Threads
            # make Python code between fork and exec unsafe; this is one system call, looked up before the fork.
            preexec_fn=_when_the_parent_dies(when_we_die),  # noqa: PLW1509
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            pass_fds=inherit,
        )

    # "Parent" means the thread that forked, not its process (prctl(2)): a server started in a worker thread would
    # end with that thread. So one thread, which lives as long as we do, starts all of them.
    return _keeper().submit(start).result()


def run_as(
    account: Account | None, command: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a short program to its end; its output and errors come back as one text."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(environment or {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}),
        cwd="/",
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


_PR_SET_PDEATHSIG = 1


def _when_the_parent_dies(number: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(number))


_keepers: dict[int, concurrent.futures.ThreadPoolExecutor] = {}
_keepers_lock = threading.Lock()


def _keeper() -> concurrent.futures.ThreadPoolExecutor:
    # By pid: a forked child inherits this table, but not the thread in it.
    with _keepers_lock:
        return _keepers.setdefault(
            os.getpid(), concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-keeper")
        )


def processes_of(program: str, path: Path) -> list[int]:
    """The live processes of this program whose command names this path. Linux; elsewhere none is found."""
    wanted = os.fsencode(path)
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            # A zombie has no arguments.
            called, *arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            # An editor or a `tail -f` may name the path too, so the program must be the right one. The path is a
            # whole argument, or the value of one like -Dname=path.
            if os.path.basename(called) == os.fsencode(program) and any(
                argument == wanted or argument.endswith(b"=" + wanted) for argument in arguments
            ):
                found.append(pid)
    return found


def children_of(parent: int) -> list[int]:
    """The live children of a process. Linux; elsewhere none is found."""
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            # "pid (name) state ppid ...", and a name may hold spaces and brackets.
            state, ppid = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z":
                found.append(pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie is as good as gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    return True


def _pids() -> Iterable[int]:
    with contextlib.suppress(OSError):
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return []


def polls(wait_s_max: float) -> Iterator[None]:
    """Yield now and then until the time is up, at least twice; in between it waits, a little longer each time."""
    end_s = time.monotonic() + wait_s_max
    pause_s = POLL_S_MIN
    yield
    while time.monotonic() < end_s:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, POLL_S_MAX)
        yield


# -- ports, files ------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port on which nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def make_folder(folder: Path) -> None:
    """Make a folder that others may pass through but not list; one that exists is left as it is."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o711)  # whatever our umask says
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"we (uid {os.geteuid()}) may not write there")
    except OSError as error:
        raise OperatorError(f"cannot use the folder {folder}: {error}", hint="give another --home") from error


def write_private(path: Path, text: str, *, account: Account | None = None) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    # The folder may belong to another user than us: never follow a link that was put there.
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        if account is not None:
            os.fchown(file, account.uid, account.gid)
        out.write(text)
        out.flush()
        os.fsync(file)
    new.replace(path)


def password_in(path: Path, *, make: bool = True) -> str:
    """The password kept in this file; where there is no file, a new random one, if one may be made."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        if not make:
            raise OperatorError(f"looked for the password in {path}, and found no file", hint="put it back") from error
    password = secrets.token_urlsafe(24)
    write_private(path, password + "\n")
    return password


def shorten(log: Path) -> int:
    """Cut a log that has grown too long down to its last tenth, and return its length in bytes."""
    if not log.exists():
        return 0
    length = log.stat().st_size
    if length <= LOG_BYTES_MAX:
        return length
    with log.open("rb") as old:
        old.seek(-LOG_BYTES_MAX // 10, os.SEEK_END)
        kept = old.read()
    log.write_bytes(kept)
    return len(kept)


def tail_of(log: Path, start: int) -> str:
    """The last lines of a log, of those written from byte `start` on."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 65_536))
            return last_words(file.read().decode(errors="replace"))
    except FileNotFoundError:
        return last_words("")


def last_words(text: str) -> str:
    """The last lines of what a program said, without the frames of Java's stack traces."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("\tat ", "\t... "))]
    return "\n".join(lines[-LOG_TAIL_LINES:]) or "(it said nothing)"
