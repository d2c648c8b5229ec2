"""Loads the figures of a merchant's events together: dashboard, channels, ROI. A merchant without events has figures
too."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hannun.domain.channel_state import next_stale
from hannun.domain.figures import (
    ListedEvent,
    MerchantChannelsFigures,
    MerchantDashboardFigures,
    MerchantFigures,
    MerchantRoiFigures,
    PeriodComparison,
)
from hannun.domain.projection import no_projection
from hannun.domain.questions import (
    PAGE_MAX,
    ChannelsQuestion,
    MerchantDashboardQuestion,
    MerchantSubject,
    RoiQuestion,
    decode_cursor,
    encode_cursor,
)
from hannun.domain.ranges import TwoDays, two_days
from hannun.flows.report.snapshot import Loaded, Snapshot, earliest, end_of_comparison, in_one_transaction
from hannun.store import reports

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


async def load_merchant(snapshot: Snapshot, merchant: MerchantSubject) -> MerchantFigures:
    """The events that the filter of `merchant` leaves, together.

    Raises:
        BadRequest: the filter names an unknown channel.
    """
    await snapshot.check_channels(merchant.channels, user_id=merchant.user_id)
    return await reports.merchant(
        snapshot.conn,
        merchant.user_id,
        status=merchant.status,
        text=merchant.text,
        channel_keys=snapshot.channel_keys(merchant.channels) if merchant.channels else None,
        stale_after=snapshot.stale_after,
    )


@in_one_transaction
async def load_dashboard(snapshot: Snapshot, question: MerchantDashboardQuestion) -> Loaded[MerchantDashboardFigures]:
    return await _load_page(snapshot, question, *await _load_totals(snapshot, question))


async def load_dashboard_pages(
    snapshot: Snapshot, question: MerchantDashboardQuestion
) -> AsyncGenerator[Loaded[MerchantDashboardFigures]]:
    """Every page from the first one on, each of PAGE_MAX events. The totals are read once."""
    totals = await _load_totals(snapshot, question)
    question = replace(question, cursor=None, limit=PAGE_MAX)
    while True:
        page = await _load_page(snapshot, question, *totals)
        yield page
        if page.figures.next_cursor is None:
            return
        question = replace(question, cursor=page.figures.next_cursor)


async def _load_totals(
    snapshot: Snapshot, question: MerchantDashboardQuestion
) -> tuple[MerchantFigures, PeriodComparison | None]:
    merchant = await load_merchant(snapshot, question.subject)
    preceding = question.range.preceding(snapshot.now)
    return merchant, await snapshot.comparison(merchant.event_nos, question.range, preceding)


async def _load_page(
    snapshot: Snapshot,
    question: MerchantDashboardQuestion,
    merchant: MerchantFigures,
    comparison: PeriodComparison | None,
) -> Loaded[MerchantDashboardFigures]:
    now, range_ = snapshot.now, question.range
    hour = now.replace(minute=0, second=0, microsecond=0)
    events = await reports.merchant_page(
        snapshot.conn,
        question.subject.user_id,
        merchant.event_nos,
        range_,
        before=None if question.cursor is None else decode_cursor(question.cursor),
        limit=question.limit + 1,  # one more shows whether there is a next page
        hour=hour,
        stale_after=snapshot.stale_after,
    )
    days = two_days(now, range_.tz)
    page = await _with_days(snapshot, events[: question.limit], days)
    next_cursor = encode_cursor(page[-1].created_at, page[-1].row_id) if len(events) > question.limit else None
    figures = MerchantDashboardFigures(merchant, comparison, range_.preceding(now), page, next_cursor, days, now)
    valid_until = earliest(
        hour + _HOUR,  # moves the events' sparklines
        end_of_comparison(range_, now),
        await _end_of_days(snapshot, page, days),
        _stale_at(snapshot, merchant),
    )
    return Loaded(figures, merchant.version, question.subject.user_id, valid_until)


async def _with_days(snapshot: Snapshot, events: Sequence[ListedEvent], days: TwoDays) -> list[ListedEvent]:
    """The events with their participants of today and yesterday."""
    counted = await reports.participants_of_days(snapshot.conn, [each.event_id for each in events], days)
    return [
        replace(each, today=today, yesterday=yesterday)
        for each in events
        for today, yesterday in [counted[each.event_id]]
    ]


async def _end_of_days(snapshot: Snapshot, events: Sequence[ListedEvent], days: TwoDays) -> datetime | None:
    """When the participants of the two days change although no data do: at midnight, or before it, as soon as it is as
    late as it was yesterday when somebody joined. Where clocks change, that may be with each minute."""
    if days.clocks_change or days.yesterday is None:
        return days.today.elapsed_until(snapshot.now)
    since, until = days.yesterday.end, days.today.start
    assert since is not None and until is not None
    event_ids = [each.event_id for each in events]
    joined = await reports.first_participants(snapshot.conn, event_ids, since, until)
    return days.today.end if joined is None else joined + _DAY


@in_one_transaction
async def load_channels(
    snapshot: Snapshot, question: ChannelsQuestion[MerchantSubject]
) -> Loaded[MerchantChannelsFigures]:
    merchant = await load_merchant(snapshot, question.subject)
    channels = await reports.merchant_channels(snapshot.conn, merchant, snapshot.now)
    comparison = await snapshot.comparison(merchant.event_nos, question.range)
    await snapshot.check_channels(question.channels, user_id=question.subject.user_id)
    selected = snapshot.select(question.channels, (each.name for each in channels), comparison)
    figures = MerchantChannelsFigures(merchant, channels, comparison, selected, snapshot.now, snapshot.channel_table)
    return Loaded(figures, merchant.version, question.subject.user_id, _stale_at(snapshot, merchant))


@in_one_transaction
async def load_roi(snapshot: Snapshot, question: RoiQuestion[MerchantSubject]) -> Loaded[MerchantRoiFigures]:
    merchant = await load_merchant(snapshot, question.subject)
    channels = await reports.merchant_channels(snapshot.conn, merchant, snapshot.now)
    comparison = await snapshot.comparison(merchant.event_nos, question.range)
    projected = no_projection("several-events", None) if question.projection else None
    figures = MerchantRoiFigures(merchant, channels, comparison, projected, snapshot.now, snapshot.channel_table)
    return Loaded(figures, merchant.version, question.subject.user_id, _stale_at(snapshot, merchant))


def _stale_at(snapshot: Snapshot, merchant: MerchantFigures) -> datetime | None:
    """When the answer changes although no data do: a channel's counts become stale."""
    return next_stale(merchant.measured_by_channel.values(), snapshot.now)
