"""Which events of a channel are polled first, where its budgets do not reach all of them in one round.

The score of an event is its age times its weight: seconds since its last poll, times 1 to 4. Those that move or end
soon are polled up to four times as often. The score of any event rises with its age, so none is left out for ever. New
events come first, then overdue ones, whatever they weigh: so `domain.budgets.promised_age_s` holds also while
weights change and when many events are new. The age is that of the last poll and not of the last measurement: an event
that the channel does not know must not come first in every round.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

MOVING_WEIGHT: Final = 2
ENDING_WEIGHT: Final = 2
ENDS_SOON_S: Final = 86_400.0
"""An event ends soon if it ends within a day."""


class Pollable(NamedTuple):
    """An event for which a channel may be polled. `age_s` is None before its first poll."""

    event_no: int
    age_s: float | None
    weight: int = 1


def weight(*, moving: bool, ends_in_s: float | None) -> int:
    """The weight of an event.

    Args:
        moving: whether the channel has measured an increment of it lately.
        ends_in_s: when it ends; None where that is not known.
    """
    ends_soon = ends_in_s is not None and 0 <= ends_in_s <= ENDS_SOON_S
    return (MOVING_WEIGHT if moving else 1) * (ENDING_WEIGHT if ends_soon else 1)


def score(event: Pollable) -> float:
    """The higher, the sooner. Infinite before the first poll."""
    return math.inf if event.age_s is None else max(event.age_s, 0.0) * event.weight


def in_order(events: Iterable[Pollable], everyone_s: float = math.inf) -> list[Pollable]:
    """The events as they are to be polled: those without a poll, the overdue ones by their age, the others by score.
    Equal ones are in the order of weights, then of numbers.

    Args:
        everyone_s: how long the budgets take to ask for every event once (`domain.budgets.everyone_s`). An event is
            overdue half-way between that and the age that it is promised.
    """
    listed = list(events)
    mean_weight = sum(event.weight for event in listed) / max(len(listed), 1)
    overdue_s = everyone_s * (1 + mean_weight) / 2

    def key(event: Pollable) -> tuple[int, float, int, int]:
        if event.age_s is None:
            return 0, 0.0, -event.weight, event.event_no
        if event.age_s >= overdue_s > 0:
            return 1, -event.age_s, -event.weight, event.event_no
        return 2, -score(event), -event.weight, event.event_no

    return sorted(listed, key=key)
