"""The pieces of a round: which events each channel is asked for, in which order, and which answers are rebuilt."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest

from hannun.domain.rounds import POLL, REBUILD, SPACED_POLL, PlannedPiece

POLLED_EVENTS_MAX = 1_000
"""Events in a piece that asks a channel: one piece is one transaction, and what is done again where a process dies."""
REBUILT_EVENTS_MAX = 500


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
