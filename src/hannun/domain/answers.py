"""The shapes of the API's answers, and how figures become one. Names are the contract; pure, so that the same figures
give the same bytes, live and cached.

Every answer adds up in itself: channels + unattributed = total = last point of the timeline.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from hannun.domain.metrics import Counts, Money, cost_per, number
from hannun.domain.trend import Trend

Number = float | int


class Answered(msgspec.Struct, rename="camel"):
    """JSON in camelCase."""


class Period(Answered):
    """What an answer is about; without bounds it is everything so far. Instants with the zone's offset, half open."""

    start_date: str | None
    end_date: str | None
    tz: str


class SocialInteractions(Answered):
    likes: int
    comments: int
    shares: int


class Previous(Answered):
    """The same counts in the equal period before."""

    period: Period
    total_participants: int
    total_views: int
    total_conversions: int


class Delta(Answered):
    """Change against the period before, in percent; null where it had nothing: shown as "new"."""

    total_participants: Number | None
    total_views: Number | None
    total_conversions: Number | None


class Summary(Answered):
    """What an event, or all of a merchant's events, came to. Rates in percent, null without a base."""

    total_participants: int
    unattributed_participants: int
    total_views: int
    total_reach: int
    total_clicks: int
    total_conversions: int
    click_through_rate: Number | None
    engagement_rate: Number | None
    participation_rate: Number | None
    conversion_rate: Number | None
    social_interactions: SocialInteractions
    previous: Previous | None = None
    delta: Delta | None = None


class ChannelPerformance(Answered):
    """One channel. `state` says what its measured counts are: measured, stale, planned, failed or unknown."""

    channel_name: str
    channel_type: str
    state: str
    measured_at: str | None
    participants: int
    views: int
    impressions: int
    clicks: int
    conversions: int
    expected_views: int | None
    click_through_rate: Number | None
    engagement_rate: Number | None
    participation_rate: Number | None
    conversion_rate: Number | None
    distribution_cost: Number
    cost_per_participant: Number | None
    cost_per_view: Number | None
    cost_per_conversion: Number | None


class Investment(Answered):
    """Won: the plan's, and what distributing on the channels has cost."""

    total: Number
    planned: Number
    channels: Number


class Revenue(Answered):
    """Won. `total` is what was recorded, else what is expected; `assumedShare` says how much of it is expected."""

    total: Number
    recorded: Number | None
    expected: Number
    assumed_share: Number | None


class Roi(Answered):
    """Whether it was worth the money. Percent and won; a loss is negative, nothing invested is null."""

    current_roi: Number | None
    target_roi: Number | None
    estimated_roi: Number | None
    sales_growth_rate: Number | None
    investment: Investment
    revenue: Revenue
    cost_per_participant: Number | None
    cost_per_view: Number | None
    cost_per_conversion: Number | None
    break_even_participants: int | None


class Provenance(Answered):
    """What a figure is: measured, planned, estimated, stale or unknown; and as of when."""

    kind: str
    as_of: str | None


class Dashboard(Answered):
    event_id: str
    event_title: str
    status: str
    start_date: str | None
    end_date: str | None
    period: Period
    summary: Summary
    channel_performance: list[ChannelPerformance]
    roi: Roi
    provenance: dict[str, Provenance]
    last_updated_at: str | None


class DataPoint(Answered):
    """A bucket: `timestamp` is its start; `complete` says that it lies wholly in the past and in the period."""

    timestamp: str
    participants: int
    views: int
    engagement: int
    conversions: int
    cumulative_participants: int
    complete: bool


class TimelineTotals(Answered):
    participants: int
    views: int
    engagement: int
    conversions: int


class Timeline(Answered):
    event_id: str
    granularity: str
    tz: str
    period: Period
    data_points: list[DataPoint]
    trend: Trend
    totals: TimelineTotals
    last_updated_at: str | None


class UserEvent(Answered):
    """An event in its merchant's list. `sparkline` is participants of the last 24 clock hours, oldest first."""

    event_id: str
    event_title: str
    status: str
    start_date: str | None
    end_date: str | None
    total_participants: int
    total_views: int
    current_roi: Number | None
    target_roi: Number
    sparkline: list[int]
    last_updated_at: str | None


class User(Answered):
    user_id: str
    total_events: int
    summary: Summary
    roi: Roi
    events: list[UserEvent]
    next_cursor: str | None
    last_updated_at: str | None


def encode(answer: Answered) -> bytes:
    """The answer's bytes on the wire."""
    return msgspec.json.encode(answer)


def etag_of(version: int, body: bytes) -> str:
    """A strong ETag: the data's version, and the bytes', since time alone changes some answers. The same data has the
    same ETag, live and cached."""
    return f'"{version:x}-{hashlib.blake2b(body, digest_size=6).hexdigest()}"'


def instant(moment: datetime | None, tz: str = "Asia/Seoul") -> str | None:
    """ISO 8601 with the zone's offset of an instant in UTC without a zone."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone(ZoneInfo(tz)).isoformat()


def changed_at(version: int) -> str | None:
    """When the newest change was made, UTC: a version is its microsecond."""
    if version == 0:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=version)).isoformat().replace("+00:00", "Z")


def summary_of(counts: Counts, clicked: Counts, unattributed: int) -> Summary:
    """Counts and rates together; `clicked` are the counts of the TV and SNS channels, which have clicks."""
    return Summary(
        total_participants=counts.participants,
        unattributed_participants=unattributed,
        total_views=counts.views,
        total_reach=counts.impressions,
        total_clicks=counts.clicks,
        total_conversions=counts.conversions,
        click_through_rate=number(counts.click_through_rate),
        engagement_rate=number(counts.engagement_rate),
        participation_rate=number(counts.participation_rate),
        conversion_rate=number(clicked.conversion_rate),
        social_interactions=SocialInteractions(counts.likes, counts.comments, counts.shares),
    )


def roi_of(money: Money, counts: Counts, target_roi: Decimal | None) -> Roi:
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


def channel_of(
    name: str,
    type_: str,
    state: str,
    measured_at: str | None,
    counts: Counts,
    expected_views: int | None,
    cost: Decimal,
) -> ChannelPerformance:
    voice = type_ == "VOICE"
    return ChannelPerformance(
        channel_name=name,
        channel_type=type_,
        state=state,
        measured_at=measured_at,
        participants=counts.participants,
        views=counts.views,
        impressions=counts.impressions,
        clicks=counts.clicks,
        conversions=counts.conversions,
        expected_views=expected_views,
        click_through_rate=number(counts.click_through_rate),
        engagement_rate=number(counts.engagement_rate),
        participation_rate=number(counts.participation_rate),
        conversion_rate=number(counts.call_completion_rate if voice else counts.conversion_rate),
        distribution_cost=_number(cost),
        cost_per_participant=number(cost_per(cost, counts.participants)),
        cost_per_view=number(cost_per(cost, counts.views)),
        cost_per_conversion=number(cost_per(cost, counts.conversions)),
    )


def provenance_of(money: Money, states: Sequence[str], as_of: str | None) -> dict[str, Provenance]:
    """What the figures of a dashboard are. Missing is not 0: views that nobody has measured are unknown."""
    if "stale" in states:
        views = "stale"
    elif "measured" in states:
        views = "measured"
    else:
        views = "unknown"
    recorded = money.recorded is not None
    revenue = "measured" if recorded else "planned"
    measured = {f"summary.{name}": Provenance(views, None) for name in _MEASURED_BY_CHANNELS}
    return {
        "summary.totalParticipants": Provenance("measured", as_of),
        "summary.unattributedParticipants": Provenance("measured", as_of),
        **measured,
        "roi.investment.planned": Provenance("planned", as_of),
        "roi.investment.channels": Provenance("measured", as_of),
        "roi.revenue.total": Provenance(revenue, as_of),
        "roi.currentRoi": Provenance("measured" if recorded else "estimated", as_of),
        "roi.estimatedRoi": Provenance("estimated", as_of),
        "roi.breakEvenParticipants": Provenance("estimated", as_of),
        "roi.costPerParticipant": Provenance("measured", as_of),
        "roi.costPerView": Provenance(views, None),
        "roi.costPerConversion": Provenance(views, None),
    }


_MEASURED_BY_CHANNELS = (
    "totalViews",
    "totalReach",
    "totalClicks",
    "totalConversions",
    "clickThroughRate",
    "engagementRate",
    "participationRate",
    "conversionRate",
    "socialInteractions",
)


def _number(figure: Decimal) -> Number:
    shown = number(figure)
    assert shown is not None
    return shown
