"""The screen of `hannun watch`: its sections, live on a terminal or printed once."""

import json
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hannun.cli import watch_json
from hannun.cli.terminal import out
from hannun.cli.watch import SECTIONS, Section
from hannun.cli.watch_refresh import refresh_lines
from hannun.cli.watch_servers import SIZES_SHOWN, counting_lines, overview_lines, query_lines, redis_lines, size_lines
from hannun.cli.watch_text import cut, utc
from hannun.errors import OperatorError
from hannun.processes.signals import stop_on_signal

if TYPE_CHECKING:
    from hannun.processes.commands.watching import Readers

KEYS_EVERY_S = 0.1
FRAMES_A_SECOND = 1
FRAME_LINES = 11
"""Lines of the section `sizes` beside its two lists."""


def show(readers: "Readers", section: Section | None, *, once: bool, as_json: bool) -> None:
    """Show a section, or everything, until the operator ends it; `once` and `as_json` print it once.

    Raises:
        StoreUnavailable: PostgreSQL is away, and it is printed once.
        OperatorError: a setting is wrong.
    """
    if as_json or once or not out.is_terminal:
        _print_once(readers, section, as_json=as_json)
        return
    readers.start()
    with stop_on_signal() as stop, _single_keys() as keys, _live(out) as live:
        shown = section or SECTIONS[0]
        while not stop.is_set() and "q" not in (pressed := keys.read(KEYS_EVERY_S).lower()):
            shown = _section_of(pressed) or shown
            if isinstance(readers.postgres.latest.error, OperatorError):
                raise readers.postgres.latest.error  # nobody can correct a setting of this process while it runs
            live.update(_frame(readers, shown), refresh=bool(pressed))


def _print_once(readers: "Readers", section: Section | None, *, as_json: bool) -> None:
    readers.read()
    if readers.postgres.latest.error is not None:
        raise readers.postgres.latest.error
    if as_json:
        print(json.dumps(watch_json.as_json(readers), ensure_ascii=False, indent=2))
        return
    for line in _all_lines(readers) if section is None else _lines(readers, section):
        print(line)


def _section_of(keys: str) -> Section | None:
    """The section of the last key that names one."""
    numbers = [int(key) for key in keys if key.isascii() and key.isdigit()]
    named = [SECTIONS[number - 1] for number in numbers if 1 <= number <= len(SECTIONS)]
    return named[-1] if named else None


def _live(console: Console) -> Live:
    """A screen of its own: what the terminal showed before is there again afterwards."""
    return Live(console=console, screen=True, refresh_per_second=FRAMES_A_SECOND, redirect_stderr=False)


def _frame(readers: "Readers", section: Section) -> Group:
    tabs = "  ".join(f"[{name}]" if name == section else f"{number} {name}" for number, name in enumerate(SECTIONS, 1))
    lines = [cut(f"{tabs}   q ends"), *_lines(readers, section, out.height)]
    return Group(*(Text(line, no_wrap=True, overflow="crop") for line in lines))


def _lines(readers: "Readers", section: Section, height: int | None = None) -> list[str]:
    """A section, below the time and what is away; of long lists as much as fits so many lines."""
    postgres, redis = readers.postgres.latest, readers.redis.latest
    lag = None if readers.lag is None else readers.lag.latest
    lines = []
    if postgres.error is not None:
        lines += [cut(f"PostgreSQL is away, and is asked again: {postgres.error.args[0]}"), ""]
    if postgres.found is None:
        lines += [] if postgres.error else ["reading ..."]
        return [*lines, *redis_lines(redis)] if section in ("overview", "redis") else lines
    status = postgres.found.refresh.status
    lines += [f"{'as of' if postgres.error else 'now'} {utc(status.now)} (PostgreSQL's clock)", ""]
    view = postgres.found.servers
    match section:
        case "overview":
            return lines + overview_lines(postgres, redis, lag)
        case "refresh":
            return lines + refresh_lines(postgres.found.refresh)
        case "counting":
            return lines + counting_lines(postgres, lag)
        case "sizes":
            return lines + size_lines(view, SIZES_SHOWN if height is None else (height - FRAME_LINES) // 2)
        case "queries":
            return lines + query_lines(view)
        case "redis":
            return lines + redis_lines(redis)


def _all_lines(readers: "Readers") -> Iterator[str]:
    """Every section but the overview, which repeats them, one below the other."""
    for section in SECTIONS[1:]:
        yield f"-- {section} --"
        yield from _lines(readers, section)
        yield ""


class _Keys:
    """The keys of a terminal, each as it is pressed; none where there is no terminal."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def read(self, wait_s: float) -> str:
        """The keys that were pressed, after a wait for the first."""
        readable, _, _ = select.select([] if self._fd is None else [self._fd], [], [], wait_s)
        if self._fd is None or not readable:
            return ""
        pressed = os.read(self._fd, 100)
        if not pressed:  # the terminal is gone
            self._fd = None
        return pressed.decode("utf-8", "replace")


@contextmanager
def _single_keys() -> Iterator[_Keys]:
    """Let each key be read without Enter, and not be shown. The terminal is afterwards as it was."""
    if not sys.stdin.isatty():
        yield _Keys(None)
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield _Keys(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
