"""The shapes of the API's answers. Names are the contract; how figures become one stands in `domain.views`.

Every answer adds up in itself: channels + unattributed = total = last point of the timeline.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hannun.domain.channels import ChannelType
from hannun.domain.facts import EventStatus, Reason
from hannun.domain.granularity import Granularity
from hannun.domain.trend import Trend

Number = float | int


def _told(**schema: Any) -> Meta:
    """What the OpenAPI document says of a type. Nothing is checked by it: the database holds what it must hold."""
    return Meta(extra_json_schema=schema)


def _one_of(values: Iterable[str]) -> Meta:
    return _told(enum=[str(value) for value in values])


Count = Annotated[int, _told(format="int64", **{"x-unit": "count"})]
"""What channels tell; under a range it may be negative, where a channel has corrected itself."""
People = Annotated[int, _told(format="int64", minimum=0, **{"x-unit": "count"})]
Percent = Annotated[Number, _told(**{"x-unit": "percent"})]
Won = Annotated[Number, _told(**{"x-unit": "KRW"})]
Seconds = Annotated[int, _told(minimum=0, **{"x-unit": "second"})]
Instant = Annotated[str, _told(format="date-time")]
Status = Annotated[str, _one_of(EventStatus)]
State = Annotated[str, _one_of(("measured", "stale", "planned", "failed", "unknown"))]
Kind = Annotated[str, _one_of(("measured", "planned", "estimated", "stale", "unknown"))]
Unit = Annotated[str, _one_of(("count", "percent", "KRW", "people a bucket, for each bucket"))]
Type = Annotated[str, _one_of(ChannelType)]
Why = Annotated[
    str,
    _one_of(("no-end", "over", "nobody-came", "too-early", "nothing-recorded", "nothing-invested", "several-events")),
]


class Answered(msgspec.Struct, rename="camel"):
    """JSON in camelCase."""


class Period(Answered):
    """What an answer is about; without bounds it is everything so far. Instants with the zone's offset, half open."""

    start_date: Instant | None
    end_date: Instant | None
    tz: str


class SocialInteractions(Answered):
    likes: Count
    comments: Count
    shares: Count


class Previous(Answered):
    """The same counts in the equal period before."""

    period: Period
    total_participants: People
    total_views: Count
    total_conversions: Count


class Delta(Answered):
    """Change against the period before, in percent; null where it had nothing: shown as "new"."""

    total_participants: Percent | None
    total_views: Percent | None
    total_conversions: Percent | None


class Summary(Answered):
    """What an event, or all of a merchant's events, came to. Rates in percent, null without a base."""

    total_participants: People
    unattributed_participants: People
    total_views: Count
    total_reach: Count
    total_clicks: Count
    total_conversions: Count
    click_through_rate: Percent | None
    engagement_rate: Percent | None
    participation_rate: Percent | None
    conversion_rate: Percent | None
    social_interactions: SocialInteractions
    previous: Previous | None = None
    delta: Delta | None = None


class ChannelPerformance(Answered):
    """One channel. `state` says what its measured counts are: measured, stale, planned, failed or unknown."""

    channel_name: str
    channel_type: Type
    state: State
    measured_at: Instant | None
    participants: People
    views: Count
    impressions: Count
    clicks: Count
    conversions: Count
    expected_views: Count | None
    click_through_rate: Percent | None
    engagement_rate: Percent | None
    participation_rate: Percent | None
    conversion_rate: Percent | None
    distribution_cost: Won
    cost_per_participant: Won | None
    cost_per_view: Won | None
    cost_per_conversion: Won | None


class Investment(Answered):
    """Won: the plan's, and what distributing on the channels has cost."""

    total: Won
    planned: Won
    channels: Won


class Revenue(Answered):
    """Won. `total` is what was recorded, else what is expected; `assumedShare` says how much of it is expected."""

    total: Won
    recorded: Won | None
    expected: Won
    assumed_share: Percent | None


class Roi(Answered):
    """Whether it was worth the money. Percent and won; a loss is negative, nothing invested is null."""

    current_roi: Percent | None
    target_roi: Percent | None
    estimated_roi: Percent | None
    sales_growth_rate: Percent | None
    investment: Investment
    revenue: Revenue
    cost_per_participant: Won | None
    cost_per_view: Won | None
    cost_per_conversion: Won | None
    break_even_participants: People | None


class Provenance(Answered):
    """What a figure is: measured, planned, estimated, stale or unknown; as of when; and its unit: count, percent, KRW
    (won), or people a bucket."""

    kind: Kind
    as_of: Instant | None
    unit: Unit


class Dashboard(Answered):
    """An event at a glance. `moneyPeriod` is what money, and what is divided by it, is about: the event as a whole,
    also where a range was asked for."""

    event_id: str
    event_title: str
    status: Status
    start_date: Instant | None
    end_date: Instant | None
    period: Period
    money_period: Period
    summary: Summary
    channel_performance: list[ChannelPerformance]
    roi: Roi
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None


class ChannelMetrics(Answered):
    """The counts of a channel. Calls are of VOICE channels; their mean length in seconds is null under a range and over
    several events, where nobody recorded it. `expectedViews` is a plan."""

    participants: People
    impressions: Count
    views: Count
    clicks: Count
    conversions: Count
    engagement: Count
    likes: Count
    comments: Count
    shares: Count
    total_calls: Count
    completed_calls: Count
    average_duration: Seconds | None
    expected_views: Count | None


class ChannelRates(Answered):
    """The rates (percent) and costs (won) of a channel; null where there is nothing to divide by."""

    click_through_rate: Percent | None
    engagement_rate: Percent | None
    participation_rate: Percent | None
    conversion_rate: Percent | None
    distribution_cost: Won
    cost_per_participant: Won | None
    cost_per_view: Won | None
    cost_per_conversion: Won | None


class Channel(Answered):
    """One channel. `state` says what its measured counts are: measured, stale, planned, failed or unknown."""

    channel_name: str
    channel_type: Type
    state: State
    metrics: ChannelMetrics
    performance: ChannelRates
    measured_at: Instant | None
    last_updated_at: Instant | None


class Channels(Answered):
    """Channels next to each other. With a filter the totals are those of what is shown, so that they add up; those who
    came by no channel belong to none of the filter's."""

    period: Period
    money_period: Period
    total_participants: People
    unattributed_participants: People
    channels: list[Channel]
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None


class EventChannels(Channels):
    event_id: str


class UserChannels(Channels):
    """The channels of a merchant's events together: one entry for each name and type."""

    user_id: str
    total_events: People


class DataPoint(Answered):
    """A bucket: `timestamp` is its start; `complete` says that it lies wholly in the past and in the period. Metrics
    that were not asked for are left out."""

    timestamp: Instant
    complete: bool
    participants: People | UnsetType = UNSET
    views: Count | UnsetType = UNSET
    engagement: Count | UnsetType = UNSET
    conversions: Count | UnsetType = UNSET
    cumulative_participants: People | UnsetType = UNSET


class TimelineTotals(Answered):
    """The sums over the period; of metrics that were not asked for there is none."""

    participants: People | UnsetType = UNSET
    views: Count | UnsetType = UNSET
    engagement: Count | UnsetType = UNSET
    conversions: Count | UnsetType = UNSET


class Timeline(Answered):
    """What happened over time. The trend is that of participants, over complete buckets."""

    granularity: Annotated[str, _one_of(Granularity)]
    tz: str
    period: Period
    data_points: list[DataPoint]
    trend: Trend
    totals: TimelineTotals
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None


class EventTimeline(Timeline):
    event_id: str


class UserTimeline(Timeline):
    user_id: str
    total_events: People


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

    method: Annotated[str, _one_of(("mean-of-last-weeks",))]
    level: int
    days: int | None
    projected_to: Instant | None
    participants: Interval | None
    revenue: Interval | None
    roi: Interval | None
    reasons: dict[str, Why]


class ChannelCost(Answered):
    """What a channel cost, in won, beside whom it brought."""

    channel_name: str
    channel_type: Type
    participants: People
    distribution_cost: Won
    cost_per_participant: Won | None
    cost_per_view: Won | None
    cost_per_conversion: Won | None


class EventRoi(Roi):
    """Whether an event was worth the money. Participants are those of `period`; money, and what is divided by it, is of
    `moneyPeriod`: the event as a whole."""

    event_id: str
    event_title: str
    status: Status
    period: Period
    money_period: Period
    total_participants: People
    unattributed_participants: People
    channels: list[ChannelCost]
    projection: Projection | None
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None


class UserRoi(Roi):
    """Whether a merchant's events together were worth the money: the ROI of the sums."""

    user_id: str
    total_events: People
    period: Period
    money_period: Period
    total_participants: People
    unattributed_participants: People
    channels: list[ChannelCost]
    projection: Projection | None
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None


class UserEvent(Answered):
    """An event in its merchant's list. `sparkline` is participants of the last 24 clock hours, oldest first."""

    event_id: str
    event_title: str
    status: Status
    start_date: Instant | None
    end_date: Instant | None
    total_participants: People
    total_views: Count
    current_roi: Percent | None
    target_roi: Percent
    sparkline: list[People]
    last_updated_at: Instant | None


class User(Answered):
    """A merchant's events together, and a page of them."""

    user_id: str
    total_events: People
    period: Period
    money_period: Period
    summary: Summary
    roi: Roi
    events: list[UserEvent]
    next_cursor: str | None
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None


class Link(Answered):
    """A link that opens an event to others, read-only, until `expiresAt`. Its secret is not known."""

    share_id: str
    label: str
    created_at: Instant
    created_by: str
    expires_at: Instant
    revoked_at: Instant | None


class NewLink(Link):
    """A link, and this once its address, with its secret behind `#`."""

    address: str


class Links(Answered):
    """The links of an event: those that open it first, then the newest of the others."""

    shares: list[Link]


class LinkSession(Answered):
    """Until when a link has opened an event to this browser; null where none has."""

    expires_at: Instant | None


class Session(Answered):
    """Who is signed in, and until when."""

    user_id: str
    roles: list[Annotated[str, _one_of(("ADMIN", "MERCHANT", "SERVICE"))]]
    expires_at: Instant


class MessageResult(Answered):
    """What became of a message: it changed something, it changed nothing, or it cannot be used, for this `reason`."""

    message_id: str | None
    result: Annotated[str, _one_of(("counted", "repeated", "dead-letter"))]
    reason: Annotated[str, _one_of(Reason)] | UnsetType = UNSET


class MessagesTaken(Answered):
    """What became of the messages of a body, in their order."""

    counted: People
    repeated: People
    dead_lettered: People
    results: list[MessageResult]


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
