"""What verbs share: where they print, who uses them, how they show progress and are told to stop."""

import getpass
import socket
import time
from collections.abc import Callable
from typing import Any, Self

from rich.console import Console
from rich.markup import escape

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True, highlight=False)


class Progress:
    """How far something has come: on a terminal a line that is written anew, else a line now and then, and at the end.

    Args:
        says: says a line where there is no terminal.
    """

    EVERY_S = 5.0

    def __init__(self, says: Callable[[Any], None], now: Callable[[], float] = time.monotonic) -> None:
        self._says = says
        self._now = now
        self._next = now() + self.EVERY_S
        self._unsaid: Any = None
        self._line = err.status("reading ...") if err.is_terminal else None

    def __enter__(self) -> Self:
        if self._line is not None:
            self._line.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.stop()
        elif self._unsaid is not None:
            self._says(self._unsaid)

    def tell(self, progress: Any) -> None:
        """After each batch."""
        if self._line is not None:
            self._line.update(escape(str(progress)))
        elif self._now() < self._next:
            self._unsaid = progress
        else:
            self._next = self._now() + self.EVERY_S
            self._unsaid = None
            self._says(progress)

    def note(self, step: str) -> None:
        """What is done now."""
        if self._line is not None:
            self._line.update(escape(step))
        err.print(f"  {step} ...", style="dim", markup=False)


def operator() -> str:
    """Who decides, for the record."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
