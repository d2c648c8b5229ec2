"""View functions: (question, figures) to the answer of a view. Pure, so the same figures give the same bytes, live and
cached.

Under a range, participants and what channels measured are those of the range. Money, and figures divided by it, are
always those of the whole event; the answer states that period as `moneyPeriod`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import NamedTuple

from hannun.domain.buckets import Buckets, to_epoch_s
from hannun.domain.channel_state import NOTHING_MEASURED, Freshness
from hannun.domain.detached_months import cumulative, unknown_buckets
from hannun.domain.figures import (
    ChannelFigures,
    EventChannelsFigures,
    EventDashboardFigures,
    EventRoiFigures,
    MerchantChannelsFigures,
    MerchantDashboardFigures,
    MerchantRoiFigures,
    TimelineHead,
    TimelineViewFigures,
    sum_totals,
)
from hannun.domain.granularity import Granularity
from hannun.domain.metrics import ChannelCounts
from hannun.domain.provenance import (
    NOT_KEPT,
    ChannelPart,
    MeasuredCounts,
    channels_provenance,
    events_provenance,
    not_kept_provenance,
    projection_provenance,
    roi_provenance,
    summary_provenance,
    timeline_provenance,
)
from hannun.domain.questions import (
    ChannelsQuestion,
    EventDashboardQuestion,
    EventSubject,
    MerchantDashboardQuestion,
    MerchantSubject,
    Metric,
    Order,
    RoiQuestion,
    Subject,
    TimelineQuestion,
)
from hannun.domain.ranges import Range
from hannun.domain.response_schemas import (
    Channel,
    Dashboard,
    DataPoint,
    EventChannels,
    EventRoi,
    EventTimeline,
    Timeline,
    TimelineTotals,
    User,
    UserChannels,
    UserRoi,
    UserTimeline,
    format_instant,
    instant_of_version,
    snake_case,
)
from hannun.domain.trend import Trend, trend
from hannun.domain.view_parts import (
    ALL_TIME_PERIOD,
    channel,
    channel_cost,
    channel_performance,
    detached_of,
    event_in_list,
    fields_of,
    period,
    roi,
    sort_channels,
    summary,
    with_channels_of_period,
)

# -- one event -----------------------------------------------------------------------------------------------------


def event_dashboard(question: EventDashboardQuestion, figures: EventDashboardFigures) -> Dashboard:
    event, comparison = figures.event, figures.comparison
    as_of, channels = instant_of_version(event.version), with_channels_of_period(event.channels, comparison)
    counts = MeasuredCounts(event.measured, figures.now)
    totals = event.totals
    counted = summary(totals, counts.known, comparison, figures.preceding)
    return Dashboard(
        event_id=event.event_id,
        event_title=event.title,
        status=event.status,
        start_date=format_instant(event.starts_at),
        end_date=format_instant(event.ends_at),
        period=period(question.range, detached_of(comparison)),
        money_period=ALL_TIME_PERIOD,
        summary=counted,
        channel_performance=[channel_performance(each, comparison, figures.names) for each in channels],
        roi=roi(event.money, totals.counts, event.target_roi),
        provenance=summary_provenance(counts, as_of, compared=counted.previous is not None)
        | channels_provenance("channelPerformance", _parts(channels), figures.now, as_of)
        | roi_provenance("roi.", event.money, event.target_roi, counts, as_of)
        | not_kept_provenance(detached_of(comparison)),
        last_updated_at=as_of,
    )


def event_channels(question: ChannelsQuestion[EventSubject], figures: EventChannelsFigures) -> EventChannels:
    event, as_of = figures.event, instant_of_version(figures.event.version)
    shown = _shown_channels(figures, event.channels, event.unattributed, question.order)
    return EventChannels(
        event_id=event.event_id,
        period=period(question.range, detached_of(figures.comparison)),
        money_period=ALL_TIME_PERIOD,
        total_participants=shown.participants,
        unattributed_participants=shown.unattributed,
        channels=shown.channels,
        provenance=channels_provenance("channels", shown.parts, figures.now, as_of)
        | not_kept_provenance(detached_of(figures.comparison)),
        last_updated_at=as_of,
    )


def event_channels_of_one(event_id: str, only: Channel) -> EventChannels:
    """The answer to an `EventChannels` question that selects one channel, made from that channel's cached answer."""
    known, now = NOTHING_MEASURED, datetime.min
    if only.measured_at is not None:
        now = datetime.fromisoformat(only.measured_at).replace(tzinfo=None)
        each = Freshness(now, now if only.state == "stale" else None)
        known = {snake_case(name): each for name in only.measured_counts}
    part = (only.channel_type, known, only.performance.distribution_cost)
    return EventChannels(
        event_id=event_id,
        period=ALL_TIME_PERIOD,
        money_period=ALL_TIME_PERIOD,
        total_participants=only.metrics.participants,
        unattributed_participants=0,
        channels=[only],
        provenance=channels_provenance("channels", [part], now, only.last_updated_at),
        last_updated_at=only.last_updated_at,
    )


def event_roi(question: RoiQuestion[EventSubject], figures: EventRoiFigures) -> EventRoi:
    event, comparison, as_of = figures.event, figures.comparison, instant_of_version(figures.event.version)
    within = event.totals if comparison is None else comparison.period.totals
    channels = with_channels_of_period(event.channels, comparison)
    return EventRoi(
        **fields_of(roi(event.money, event.totals.counts, event.target_roi)),
        event_id=event.event_id,
        event_title=event.title,
        status=event.status,
        period=period(question.range, detached_of(comparison)),
        money_period=ALL_TIME_PERIOD,
        total_participants=within.counts.participants,
        unattributed_participants=within.unattributed,
        channels=[channel_cost(each, comparison, figures.names) for each in channels],
        projection=figures.projection,
        provenance=roi_provenance("", event.money, event.target_roi, MeasuredCounts(event.measured, figures.now), as_of)
        | projection_provenance(figures.projection, as_of)
        | not_kept_provenance(detached_of(comparison)),
        last_updated_at=as_of,
    )


def event_timeline(question: TimelineQuestion[EventSubject], figures: TimelineViewFigures) -> EventTimeline:
    return EventTimeline(**fields_of(_timeline(question, figures)), event_id=question.subject.event_id)


# -- a merchant's events together ----------------------------------------------------------------------------------


def merchant_dashboard(question: MerchantDashboardQuestion, figures: MerchantDashboardFigures) -> User:
    merchant, as_of = figures.merchant, instant_of_version(figures.merchant.changed_at_us)
    counts = MeasuredCounts(merchant.measured, figures.now)
    counted = summary(merchant.totals, counts.known, figures.comparison, figures.preceding)
    return User(
        user_id=question.subject.user_id,
        total_events=len(merchant.event_nos),
        period=period(question.range, detached_of(figures.comparison)),
        money_period=ALL_TIME_PERIOD,
        summary=counted,
        roi=roi(merchant.money, merchant.totals.counts, target_roi=None),
        events=[event_in_list(each, figures.now) for each in figures.page],
        today=period(figures.days.today),
        yesterday=None if figures.days.yesterday is None else period(figures.days.yesterday),
        next_cursor=figures.next_cursor,
        provenance=summary_provenance(counts, as_of, compared=counted.previous is not None)
        | roi_provenance("roi.", merchant.money, None, counts, as_of)
        | events_provenance(figures.page, as_of, figures.now)
        | not_kept_provenance(detached_of(figures.comparison)),
        last_updated_at=as_of,
    )


def merchant_channels(question: ChannelsQuestion[MerchantSubject], figures: MerchantChannelsFigures) -> UserChannels:
    merchant, as_of = figures.merchant, instant_of_version(figures.merchant.changed_at_us)
    shown = _shown_channels(figures, figures.channels, merchant.totals.unattributed, question.order)
    return UserChannels(
        user_id=question.subject.user_id,
        total_events=len(merchant.event_nos),
        period=period(question.range, detached_of(figures.comparison)),
        money_period=ALL_TIME_PERIOD,
        total_participants=shown.participants,
        unattributed_participants=shown.unattributed,
        channels=shown.channels,
        provenance=channels_provenance("channels", shown.parts, figures.now, as_of)
        | not_kept_provenance(detached_of(figures.comparison)),
        last_updated_at=as_of,
    )


def merchant_roi(question: RoiQuestion[MerchantSubject], figures: MerchantRoiFigures) -> UserRoi:
    merchant, comparison, as_of = (
        figures.merchant,
        figures.comparison,
        instant_of_version(figures.merchant.changed_at_us),
    )
    within = merchant.totals if comparison is None else comparison.period.totals
    channels = with_channels_of_period(figures.channels, comparison)
    return UserRoi(
        **fields_of(roi(merchant.money, merchant.totals.counts, target_roi=None)),
        user_id=question.subject.user_id,
        total_events=len(merchant.event_nos),
        period=period(question.range, detached_of(comparison)),
        money_period=ALL_TIME_PERIOD,
        total_participants=within.counts.participants,
        unattributed_participants=within.unattributed,
        channels=[channel_cost(each, comparison, figures.names) for each in channels],
        projection=figures.projection,
        provenance=roi_provenance("", merchant.money, None, MeasuredCounts(merchant.measured, figures.now), as_of)
        | projection_provenance(figures.projection, as_of)
        | not_kept_provenance(detached_of(comparison)),
        last_updated_at=as_of,
    )


def merchant_timeline(question: TimelineQuestion[MerchantSubject], figures: TimelineViewFigures) -> UserTimeline:
    return UserTimeline(
        **fields_of(_timeline(question, figures)),
        user_id=question.subject.user_id,
        total_events=len(figures.head.event_nos),
    )


# -- channels ------------------------------------------------------------------------------------------------------


class _ShownChannels(NamedTuple):
    """The selected channels in order, and what their provenance follows from. `participants` include the
    `unattributed` ones."""

    channels: list[Channel]
    participants: int
    unattributed: int
    parts: list[ChannelPart]


def _shown_channels(
    figures: EventChannelsFigures | MerchantChannelsFigures,
    channels: Sequence[ChannelFigures],
    unattributed: int,
    order: Order,
) -> _ShownChannels:
    """The channels to show. Unattributed participants belong to no channel, so a selection has none."""
    comparison, selected = figures.comparison, figures.selected
    channels = with_channels_of_period(channels, comparison)
    if comparison is not None:
        unattributed = comparison.period.unattributed
    if selected is not None:
        channels = [each for each in channels if each.name in selected]
        unattributed = 0
    shown = sort_channels([channel(each, comparison, figures.names) for each in channels], order)
    counts = [(each.channel_type, ChannelCounts(participants=each.metrics.participants)) for each in shown]
    participants = sum_totals(counts, unattributed).counts.participants
    return _ShownChannels(shown, participants, unattributed, _parts(channels))


def _parts(channels: Iterable[ChannelFigures]) -> list[ChannelPart]:
    return [(each.type, each.measured, each.cost) for each in channels]


# -- timeline ------------------------------------------------------------------------------------------------------


def _timeline(question: TimelineQuestion[Subject], figures: TimelineViewFigures) -> Timeline:
    """The fields that both timelines share: a point for every bucket, empty ones too."""
    buckets, head, range_, counted = figures.buckets, figures.head, question.range, figures.counted
    count = len(buckets.starts)
    kept: dict[Metric, list[int]] = {metric: [0] * count for metric in _BY_MINUTE}
    for index, *counts in counted.filled:
        for column, figure in zip(kept.values(), counts, strict=True):
            column[index] = figure
    unknown = unknown_buckets(buckets, figures.end, counted.unknown)
    participants = kept[Metric.PARTICIPANTS]
    columns: dict[Metric, Sequence[int | None]] = {
        metric: _without_unknown(column, unknown) if counted.unknown else column for metric, column in kept.items()
    }
    columns[Metric.CUMULATIVE_PARTICIPANTS] = cumulative(
        buckets, figures.end, participants, counted.before, counted.unknown
    )
    not_kept = [metric for metric, column in columns.items() if None in column] if counted.unknown else []
    complete = _complete_buckets(buckets, range_, to_epoch_s(figures.now))
    of_trend = _after_unknown(_buckets_of_trend(buckets, complete, head), unknown)
    as_of = instant_of_version(head.changed_at_us)
    return Timeline(
        granularity=figures.granularity,
        tz=range_.tz,
        period=period(range_, counted.detached),
        data_points=_points(buckets.labels(), complete, columns, question.metrics, unknown),
        trend=_trend(buckets, participants, of_trend, figures.granularity),
        totals=_totals(question.metrics, kept, counted.whole),
        provenance=timeline_provenance(
            question.metrics, as_of, MeasuredCounts(head.measured, figures.now), not_kept=not_kept
        )
        | not_kept_provenance(counted.detached),
        last_updated_at=as_of,
        week_start=question.week_start if figures.granularity is Granularity.WEEKLY else None,
    )


_BY_MINUTE = (Metric.PARTICIPANTS, Metric.VIEWS, Metric.ENGAGEMENT, Metric.CONVERSIONS)


def _totals(
    metrics: Iterable[Metric], kept: Mapping[Metric, Sequence[int]], whole: ChannelCounts | None
) -> TimelineTotals:
    """The sums over the range: of its buckets, or `whole`, where minutes of it are not kept."""
    sums = {
        metric.value: sum(column) if whole is None else getattr(whole, metric.value) for metric, column in kept.items()
    }
    return TimelineTotals(**{name: total for name, total in sums.items() if name in set(metrics)})


def _without_unknown(figures: Sequence[int], unknown: Sequence[bool]) -> list[int | None]:
    return [None if is_unknown else figure for figure, is_unknown in zip(figures, unknown, strict=True)]


def _after_unknown(complete: list[bool], unknown: list[bool]) -> list[bool]:
    """The complete buckets after the last one that is unknown: a trend is one of adjacent buckets."""
    last = max((index for index, is_unknown in enumerate(unknown) if is_unknown), default=-1)
    return [is_complete and index > last for index, is_complete in enumerate(complete)]


def _complete_buckets(buckets: Buckets, range_: Range, now: int) -> list[bool]:
    """For each bucket whether it lies wholly in the past and in the range. Such buckets are adjacent."""
    edges = [*buckets.starts, buckets.end]
    first = 0 if range_.start is None else bisect_left(buckets.starts, to_epoch_s(range_.start))
    last = bisect_right(edges, now if range_.end is None else min(now, to_epoch_s(range_.end))) - 1
    return [first <= index < last for index in range(len(buckets.starts))]


def _buckets_of_trend(buckets: Buckets, complete: list[bool], head: TimelineHead) -> list[bool]:
    """For each bucket whether the trend includes it: those complete ones during which the events ran.

    Events run from the planned start, or from their first participant if that is earlier, until they have ended and
    nobody came any more. The time before and after has no participants and would make a trend of its own.
    """
    known = [to_epoch_s(at) for at in (head.begins, head.first) if at is not None]
    begins = min(known, default=0)
    ended = None if head.ended is None else max(to_epoch_s(at) for at in (head.ended, head.last or head.ended))
    edges = [*buckets.starts, buckets.end]
    first = bisect_left(buckets.starts, begins)
    last = len(buckets.starts) if ended is None else bisect_right(edges, ended) - 1
    return [is_complete and first <= index < last for index, is_complete in enumerate(complete)]


def _points(
    labels: list[str],
    complete: list[bool],
    columns: Mapping[Metric, Sequence[int | None]],
    metrics: Iterable[Metric],
    unknown: Sequence[bool],
) -> list[DataPoint]:
    if len(set(metrics)) == len(columns):
        points = list(map(DataPoint, labels, complete, *columns.values()))
    else:
        fields = {metric: _POINT_FIELDS[metric] for metric in columns if metric in set(metrics)}
        rows = zip(labels, complete, *(columns[metric] for metric in fields), strict=True)
        names = ("timestamp", "complete", *fields.values())
        points = [DataPoint(**dict(zip(names, row, strict=True))) for row in rows]
    for point in compress(points, unknown):
        point.reason = NOT_KEPT
    return points


_POINT_FIELDS = {metric: metric.value for metric in Metric} | {
    Metric.CUMULATIVE_PARTICIPANTS: "cumulative_participants"
}


def _trend(buckets: Buckets, participants: Sequence[int], included: list[bool], granularity: Granularity) -> Trend:
    """The trend of some buckets. Peak hours need buckets of at most an hour, peak weekdays of at most a day."""

    def of_included(values: Sequence[int]) -> list[int]:
        return [value for value, is_included in zip(values, included, strict=True) if is_included]

    hourly = granularity in (Granularity.MINUTE, Granularity.HOURLY)
    daily = hourly or granularity is Granularity.DAILY
    return trend(
        of_included(participants),
        of_included(buckets.hours()) if hourly else [],
        of_included(buckets.weekdays()) if daily else [],
    )
