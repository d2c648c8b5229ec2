"""How figures become an answer: pure, so that the same figures give the same bytes, live and cached.

Under a range participants and what channels measured are of the range; money, and what is divided by it, is of the
event as a whole, and the answer says so (`moneyPeriod`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Any

from hannun.domain.buckets import Buckets, seconds_of
from hannun.domain.figures import (
    UNTOUCHED,
    VOICE,
    ChannelFigures,
    EventFigures,
    EventLine,
    MerchantFigures,
    PeriodComparison,
    TimelineFigures,
    TimelineHead,
    Totals,
    totals_of,
)
from hannun.domain.granularity import Granularity
from hannun.domain.metrics import ChannelCounts, Money, change, cost_per, number
from hannun.domain.provenance import (
    _measured,
    _of_channels,
    _of_counts,
    _of_projection,
    _of_roi,
    _of_summary,
    _of_timeline,
)
from hannun.domain.questions import Metric, OfMerchant, Order, SortBy, TimelineQuestion
from hannun.domain.ranges import DEFAULT_TZ, Range
from hannun.domain.response_schemas import (
    Channel,
    ChannelCost,
    ChannelMetrics,
    ChannelPerformance,
    ChannelRates,
    Dashboard,
    DataPoint,
    Delta,
    EventChannels,
    EventRoi,
    EventTimeline,
    Investment,
    Number,
    Period,
    Previous,
    Projection,
    Revenue,
    Roi,
    SocialInteractions,
    Summary,
    Timeline,
    TimelineTotals,
    User,
    UserChannels,
    UserEvent,
    UserRoi,
    UserTimeline,
    changed_at,
    instant,
)
from hannun.domain.trend import Trend, trend

EVER = Period(None, None, DEFAULT_TZ)


# -- one event -----------------------------------------------------------------------------------------------------


def dashboard(event: EventFigures, asked: Range, compared: PeriodComparison | None, before: Range | None) -> Dashboard:
    whole = event.totals
    channels = _with_new_ones(event.channels, compared)
    return Dashboard(
        event_id=event.event_id,
        event_title=event.title,
        status=event.status,
        start_date=instant(event.starts_at),
        end_date=instant(event.ends_at),
        period=period(asked),
        money_period=EVER,
        summary=summary(whole, compared, before),
        channel_performance=[_performance(each, _in_period(each, compared)) for each in channels],
        roi=roi(event.money, whole.counts, event.target_roi),
        provenance=_of_summary({each.state for each in channels}, event.version)
        | _of_channels("channelPerformance", channels, event.version)
        | _of_roi("roi.", event.money, {each.state for each in channels}, event.version),
        last_updated_at=changed_at(event.version),
    )


def event_channels(
    event: EventFigures,
    asked: Range,
    compared: PeriodComparison | None,
    order: Order,
    wanted: Callable[[str], bool] | None,
) -> EventChannels:
    """The channels that are wanted, all where `wanted` is None."""
    shown, came, unattributed = _shown(event.channels, event.unattributed, compared, order, wanted)
    return EventChannels(
        event_id=event.event_id,
        period=period(asked),
        money_period=EVER,
        total_participants=came,
        unattributed_participants=unattributed,
        channels=shown,
        provenance=_of_channels("channels", event.channels, event.version),
        last_updated_at=changed_at(event.version),
    )


def one_channel(event_id: str, channel: Channel) -> EventChannels:
    """The answer to the question for one channel, made of the channel alone."""
    return EventChannels(
        event_id=event_id,
        period=EVER,
        money_period=EVER,
        total_participants=channel.metrics.participants,
        unattributed_participants=0,
        channels=[channel],
        provenance=_of_counts("channels", {channel.state}, channel.last_updated_at),
        last_updated_at=channel.last_updated_at,
    )


def channel(figures: ChannelFigures, counts: ChannelCounts | None = None) -> Channel:
    """A channel; `counts` are those of a range, else those of all time."""
    within = figures.counts if counts is None else counts
    return Channel(
        channel_name=figures.name,
        channel_type=figures.type,
        state=figures.state,
        metrics=ChannelMetrics(
            participants=within.participants,
            impressions=within.impressions,
            views=within.views,
            clicks=within.clicks,
            conversions=within.conversions,
            engagement=within.engagement,
            likes=within.likes,
            comments=within.comments,
            shares=within.shares,
            total_calls=within.total_calls,
            completed_calls=within.completed_calls,
            average_duration=figures.average_duration_s if counts is None else None,
            expected_views=figures.expected_views,
        ),
        performance=ChannelRates(
            click_through_rate=number(within.click_through_rate),
            engagement_rate=number(within.engagement_rate),
            participation_rate=number(within.participation_rate),
            conversion_rate=number(_conversion_rate(figures.type, within)),
            distribution_cost=_number(figures.cost),
            cost_per_participant=number(cost_per(figures.cost, figures.counts.participants)),
            cost_per_view=number(cost_per(figures.cost, figures.counts.views)),
            cost_per_conversion=number(cost_per(figures.cost, figures.counts.conversions)),
        ),
        measured_at=None,
        last_updated_at=changed_at(figures.changed),
    )


def event_roi(
    event: EventFigures, asked: Range, compared: PeriodComparison | None, projected: Projection | None
) -> EventRoi:
    figures = roi(event.money, event.totals.counts, event.target_roi)
    within = event.totals if compared is None else compared.period.totals
    channels = _with_new_ones(event.channels, compared)
    return EventRoi(
        **_fields(figures),
        event_id=event.event_id,
        event_title=event.title,
        status=event.status,
        period=period(asked),
        money_period=EVER,
        total_participants=within.counts.participants,
        unattributed_participants=within.unattributed,
        channels=[_cost(each, _in_period(each, compared)) for each in channels],
        projection=projected,
        provenance=_of_roi("", event.money, {each.state for each in channels}, event.version)
        | _of_projection(projected, event.version),
        last_updated_at=changed_at(event.version),
    )


# -- a merchant's events -------------------------------------------------------------------------------------------


def user(
    asked_of: OfMerchant,
    asked: Range,
    figures: MerchantFigures,
    compared: PeriodComparison | None,
    before: Range | None,
    page: Sequence[EventLine],
    next_cursor: str | None,
) -> User:
    return User(
        user_id=asked_of.user_id,
        total_events=len(figures.event_nos),
        period=period(asked),
        money_period=EVER,
        summary=summary(figures.totals, compared, before),
        roi=roi(figures.money, figures.totals.counts, target_roi=None),
        events=[_line(line) for line in page],
        next_cursor=next_cursor,
        provenance=_of_summary((), figures.changed)
        | _of_roi("roi.", figures.money, (), figures.changed)
        | {"events.totalParticipants": _measured(changed_at(figures.changed), "count")},
        last_updated_at=changed_at(figures.changed),
    )


def user_channels(
    asked_of: OfMerchant,
    asked: Range,
    figures: MerchantFigures,
    channels: Sequence[ChannelFigures],
    compared: PeriodComparison | None,
    order: Order,
    wanted: Callable[[str], bool] | None,
) -> UserChannels:
    shown, came, unattributed = _shown(channels, figures.totals.unattributed, compared, order, wanted)
    return UserChannels(
        user_id=asked_of.user_id,
        total_events=len(figures.event_nos),
        period=period(asked),
        money_period=EVER,
        total_participants=came,
        unattributed_participants=unattributed,
        channels=shown,
        provenance=_of_channels("channels", channels, figures.changed),
        last_updated_at=changed_at(figures.changed),
    )


def user_roi(
    asked_of: OfMerchant,
    asked: Range,
    figures: MerchantFigures,
    channels: Sequence[ChannelFigures],
    compared: PeriodComparison | None,
    projected: Projection | None,
) -> UserRoi:
    within = figures.totals if compared is None else compared.period.totals
    return UserRoi(
        **_fields(roi(figures.money, figures.totals.counts, target_roi=None)),
        user_id=asked_of.user_id,
        total_events=len(figures.event_nos),
        period=period(asked),
        money_period=EVER,
        total_participants=within.counts.participants,
        unattributed_participants=within.unattributed,
        channels=[_cost(each, _in_period(each, compared)) for each in _with_new_ones(channels, compared)],
        projection=projected,
        provenance=_of_roi("", figures.money, {each.state for each in channels}, figures.changed)
        | _of_projection(projected, figures.changed),
        last_updated_at=changed_at(figures.changed),
    )


def _line(line: EventLine) -> UserEvent:
    return UserEvent(
        event_id=line.event_id,
        event_title=line.title,
        status=line.status,
        start_date=instant(line.starts_at),
        end_date=instant(line.ends_at),
        total_participants=line.participants,
        total_views=line.views,
        current_roi=number(line.money.current_roi),
        target_roi=_number(line.target_roi),
        sparkline=list(line.last_hours),
        last_updated_at=changed_at(line.version),
    )


# -- a timeline ----------------------------------------------------------------------------------------------------


def timeline(
    question: TimelineQuestion,
    granularity: Granularity,
    head: TimelineHead,
    grid: Buckets,
    figures: TimelineFigures,
    *,
    range_ends: int,
    now: int,
) -> EventTimeline | UserTimeline:
    """Every bucket of the grid, empty ones too; `range_ends` and `now` are seconds since 1970."""
    count = len(grid.starts)
    came, views, engagement, conversions = [0] * count, [0] * count, [0] * count, [0] * count
    for place, *figures_of_bucket in figures.filled:
        came[place], views[place], engagement[place], conversions[place] = figures_of_bucket
    totals = [sum(column) for column in (came, views, engagement, conversions)]
    # All but those who came in the range and after it: also those of a month that was let go.
    before = head.participants - figures.after - totals[0]
    cumulative = list(accumulate(came, initial=before))[1:]
    asked = question.range
    edges = [*grid.starts, grid.ends]
    # Those that begin in the range and end in the past of it stand side by side.
    first = 0 if asked.start is None else bisect_left(grid.starts, seconds_of(asked.start))
    last = bisect_right(edges, min(now, range_ends if asked.end is not None else now)) - 1
    complete = [first <= place < last for place in range(count)]
    columns: dict[Metric, Sequence[int]] = {
        Metric.PARTICIPANTS: came,
        Metric.VIEWS: views,
        Metric.ENGAGEMENT: engagement,
        Metric.CONVERSIONS: conversions,
        Metric.CUMULATIVE_PARTICIPANTS: cumulative,
    }
    told = question.metrics
    answer = Timeline(
        granularity=granularity,
        tz=asked.tz,
        period=period(asked),
        data_points=_points(grid.labels(), complete, columns, told),
        trend=_trend(grid, came, complete, granularity),
        totals=TimelineTotals(
            **{metric.value: total for metric, total in zip(columns, totals, strict=False) if metric in told}
        ),
        provenance=_of_timeline(head, told),
        last_updated_at=changed_at(head.changed),
    )
    if isinstance(question.of, OfMerchant):
        return UserTimeline(**_fields(answer), user_id=question.of.user_id, total_events=len(head.event_nos))
    return EventTimeline(**_fields(answer), event_id=question.of.event_id)


def _points(
    labels: list[str], complete: list[bool], columns: dict[Metric, Sequence[int]], told: Iterable[Metric]
) -> list[DataPoint]:
    if len(set(told)) == len(columns):
        return list(map(DataPoint, labels, complete, *columns.values()))
    names = {metric: _FIELDS[metric] for metric in columns if metric in set(told)}
    return [
        DataPoint(label, done, **{name: columns[metric][place] for metric, name in names.items()})
        for place, (label, done) in enumerate(zip(labels, complete, strict=True))
    ]


_FIELDS = {metric: metric.value for metric in Metric} | {Metric.CUMULATIVE_PARTICIPANTS: "cumulative_participants"}


def _trend(grid: Buckets, came: Sequence[int], complete: list[bool], granularity: Granularity) -> Trend:
    def done(values: Sequence[int]) -> list[int]:
        return [value for value, is_complete in zip(values, complete, strict=True) if is_complete]

    hourly = granularity in (Granularity.MINUTE, Granularity.HOURLY)
    daily = hourly or granularity is Granularity.DAILY
    return trend(done(came), done(grid.hours()) if hourly else [], done(grid.weekdays()) if daily else [])


# -- parts of answers ----------------------------------------------------------------------------------------------


def period(asked: Range) -> Period:
    return Period(instant(asked.start, asked.tz), instant(asked.end, asked.tz), asked.tz)


def summary(whole: Totals, compared: PeriodComparison | None, before: Range | None) -> Summary:
    """Counts and rates together; under a range those of the range, beside the equal one before it."""
    within = whole if compared is None else compared.period.totals
    counts = within.counts
    previous = delta = None
    if compared is not None and compared.before is not None and before is not None:
        base = compared.before.totals.counts
        previous = Previous(period(before), base.participants, base.views, base.conversions)
        delta = Delta(
            number(change(counts.participants, base.participants)),
            number(change(counts.views, base.views)),
            number(change(counts.conversions, base.conversions)),
        )
    return Summary(
        total_participants=counts.participants,
        unattributed_participants=within.unattributed,
        total_views=counts.views,
        total_reach=counts.impressions,
        total_clicks=counts.clicks,
        total_conversions=counts.conversions,
        click_through_rate=number(counts.click_through_rate),
        engagement_rate=number(counts.engagement_rate),
        participation_rate=number(counts.participation_rate),
        conversion_rate=number(within.clicked.conversion_rate),
        social_interactions=SocialInteractions(counts.likes, counts.comments, counts.shares),
        previous=previous,
        delta=delta,
    )


def roi(money: Money, counts: ChannelCounts, target_roi: Decimal | None) -> Roi:
    return Roi(
        current_roi=number(money.current_roi),
        target_roi=number(target_roi),
        estimated_roi=number(money.estimated_roi),
        sales_growth_rate=number(money.sales_growth_rate),
        investment=Investment(_number(money.investment), _number(money.planned), _number(money.channel_costs)),
        revenue=Revenue(
            _number(money.revenue), number(money.recorded), _number(money.expected), number(money.assumed_share)
        ),
        cost_per_participant=number(cost_per(money.investment, counts.participants)),
        cost_per_view=number(cost_per(money.investment, counts.views)),
        cost_per_conversion=number(cost_per(money.investment, counts.conversions)),
        break_even_participants=money.break_even_participants(counts.participants),
    )


def _performance(figures: ChannelFigures, counts: ChannelCounts | None) -> ChannelPerformance:
    told = channel(figures, counts)
    metrics, performance = told.metrics, told.performance
    return ChannelPerformance(
        channel_name=told.channel_name,
        channel_type=told.channel_type,
        state=told.state,
        measured_at=told.measured_at,
        participants=metrics.participants,
        views=metrics.views,
        impressions=metrics.impressions,
        clicks=metrics.clicks,
        conversions=metrics.conversions,
        expected_views=metrics.expected_views,
        click_through_rate=performance.click_through_rate,
        engagement_rate=performance.engagement_rate,
        participation_rate=performance.participation_rate,
        conversion_rate=performance.conversion_rate,
        distribution_cost=performance.distribution_cost,
        cost_per_participant=performance.cost_per_participant,
        cost_per_view=performance.cost_per_view,
        cost_per_conversion=performance.cost_per_conversion,
    )


def _cost(figures: ChannelFigures, counts: ChannelCounts | None) -> ChannelCost:
    told = channel(figures, counts)
    return ChannelCost(
        channel_name=told.channel_name,
        channel_type=told.channel_type,
        participants=told.metrics.participants,
        distribution_cost=told.performance.distribution_cost,
        cost_per_participant=told.performance.cost_per_participant,
        cost_per_view=told.performance.cost_per_view,
        cost_per_conversion=told.performance.cost_per_conversion,
    )


def _in_period(figures: ChannelFigures, compared: PeriodComparison | None) -> ChannelCounts | None:
    return None if compared is None else compared.period.of(figures)


def _with_new_ones(channels: Sequence[ChannelFigures], compared: PeriodComparison | None) -> list[ChannelFigures]:
    """The channels, and those whose type has come and whose row has not yet: they have participants all the same."""
    known = {(each.name, each.type) for each in channels}
    new = [] if compared is None else sorted(set(compared.period.channels) - known)
    return [
        *channels,
        *(ChannelFigures(name, type_, UNTOUCHED, None, Decimal(0), None, None, 0) for name, type_ in new),
    ]


def _shown(
    channels: Sequence[ChannelFigures],
    unattributed: int,
    compared: PeriodComparison | None,
    order: Order,
    wanted: Callable[[str], bool] | None,
) -> tuple[list[Channel], int, int]:
    """The channels that are wanted, in order; all their participants, and among them those of no channel."""
    figures = _with_new_ones(channels, compared)
    if compared is not None:
        unattributed = compared.period.unattributed
    if wanted is not None:
        figures = [each for each in figures if wanted(each.name)]
        unattributed = 0
    shown = sort([channel(each, _in_period(each, compared)) for each in figures], order)
    counts = [(each.channel_type, ChannelCounts(participants=each.metrics.participants)) for each in shown]
    return shown, totals_of(counts, unattributed).counts.participants, unattributed


def sort(channels: Iterable[Channel], order: Order) -> list[Channel]:
    """In order; what has no value last, ties by name."""
    by_name = sorted(channels, key=lambda each: (each.channel_name, each.channel_type))
    with_value = [each for each in by_name if _value(each, order.by) is not None]
    without = [each for each in by_name if _value(each, order.by) is None]
    # Sorting keeps ties as they stand, in both directions.
    return sorted(with_value, key=lambda each: _value(each, order.by), reverse=order.descending) + without


def _value(told: Channel, by: SortBy) -> Any:
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in by)
    for part in (told, told.metrics, told.performance):
        if hasattr(part, name):
            return getattr(part, name)
    raise AssertionError(f"a channel has no {by}")


def _conversion_rate(type_: str, counts: ChannelCounts) -> Decimal | None:
    return counts.call_completion_rate if type_ == VOICE else counts.conversion_rate


# -- what figures are ----------------------------------------------------------------------------------------------


def _fields(answer: Any) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__struct_fields__}


def _number(figure: Decimal) -> Number:
    shown = number(figure)
    assert shown is not None
    return shown
