"""What the embedded servers share: the life cycle of one server program.

    stopped --start()--> running --stop()--> stopped
                            |                   ^
                            +---kill(), crash---+      start() again continues with the same data

Failures, and what handles them:

- Two processes use one home. `HomeLock` admits the first one. The second one gets an `OperatorError` with the first
  one's pid.
- The owner process is killed. The kernel then sends the server its ordinary stop signal (Linux, PR_SET_PDEATHSIG).
  We chose this over a supervisor process: it costs nothing, and it cannot signal an unrelated process that got the
  same pid. Other systems than Linux lack it, so the next point does not rely on it.
- An orphaned server still runs at the next start. It is identified by its command line, which names the home, never
  by a pid from a file alone. It is stopped before the new one starts.
- The port of the last start is taken. Another port is used, unless the caller asked for that port.
"""

import contextlib
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from hannun.embedded.home_lock import HomeLock
from hannun.embedded.logs import read_log_tail, truncate_log
from hannun.embedded.polling import attempts_within
from hannun.embedded.ports import HOST, find_free_port, is_port_free
from hannun.embedded.private_files import create_folder, write_private_file
from hannun.embedded.process import OsUser, find_processes, spawn
from hannun.errors import OperatorError, reason_of

FREE_PORT_ATTEMPTS = 5


class PortTaken(Exception):
    """Another process listens on this port. Never leaves this package."""


class LocalServer(ABC):
    """One server program on 127.0.0.1, whose files lie in `home`.

    A second `start` or `stop` has no effect. One thread at a time may use an object. A subclass defines which files
    the server needs, which program it runs, and when it is ready.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    # The signals that stop the server, each with the seconds to wait for its end. SIGKILL follows the last one.
    stop_signals: ClassVar[tuple[tuple[signal.Signals, float], ...]]
    start_s_max: ClassVar[float]

    def __init__(self, home: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        # Orphaned servers are found by this path, so it must not depend on how the caller writes it.
        self.home = home.resolve()
        self._requested_port = port
        self._settings = dict(settings or {})
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = HomeLock(self.home, name=f"{self.name}.lock")
        self._log_start = 0

    # -- life cycle ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server, and return when it is ready.

        Raises:
            OperatorError: the server cannot start, or another process uses the home. The message contains the last
                lines of the server's log.
        """
        if self.running:
            return
        create_folder(self.home)
        self._lock.acquire()
        try:
            self._process = None
            self._prepare()
            self._stop_orphaned_servers()
            self._start_on_first_free_port()
        except BaseException as error:
            self._stop_process()
            self._release_locks()
            if isinstance(error, OSError):
                raise OperatorError(
                    f"cannot start {self.name} in {self.home}: {reason_of(error)}", hint=self._hint_for(str(error))
                ) from error
            raise

    def stop(self) -> None:
        """Stop the server in its ordinary way, and kill it if that takes too long."""
        self._stop_process()
        self._release_locks()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash does. The home stays locked; `start` starts the server again."""
        if self._process is not None:
            self._kill_process(self._process)
            self._process = None

    def restart(self) -> None:
        """Stop the server and start it again, on the same port if that is still free."""
        self._stop_process()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- state ---------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the process of the last start still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def host(self) -> str:
        return HOST

    @property
    def port(self) -> int:
        """The port of the last start. Raises `OperatorError` before the first start."""
        if self._port is None:
            raise OperatorError(f"read the port of {self.name}, which was never started", hint="call start() first")
        return self._port

    @property
    def pid(self) -> int | None:
        """The pid of the server while it runs, else None."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    def log_tail(self) -> str:
        """The last lines that the server has logged since its last start."""
        return read_log_tail(self.log, self._log_start)

    # -- what a subclass defines ---------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """Create the files that the server needs. Runs before each start, and skips what exists."""

    @abstractmethod
    def _configure(self, port: int) -> Sequence[str]:
        """Write the settings for this port, and return the command. The command must contain `_marker_path`."""

    @abstractmethod
    def _marker_path(self) -> Path:
        """The path in the command line by which an orphaned server of this home is identified."""

    @abstractmethod
    def _is_ready(self, port: int) -> bool:
        """Whether the server accepts clients. Raises `OperatorError` where waiting longer cannot help."""

    def _os_user(self) -> OsUser | None:
        """The operating system user that runs the server; None for the user of this process."""
        return None

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def _log_reports_taken_port(self, log: str) -> bool:
        return "already in use" in log

    def _hint_for(self, log: str) -> str:
        """What the operator can do about a failed start with these last log lines."""
        if "No space left on device" in log:
            return f"make room on the disk of {self.home}"
        return f"the whole log is {self.log}"

    def _kill_process(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def _release_locks(self) -> None:
        self._lock.release()

    # -- starting ------------------------------------------------------------------------------------------------

    def _start_on_first_free_port(self) -> None:
        for port in self._candidate_ports():
            try:
                self._start_on(port)
            except PortTaken:
                continue
            self._port = port
            write_private_file(self._port_file, f"{port}\n")
            return
        tried = self._requested_port or "any of several free ports"
        raise OperatorError(
            f"cannot start {self.name} on {HOST}, port {tried}: another process listens there",
            hint="stop that process, or choose another port (0 for any free one)",
        )

    @property
    def _port_file(self) -> Path:
        return self.home / f"{self.name}.port"

    def _candidate_ports(self) -> Iterator[int]:
        """The requested port alone; without one, the port of the last start and then free ports."""
        if self._requested_port:
            yield self._requested_port
            return
        with contextlib.suppress(FileNotFoundError, ValueError):
            yield int(self._port_file.read_text())
        for _ in range(FREE_PORT_ATTEMPTS):
            yield find_free_port()

    def _start_on(self, port: int) -> None:
        if not is_port_free(port):
            raise PortTaken
        command = self._configure(port)
        self._log_start = truncate_log(self.log)
        with self.log.open("ab") as log:
            self._process = spawn(
                command,
                log=log.fileno(),
                environment=self._environment(),
                user=self._os_user(),
                parent_death_signal=self.stop_signals[0][0],
            )
        try:
            self._wait_until_ready(self._process, port)
        except BaseException:
            self._stop_process()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes], port: int) -> None:
        for _ in attempts_within(self.start_s_max):
            if process.poll() is not None:
                break
            if self._is_ready(port):
                return
        log = self.log_tail()
        if process.poll() is None:
            found = f"it was not ready within {self.start_s_max:.0f} s"
        elif self._log_reports_taken_port(log):
            raise PortTaken
        else:
            found = f"it exited with status {process.returncode}"
        raise OperatorError(f"cannot start {self.name} in {self.home}: {found}:\n{log}\n", hint=self._hint_for(log))

    # -- stopping ------------------------------------------------------------------------------------------------

    def _stop_process(self, first_signal: int = 0) -> None:
        """Stop the process of this object.

        Args:
            first_signal: the index in `stop_signals` of the first signal to send.
        """
        if self._process is None:
            return
        for number, wait_s_max in self.stop_signals[first_signal:]:
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(wait_s_max)
                break
        else:
            self._kill_process(self._process)
        self._process = None

    def _stop_orphaned_servers(self) -> None:
        """Stop the servers of this home whose owner process was killed."""
        for number, wait_s_max in (*self.stop_signals, (signal.SIGKILL, 10.0)):
            orphans = find_processes(self.program, self._marker_path())
            if not orphans:
                return
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            for _ in attempts_within(wait_s_max):
                if not find_processes(self.program, self._marker_path()):
                    return
        raise OperatorError(
            f"cannot start {self.name} in {self.home}: an earlier one (pid {orphans[0]}) still runs there and does "
            "not end",
            hint=f"end it: kill -9 {orphans[0]}",
        )
