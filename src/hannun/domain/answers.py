"""The shapes of the API's answers. Names are the contract; how figures become one stands in `domain.views`.

Every answer adds up in itself: channels + unattributed = total = last point of the timeline.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

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
    """What a figure is: measured, planned, estimated, stale or unknown; as of when; and its unit: count, percent, KRW
    (won), or people a bucket."""

    kind: str
    as_of: str | None
    unit: str


class Dashboard(Answered):
    """An event at a glance. `moneyPeriod` is what money, and what is divided by it, is about: the event as a whole,
    also where a range was asked for."""

    event_id: str
    event_title: str
    status: str
    start_date: str | None
    end_date: str | None
    period: Period
    money_period: Period
    summary: Summary
    channel_performance: list[ChannelPerformance]
    roi: Roi
    provenance: dict[str, Provenance]
    last_updated_at: str | None


class ChannelMetrics(Answered):
    """The counts of a channel. Calls are of VOICE channels; their mean length in seconds is null under a range and over
    several events, where nobody recorded it. `expectedViews` is a plan."""

    participants: int
    impressions: int
    views: int
    clicks: int
    conversions: int
    engagement: int
    likes: int
    comments: int
    shares: int
    total_calls: int
    completed_calls: int
    average_duration: int | None
    expected_views: int | None


class ChannelRates(Answered):
    """The rates (percent) and costs (won) of a channel; null where there is nothing to divide by."""

    click_through_rate: Number | None
    engagement_rate: Number | None
    participation_rate: Number | None
    conversion_rate: Number | None
    distribution_cost: Number
    cost_per_participant: Number | None
    cost_per_view: Number | None
    cost_per_conversion: Number | None


class Channel(Answered):
    """One channel. `state` says what its measured counts are: measured, stale, planned, failed or unknown."""

    channel_name: str
    channel_type: str
    state: str
    metrics: ChannelMetrics
    performance: ChannelRates
    measured_at: str | None
    last_updated_at: str | None


class Channels(Answered):
    """Channels next to each other. With a filter the totals are those of what is shown, so that they add up; those who
    came by no channel belong to none of the filter's."""

    period: Period
    money_period: Period
    total_participants: int
    unattributed_participants: int
    channels: list[Channel]
    provenance: dict[str, Provenance]
    last_updated_at: str | None


class EventChannels(Channels):
    event_id: str


class UserChannels(Channels):
    """The channels of a merchant's events together: one entry for each name and type."""

    user_id: str
    total_events: int


class DataPoint(Answered):
    """A bucket: `timestamp` is its start; `complete` says that it lies wholly in the past and in the period. Metrics
    that were not asked for are left out."""

    timestamp: str
    complete: bool
    participants: int | UnsetType = UNSET
    views: int | UnsetType = UNSET
    engagement: int | UnsetType = UNSET
    conversions: int | UnsetType = UNSET
    cumulative_participants: int | UnsetType = UNSET


class TimelineTotals(Answered):
    """The sums over the period; of metrics that were not asked for there is none."""

    participants: int | UnsetType = UNSET
    views: int | UnsetType = UNSET
    engagement: int | UnsetType = UNSET
    conversions: int | UnsetType = UNSET


class Timeline(Answered):
    """What happened over time. The trend is that of participants, over complete buckets."""

    granularity: str
    tz: str
    period: Period
    data_points: list[DataPoint]
    trend: Trend
    totals: TimelineTotals
    provenance: dict[str, Provenance]
    last_updated_at: str | None


class EventTimeline(Timeline):
    event_id: str


class UserTimeline(Timeline):
    user_id: str
    total_events: int


class Interval(Answered):
    """A figure that is expected, between the bounds of a prediction interval."""

    value: Number
    low: Number
    high: Number


class Projection(Answered):
    """Where an event ends if it goes on as in its last days.

    `method` is `mean-of-last-weeks`: the mean of a complete day over the last whole weeks (`days`), for each day that
    is left, between the bounds that `level` percent of such sums keep (Student's t over the days' own scatter). What no
    day has shown yet (a new channel, a last-day rush) is not in it. A figure that cannot be told is null, and `reasons`
    says why.
    """

    method: str
    level: int
    days: int | None
    projected_to: str | None
    participants: Interval | None
    revenue: Interval | None
    roi: Interval | None
    reasons: dict[str, str]


class ChannelCost(Answered):
    """What a channel cost, in won, beside whom it brought."""

    channel_name: str
    channel_type: str
    participants: int
    distribution_cost: Number
    cost_per_participant: Number | None
    cost_per_view: Number | None
    cost_per_conversion: Number | None


class EventRoi(Roi):
    """Whether an event was worth the money. Participants are those of `period`; money, and what is divided by it, is of
    `moneyPeriod`: the event as a whole."""

    event_id: str
    event_title: str
    status: str
    period: Period
    money_period: Period
    total_participants: int
    unattributed_participants: int
    channels: list[ChannelCost]
    projection: Projection | None
    provenance: dict[str, Provenance]
    last_updated_at: str | None


class UserRoi(Roi):
    """Whether a merchant's events together were worth the money: the ROI of the sums."""

    user_id: str
    total_events: int
    period: Period
    money_period: Period
    total_participants: int
    unattributed_participants: int
    channels: list[ChannelCost]
    projection: Projection | None
    provenance: dict[str, Provenance]
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
    """A merchant's events together, and a page of them."""

    user_id: str
    total_events: int
    period: Period
    money_period: Period
    summary: Summary
    roi: Roi
    events: list[UserEvent]
    next_cursor: str | None
    provenance: dict[str, Provenance]
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
