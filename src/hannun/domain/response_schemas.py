"""The answers of the API as structs. Their names are the contract; `domain.views` builds the views among them.

In every answer the parts add up: channels + unattributed = total = last point of the timeline.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, overload
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hannun.domain.channel_totals import COUNTS
from hannun.domain.channels import ChannelType
from hannun.domain.facts import EventStatus, Reason
from hannun.domain.granularity import Granularity, WeekStart
from hannun.domain.terms import Bilingual
from hannun.domain.trend import Trend

Number = float | int


def _documented(**schema: Any) -> Meta:
    """Documents a type in the OpenAPI document. It validates nothing: PostgreSQL's constraints do."""
    return Meta(extra_json_schema=schema)


def camel_case(name: str) -> str:
    """The name in JSON of an attribute."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def snake_case(name: str) -> str:
    """The attribute of a name in JSON."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _one_of(values: Iterable[str]) -> Meta:
    return _documented(enum=[str(value) for value in values])


Count = Annotated[int, _documented(format="int64", **{"x-unit": "count"})]
"""What channels measure. Under a range it may be negative, where a channel has corrected its figures."""
People = Annotated[int, _documented(format="int64", minimum=0, **{"x-unit": "count"})]
Percent = Annotated[Number, _documented(**{"x-unit": "percent"})]
Won = Annotated[Number, _documented(**{"x-unit": "KRW"})]
Seconds = Annotated[int, _documented(minimum=0, **{"x-unit": "second"})]
Instant = Annotated[str, _documented(format="date-time")]
Status = Annotated[str, _one_of(EventStatus)]
State = Annotated[str, _one_of(("measured", "stale", "planned", "failed", "unknown"))]
MEASURED_COUNTS = tuple(map(camel_case, COUNTS))
MeasuredCount = Annotated[str, _one_of(MEASURED_COUNTS)]
Kind = Annotated[str, _one_of(("measured", "planned", "estimated", "stale", "unknown"))]
Unit = Annotated[str, _one_of(("count", "percent", "KRW", "people a bucket, for each bucket"))]
Type = Annotated[str, _one_of(ChannelType)]
UnknownBecause = Annotated[str, _one_of(("not-kept",))]
Why = Annotated[
    str,
    _one_of(
        (
            "no-end",
            "over",
            "nobody-came",
            "not-kept",
            "too-early",
            "nothing-recorded",
            "nothing-invested",
            "several-events",
        )
    ),
]


HEADLINE_CODES = (
    *("not-begun", "nothing-yet", "counted"),
    *("ahead-of-yesterday", "behind-yesterday", "like-yesterday", "few-since-yesterday"),
    *("ahead-of-last-week", "behind-last-week", "like-last-week", "few-since-last-week"),
    *("above-target", "below-target", "ended", "ended-empty", "ended-above-target", "ended-below-target"),
)
ADVICE_CODES = ("channel-silent", "no-sales", "break-even", "best-channel", "busy-hours", "no-costs")
"""The codes of advice, the most urgent first."""
MARK_KINDS = (
    *("event-started", "event-ends", "status-changed"),
    *("distribution-succeeded", "distribution-failed", "channel-outage"),
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class ApiStruct(msgspec.Struct, rename="camel"):
    """A struct of the API: JSON in camelCase."""


class Period(ApiStruct):
    """The period of an answer, half open; without bounds it is all time. Instants have the zone's offset.

    `notKept`, where it is present, are the parts of the period whose minutes are not kept any more, as ISO 8601
    intervals: points of a timeline there are null. Figures of the whole period count them, from the ledger.
    """

    start_date: Instant | None
    end_date: Instant | None
    tz: str
    not_kept: list[str] | UnsetType = UNSET


class SocialInteractions(ApiStruct):
    likes: Count
    comments: Count
    shares: Count


class Previous(ApiStruct):
    """The same counts in the preceding period of equal length. `partial`: the period of the answer is not over, so
    these are of only as much of the preceding one as has elapsed of it."""

    period: Period
    total_participants: People
    total_views: Count
    total_conversions: Count
    partial: bool = False


class Delta(ApiStruct):
    """Change against the previous period, in percent; null where that had 0 (the page shows "new")."""

    total_participants: Percent | None
    total_views: Percent | None
    total_conversions: Percent | None


class Summary(ApiStruct):
    """The totals of an event, or of a merchant's events. Rates are percent, null without a base."""

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


class ChannelPerformance(ApiStruct):
    """One channel. `state` is the state of its measured counts: measured, stale, planned, failed or unknown.

    `measuredAt` is when they were true, `staleSince` since when that is too old, null while it is not.
    `measuredCounts` names the counts that the channel has reported. Any other count is unknown, and 0 here. Calls are
    those of VOICE channels.
    """

    channel_name: str
    channel_title: Bilingual
    channel_type: Type
    state: State
    measured_at: Instant | None
    stale_since: Instant | None
    measured_counts: list[MeasuredCount]
    participants: People
    views: Count
    impressions: Count
    clicks: Count
    conversions: Count
    total_calls: Count
    completed_calls: Count
    expected_views: Count | None
    click_through_rate: Percent | None
    engagement_rate: Percent | None
    participation_rate: Percent | None
    conversion_rate: Percent | None
    distribution_cost: Won | None
    cost_per_participant: Won | None
    cost_per_view: Won | None
    cost_per_conversion: Won | None


class Investment(ApiStruct):
    """In won: the planned investment and the costs of distribution on the channels, each the sum of what messages have
    said; null where none has said it. `total` is null where both are."""

    total: Won | None
    planned: Won | None
    channels: Won | None


class Revenue(ApiStruct):
    """In won. `total` is the recorded revenue, else the expected one; `assumedShare` is how much of it is expected.
    null where nothing is recorded, and where no message has said what is expected."""

    total: Won | None
    recorded: Won | None
    expected: Won | None
    assumed_share: Percent | None


class Roi(ApiStruct):
    """Return on investment. Percent and won; a loss is negative. null without an investment, and where what it is
    computed from is not known. A target that is not set is null."""

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


class Provenance(ApiStruct):
    """The kind of a figure: measured, planned, estimated, stale or unknown; as of when it holds; and its unit: count,
    percent, KRW (won), or people a bucket.

    `reason`, where it is present, says why a figure is unknown: its minutes are not kept any more.
    """

    kind: Kind
    as_of: Instant | None
    unit: Unit
    reason: UnknownBecause | UnsetType = UNSET


class Dashboard(ApiStruct):
    """The dashboard of an event. `moneyPeriod` is the period of money and of figures divided by it: always the whole
    event, also under a range."""

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


class ChannelMetrics(ApiStruct):
    """The counts of a channel. Calls are those of VOICE channels. Their mean length in seconds is recorded for a whole
    event only: under a range and over several events it is null. `expectedViews` is a plan."""

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


class ChannelRates(ApiStruct):
    """The rates (percent) and costs (won) of a channel; null without a base to divide by. `distributionCost` is null
    where no message has said it."""

    click_through_rate: Percent | None
    engagement_rate: Percent | None
    participation_rate: Percent | None
    conversion_rate: Percent | None
    distribution_cost: Won | None
    cost_per_participant: Won | None
    cost_per_view: Won | None
    cost_per_conversion: Won | None


class Channel(ApiStruct):
    """One channel. `state` is the state of its measured counts: measured, stale, planned, failed or unknown.

    `measuredAt` is when they were true, `staleSince` since when that is too old, null while it is not.
    `measuredCounts` names the counts that the channel has reported. Any other count is unknown, and 0 here.
    """

    channel_name: str
    channel_title: Bilingual
    channel_type: Type
    state: State
    metrics: ChannelMetrics
    performance: ChannelRates
    measured_at: Instant | None
    stale_since: Instant | None
    measured_counts: list[MeasuredCount]
    last_updated_at: Instant | None


class Channels(ApiStruct):
    """The channels of a subject. Under a filter the totals are those of the channels shown, so that they add up;
    unattributed participants belong to no channel, so there are none."""

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


class DataPoint(ApiStruct):
    """A bucket. `timestamp` is its start; `complete` means that it lies wholly in the past and in the period. Metrics
    that the question does not name are left out.

    A figure is null where it needs minutes that are not kept any more (`period.notKept`); `reason` then says so. The
    cumulative total is known again from the end of such a month on.
    """

    timestamp: Instant
    complete: bool
    participants: People | UnsetType | None = UNSET
    views: Count | UnsetType | None = UNSET
    engagement: Count | UnsetType | None = UNSET
    conversions: Count | UnsetType | None = UNSET
    cumulative_participants: People | UnsetType | None = UNSET
    reason: UnknownBecause | UnsetType = UNSET


class TimelineTotals(ApiStruct):
    """The sums over the period, of the metrics that the question names."""

    participants: People | UnsetType = UNSET
    views: Count | UnsetType = UNSET
    engagement: Count | UnsetType = UNSET
    conversions: Count | UnsetType = UNSET


class Timeline(ApiStruct):
    """A timeline. The trend is that of participants over the complete buckets during which the event ran, after those
    that are not kept. `weekStart` is the first day of weekly buckets, and null for other ones."""

    granularity: Annotated[str, _one_of(Granularity)]
    tz: str
    period: Period
    data_points: list[DataPoint]
    trend: Trend
    totals: TimelineTotals
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None
    week_start: Annotated[str, _one_of(WeekStart)] | None = None


class EventTimeline(Timeline, kw_only=True):
    event_id: str


class UserTimeline(Timeline, kw_only=True):
    user_id: str
    total_events: People


class Interval(ApiStruct):
    """An expected figure and the bounds of its prediction interval."""

    value: Number
    low: Number
    high: Number


class Projection(ApiStruct):
    """A projection to the end of the event, if it goes on as in its last days.

    `method` is `mean-of-last-weeks`: the mean of a complete day over the last whole weeks (`days`), for each day left.
    `level` percent of such sums lie within the bounds (Student's t over the scatter of the days). Effects that no day
    has shown yet (a new channel, a rush on the last day) are not in it. A figure that cannot be computed is null, and
    `reasons` says why.
    """

    method: Annotated[str, _one_of(("mean-of-last-weeks",))]
    level: int
    days: int | None
    projected_to: Instant | None
    participants: Interval | None
    revenue: Interval | None
    roi: Interval | None
    reasons: dict[str, Why]


class ChannelCost(ApiStruct):
    """The costs of a channel in won, and its participants."""

    channel_name: str
    channel_title: Bilingual
    channel_type: Type
    participants: People
    distribution_cost: Won | None
    cost_per_participant: Won | None
    cost_per_view: Won | None
    cost_per_conversion: Won | None


class EventRoi(Roi):
    """The return on investment of an event. Participants are those of `period`; money, and figures divided by it, are
    of `moneyPeriod`: the whole event."""

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
    """The return on investment of a merchant's events together: the ROI of the sums."""

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


class ParticipantsOfPeriod(ApiStruct):
    period: Period
    participants: People


class ComparedParticipants(ApiStruct):
    """The participants of a period, and those of the same part of the period before. `delta` is the change in percent;
    null where nobody came before."""

    period: Period
    participants: People
    previous: ParticipantsOfPeriod
    delta: Percent | None


class Comparisons(ApiStruct):
    """`day`: today so far, beside yesterday up to the same time. `week`: the last 7 days up to now, beside the 7
    before. Each is null where the event did not run in both."""

    day: ComparedParticipants | None
    week: ComparedParticipants | None


class Headline(ApiStruct):
    """How many came, and whether that is good, in one sentence."""

    code: Annotated[str, _one_of(HEADLINE_CODES)]
    text: Bilingual


class Fact(ApiStruct):
    """A figure on which an advice rests: its path in the event's dashboard or in this answer, and its value there."""

    path: str
    value: Number | str | None


class Advice(ApiStruct):
    """A sentence on what to do, the reason for it with its numbers, and the figures that it rests on."""

    code: Annotated[str, _one_of(ADVICE_CODES)]
    text: Bilingual
    why: Bilingual
    facts: list[Fact]


class HeatMap(ApiStruct):
    """When participants came: a row for each day of the week in `days`, a column for each hour of the day by the clock
    of the zone, over so many `weeks`. null where no minutes of the period are kept any more."""

    period: Period
    weeks: People
    days: list[Annotated[str, _one_of(WEEKDAYS)]]
    participants: list[list[People]] | None
    total: People | None


class Mark(ApiStruct):
    """Something that happened at a moment, or lasts until another one; `until` is null for a moment, and while it
    lasts."""

    at: Instant
    until: Instant | None
    kind: Annotated[str, _one_of(MARK_KINDS)]
    channel_name: str | None
    channel_title: Bilingual | None
    text: Bilingual


class EventInsights(ApiStruct):
    """What an event's figures mean: how it goes beside the time before, what to do, when people come, and what happened
    when. Texts are in both languages. All of it is of one snapshot, as of `asOf`, the minute in which it was read."""

    event_id: str
    event_title: str
    status: Status
    tz: str
    as_of: Instant
    comparisons: Comparisons
    headline: Headline
    advice: list[Advice]
    heat_map: HeatMap
    marks: list[Mark]
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None


class UserEvent(ApiStruct):
    """An event in its merchant's list. `sparkline` has its participants in the last 24 clock hours, oldest first; null
    for an hour whose minutes are not kept.

    `participantsToday` and `participantsYesterday` are those of the answer's periods `today` and `yesterday`, whatever
    its `period` is; null where minutes of that day are not kept.

    Where `recordedRevenue` is null, no sale is recorded: `currentRoi` is then that of the expected revenue. Where
    `totalViewsKind` is unknown, no channel has measured the views: they are 0 here, and unknown.
    """

    event_id: str
    event_title: str
    status: Status
    start_date: Instant | None
    end_date: Instant | None
    total_participants: People
    total_views: Count
    current_roi: Percent | None
    target_roi: Percent | None
    sparkline: list[People | None]
    last_updated_at: Instant | None
    recorded_revenue: Won | None = None
    investment: Won | None = None
    participants_today: People | None = None
    participants_yesterday: People | None = None
    current_roi_kind: Kind = "unknown"
    total_views_kind: Kind = "unknown"


class User(ApiStruct):
    """A merchant's events together, and a page of them.

    `today` is the day of the zone in which the answer was made: where its `endDate` has passed, `participantsToday` is
    that of an earlier day. `yesterday` is the day before, up to the same time of day; null where the zone's calendar
    left it out.
    """

    user_id: str
    total_events: People
    period: Period
    money_period: Period
    summary: Summary
    roi: Roi
    events: list[UserEvent]
    today: Period
    yesterday: Period | None
    next_cursor: str | None
    provenance: dict[str, Provenance]
    last_updated_at: Instant | None


class EventOfList(ApiStruct):
    """An event in the list of all merchants' events. `createdAt` is that of its newest event-created message."""

    event_id: str
    event_title: str
    user_id: str
    status: Status
    created_at: Instant
    start_date: Instant | None
    end_date: Instant | None
    total_participants: People


class EventList(ApiStruct):
    """A page of the events of all merchants, newest first; `nextCursor` is null on the last page."""

    events: list[EventOfList]
    next_cursor: str | None


class MerchantOfList(ApiStruct):
    """A merchant in the list of all merchants.

    `allEvents` includes the archived ones, `events` does not; `runningEvents` are ACTIVE and between planned start
    and end. `totalParticipants` is the sum over all events. The newest event is the one of the newest `createdAt`.
    """

    user_id: str
    all_events: People
    events: People
    running_events: People
    total_participants: People
    newest_event_title: str
    newest_event_created_at: Instant


class MerchantList(ApiStruct):
    """A page of the merchants that have an event, by id; `nextCursor` is null on the last page."""

    merchants: list[MerchantOfList]
    next_cursor: str | None


class Link(ApiStruct):
    """A share link, which opens an event to others, read-only, until `expiresAt`. Its secret is not stored."""

    share_id: str
    label: str
    created_at: Instant
    created_by: str
    expires_at: Instant
    revoked_at: Instant | None


class NewLink(Link):
    """A new share link with its address, which holds the secret behind `#`. Only this answer has the address."""

    address: str


class Links(ApiStruct):
    """The share links of an event: those that open it first, then the newest of the others."""

    shares: list[Link]


class LinkSession(ApiStruct):
    """Until when a share link opens an event to this browser; null where none does."""

    expires_at: Instant | None


class Session(ApiStruct):
    """The signed-in user, and until when."""

    user_id: str
    roles: list[Annotated[str, _one_of(("ADMIN", "MERCHANT", "SERVICE"))]]
    expires_at: Instant


class SignInCode(ApiStruct):
    """A one-time code, and the address on this service's origin to which the platform sends the user's browser."""

    code: str
    address: str
    expires_in_s: int


class CheckOutcome(ApiStruct):
    """How one check of the running system ended. `reason`: why it is unfinished or was skipped."""

    check: str
    state: Annotated[str, _one_of(("ok", "found", "unfinished", "skipped"))]
    seconds: Number
    reason: str | None


class CheckFinding(ApiStruct):
    """One trouble that a check found: what was measured (`evidence`), the cause, and what corrects it. `statements` are
    SQL or commands that can be pasted."""

    check: str
    severity: Annotated[str, _one_of(("notice", "warning", "critical"))]
    subject: str
    cause: str
    remedy: str
    evidence: dict[str, str]
    statements: list[str]


class Checkup(ApiStruct):
    """The checks of the running system: the worst severity, and every finding, the worst first."""

    checked_at: Instant
    severity: Annotated[str, _one_of(("ok", "notice", "warning", "critical"))]
    findings: list[CheckFinding]
    checks: list[CheckOutcome]


class CountingNow(ApiStruct):
    """How far messages are counted. Rates are those since the reading before, null without one.

    `lag` is the sum of all offsets that are not counted yet, null where Kafka is not asked or does not answer.
    """

    messages_per_second: Number | None
    counted_per_second: Number | None
    lag: People | None
    counted_at: Instant | None
    dead_letters_open: People
    invalidations_pending: People
    stopped_partitions: People


class ConsistentShare(ApiStruct):
    """The share (0 to 1) of sampled cached answers that equal the database, some seconds after an invalidation."""

    after_seconds: Number
    share: Number


class RoundNow(ApiStruct):
    """The newest round of the refresh. `pairs`: how many pairs of event and channel ended in each state."""

    due_at: Instant
    began_at: Instant
    ended_at: Instant | None
    pieces: People
    pieces_done: People
    pairs: dict[str, int]


class ChannelNow(ApiStruct):
    """A channel that ACTIVE events use: its breaker, and how old its measurements are.

    `breaker` is null where the channel was never called; `held`: an operator keeps it open. `oldestMeasuredAt` is the
    oldest among the newest measurements of its ACTIVE events.
    """

    channel_name: str
    channel_title: Bilingual
    breaker: Annotated[str, _one_of(("closed", "half-open", "open"))] | None
    held: bool
    active_events: People
    stale_events: People
    oldest_measured_at: Instant | None


class PositionNow(ApiStruct):
    """A partition in Kafka: the next offset to count, and why it waits for an operator, with what to do."""

    topic: str
    partition: People
    next_offset: People | None
    not_counted: People | None
    moved_at: Instant | None
    stopped: str | None
    hint: str | None


class MonthsNow(ApiStruct):
    """The timeline's months: the first and last attached (2026-11), how many lie ahead, how many are detached."""

    first: str | None
    last: str | None
    ahead: People
    detached: People


class RedisNow(ApiStruct):
    """Redis. `bytesMax` is 0 where it has no limit. Ratios are shares of key look-ups that found a key, null without
    any: `recentHitRatio` since the reading before, `hitRatio` since the server started.
    """

    bytes: People
    bytes_max: People
    keys: People
    hit_ratio: Number | None
    recent_hit_ratio: Number | None
    evicted_keys: People


class OperationDone(ApiStruct):
    """The newest success of a kind of operation: backups, drills, restores, reconcile."""

    kind: str
    ended_at: Instant
    age_seconds: Number
    seconds: Number
    bytes: People | None


class OperationsOverview(ApiStruct):
    """The running system at one moment of PostgreSQL's clock. `unreachable`: why Redis or Kafka was not read."""

    as_of: Instant
    counting: CountingNow
    consistency: list[ConsistentShare]
    round: RoundNow | None
    channels: list[ChannelNow]
    positions: list[PositionNow]
    months: MonthsNow
    redis: RedisNow | None
    operations: list[OperationDone]
    database_bytes: People
    unreachable: dict[str, str]


class DeadLetterEntry(ApiStruct):
    """A message that could not be used: why, and where it came from. Never its bytes.

    `topic`, `partition` and `offset` are null for one that came over HTTP.
    """

    number: People
    created_at: Instant
    received_at: Instant
    kind: str
    reason: Annotated[str, _one_of(Reason)]
    detail: str
    event_id: str | None
    topic: str | None
    partition: People | None
    offset: People | None


class DeadLetters(ApiStruct):
    """The newest open dead letters, and how many are open in all, also by reason."""

    total: People
    by_reason: dict[str, int]
    dead_letters: list[DeadLetterEntry]


class DeadLetterOutcome(ApiStruct):
    """What became of a dead letter: counted, repeated (it changed nothing), dropped, or still a dead letter and why."""

    number: People
    result: Annotated[str, _one_of(("counted", "repeated", "dead-letter", "dropped"))]
    why: str | None


class DeadLettersHandled(ApiStruct):
    """The outcomes. A number that is not that of an open dead letter has none."""

    results: list[DeadLetterOutcome]


class MessageResult(ApiStruct):
    """The outcome of a message: counted, repeated (it changed nothing), or a dead letter, with the `reason`."""

    message_id: str | None
    result: Annotated[str, _one_of(("counted", "repeated", "dead-letter"))]
    reason: Annotated[str, _one_of(Reason)] | UnsetType = UNSET


class MessagesTaken(ApiStruct):
    """The outcomes of the messages of a body, in their order."""

    counted: People
    repeated: People
    dead_lettered: People
    results: list[MessageResult]


class TotalsTaken(ApiStruct):
    """What became of typed totals. `increments` and `corrections` say by how much each total changed.

    `awaitingConfirmation` holds totals that are lower than before: sent once more, with a later `measuredAt`, they are
    taken over. `baseline` says that an increment holds the first total of a count. `older`: newer totals are stored;
    `no-type`: no distribution has named the channel's type for this event yet; `minute-full`: send them with another
    `measuredAt`. In these cases nothing was changed.
    """

    channel_name: str
    measured_at: Instant
    result: Annotated[str, _one_of(("changed", "unchanged", "falling", "older", "no-type", "minute-full"))]
    baseline: bool
    increments: dict[str, int]
    corrections: dict[str, int]
    awaiting_confirmation: dict[str, int]


def _structs(of: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    yield of
    for each in of.__subclasses__():
        yield from _structs(each)


def _shape(structs: Iterable[type[msgspec.Struct]]) -> str:
    fields = sorted((each.__name__, each.__struct_encode_fields__, each.__struct_defaults__) for each in structs)
    return hashlib.blake2b(repr(fields).encode(), digest_size=6).hexdigest()


SHAPE = _shape([*_structs(ApiStruct), Bilingual, Trend])
"""Identifies the fields of all answers: an answer of another shape was encoded by another version of the service."""


def encode(answer: ApiStruct) -> bytes:
    """The answer as JSON."""
    return msgspec.json.encode(answer)


def etag_of(version: int, body: bytes) -> str:
    """The ETag of an answer: the version of the data and a hash of the bytes, because time alone changes some answers.

    The same answer has the same ETag, live, cached, announced to a page, and in every encoding. So it is a weak one.
    """
    return f'W/"{version:x}-{hashlib.blake2b(body, digest_size=6).hexdigest()}"'


@overload
def format_instant(moment: datetime, tz: str = ...) -> str: ...
@overload
def format_instant(moment: datetime | None, tz: str = ...) -> str | None: ...
def format_instant(moment: datetime | None, tz: str = "Asia/Seoul") -> str | None:
    """An instant in UTC without a zone, as ISO 8601 with the offset of `tz`."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone(ZoneInfo(tz)).isoformat()


def format_utc(moment: datetime | None) -> str | None:
    """An instant in UTC without a zone, as ISO 8601 with a Z."""
    return None if moment is None else f"{moment.isoformat()}Z"


def instant_of_version(version: int) -> str | None:
    """The time of the newest change, UTC, from a version in microseconds; None where there was no change."""
    return None if version == 0 else format_utc(datetime(1970, 1, 1) + timedelta(microseconds=version))
