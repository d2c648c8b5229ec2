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
from hannun.flows.report.snapshot import Loaded, Snapshot, earliest, in_one_transaction
from hannun.store import reports


@in_one_transaction
async def load_insights(snapshot: Snapshot, question: InsightsQuestion) -> Loaded[EventInsightsFigures] | None:
    conn, now, tz = snapshot.conn, snapshot.now, question.tz
    found = await reports.event_with_history(conn, question.subject.event_id, now, snapshot.stale_after, MARKS_MAX)
    if found is None:
        return None
    event, history, detached = found
    if detached and (history.first is None or detached[0].start < history.first):
        history = replace(history, first=detached[0].start)
    pairs = [today_and_yesterday(now, tz), week_and_week_before(now, tz)]
    day, week = await _compared(snapshot, event, history.first, detached, pairs)
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
    pairs: Sequence[tuple[Range, Range] | None],
) -> list[ComparedCounts | None]:
    """What happened in a period and in the one before, of each pair in which the event ran."""
    ran = [pair for pair in pairs if pair and ran_in_both(event, first, pair[1], snapshot.now)]
    counts = await _participants(snapshot, event, detached, [each for pair in ran for each in pair])
    of_range = dict(counts)
    return [
        ComparedCounts(pair[0], of_range[pair[0]], pair[1], of_range[pair[1]]) if pair in ran and pair else None
        for pair in pairs
    ]


async def _participants(
    snapshot: Snapshot, event: EventFigures, detached: Sequence[DetachedSpan], ranges: Sequence[Range]
) -> list[tuple[Range, int]]:
    """Of bounded ranges: from the ledger where minutes are not kept, as the totals of a timeline."""
    kept = [each for each in ranges if not overlapping(detached, each)]
    counts = (
        list(zip(kept, await reports.participants_within(snapshot.conn, event.event_no, kept), strict=True))
        if kept
        else []
    )
    for each in ranges:
        if each not in kept:
            comparison = await reports.period(snapshot.conn, [event.event_no], each, None)
            counts.append((each, comparison.period.totals.counts.participants))
    return counts


async def _hours(
    snapshot: Snapshot, event: EventFigures, shown: Range, detached: Sequence[DetachedSpan]
) -> HourFigures | None:
    assert shown.start is not None and shown.end is not None
    if overlapping(detached, shown):
        return None
    buckets = buckets_in(to_epoch_s(shown.start), to_epoch_s(shown.end), Granularity.HOURLY, shown.tz)
    filled = await reports.timeline(snapshot.conn, [event.event_no], buckets, shown.start, shown.end)
    return HourFigures(buckets, [(index, participants) for index, participants, *_ in filled])
