"""`hannun watch`: the refresh, live on a terminal. It reads PostgreSQL once a second and changes nothing."""

import os
import select
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hannun import settings as settings_
from hannun.cli.terminal import HomeOption, out
from hannun.domain.refresh_status import STATES, RefreshStatus, channel_problem, pairs_by_state
from hannun.errors import OperatorError
from hannun.processes.signals import stop_on_signal

if TYPE_CHECKING:
    from hannun.domain.budgets import BudgetState
    from hannun.domain.rounds import RoundRecord
    from hannun.flows.channel_status import Watched
    from hannun.processes.commands.refresh_watch import Reading

KEYS_EVERY_S = 0.1
FRAMES_A_SECOND = 1
ROUNDS_SHOWN = 6
_NAME_WIDTH = 16
_HEADS = {"over-quota": "quota"}


def watch(
    once: Annotated[bool, typer.Option("--once", help="print it once, and end: status 75 without PostgreSQL")] = False,
    home: HomeOption = None,
) -> None:
    """Watch the refresh: the running round, the last ones, channels, breakers, budgets. q or Ctrl-C ends it."""
    from hannun.processes.commands.refresh_watch import open_reader

    with open_reader(settings_.read()) as reader:
        if once or not out.is_terminal:
            reading = reader.read()
            if reading.error is not None:
                raise reading.error
            for line in _lines(reading):
                print(line)
            return
        reader.start()
        with stop_on_signal() as stop, _single_keys() as keys, _live(out) as live:
            while not stop.is_set() and "q" not in keys.read(KEYS_EVERY_S).lower():
                if isinstance(reader.latest.error, OperatorError):
                    raise reader.latest.error  # nobody can correct a setting of this process while it runs
                live.update(_frame(reader.latest))


def _live(console: Console) -> Live:
    """A screen of its own: what the terminal showed before is there again afterwards."""
    return Live(console=console, screen=True, refresh_per_second=FRAMES_A_SECOND, redirect_stderr=False)


def _frame(reading: "Reading") -> Group:
    return Group(*(Text(line, no_wrap=True, overflow="crop") for line in ["q ends", "", *_lines(reading)]))


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


# -- what it shows, in lines of at most 80 columns


def _lines(reading: "Reading") -> list[str]:
    found, error = reading.found, reading.error
    lines = []
    if error is not None:
        lines += [_cut(f"PostgreSQL is away, and is asked again: {error.args[0]}"), ""]
    if found is None:
        return lines or ["reading ..."]
    status = found.status
    lines.append(f"{'as of' if error else 'now'} {_utc(status.now)} (PostgreSQL's clock)")
    return [
        *lines,
        "",
        *_running(status),
        "",
        *_last_rounds(status),
        "",
        *_channels(status),
        *_budgets(found.budgets),
        "",
        *_counting(found),
    ]


def _running(status: RefreshStatus) -> Iterator[str]:
    """The newest round, and what it does on each channel."""
    if not status.rounds:
        yield "no round was ever begun: does a schedule run?"
        return
    newest = status.rounds[0]
    done = f"{newest.pieces_done:,} of {newest.pieces:,} pieces done"
    if newest.ended_at is None:
        seconds = (status.now - newest.began_at).total_seconds()
        yield f"round of {_utc(newest.due_at)} runs for {seconds:,.0f} s, {done}"
        yield _cut(f"  by {newest.owner}, until {_utc(newest.deadline_at)} at the latest")
    else:
        yield f"no round runs; the newest, of {_utc(newest.due_at)}: {done}"
    if status.work:
        yield _row("channel", ["left", *map(_head, STATES)])
    for work in sorted(status.work.values(), key=lambda each: each.name):
        pairs = pairs_by_state(work.counts)
        yield _row(work.name, [f"{work.pairs_left:,}", *(f"{pairs[state]:,}" for state in STATES)])


def _last_rounds(status: RefreshStatus) -> Iterator[str]:
    """The rounds that have ended, newest first."""
    ended = [each for each in status.rounds if each.ended_at is not None][:ROUNDS_SHOWN]
    if ended:
        yield _row("last rounds", ["s", *map(_head, STATES)])
    for each in ended:
        yield _ended_round(each)


def _ended_round(each: "RoundRecord") -> str:
    assert each.ended_at is not None
    counts = each.result or {}
    pairs = pairs_by_state(counts)
    seconds = (each.ended_at - each.began_at).total_seconds()
    overdue = "  overdue" if counts.get("overdue") else ""
    return _row(_utc(each.due_at), [f"{seconds:,.1f}", *(f"{pairs[state]:,}" for state in STATES)]) + overdue


def _channels(status: RefreshStatus) -> Iterator[str]:
    """The channels with ACTIVE events or with a breaker: how old they are, and what is wrong."""
    names = {key: work.name for key, work in status.work.items()}
    names |= {key: age.name for key, age in status.ages.items()}
    keys = sorted({*names, *status.breakers}, key=lambda key: names.get(key, key))
    if keys:
        yield f"{_name('channel')}  breaker     active    stale  oldest"
    for key in keys:
        breaker, age = status.breakers.get(key), status.ages.get(key)
        state = "-" if breaker is None else "held open" if breaker.held else breaker.name
        active, stale = (0, 0) if age is None else (age.active, age.stale)
        oldest = "-" if age is None or age.oldest_at is None else _age(status.now, age.oldest_at)
        wrong = "  !" if channel_problem(status, key) else ""
        yield f"{_name(names.get(key, key))}  {state:<9} {active:>8,} {stale:>8,}  {oldest}{wrong}"


def _budgets(budgets: "Mapping[tuple[str, str], BudgetState]") -> Iterator[str]:
    """The budgets of which something is taken, or that are blocked."""
    if budgets:
        yield ""
        yield "budgets"
    for (scope, name), state in budgets.items():
        since = f" since {_utc_of(state.window_starts_s)}" if state.window_starts_s else ""
        blocked = f", blocked until {_utc_of(state.blocked_until_s)}" if state.blocked_until_s else ""
        yield _cut(f"  {scope} {name}: {state.units:,} taken{since}{blocked}")


def _counting(found: "Watched") -> Iterator[str]:
    newest = found.newest_counted
    if newest.at is not None:
        yield f"Kafka: the newest messages were counted {_age(found.status.now, newest.at)} ago"
    yield f"invalidations that are not delivered: {newest.pending:,}"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{_name(name)}{''.join(f'{cell:>{width}}' for cell, width in zip(cells, _WIDTHS, strict=True))}"


_WIDTHS = (7, 10, 10, 8, 8, 8, 9)


def _head(state: str) -> str:
    return _HEADS.get(state, state)


def _name(text: str) -> str:
    return set_cell_size(text, _NAME_WIDTH)


def _cut(text: str) -> str:
    return set_cell_size(text.replace("\n", " "), 80).rstrip()


def _age(now: datetime, moment: datetime) -> str:
    return f"{max((now - moment).total_seconds(), 0):,.0f} s"


def _utc(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M:%S}Z"


def _utc_of(seconds: float) -> str:
    return _utc(datetime.fromtimestamp(seconds, UTC))
