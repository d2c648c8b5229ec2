"""Loads a timeline, of one event or of a merchant's events together."""

from bisect import bisect_right
from datetime import datetime, timedelta

from hannun.domain.buckets import Buckets, buckets, default_granularity, moment_of, seconds_of
from hannun.domain.figures import TimelineHead, TimelineViewFigures
from hannun.domain.granularity import Granularity
from hannun.domain.questions import OfEvent, OfMerchant, Subject, TimelineQuestion
from hannun.domain.ranges import Range
from hannun.flows.report.merchant_loaders import load_merchant
from hannun.flows.report.snapshot import Loaded, Snapshot
from hannun.store import reports

_MINUTE = timedelta(minutes=1)
_MINUTE_S = 60


async def load_default_granularity(snapshot: Snapshot, event: OfEvent) -> Granularity:
    """The granularity of an event's timeline that has no range and names none: the event's age decides."""
    start = await reports.first_minute(snapshot.conn, event.event_id)
    return default_granularity(start or snapshot.now, snapshot.now)


async def load_event_timeline(
    snapshot: Snapshot, question: TimelineQuestion[OfEvent]
) -> Loaded[TimelineViewFigures] | None:
    """None where the event does not exist."""
    head = await reports.timeline_head(snapshot.conn, question.of.event_id)
    return None if head is None else await _load_timeline(snapshot, question, head)


async def load_merchant_timeline(
    snapshot: Snapshot, question: TimelineQuestion[OfMerchant]
) -> Loaded[TimelineViewFigures]:
    merchant = await load_merchant(snapshot, question.of)
    head = await reports.merchant_timeline_head(snapshot.conn, question.of.user_id, merchant)
    return await _load_timeline(snapshot, question, head)


async def _load_timeline(
    snapshot: Snapshot, question: TimelineQuestion[Subject], head: TimelineHead
) -> Loaded[TimelineViewFigures]:
    asked, now = question.range, snapshot.now
    this_minute = now.replace(second=0, microsecond=0)
    start = asked.start or head.first or this_minute
    end = asked.end or max(asked.until(now), (head.last or this_minute) + _MINUTE)
    granularity = question.granularity or default_granularity(start, end if asked.end else now)
    grid = buckets(seconds_of(start), seconds_of(end), granularity, asked.tz)
    counted = await reports.timeline(snapshot.conn, head.event_nos, grid, start, end, head.last)
    figures = TimelineViewFigures(head, granularity, grid, counted, now=seconds_of(now))
    return Loaded(figures, head.version, head.owner, _valid_until(grid, asked, now))


def _valid_until(grid: Buckets, asked: Range, now: datetime) -> datetime | None:
    """The next bucket's start, which completes the bucket before; None where the range lies in the past."""
    if asked.end is not None and asked.end <= now:
        return None
    edges = [*grid.starts, grid.ends]
    later = edges[bisect_right(edges, seconds_of(now)) :]
    return moment_of(later[0] if later else seconds_of(now) + _MINUTE_S)
