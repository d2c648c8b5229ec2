"""Lies: how a channel changes the numbers that it measured, where it is told to.

Numbers are JSON texts by the name of the count, so that a lie may also make them no numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hannun.sandbox.channels.behaviours import Told

Numbers = Mapping[str, str]

_HUGE = str(2**63)
_WRONG_VALUES = ('{"value": 7}', "[1, 2]", "true", '"many"')


def _for_each(change: Callable[[Told, str], str]) -> Callable[[Told, Numbers], Numbers]:
    """A lie about every number that there is."""

    def lie(told: Told, numbers: Numbers) -> Numbers:
        return {name: change(told, value) if value.isdecimal() else value for name, value in numbers.items()}

    return lie


def _wrong_types(told: Told, numbers: Numbers) -> Numbers:
    return {name: _WRONG_VALUES[n % len(_WRONG_VALUES)] for n, name in enumerate(numbers)}


def _more_completed(told: Told, numbers: Numbers) -> Numbers:
    """More calls are completed than were made. A channel without calls tells the truth."""
    if not numbers["total_calls"].isdecimal():
        return numbers
    return {**numbers, "completed_calls": str(3 * int(numbers["total_calls"]) + 3)}


# In the order in which they are applied.
LIES: Mapping[str, Callable[[Told, Numbers], Numbers]] = {
    "fall": _for_each(lambda told, value: str(int(int(value) * (1 - told.number("by"))))),
    "negative": _for_each(lambda told, value: str(-1 - int(value))),
    "huge": _for_each(lambda told, value: _HUGE),
    "more-completed": _more_completed,
    "strings": _for_each(lambda told, value: f'"{value}"'),
    "wrong-type": _wrong_types,
}
