"""The pieces of a round: which events each channel is asked for, in which order, and which answers are rebuilt.

Where the budgets of a channel do not reach all events, those that move or end soon come first (`domain.poll_order`).
The others are older then, and their answers say as of when they are.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import NamedTuple

from hannun.domain import budgets, poll_order
from hannun.domain.budgets import Budget
from hannun.domain.poll_order import Pollable
from hannun.domain.rounds import POLL, REBUILD, SPACED_POLL, Pair, PlannedPiece
from hannun.store import rounds
from hannun.store.database import Connection

POLLED_EVENTS_MAX = 2_500
"""Events in a piece that asks a channel: what is done again where a process dies. Fewer pieces cost fewer queries."""
REBUILT_EVENTS_MAX = 2_500
MOVES_WITHIN = timedelta(hours=1)
"""An event moves on a channel if the channel has measured an increment so recently."""


class PolledChannel(NamedTuple):
    """What planning knows of a channel.

    settle_s: how long its numbers still change after an event's end, in seconds.
    batch: event ids in a call.
    """

    settle_s: int
    budgets: Sequence[Budget] = ()
    batch: int = 1


def spaces_calls(of_channel: Sequence[Budget], period: timedelta) -> bool:
    """Whether budgets of a channel space its calls, so that it is polled beside the others."""
    return any(budgets.is_spaced(budget, period.total_seconds()) for budget in of_channel)


class Planner:
    """Plans the pieces of each round.

    Args:
        channels: those that are polled, by their keys.
        period: of the rounds.
    """

    def __init__(self, channels: Mapping[str, PolledChannel], period: timedelta) -> None:
        self._channels = channels
        self._period_s = period.total_seconds()
        self._settle_s = {key: channel.settle_s for key, channel in channels.items()}
        self._spaced = {key for key, channel in channels.items() if spaces_calls(channel.budgets, period)}

    def __call__(self, conn: Connection) -> list[PlannedPiece]:
        """The pieces of a round that begins now, in its transaction."""
        now = rounds.clock(conn)
        by_channel: dict[str, list[Pollable]] = {key: [] for key in self._settle_s}
        for pair in rounds.pairs(conn, self._settle_s):
            by_channel[pair.channel].append(_pollable(pair, now))
        ordered = {key: self._in_order(self._channels[key], events) for key, events in by_channel.items()}
        return pieces(ordered, rounds.active_events(conn), self._spaced)

    def _in_order(self, channel: PolledChannel, events: Sequence[Pollable]) -> list[int]:
        everyone_s = budgets.everyone_s(channel.budgets, len(events), channel.batch, self._period_s)
        return [event.event_no for event in poll_order.in_order(events, everyone_s)]


def _pollable(pair: Pair, now: datetime) -> Pollable:
    weight = poll_order.weight(
        moving=pair.moved_at is not None and now - pair.moved_at < MOVES_WITHIN,
        ends_in_s=None if pair.ends_at is None else (pair.ends_at - now).total_seconds(),
    )
    return Pollable(pair.event_no, None if pair.polled_at is None else (now - pair.polled_at).total_seconds(), weight)


def pieces(
    by_channel: Mapping[str, Sequence[int]], active: Sequence[int], spaced: Collection[str] = ()
) -> list[PlannedPiece]:
    """The pieces in the order in which they are taken.

    The channels take turns, so that a slow one does not stand before the others. Answers are rebuilt last.

    Args:
        by_channel: the numbers of the events that each channel is asked for, the most urgent first.
        active: the events whose answers are rebuilt.
        spaced: the channels whose budgets space their calls.
    """
    polls = [
        [
            PlannedPiece(SPACED_POLL if channel in spaced else POLL, channel, part)
            for part in _parts(event_nos, POLLED_EVENTS_MAX)
        ]
        for channel, event_nos in by_channel.items()
    ]
    in_turn = [piece for turn in zip_longest(*polls) for piece in turn if piece is not None]
    return [*in_turn, *(PlannedPiece(REBUILD, None, part) for part in _parts(active, REBUILT_EVENTS_MAX))]


def _parts(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (numbers[first : first + size] for first in range(0, len(numbers), size))
