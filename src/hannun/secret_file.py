"""A file with a secret, which is read again when it has changed, so that secrets are rotated without a restart.

Container platforms replace such a file by renaming, or by a symbolic link, so a change is seen by its identity, size or
time. A file that can no longer be used changes nothing: the last good content stays, and the log says why.
Secrets appear in no log line, repr or error.
"""

import os
import stat
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Generic, TypeVar

from hannun.errors import OperatorError, reason_of
from hannun.telemetry import log

T = TypeVar("T")

CHECK_EVERY_S: Final = 1.0
"""How soon a changed file is read."""
BYTES_MAX: Final = 262_144


class SecretFile(Generic[T]):
    """The content of a file, as it is now. Threads may share it.

    Args:
        path: of the file.
        variable: the setting that names the file, or what the file is, for errors.
        parse: makes a value of the file's bytes. It raises `OperatorError` for a content that cannot be used.
        now: counts seconds that only increase.
        hint: what mends a file that cannot be read.
        check_every_s: how soon a changed file is read.
        check_mode: looks at the mode of a file that was read. It raises `OperatorError` for one that is not to be used;
            by default it warns of one that others may read.

    Raises:
        OperatorError: the file cannot be read, or not be used.
    """

    def __init__(
        self,
        path: Path,
        variable: str,
        parse: Callable[[bytes], T],
        now: Callable[[], float] = time.monotonic,
        *,
        hint: str = "",
        check_every_s: float = CHECK_EVERY_S,
        check_mode: Callable[[int], None] | None = None,
    ) -> None:
        self._path = path
        self._variable = variable
        self._parse = parse
        self._now = now
        self._lock = threading.Lock()
        self._hint = hint or f"{variable} names a file that this process can read"
        self._check_every_s = check_every_s
        self._check_mode = check_mode or partial(warn_where_others_may_read, path, variable)
        self._check_at_s = now() + check_every_s
        self.trouble: OperatorError | None = None
        self.readings = 0
        self._version, self._current = self._read(None)

    def current(self) -> T:
        """The content. The same object is returned until the file changes."""
        if self._now() >= self._check_at_s:
            self.read_if_changed()
        return self._current

    def read_if_changed(self) -> T:
        """The content, without the seconds for which `current` does not look."""
        with self._lock:
            self._check_at_s = self._now() + self._check_every_s
            try:
                self._version, self._current = self._read(self._version)
                self._record(None)
            except OperatorError as error:
                self._record(error)
            return self._current

    def _record(self, trouble: OperatorError | None) -> None:
        """Record whether the file can be used, and log a change of that: once, however often it is read."""
        before, self.trouble = self.trouble, trouble
        if trouble is not None and str(trouble) != str(before):
            log.error(
                "a changed secret file cannot be used; what it held before stays in use",
                why=str(trouble.args[0]),
                hint=trouble.hint,
            )
        elif trouble is None and before is not None:
            log.info("a secret file can be used again", file=str(self._path))

    def _read(self, known: object) -> tuple[object, T]:
        """The version of the file, and what it holds; the content in memory where that is of this version."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                version = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                if version == known:
                    return version, self._current
                content = file.read(BYTES_MAX + 1)
        except OSError as error:
            raise OperatorError(
                f"cannot read {self._variable} {self._path}: {reason_of(error)}", hint=self._hint
            ) from error
        if len(content) > BYTES_MAX:
            raise OperatorError(f"{self._variable} {self._path} has more than {BYTES_MAX} bytes", hint=self._hint)
        parsed = self._parse(content)
        self._check_mode(found.st_mode)
        self.readings += 1
        return version, parsed


def others_may_read(mode: int) -> bool:
    """Whether any user of the machine may read or change a file of this mode."""
    return bool(mode & (stat.S_IROTH | stat.S_IWOTH))


def warn_where_others_may_read(path: Path, variable: str, mode: int) -> None:
    """Write a warning into the log where any user of the machine may read or change a file with a secret.

    Not an error: container platforms mount secrets that way, where nobody else can reach them.
    """
    if others_may_read(mode):
        log.warning(
            "any user of this machine may read or change a file with a secret",
            variable=variable,
            path=str(path),
            mode=f"{stat.S_IMODE(mode):04o}",
            hint=f"chmod o= {path}",
        )


def both_set(variable: str) -> OperatorError:
    """The error for a secret that is set itself and also by a file."""
    return OperatorError(
        f"{variable} and {variable}_FILE are both set", hint="unset one of them: which secret is meant?"
    )


def one_text(variable: str, content: bytes) -> tuple[str]:
    """The text of a file with one secret, without the line break at its end.

    Raises:
        OperatorError: it is empty, or holds more than one line.
    """
    lines = lines_of(variable, content)
    if len(lines) != 1:
        raise OperatorError(
            f"the file of {variable} holds {len(lines)} lines, one is expected",
            hint="write the secret alone into the file",
        )
    return (lines[0],)


def lines_of(variable: str, content: bytes) -> tuple[str, ...]:
    """The lines of a file of secrets that hold something.

    Raises:
        OperatorError: there is none, or the file is not UTF-8.
    """
    try:
        lines = tuple(line for line in content.decode("utf-8").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise OperatorError(f"the file of {variable} is not UTF-8", hint="write it as text") from error
    if not lines:
        raise OperatorError(f"the file of {variable} is empty", hint="write the secret into the file")
    return lines
