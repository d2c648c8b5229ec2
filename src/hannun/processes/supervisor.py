"""Starts child processes of `hannun`, restarts those that end, and stops them all.

A child whose environment is not known yet may be prepared: its process imports its modules meanwhile.

    prepared() ─► process: imports ─► waits ─────────► runs
                                        ▲ environment
    servers start ─────────► Supervisor.start(prepared=...)
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hannun.embedded.logs import NO_OUTPUT, read_log_tail
from hannun.embedded.process import spawn
from hannun.errors import OperatorError
from hannun.processes import environment_pipe

LOGS = "logs"
RESTART_AFTER_S = 0.2
FAILURES_MAX, FAILURES_WITHIN_S = 6, 60.0
"""A child that ends more often than this is started again after `PAUSE_S` only; one that is needed, not at all."""
PAUSE_S = 30.0
STOP_S_MAX = 12.0
"""How long the children have after SIGTERM. It includes what `serve` needs for requests in progress, and then for
transactions where PostgreSQL is silent. Those that still run are killed."""


@dataclass(slots=True)
class _Child:
    """One child process: its command line, and when it was started."""

    name: str
    arguments: Sequence[str]
    fd: int | None
    needed: bool
    process: "subprocess.Popen[bytes]"
    started_at_s: list[float] = field(default_factory=list)
    restart_at_s: float | None = None
    log_start: int = 0
    """Where the output of this process begins in its log, in bytes."""


@dataclass(slots=True)
class Prepared:
    """A process of `hannun` that waits for its environment, and has nothing to close before it has it."""

    process: "subprocess.Popen[bytes]"
    log_start: int
    write_fd: int | None

    def give(self, environment: Mapping[str, str]) -> None:
        """Let it run. One that has ended already is found later, as any child that has ended."""
        assert self.write_fd is not None
        fd, self.write_fd = self.write_fd, None
        environment_pipe.send(fd, environment)


@contextmanager
def prepared(home: Path, name: str, *arguments: str, fd: int) -> Iterator[Prepared]:
    """Start the process of a child without its environment. At the end of the block it is stopped, where it still
    waits.

    Args:
        arguments: of a command with the option `--environment-fd`.
        fd: a file descriptor that it inherits.
    """
    _create_logs(home)
    log_start = _log_bytes(home, name)
    read_fd, write_fd = os.pipe()
    try:
        arguments = (*arguments, "--environment-fd", str(read_fd))
        process = _spawn(home, name, arguments, dict(os.environ), [fd, read_fd])
    except BaseException:
        os.close(write_fd)
        raise
    finally:
        os.close(read_fd)
    child = Prepared(process, log_start, write_fd)
    try:
        yield child
    finally:
        if child.write_fd is not None:
            os.close(child.write_fd)
            process.kill()
            process.wait()


class Supervisor:
    """Child processes of one home. Each child appends its output to `logs/<name>.log` of the home.

    Args:
        environment: the environment of every child.
        progress: receives a line for each child that ended and is started again.
    """

    def __init__(self, home: Path, environment: Mapping[str, str], progress: Callable[[str], None]) -> None:
        self._home = home
        self.logs = home / LOGS
        self._environment = dict(environment)
        self._progress = progress
        self._children: list[_Child] = []

    @contextmanager
    def running(self) -> Iterator["Supervisor"]:
        """Stop all children at the end of the block."""
        _create_logs(self._home)
        try:
            yield self
        finally:
            self._stop()

    def start(
        self,
        name: str,
        *arguments: str,
        fd: int | None = None,
        needed: bool = False,
        prepared: Prepared | None = None,
    ) -> None:
        """Start `hannun ARGUMENTS`; the child inherits the file descriptor `fd`.

        Args:
            needed: the service is of no use without it.
            prepared: its process, which has this file descriptor; else, and when it is started again, a new one.
        """
        if prepared is None:
            log_start = _log_bytes(self._home, name)
            process = self._spawn(name, arguments, fd)
        else:
            log_start, process = prepared.log_start, prepared.process
            prepared.give(self._environment)
        self._children.append(_Child(name, arguments, fd, needed, process, [time.monotonic()], log_start=log_start))

    def restart_ended(self) -> None:
        """Start the children again that have ended; one that ends again and again after a pause.

        Raises:
            OperatorError: a child that is needed ended `FAILURES_MAX` times within `FAILURES_WITHIN_S` seconds.
        """
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                self._restart(child, status)

    def _restart(self, child: _Child, status: int) -> None:
        if child.restart_at_s is None:
            child.restart_at_s = time.monotonic() + self._pause_s(child, status)
        elif time.monotonic() >= child.restart_at_s:
            child.restart_at_s = None
            child.log_start = _log_bytes(self._home, child.name)
            child.process = self._spawn(child.name, child.arguments, child.fd)
            child.started_at_s.append(time.monotonic())

    def _pause_s(self, child: _Child, status: int) -> float:
        """How long a child that has ended is not started again; reports that it has ended."""
        recent = [at_s for at_s in child.started_at_s if at_s > time.monotonic() - FAILURES_WITHIN_S]
        if len(recent) < FAILURES_MAX:
            self._progress(f"{child.name} ended with status {status}; starting it again{self._reason(child)}")
            return RESTART_AFTER_S
        found = (
            f"{child.name} has ended {len(recent)} times within {FAILURES_WITHIN_S:.0f} s, last with status {status}"
        )
        if child.needed:
            raise OperatorError(found + self._reason(child), hint=f"look into {self.logs}/{child.name}.log")
        self._progress(f"{found}; starting it again in {PAUSE_S:.0f} s{self._reason(child)}")
        return PAUSE_S

    def _spawn(self, name: str, arguments: Sequence[str], fd: int | None) -> "subprocess.Popen[bytes]":
        return _spawn(self._home, name, arguments, self._environment, [] if fd is None else [fd])

    def _stop(self) -> None:
        """Send SIGTERM to all children, the last started first; kill those that do not end in time."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S_MAX
        for child in reversed(self._children):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _reason(self, child: _Child) -> str:
        """The error with its hint, which this process printed last; nothing where it only logged, as after a kill."""
        last = read_log_tail(self.logs / f"{child.name}.log", child.log_start).splitlines()[-1]
        return "" if last.startswith(("{", NO_OUTPUT)) else f": {last.removeprefix('hannun: ')}"


def _create_logs(home: Path) -> None:
    (home / LOGS).mkdir(exist_ok=True)


def _log_bytes(home: Path, name: str) -> int:
    log = home / LOGS / f"{name}.log"
    return log.stat().st_size if log.exists() else 0


def _spawn(
    home: Path, name: str, arguments: Sequence[str], environment: Mapping[str, str], fds: Sequence[int]
) -> "subprocess.Popen[bytes]":
    with (home / LOGS / f"{name}.log").open("ab") as log:
        return spawn(
            [sys.executable, "-m", "hannun", *arguments],
            log=log.fileno(),
            environment=environment,
            user=None,
            parent_death_signal=signal.SIGTERM,
            pass_fds=fds,
        )
