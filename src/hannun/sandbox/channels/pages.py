"""Pages: which part of the events a response of a simulated API holds, and what it says of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hannun.sandbox.channels.shape import Paging

_PAGE_PREFIX = "p-"
"""Begins the text that names the next page."""

T = TypeVar("T")


def asked_page(paging: Paging, values: Mapping[str, object]) -> int:
    """The number of the page that is asked for, from 0 on. A parameter that is none asks for the first page."""
    given = str(values.get(paging.parameter, "")).removeprefix(_PAGE_PREFIX)
    number = int(given) if given.isdecimal() and len(given) < 9 else paging.first
    return max(0, number - paging.first)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the events.

    Attributes:
        number: from 0 on; the API calls the first one `first`.
        count: of all events.
        shift: how many events have appeared before this page since the first one was read.
    """

    number: int
    first: int
    size: int
    count: int
    shift: int = 0

    def part(self, events: Sequence[T]) -> Sequence[T]:
        """The events of this page."""
        begin = max(0, self.number * self.size - self.shift)
        return events[begin : begin + self.size]

    @property
    def has_next(self) -> bool:
        return (self.number + 1) * self.size - self.shift < self.count

    @property
    def values(self) -> dict[str, str]:
        """The placeholders of the whole, as JSON."""
        pages = max(1, -(-self.count // self.size))
        return {
            "next": f'"{_PAGE_PREFIX}{self.number + self.first + 1}"',
            "more": "true" if self.has_next else "false",
            "page": str(self.number + self.first),
            "pages": str(pages),
        }
