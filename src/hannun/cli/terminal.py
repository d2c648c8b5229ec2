"""What commands share: consoles, the operator's name, the display of progress."""

import getpass
import socket
import time
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from rich.console import Console
from rich.markup import escape

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True, highlight=False)

T = TypeVar("T")


class Progress(Generic[T]):
    """Shows progress: on a terminal in one line that is rewritten, else by a line every 5 s and at the end.

    Args:
        write_line: writes a line where there is no terminal.
        now: seconds that only increase.
    """

    EVERY_S = 5.0

    def __init__(self, write_line: Callable[[T], object], now: Callable[[], float] = time.monotonic) -> None:
        self._write_line = write_line
        self._now = now
        self._next_at_s = now() + self.EVERY_S
        self._unwritten: list[T] = []  # the newest progress since the last line, or nothing
        self._status = err.status("reading ...") if err.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
        for progress in self._unwritten:
            self._write_line(progress)

    def update(self, progress: T) -> None:
        """Show the newest progress; call it after each batch."""
        if self._status is not None:
            self._status.update(escape(str(progress)))
        elif self._now() < self._next_at_s:
            self._unwritten = [progress]
        else:
            self._next_at_s = self._now() + self.EVERY_S
            self._unwritten = []
            self._write_line(progress)

    def show_step(self, step: str) -> None:
        """Show the name of the step that begins now."""
        if self._status is not None:
            self._status.update(escape(step))
        err.print(f"  {step} ...", style="dim", markup=False)


def operator() -> str:
    """The name under which a decision of this user is recorded."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
