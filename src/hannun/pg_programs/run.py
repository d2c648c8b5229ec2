"""Run one of PostgreSQL's programs: with progress, a deadline of silence, and an end when it is asked for.

    start ─► lines, bytes ─► ended with status 0, and its output consumed
                 │
                 ├─ another status ─────────────────────► ProgramFailed, or StoreUnavailable where the server is away
                 ├─ neither line nor byte for `silence_s` ─► ended by us, StoreUnavailable
                 └─ the caller's check raises ──────────► ended by us, and that error

No password is in the arguments: every user of the machine can read those. It is in the environment.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from hannun.errors import OperatorError, StoreUnavailable

LINES_KEPT: Final = 20
SILENCE_S: Final = 600.0
"""A program that writes neither a line nor a byte for so long is ended. A large index is built without a word."""
POLL_S: Final = 0.2
END_S_MAX: Final = 10.0

_SERVER_AWAY = re.compile(
    r"could not connect|Connection refused|server closed the connection|terminating connection|could not receive data"
    r"|the database system is (?:starting up|shutting down|in recovery)|timeout expired|no connection to the server"
    r"|too many clients"
)
_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded|could not write", re.IGNORECASE)
_PR_SET_PDEATHSIG: Final = 1


class ProgramFailed(OperatorError):
    """A program of PostgreSQL ended with an error. `lines` are its last lines."""

    def __init__(self, message: str, *, hint: str, lines: Sequence[str]) -> None:
        super().__init__(message, hint=hint)
        self.lines = list(lines)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a program has come: the bytes that it has written, and its newest line."""

    size_bytes: int
    line: str


OnProgress = Callable[[RunProgress], None]


def no_progress(_: RunProgress) -> None:
    """For callers that show none."""


def connection_arguments(parameters: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment with which a program connects.

    Args:
        parameters: of libpq, as `store.database_facts.client_parameters` gives them.

    Raises:
        OperatorError: a secret is among them that no environment variable carries.
    """
    if parameters.get("sslpassword"):
        raise OperatorError(
            "PostgreSQL's programs take no sslpassword that others cannot read",
            hint="use a key file without a passphrase, readable by its owner only",
        )
    shown = {name: value for name, value in parameters.items() if name != "password" and value is not None}
    text = " ".join(f"{name}='{_quoted(value)}'" for name, value in shown.items())
    environment = {"PGPASSWORD": str(parameters["password"])} if parameters.get("password") else {}
    return ["--no-password", f"--dbname={text}"], environment


def _quoted(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("'", "\\'")


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    consume: Callable[["CountingReader"], object] | None = None,
    grows: Path | None = None,
    on_progress: OnProgress = no_progress,
    check: Callable[[], None] = lambda: None,
    silence_s: float = SILENCE_S,
) -> list[str]:
    """Run a program to its end. Returns its last lines.

    Args:
        command: the program and its arguments, without a password.
        environment: variables besides ours, as that of the password.
        consume: reads what the program writes to its standard output, in a thread. Without it, that counts as lines.
        grows: the file or folder that the program writes; its size shows that the program is alive.
        on_progress: is called a few times a second.
        check: is called as often; what it raises ends the program.

    Raises:
        ProgramFailed: it ended with an error.
        StoreUnavailable: the server went away, or the program was silent for too long.
        OperatorError: the program has ended, and `consume` read nothing for as long.
    """
    started = _start(command, environment or {}, own_output=consume is not None)
    lines: deque[str] = deque(maxlen=LINES_KEPT)
    consumer = None if consume is None else _Consumer(started.stdout, consume)
    threads = [threading.Thread(target=_read_lines, args=[started, lines, consumer is None], daemon=True)]
    threads += [] if consumer is None else [consumer]
    try:
        for thread in threads:
            thread.start()
        _watch(started, command, lines, consumer, grows, on_progress, check, silence_s)
    finally:
        _end(started)
        for thread in threads:
            thread.join(END_S_MAX)
        for stream in filter(None, (started.stdout, started.stderr)):
            stream.close()
    if consumer is not None and consumer.error is not None:
        raise consumer.error
    if started.returncode != 0:
        raise _failure(Path(command[0]).name, started.returncode, lines)
    return list(lines)


def _start(
    command: Sequence[str | Path], environment: Mapping[str, str], *, own_output: bool
) -> "subprocess.Popen[bytes]":
    # Without the caller's PG... variables: they would change where and how the program connects.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if own_output else subprocess.STDOUT,
            env={**kept, "LC_ALL": "C", "TZ": "UTC", **environment},
            start_new_session=True,  # Ctrl-C in the terminal goes to this process, which ends the program
            preexec_fn=_ends_with_this_process(),  # noqa: PLW1509  one system call, looked up before the fork
        )
    except OSError as error:
        raise OperatorError(
            f"cannot run {command[0]}: {error.strerror}", hint="install PostgreSQL's programs again"
        ) from error


def _ends_with_this_process() -> Callable[[], None] | None:
    """The kernel ends the program when the thread that started it ends: a killed command leaves none behind."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


def _watch(
    started: "subprocess.Popen[bytes]",
    command: Sequence[str | Path],
    lines: "deque[str]",
    consumer: "_Consumer | None",
    grows: Path | None,
    on_progress: OnProgress,
    check: Callable[[], None],
    silence_s: float,
) -> None:
    seen, alive_at = (0, ""), time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            started.wait(POLL_S)
            if consumer is None or started.returncode != 0 or consumer.ended_within(POLL_S):
                return
        check()
        if consumer is not None and consumer.error is not None:
            return  # nobody reads any more what the program writes
        found = (size_of(grows) if consumer is None else consumer.reader.size_bytes, lines[-1] if lines else "")
        if found != seen:
            seen, alive_at = found, time.monotonic()
            on_progress(RunProgress(*found))
        elif time.monotonic() - alive_at > silence_s:
            if started.poll() is not None:
                raise OperatorError(
                    f"{Path(command[0]).name} has ended, and the rest of what it wrote was not stored "
                    f"within {silence_s:.0f} s",
                    hint="does the disk of the folder still answer? Look in the kernel's log",
                )
            raise StoreUnavailable(
                f"{Path(command[0]).name} wrote neither a line nor a byte for {silence_s:.0f} s, and was ended",
                hint="does it wait for a lock? SELECT * FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
            )


class CountingReader:
    """The standard output of a program, and how many bytes were read of it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.size_bytes = 0

    def read(self, size: int = -1) -> bytes:
        found = self._source.read(size)
        self.size_bytes += len(found)
        return found


class _Consumer(threading.Thread):
    """Reads the standard output of a program. `error` is why it could not."""

    def __init__(self, source: IO[bytes] | None, consume: Callable[[CountingReader], object]) -> None:
        super().__init__(daemon=True)
        assert source is not None
        self.reader = CountingReader(source)
        self._consume = consume
        self.error: Exception | None = None

    def ended_within(self, seconds: float) -> bool:
        """Wait until everything is consumed, or it failed. Returns whether that was in time."""
        self.join(seconds)
        return not self.is_alive()

    def run(self) -> None:
        try:
            self._consume(self.reader)
        except Exception as error:  # the caller raises it
            self.error = error


def _read_lines(started: "subprocess.Popen[bytes]", lines: "deque[str]", from_output: bool) -> None:
    stream = started.stdout if from_output else started.stderr
    assert stream is not None
    # Programs end a line of progress by a carriage return where there is no terminal, too.
    rest = b""
    with suppress(ValueError, OSError):  # it was closed
        while chunk := os.read(stream.fileno(), 65_536):
            *whole, rest = re.split(rb"[\r\n]+", rest + chunk)
            lines.extend(line.decode(errors="replace").strip() for line in whole if line.strip())
    if rest.strip():
        lines.append(rest.decode(errors="replace").strip())


def _end(started: "subprocess.Popen[bytes]") -> None:
    if started.poll() is None:
        started.terminate()
        try:
            started.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def size_of(path: Path | None) -> int:
    """The bytes of a file, or of all files in a folder; 0 where there is none."""
    if path is None:
        return 0
    with suppress(OSError):
        if path.is_dir():
            return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return path.stat().st_size
    return 0


def _failure(program: str, status: int, lines: Sequence[str]) -> OperatorError | StoreUnavailable:
    said = [line for line in lines if re.search(r"error|fatal|failed|detail", line, re.IGNORECASE)] or list(lines)[-1:]
    message = f"{program} ended with status {status}: {'; '.join(said[-3:]) or 'it said nothing'}"
    text = "\n".join(lines)
    if _SERVER_AWAY.search(text):
        return StoreUnavailable(message)
    if _NO_ROOM.search(text):
        return ProgramFailed(message, hint="make room in the folder of backups; then try again", lines=lines)
    return ProgramFailed(message, hint="what it said names the cause", lines=lines)
