"""Participants by date and hour of the day, and the hours in which most come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""


class Window(NamedTuple):
    """Some hours of the day, from `start` on, over midnight where need be.

    participants: who came in them; on_busiest_date: the most of them on one date; dates: on how many they came.
    minutes: for how long the event ran in these hours, over all dates.
    """

    start: int
    hours: int
    participants: int
    on_busiest_date: int
    dates: int
    minutes: int

    @property
    def end(self) -> int:
        return (self.start + self.hours) % 24


@dataclass(frozen=True, slots=True)
class DateHours:
    """The participants of each hour of the day, by local date in days since 1970; also of dates without any.

    minutes: for how long the event ran in each hour of the day, over all dates. Hours differ in it: the event began
        and ends within a day, and clocks skip or repeat hours.
    """

    dates: Mapping[int, Sequence[int]]
    minutes: Sequence[int]

    @property
    def total(self) -> int:
        return sum(map(sum, self.dates.values()))

    def by_weekday(self) -> list[list[int]]:
        """A row for each day of the week, Monday first, with the participants of each hour."""
        rows = [[0] * 24 for _ in range(7)]
        for date, hours in self.dates.items():
            row = rows[(date + _EPOCH_WEEKDAY) % 7]
            for hour, participants in enumerate(hours):
                row[hour] += participants
        return rows

    def window(self, start: int, hours: int) -> Window:
        chosen = [(start + each) % 24 for each in range(hours)]
        by_date = [sum(counts[hour] for hour in chosen) for counts in self.dates.values()]
        dates, minutes = sum(count > 0 for count in by_date), sum(self.minutes[hour] for hour in chosen)
        return Window(start, hours, sum(by_date), max(by_date, default=0), dates, minutes)

    def windows(self, hours: int) -> list[Window]:
        """All windows of so many hours, those with the most participants first."""
        found = [self.window(start, hours) for start in range(24)]
        return sorted(found, key=lambda window: (-window.participants, window.start))


def overlap(one: Window, other: Window) -> bool:
    """Whether two windows share an hour."""
    return (other.start - one.start) % 24 < one.hours or (one.start - other.start) % 24 < other.hours
