"""The parts that the answers of several views share. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET

from hannun.domain.channel_state import (
    CLICK_THROUGH_RATE,
    CONVERSION_RATE,
    ENGAGEMENT_RATE,
    PARTICIPATION_RATE,
    KnownCounts,
    Needs,
    conversion_needs,
    freshness,
    oldest,
)
from hannun.domain.channel_totals import COUNTS
from hannun.domain.channels import ChannelTable
from hannun.domain.detached_months import DetachedSpan, intervals
from hannun.domain.figures import (
    NO_COUNTS,
    VOICE,
    ChannelFigures,
    ListedEvent,
    PeriodComparison,
    Totals,
)
from hannun.domain.metrics import ChannelCounts, Money, cost_per, json_number, percent_change
from hannun.domain.provenance import current_roi_kind
from hannun.domain.questions import Order, SortBy
from hannun.domain.ranges import DEFAULT_TZ, Preceding, Range
from hannun.domain.response_schemas import (
    MEASURED_COUNTS,
    Channel,
    ChannelCost,
    ChannelMetrics,
    ChannelPerformance,
    ChannelRates,
    Delta,
    Investment,
    Number,
    Period,
    Previous,
    Revenue,
    Roi,
    SocialInteractions,
    Summary,
    UserEvent,
    format_instant,
    format_utc,
    instant_of_version,
    snake_case,
)

ALL_TIME_PERIOD = Period(None, None, DEFAULT_TZ)


def period(range_: Range, detached: Sequence[DetachedSpan] = ()) -> Period:
    """The period of an answer; `detached` are the months whose minutes are not kept."""
    return Period(
        format_instant(range_.start, range_.tz),
        format_instant(range_.end, range_.tz),
        range_.tz,
        intervals(detached, range_) or UNSET,
    )


def detached_of(comparison: PeriodComparison | None) -> Sequence[DetachedSpan]:
    """The months of a range whose minutes are not kept."""
    return () if comparison is None else comparison.detached


def summary(
    all_time: Totals, known: KnownCounts, comparison: PeriodComparison | None, preceding: Preceding | None
) -> Summary:
    """Counts and rates together. Under a range they are those of the range, next to those of the one before it.

    Args:
        known: which counts channels have measured; a rate needs both its counts.
    """
    within = all_time if comparison is None else comparison.period.totals
    counts = within.counts
    previous = delta = None
    if comparison is not None and comparison.before is not None and preceding is not None:
        base = comparison.before.totals.counts
        previous = Previous(period(preceding.range), base.participants, base.views, base.conversions, preceding.partial)
        delta = Delta(
            json_number(percent_change(counts.participants, base.participants)),
            json_number(percent_change(counts.views, base.views)),
            json_number(percent_change(counts.conversions, base.conversions)),
        )
    return Summary(
        total_participants=counts.participants,
        unattributed_participants=within.unattributed,
        total_views=counts.views,
        total_reach=counts.impressions,
        total_clicks=counts.clicks,
        total_conversions=counts.conversions,
        **_rates(counts, known),
        conversion_rate=_known_rate(within.clicked.conversion_rate, known, CONVERSION_RATE),
        social_interactions=SocialInteractions(counts.likes, counts.comments, counts.shares),
        previous=previous,
        delta=delta,
    )


def _rates(counts: ChannelCounts, known: KnownCounts) -> dict[str, Number | None]:
    """The rates that every channel and every total has, by field."""
    return {
        "click_through_rate": _known_rate(counts.click_through_rate, known, CLICK_THROUGH_RATE),
        "engagement_rate": _known_rate(counts.engagement_rate, known, ENGAGEMENT_RATE),
        "participation_rate": _known_rate(counts.participation_rate, known, PARTICIPATION_RATE),
    }


def _known_rate(rate: Decimal | None, known: KnownCounts, needs: Needs) -> Number | None:
    """The rate; None where it would be computed from a count that is unknown, which is 0 among the counts."""
    return None if freshness(known, needs) is None else json_number(rate)


def roi(money: Money, counts: ChannelCounts, target_roi: Decimal | None) -> Roi:
    return Roi(
        current_roi=json_number(money.current_roi),
        target_roi=json_number(target_roi),
        estimated_roi=json_number(money.estimated_roi),
        sales_growth_rate=json_number(money.sales_growth_rate),
        investment=Investment(
            json_number(money.investment), json_number(money.planned), json_number(money.channel_costs)
        ),
        revenue=Revenue(
            json_number(money.revenue),
            json_number(money.recorded),
            json_number(money.expected),
            json_number(money.assumed_share),
        ),
        cost_per_participant=json_number(cost_per(money.investment, counts.participants)),
        cost_per_view=json_number(cost_per(money.investment, counts.views)),
        cost_per_conversion=json_number(cost_per(money.investment, counts.conversions)),
        break_even_participants=money.break_even_participants(counts.participants),
    )


def event_in_list(event: ListedEvent, now: datetime) -> UserEvent:
    return UserEvent(
        event_id=event.event_id,
        event_title=event.title,
        status=event.status,
        start_date=format_instant(event.starts_at),
        end_date=format_instant(event.ends_at),
        total_participants=event.participants,
        total_views=event.views,
        current_roi=json_number(event.money.current_roi),
        target_roi=json_number(event.target_roi),
        sparkline=list(event.last_hours),
        last_updated_at=instant_of_version(event.version),
        recorded_revenue=json_number(event.money.recorded),
        investment=json_number(event.money.investment),
        participants_today=event.today,
        participants_yesterday=event.yesterday,
        current_roi_kind=current_roi_kind(event.money),
        total_views_kind="unknown" if event.seen is None else event.seen.state(now),
    )


# -- channels ------------------------------------------------------------------------------------------------------


def channel(figures: ChannelFigures, comparison: PeriodComparison | None, names: ChannelTable) -> Channel:
    """A channel. Under a range its counts and rates are those of the range, its costs those of all time."""
    within = figures.counts if comparison is None else comparison.period.counts_of(figures)
    return Channel(
        channel_name=figures.name,
        channel_title=names.title(figures.name),
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
            average_duration=figures.average_duration_s if comparison is None else None,
            expected_views=figures.expected_views,
        ),
        performance=ChannelRates(
            **_rates(within, figures.measured),
            conversion_rate=_known_rate(
                _conversion_rate(figures.type, within), figures.measured, conversion_needs(figures.type)
            ),
            **_costs(figures),
        ),
        **_measured_fields(figures),
        last_updated_at=instant_of_version(figures.changed_at_us),
    )


_JSON_NAMES = list(zip(COUNTS, MEASURED_COUNTS, strict=True))


def _measured_fields(figures: ChannelFigures) -> dict[str, Any]:
    """When a channel was measured, since when that is too old, and which counts it has reported."""
    found = oldest(figures.measured.values())
    return {
        "measured_at": None if found is None else format_utc(found.as_of),
        "stale_since": format_utc(found.stale_at) if found and figures.state == "stale" else None,
        "measured_counts": [shown for name, shown in _JSON_NAMES if name in figures.measured],
    }


def channel_performance(
    figures: ChannelFigures, comparison: PeriodComparison | None, names: ChannelTable
) -> ChannelPerformance:
    whole = channel(figures, comparison, names)
    metrics, rates = whole.metrics, whole.performance
    return ChannelPerformance(
        channel_name=whole.channel_name,
        channel_title=whole.channel_title,
        channel_type=whole.channel_type,
        state=whole.state,
        measured_at=whole.measured_at,
        stale_since=whole.stale_since,
        measured_counts=whole.measured_counts,
        participants=metrics.participants,
        views=metrics.views,
        impressions=metrics.impressions,
        clicks=metrics.clicks,
        conversions=metrics.conversions,
        total_calls=metrics.total_calls,
        completed_calls=metrics.completed_calls,
        expected_views=metrics.expected_views,
        click_through_rate=rates.click_through_rate,
        engagement_rate=rates.engagement_rate,
        participation_rate=rates.participation_rate,
        conversion_rate=rates.conversion_rate,
        distribution_cost=rates.distribution_cost,
        cost_per_participant=rates.cost_per_participant,
        cost_per_view=rates.cost_per_view,
        cost_per_conversion=rates.cost_per_conversion,
    )


def channel_cost(figures: ChannelFigures, comparison: PeriodComparison | None, names: ChannelTable) -> ChannelCost:
    within = figures.counts if comparison is None else comparison.period.counts_of(figures)
    return ChannelCost(
        channel_name=figures.name,
        channel_title=names.title(figures.name),
        channel_type=figures.type,
        participants=within.participants,
        **_costs(figures),
    )


def _costs(figures: ChannelFigures) -> dict[str, Number | None]:
    """The costs of a channel, which are those of all time."""
    return {
        "distribution_cost": json_number(figures.cost),
        "cost_per_participant": json_number(cost_per(figures.cost, figures.counts.participants)),
        "cost_per_view": json_number(cost_per(figures.cost, figures.counts.views)),
        "cost_per_conversion": json_number(cost_per(figures.cost, figures.counts.conversions)),
    }


def with_channels_of_period(
    channels: Sequence[ChannelFigures], comparison: PeriodComparison | None
) -> list[ChannelFigures]:
    """The channels, and those of the period that have no row of their own yet. Such a channel has participants and a
    known type already, and nothing measured."""
    known = {(each.name, each.type) for each in channels}
    new = [] if comparison is None else sorted(set(comparison.period.channels) - known)
    return [
        *channels,
        *(ChannelFigures(name, type_, NO_COUNTS, None, None, "unknown", None, 0) for name, type_ in new),
    ]


def sort_channels(channels: Iterable[Channel], order: Order) -> list[Channel]:
    """The channels in order; those without a value last, ties by name."""
    by_name = sorted(channels, key=lambda each: (each.channel_name, each.channel_type))
    with_value = [each for each in by_name if _sort_value(each, order.by) is not None]
    without_value = [each for each in by_name if _sort_value(each, order.by) is None]
    # sorted() keeps the order of ties, also with reverse=True
    return sorted(with_value, key=lambda each: _sort_value(each, order.by), reverse=order.descending) + without_value


def _sort_value(channel: Channel, by: SortBy) -> Any:  # a number or a text: one of the two for each `by`
    name = snake_case(by)
    for part in (channel, channel.metrics, channel.performance):
        if hasattr(part, name):
            return getattr(part, name)
    raise AssertionError(f"a channel has no {by}")


def _conversion_rate(type_: str, counts: ChannelCounts) -> Decimal | None:
    return counts.call_completion_rate if type_ == VOICE else counts.conversion_rate


# -- structs -------------------------------------------------------------------------------------------------------


def fields_of(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields of a struct by name, to build a struct that has them and more."""
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
