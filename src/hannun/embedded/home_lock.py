"""A lock on a home folder, so that only one process at a time runs a server there."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from hannun.errors import OperatorError, reason_of


class HomeLock:
    """An exclusive lock on a folder. The kernel releases it when the process that holds it ends."""

    def __init__(self, home: Path, *, name: str = "lock") -> None:
        self.path = home.resolve() / name
        self._file: int | None = None

    def acquire(self) -> None:
        """Acquire the lock. Has no effect if this object holds it.

        Raises:
            OperatorError: another process, or another object of this process, holds the lock.
        """
        if self._file is not None:
            return
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise OperatorError(
                f"cannot lock the folder {self.path.parent}: {reason_of(error)}",
                hint="run as the user who created that folder, or give another --home",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            # The holder writes its pid after it has acquired the lock, so for a moment the file may hold no pid.
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
        """Release the lock. The file stays: after a removal two processes could lock two files of the same name."""
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
