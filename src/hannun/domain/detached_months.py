"""Months whose minutes are not in the timeline any more, and what an answer may say about them.

Retention detaches old months, and operators detach any. The ledger still has everybody who came in them, but not by
minute: a bucket that overlaps such a month is unknown, and not 0.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from operator import add

from hannun.domain.buckets import Buckets, to_epoch_s
from hannun.domain.ranges import Range
from hannun.domain.response_schemas import format_instant


@dataclass(frozen=True, slots=True)
class DetachedSpan:
    """A detached month, or the part of one that lies in a range: [start, end) in UTC, and the participants in it."""

    start: datetime
    end: datetime
    participants: int


def overlapping(spans: Iterable[DetachedSpan], range_: Range) -> list[DetachedSpan]:
    """The spans that overlap a range, whole. A range without bounds overlaps all."""
    return [
        span
        for span in spans
        if (range_.start is None or span.end > range_.start) and (range_.end is None or span.start < range_.end)
    ]


def intervals(spans: Iterable[DetachedSpan], range_: Range) -> list[str]:
    """The parts of a range that the spans cover, as ISO 8601 intervals in its zone. Adjacent spans are one interval."""
    merged: list[tuple[datetime, datetime]] = []
    for span in overlapping(spans, range_):
        start = span.start if range_.start is None else max(span.start, range_.start)
        end = span.end if range_.end is None else min(span.end, range_.end)
        if merged and merged[-1][1] == start:
            start = merged.pop()[0]
        merged.append((start, end))
    return [f"{format_instant(start, range_.tz)}/{format_instant(end, range_.tz)}" for start, end in merged]


def from_start(spans: Iterable[DetachedSpan], start: datetime, before_in_month: int) -> list[DetachedSpan]:
    """The parts of the spans at `start` or later.

    Args:
        before_in_month: the participants of the month of `start` who came before it.
    """
    return [
        span if span.start >= start else replace(span, start=start, participants=span.participants - before_in_month)
        for span in spans
        if span.end > start
    ]


def unknown_buckets(buckets: Buckets, end: int, spans: Sequence[DetachedSpan]) -> list[bool]:
    """For each bucket whether it overlaps a span. The last bucket ends at `end`, seconds since 1970."""
    unknown = [False] * len(buckets.starts)
    for span in spans:
        if to_epoch_s(span.start) >= end:
            continue
        first = max(bisect_right(buckets.starts, to_epoch_s(span.start)) - 1, 0)
        last = bisect_left(buckets.starts, to_epoch_s(span.end))
        unknown[first:last] = [True] * (last - first)
    return unknown


def cumulative(
    buckets: Buckets, end: int, participants: Sequence[int], before: int, spans: Sequence[DetachedSpan]
) -> list[int | None]:
    """The participants up to the end of each bucket; None where that is within a span.

    Args:
        end: where the last bucket ends, seconds since 1970.
        participants: of each bucket, in attached months.
        before: of before the first bucket.
        spans: from the first bucket on.
    """
    ends = [*buckets.starts[1:], end] if buckets.starts else []
    in_spans, within_span = [0] * len(ends), [False] * len(ends)
    for span in spans:
        inside = bisect_right(ends, to_epoch_s(span.start))
        behind = bisect_left(ends, to_epoch_s(span.end))
        within_span[inside:behind] = [True] * (behind - inside)
        if behind < len(ends):
            in_spans[behind] += span.participants
    sums = list(accumulate(map(add, participants, in_spans), initial=before))[1:]
    return [None if unknown else count for count, unknown in zip(sums, within_span, strict=True)]
