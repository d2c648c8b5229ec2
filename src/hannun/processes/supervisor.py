"""Starts child processes of `hannun`, restarts those that end, and stops them all."""

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


class Supervisor:
    """Child processes of one home. Each child appends its output to `logs/<name>.log` of the home.

    Args:
        environment: the environment of every child.
        progress: receives a line for each child that ended and is started again.
    """

    def __init__(self, home: Path, environment: Mapping[str, str], progress: Callable[[str], None]) -> None:
        self.logs = home / "logs"
        self._environment = dict(environment)
        self._progress = progress
        self._children: list[_Child] = []

    @contextmanager
    def running(self) -> Iterator["Supervisor"]:
        """Stop all children at the end of the block."""
        self.logs.mkdir(exist_ok=True)
        try:
            yield self
        finally:
            self._stop()

    def start(self, name: str, *arguments: str, fd: int | None = None, needed: bool = False) -> None:
        """Start `hannun ARGUMENTS`; the child inherits the file descriptor `fd`.

        Args:
            needed: the service is of no use without it.
        """
        log_start = self._log_bytes(name)
        process = self._spawn(name, arguments, fd)
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
            child.log_start = self._log_bytes(child.name)
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
        with (self.logs / f"{name}.log").open("ab") as log:
            return spawn(
                [sys.executable, "-m", "hannun", *arguments],
                log=log.fileno(),
                environment=self._environment,
                user=None,
                parent_death_signal=signal.SIGTERM,
                pass_fds=[] if fd is None else [fd],
            )

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

    def _log_bytes(self, name: str) -> int:
        log = self.logs / f"{name}.log"
        return log.stat().st_size if log.exists() else 0

    def _reason(self, child: _Child) -> str:
        """The error with its hint, which this process printed last; nothing where it only logged, as after a kill."""
        last = read_log_tail(self.logs / f"{child.name}.log", child.log_start).splitlines()[-1]
        return "" if last.startswith(("{", NO_OUTPUT)) else f": {last.removeprefix('hannun: ')}"
