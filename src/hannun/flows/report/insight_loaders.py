"""Loads what the insights of an event are made of. None where the event does not exist."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from hannun.domain.buckets import buckets_in, to_epoch_s
from hannun.domain.channel_state import next_stale
from hannun.domain.detached_months import DetachedSpan, overlapping
from hannun.domain.figures import ComparedCounts, EventFigures, EventInsightsFigures, HourFigures
from hannun.domain.granularity import Granularity
from hannun.domain.insights import MARKS_MAX, hours_shown, ran_in_both, today_and_yesterday, week_and_week_before
from hannun.domain.questions import InsightsQuestion
from hannun.domain.ranges import Range, end_of_minute
from hannun.flows.report.snapshot import Loaded, Snapshot, earliest
from hannun.store import reports


async def load_insights(snapshot: Snapshot, question: InsightsQuestion) -> Loaded[EventInsightsFigures] | None:
    conn, now, tz = snapshot.conn, snapshot.now, question.tz
    event = await reports.event(conn, question.subject.event_id, now, snapshot.stale_after)
    if event is None:
        return None
    history = await reports.event_history(conn, event.event_id, MARKS_MAX)
    detached = await reports.detached_months(conn, [event.event_no])
    if detached and (history.first is None or detached[0].start < history.first):
        history = replace(history, first=detached[0].start)
    day, week = [
        periods and await _compared(snapshot, event, history.first, detached, *periods)
        for periods in (today_and_yesterday(now, tz), week_and_week_before(now, tz))
    ]
    shown = hours_shown(event, history, detached[-1].end if detached else None, now, tz)
    hours = await _hours(snapshot, event, shown, detached)
    figures = EventInsightsFigures(event, history, day, week, shown, hours, now, snapshot.channel_table)
    # Each minute moves the ends of the periods. Within it an event may begin, or pass its planned end.
    until = earliest(
        end_of_minute(now),
        next_stale((each.measured for each in event.channels), now),
        *(at for at in (event.starts_at, event.ends_at) if at is not None and at > now),
    )
    return Loaded(figures, event.version, event.user_id, until)


async def _compared(
    snapshot: Snapshot,
    event: EventFigures,
    first: datetime | None,
    detached: Sequence[DetachedSpan],
    period: Range,
    before: Range,
) -> ComparedCounts | None:
    if not ran_in_both(event, first, before, snapshot.now):
        return None
    counts = [await _participants(snapshot, event, detached, each) for each in (period, before)]
    return ComparedCounts(period, counts[0], before, counts[1])


async def _participants(
    snapshot: Snapshot, event: EventFigures, detached: Sequence[DetachedSpan], range_: Range
) -> int:
    """Of a bounded range: from the ledger where its minutes are not kept, as the totals of a timeline."""
    conn, nos = snapshot.conn, [event.event_no]
    assert range_.start is not None and range_.end is not None
    if overlapping(detached, range_):
        return (await reports.period(conn, nos, range_, None)).period.totals.counts.participants
    return await reports.participants_within(conn, nos, range_.start, range_.end)


async def _hours(
    snapshot: Snapshot, event: EventFigures, shown: Range, detached: Sequence[DetachedSpan]
) -> HourFigures | None:
    assert shown.start is not None and shown.end is not None
    if overlapping(detached, shown):
        return None
    buckets = buckets_in(to_epoch_s(shown.start), to_epoch_s(shown.end), Granularity.HOURLY, shown.tz)
    filled = await reports.timeline(snapshot.conn, [event.event_no], buckets, shown.start, shown.end)
    return HourFigures(buckets, [(index, participants) for index, participants, *_ in filled])
