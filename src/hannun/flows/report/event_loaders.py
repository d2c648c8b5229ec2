"""Loads the figures of one event: dashboard, channels, ROI with its projection. None where the event does not exist."""

from collections.abc import Iterable
from datetime import datetime

from hannun.domain.buckets import DAY, Buckets, buckets_in, from_epoch_s, to_epoch_s
from hannun.domain.channel_state import next_stale
from hannun.domain.channels import Channel
from hannun.domain.figures import (
    ChannelFigures,
    EventChannelsFigures,
    EventDashboardFigures,
    EventFigures,
    EventRoiFigures,
)
from hannun.domain.granularity import Granularity
from hannun.domain.projection import DailyHistory, days_used, no_projection, projection
from hannun.domain.questions import ChannelsQuestion, EventDashboardQuestion, EventSubject, RoiQuestion
from hannun.domain.response_schemas import Projection, format_instant
from hannun.flows.report.snapshot import Loaded, Snapshot, earliest, end_of_comparison, in_one_transaction
from hannun.store import reports


async def load_dashboard(snapshot: Snapshot, question: EventDashboardQuestion) -> Loaded[EventDashboardFigures] | None:
    """By one statement."""
    event_id, range_, now = question.subject.event_id, question.range, snapshot.now
    preceding = range_.preceding(now)
    comparison = None
    if range_.is_bounded:
        found = await reports.event_and_period(snapshot.conn, event_id, now, snapshot.stale_after, range_, preceding)
        event, comparison = (None, None) if found is None else found
    else:
        event = await _event(snapshot, event_id)
    if event is None:
        return None
    figures = EventDashboardFigures(event, comparison, preceding, now, snapshot.channel_table)
    until = earliest(end_of_comparison(range_, now), _stale_at(snapshot, event.channels))
    return Loaded(figures, event.version, event.user_id, until)


@in_one_transaction
async def load_channels(
    snapshot: Snapshot, question: ChannelsQuestion[EventSubject]
) -> Loaded[EventChannelsFigures] | None:
    event = await _event(snapshot, question.subject.event_id)
    if event is None:
        return None
    await snapshot.check_channels(question.channels, event_id=event.event_id)
    comparison = await snapshot.comparison([event.event_no], question.range)
    selected = snapshot.select(question.channels, (each.name for each in event.channels), comparison)
    figures = EventChannelsFigures(event, comparison, selected, snapshot.now, snapshot.channel_table)
    return Loaded(figures, event.version, event.user_id, _stale_at(snapshot, event.channels))


async def load_channel(snapshot: Snapshot, event_id: str, channel: Channel) -> Loaded[ChannelFigures] | None:
    """One channel of an event; None where the event has no such channel.

    The whole `Channel` is compared, not only its key: invalidations name channels as the event does, so an answer may
    be cached under that name only.
    """
    event = await _event(snapshot, event_id)
    if event is None:
        return None
    found = next((each for each in event.channels if snapshot.channel_table.named(each.name) == channel), None)
    if found is None:
        return None
    return Loaded(found, found.changed_at_us, event.user_id, _stale_at(snapshot, [found]))


@in_one_transaction
async def load_roi(snapshot: Snapshot, question: RoiQuestion[EventSubject]) -> Loaded[EventRoiFigures] | None:
    event = await _event(snapshot, question.subject.event_id)
    if event is None:
        return None
    comparison = await snapshot.comparison([event.event_no], question.range)
    projected = await _load_projection(snapshot, event, question.range.tz) if question.projection else None
    figures = EventRoiFigures(event, comparison, projected, snapshot.now, snapshot.channel_table)
    return Loaded(figures, event.version, event.user_id, _stale_at(snapshot, event.channels))


async def _event(snapshot: Snapshot, event_id: str) -> EventFigures | None:
    return await reports.event(snapshot.conn, event_id, snapshot.now, snapshot.stale_after)


def _stale_at(snapshot: Snapshot, channels: Iterable[ChannelFigures]) -> datetime | None:
    """When the answer changes although no data do: a channel's counts become stale."""
    return next_stale((channel.measured for channel in channels), snapshot.now)


async def _load_projection(snapshot: Snapshot, event: EventFigures, tz: str) -> Projection:
    """Where the event ends, projected from its last complete days in the zone."""
    conn, now, event_end = snapshot.conn, snapshot.now, event.ends_at
    projected_to = format_instant(event_end, tz)
    if event.status != "ACTIVE" or (event_end is not None and event_end <= now):
        return no_projection("over", projected_to)
    if event_end is None:
        return no_projection("no-end", None)
    first = await reports.first_minute(conn, event.event_id)
    detached = await reports.detached_months(conn, [event.event_no])
    if first is None:
        return no_projection("not-kept" if detached else "nobody-came", projected_to)
    days = _complete_days(max([first, *(span.end for span in detached)]), now, tz)
    used = days_used(len(days) - 1)
    if used == 0:
        return no_projection("too-early", projected_to)
    days = days[-used - 1 :]
    # offsets are only for labels, which these buckets do not need
    last_days = Buckets(days[:-1], [0] * used, days[-1])
    start, end = from_epoch_s(days[0]), from_epoch_s(days[-1])
    counted = await reports.timeline(conn, [event.event_no], last_days, start, end)
    sales = await reports.sales(conn, event.event_no, event.event_id, days)
    participants = [0] * used
    for day, count, *_ in counted:
        participants[day] = count
    history = DailyHistory(
        participants,
        sales[:-1],
        days_left=(to_epoch_s(event_end) - days[-1]) / DAY,
        participants_before=sum(await reports.participants_before(conn, [event.event_no], end)),
        participants_now=event.totals.counts.participants,
        recorded_before=(event.money.recorded or 0) - sales[-1],
    )
    return projection(history, event.money, projected_to)


def _complete_days(first: datetime, now: datetime, tz: str) -> list[int]:
    """Where the complete days between `first` and `now` begin, and where the last of them ends: seconds since 1970."""
    days = buckets_in(to_epoch_s(first), to_epoch_s(now), Granularity.DAILY, tz)
    return [at for at in (*days.starts, days.end) if to_epoch_s(first) <= at <= to_epoch_s(now)]
