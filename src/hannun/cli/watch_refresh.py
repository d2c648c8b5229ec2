"""The section `refresh` of `hannun watch`: the running round, the last ones, channels, breakers, budgets."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hannun.cli.watch_text import cut, pad, utc
from hannun.domain.refresh_status import STATES, RefreshStatus, channel_problem, pairs_by_state

if TYPE_CHECKING:
    from hannun.domain.budgets import BudgetState
    from hannun.domain.rounds import RoundRecord
    from hannun.flows.channel_status import Watched

ROUNDS_SHOWN = 6
_NAME_WIDTH = 16
_HEADS = {"over-quota": "quota"}


def refresh_lines(found: "Watched") -> list[str]:
    """The lines of the section."""
    status = found.status
    return [
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
        yield f"round of {utc(newest.due_at)} runs for {seconds:,.0f} s, {done}"
        yield cut(f"  by {newest.owner}, until {utc(newest.deadline_at)} at the latest")
    else:
        yield f"no round runs; the newest, of {utc(newest.due_at)}: {done}"
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
    return _row(utc(each.due_at), [f"{seconds:,.1f}", *(f"{pairs[state]:,}" for state in STATES)]) + overdue


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
        yield cut(f"  {scope} {name}: {state.units:,} taken{since}{blocked}")


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
    return pad(text, _NAME_WIDTH)


def _age(now: datetime, moment: datetime) -> str:
    return f"{max((now - moment).total_seconds(), 0):,.0f} s"


def _utc_of(seconds: float) -> str:
    return utc(datetime.fromtimestamp(seconds, UTC))
