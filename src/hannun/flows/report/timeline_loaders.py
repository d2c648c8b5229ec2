"""Loads a timeline, of one event or of a merchant's events together."""

from bisect import bisect_right
from datetime import datetime, timedelta

from hannun.domain.buckets import Buckets, buckets_in, default_granularity, from_epoch_s, to_epoch_s
from hannun.domain.channel_state import next_stale
from hannun.domain.detached_months import from_start, overlapping
from hannun.domain.figures import TimelineFigures, TimelineHead, TimelineViewFigures
from hannun.domain.granularity import Granularity
from hannun.domain.questions import EventSubject, MerchantSubject, Subject, TimelineQuestion
from hannun.domain.ranges import Range
from hannun.flows.report.merchant_loaders import load_merchant
from hannun.flows.report.snapshot import Loaded, Snapshot, earliest, in_one_transaction
from hannun.store import reports

_MINUTE = timedelta(minutes=1)
_MINUTE_S = 60


async def load_default_granularity(snapshot: Snapshot, event: EventSubject) -> Granularity:
    """The granularity of an event's timeline that has no range and names none: the event's age decides."""
    start = await reports.first_minute(snapshot.conn, event.event_id)
    return default_granularity(start or snapshot.now, snapshot.now)


async def load_event_timeline(
    snapshot: Snapshot, question: TimelineQuestion[EventSubject]
) -> Loaded[TimelineViewFigures] | None:
    """None where the event does not exist."""
    if question.range.start is not None:
        try:
            return await _load_by_one_statement(snapshot, question, question.range.start)
        except _SeveralNeeded:
            pass
    return await _load_event_timeline(snapshot, question)


class _SeveralNeeded(Exception):
    """One statement is not enough for this timeline."""


async def _load_by_one_statement(
    snapshot: Snapshot, question: TimelineQuestion[EventSubject], start: datetime
) -> Loaded[TimelineViewFigures] | None:
    """The timeline of a range whose minutes are all kept, which begins before it ends.

    Raises:
        _SeveralNeeded: it is none, or the event has participants after now.
    """
    range_, now = question.range, snapshot.now
    end = range_.end_or_now(now)
    granularity = question.granularity or default_granularity(start, end if range_.end else now)
    buckets = buckets_in(to_epoch_s(start), to_epoch_s(end), granularity, range_.tz, question.week_start)
    if not buckets.starts:
        raise _SeveralNeeded
    found = await reports.event_timeline(
        snapshot.conn, question.subject.event_id, buckets, start, end, snapshot.stale_after
    )
    if found is None:
        return None
    head = found.head
    if any(span.end > start for span in found.detached) or (range_.end is None and head.last and head.last >= end):
        raise _SeveralNeeded
    before = head.participants - found.after - sum(participants for _, participants, *_ in found.filled)
    return _loaded(question, granularity, head, buckets, TimelineFigures(found.filled, before), end, now)


@in_one_transaction
async def _load_event_timeline(
    snapshot: Snapshot, question: TimelineQuestion[EventSubject]
) -> Loaded[TimelineViewFigures] | None:
    head = await reports.timeline_head(snapshot.conn, question.subject.event_id, snapshot.stale_after)
    return None if head is None else await _load_timeline(snapshot, question, head)


@in_one_transaction
async def load_merchant_timeline(
    snapshot: Snapshot, question: TimelineQuestion[MerchantSubject]
) -> Loaded[TimelineViewFigures]:
    merchant = await load_merchant(snapshot, question.subject)
    head = await reports.merchant_timeline_head(snapshot.conn, question.subject.user_id, merchant)
    return await _load_timeline(snapshot, question, head)


async def _load_timeline(
    snapshot: Snapshot, question: TimelineQuestion[Subject], head: TimelineHead
) -> Loaded[TimelineViewFigures]:
    range_, now = question.range, snapshot.now
    this_minute = now.replace(second=0, microsecond=0)
    start = range_.start or head.first or this_minute
    end = range_.end or max(range_.end_or_now(now), (head.last or this_minute) + _MINUTE)
    granularity = question.granularity or default_granularity(start, end if range_.end else now)
    buckets = buckets_in(to_epoch_s(start), to_epoch_s(end), granularity, range_.tz, question.week_start)
    counted = await _count(snapshot, head, range_, buckets, start, end)
    return _loaded(question, granularity, head, buckets, counted, end, now)


def _loaded(
    question: TimelineQuestion[Subject],
    granularity: Granularity,
    head: TimelineHead,
    buckets: Buckets,
    counted: TimelineFigures,
    end: datetime,
    now: datetime,
) -> Loaded[TimelineViewFigures]:
    figures = TimelineViewFigures(head, granularity, buckets, counted, end=to_epoch_s(end), now=now)
    valid_until = earliest(_valid_until(buckets, question.range, now), next_stale([head.measured], now))
    return Loaded(figures, head.version, head.owner, valid_until)


async def _count(
    snapshot: Snapshot, head: TimelineHead, range_: Range, buckets: Buckets, start: datetime, end: datetime
) -> TimelineFigures:
    """What happened in the buckets, which cover [start, end) of `range_`, and before them."""
    conn, event_nos = snapshot.conn, head.event_nos
    detached = await reports.detached_months(conn, event_nos)
    filled = await reports.timeline(conn, event_nos, buckets, start, end)
    if any(span.end > start for span in detached):
        earlier, before_in_month = await reports.participants_before(conn, event_nos, start)
        before, later = earlier + before_in_month, from_start(detached, start, before_in_month)
    else:  # the usual case, which costs no query where the range ends with the newest minute
        nothing_after = head.last is not None and head.last < end
        after = 0 if nothing_after else await reports.participants_from(conn, event_nos, end)
        before, later = head.participants - after - sum(participants for _, participants, *_ in filled), []
    if not overlapping(detached, range_):
        return TimelineFigures(filled, before)
    comparison = await reports.period(conn, event_nos, range_, None)
    return TimelineFigures(filled, before, later, comparison.detached, comparison.period.totals.counts)


def _valid_until(buckets: Buckets, range_: Range, now: datetime) -> datetime | None:
    """The next bucket's start, which completes the bucket before; None where the range lies in the past."""
    if range_.end is not None and range_.end <= now:
        return None
    edges = [*buckets.starts, buckets.end]
    later = edges[bisect_right(edges, to_epoch_s(now)) :]
    return from_epoch_s(later[0] if later else to_epoch_s(now) + _MINUTE_S)
