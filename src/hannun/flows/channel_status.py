"""What an operator sees of each channel, and of the refresh: it reads PostgreSQL and changes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hannun.domain import breaker, budgets
from hannun.domain.breaker import Policy, State
from hannun.domain.budgets import Budget, BudgetState, Usage
from hannun.domain.channels import Channel
from hannun.domain.refresh_status import ChannelAge, RefreshStatus, channel_problem, pairs_by_state
from hannun.domain.timetable import Timetable
from hannun.store import refresh_status
from hannun.store.database import Connection
from hannun.store.refresh_status import NewestCounted


class OperatedChannel(NamedTuple):
    """A channel as it is declared and set up. `set_up` is whether the access file has an entry for it."""

    channel: Channel
    has_api: bool
    set_up: bool
    budgets: Sequence[Budget]


class BudgetUse(NamedTuple):
    """A budget and what is taken of it."""

    budget: Budget
    usage: Usage


class ShownBreaker(NamedTuple):
    """The breaker of a channel: when it changed last, and when an open one that nobody holds admits trials."""

    state: State
    since: datetime | None
    next_trial_at: datetime | None


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """A channel now. Instants are UTC, without a zone.

    Args:
        breaker: None for a channel that was never called.
        pairs: what the newest round has done on it so far, by state; None where that round does not ask it.
        age: None where it has no ACTIVE event.
        problem: what needs an operator; None where nothing does.
        next_poll_at: when a round is due next; None for a channel that is not polled.
    """

    operated: OperatedChannel
    breaker: ShownBreaker | None
    budgets: Sequence[BudgetUse]
    pairs: Mapping[str, int] | None
    pairs_left: int
    age: ChannelAge | None
    problem: str | None
    next_poll_at: datetime | None


class Overview(NamedTuple):
    """All channels, and when that was true."""

    now: datetime
    channels: Sequence[ChannelStatus]


class Watched(NamedTuple):
    """The refresh, the use of budgets by scope and name, and how far messages are counted."""

    status: RefreshStatus
    budgets: Mapping[tuple[str, str], BudgetState]
    newest_counted: NewestCounted


def overview(
    conn: Connection, channels: Iterable[OperatedChannel], timetable: Timetable, stale_after: timedelta
) -> Overview:
    """The state of these channels."""
    status = refresh_status.read(conn, stale_after)
    taken = refresh_status.budgets(conn)
    following = timetable.following(status.now)
    return Overview(status.now, [_channel_status(each, status, taken, following) for each in channels])


def watched(conn: Connection, stale_after: timedelta) -> Watched:
    """What `hannun watch` shows."""
    return Watched(
        refresh_status.read(conn, stale_after), refresh_status.budgets(conn), refresh_status.newest_counted(conn)
    )


def shown_breaker(state: State) -> ShownBreaker:
    """A breaker with its instants."""
    trial_s = breaker.next_trial_s(state, Policy())
    return ShownBreaker(
        state,
        _utc(state.since_s) if state.since_s else None,
        None if trial_s is None else _utc(trial_s),
    )


def _channel_status(
    operated: OperatedChannel, status: RefreshStatus, taken: Mapping[tuple[str, str], BudgetState], following: datetime
) -> ChannelStatus:
    key = operated.channel.key
    work, state = status.work.get(key), status.breakers.get(key)
    now_s = status.now.replace(tzinfo=UTC).timestamp()
    polled = operated.has_api and operated.set_up
    return ChannelStatus(
        operated,
        None if state is None else shown_breaker(state),
        [
            BudgetUse(budget, budgets.usage(budget, taken.get(budget.key, BudgetState()), now_s))
            for budget in operated.budgets
        ],
        None if work is None else pairs_by_state(work.counts),
        0 if work is None else work.pairs_left,
        status.ages.get(key),
        channel_problem(status, key) if polled else None,
        following if polled else None,
    )


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
