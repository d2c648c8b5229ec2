"""Figures as read from PostgreSQL: the input of the view functions.

An event's version is the microsecond (since 1970) of its newest change, and so is every `changed_at_us`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from hannun.domain.buckets import Buckets
from hannun.domain.channel_state import Freshness, KnownCounts, together
from hannun.domain.channels import ChannelTable
from hannun.domain.detached_months import DetachedSpan
from hannun.domain.granularity import Granularity
from hannun.domain.metrics import ChannelCounts, Money, sum_counts
from hannun.domain.ranges import Preceding, Range, TwoDays
from hannun.domain.response_schemas import Projection

VOICE = "VOICE"
NO_COUNTS = ChannelCounts()


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """One channel of an event, or of all events of a merchant that run on it.

    `cost` is None where no message has said it.

    state: of the measured counts: measured, stale, planned, failed or unknown.
    measured: when each count was measured; a count that is not in it is unknown.
    """

    name: str
    type: str
    counts: ChannelCounts
    average_duration_s: int | None
    cost: Decimal | None
    state: str
    expected_views: int | None
    changed_at_us: int
    measured: KnownCounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """The counts of several channels added up.

    counts: of all channels, and the unattributed participants.
    clicked: of the TV and SNS channels alone. Only they have clicks, so the conversion rate is computed from these.
    """

    counts: ChannelCounts
    clicked: ChannelCounts
    unattributed: int


def sum_totals(by_channel: Iterable[tuple[str, ChannelCounts]], unattributed: int) -> Totals:
    """The totals of channels, given as (type, counts), and of the unattributed participants."""
    pairs = list(by_channel)
    return Totals(
        sum_counts(counts for _, counts in pairs) + ChannelCounts(participants=unattributed),
        sum_counts(counts for type_, counts in pairs if type_ != VOICE),
        unattributed,
    )


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """What happened within a range: counts by (channel, type), and participants of no channel of a known type."""

    channels: Mapping[tuple[str, str], ChannelCounts] = field(default_factory=dict)
    unattributed: int = 0

    def counts_of(self, channel: ChannelFigures) -> ChannelCounts:
        return self.channels.get((channel.name, channel.type), NO_COUNTS)

    @property
    def totals(self) -> Totals:
        return sum_totals(((type_, counts) for (_, type_), counts in self.channels.items()), self.unattributed)


@dataclass(frozen=True, slots=True)
class PeriodComparison:
    """What happened within a range, and within the preceding one; `before` is None where there is none.

    `detached`: the months of the range whose minutes are not kept. These figures do not need them.
    """

    period: PeriodFigures
    before: PeriodFigures | None
    detached: Sequence[DetachedSpan] = ()


@dataclass(frozen=True, slots=True)
class EventFigures:
    """An event with its channels, as a whole."""

    event_no: int
    event_id: str
    title: str
    status: str
    user_id: str
    unattributed: int
    version: int
    money: Money
    target_roi: Decimal | None
    starts_at: datetime | None
    ends_at: datetime | None
    channels: tuple[ChannelFigures, ...]

    @property
    def totals(self) -> Totals:
        """The totals of the event, added up from its parts, so that parts and total always agree."""
        return sum_totals(((channel.type, channel.counts) for channel in self.channels), self.unattributed)

    @property
    def measured(self) -> KnownCounts:
        """When the channels' counts together were measured."""
        return together(channel.measured for channel in self.channels)


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """An event in its merchant's list. `last_hours` are its participants in the last 24 clock hours, oldest first; None
    in a month whose minutes are not kept.

    today, yesterday: its participants of today, and of yesterday up to the same time of day; None likewise.

    created_at: `createdAt` of its newest event-created message, the sort key of the list. Events with the same one are
        sorted by `row_id`.
    seen: when its views were measured; None where no channel has measured them.
    """

    row_id: int
    created_at: datetime
    event_id: str
    title: str
    status: str
    participants: int
    views: int
    target_roi: Decimal | None
    version: int
    money: Money
    starts_at: datetime | None
    ends_at: datetime | None
    last_hours: tuple[int | None, ...]
    seen: Freshness | None = None
    today: int | None = None
    yesterday: int | None = None


@dataclass(frozen=True, slots=True)
class MerchantFigures:
    """The events of a merchant that a question is about, together.

    `version` and `changed_at_us` are of all events of the merchant, so that they do not fall when one leaves the
    filter. `version` rises with every commit that changes any of them, in any order of commits. `changed_at_us` is
    that of the newest change, which may have been committed before an older one.

    measured: when the counts of all their channels together were measured; `measured_by_channel` of each, by name and
        type.
    """

    event_nos: list[int]
    event_ids: list[str]
    version: int
    changed_at_us: int
    totals: Totals
    money: Money
    measured_by_channel: Mapping[tuple[str, str], KnownCounts] = field(default_factory=dict)

    @property
    def measured(self) -> KnownCounts:
        return together(self.measured_by_channel.values())


@dataclass(frozen=True, slots=True)
class TimelineHead:
    """The owner and the extent of a timeline: the first and last minute with anything in it (UTC, None without any).

    `version` and `changed_at_us` as in `MerchantFigures`; of one event both are the event's version.

    measured: when the counts of all channels together were measured.
    begins: the earliest start of a plan, None where no plan states one.
    ended: the end of the events: the planned one, or the moment at which the status has changed. None while one goes
        on without a planned end.
    """

    owner: str
    version: int
    changed_at_us: int
    participants: int
    event_nos: list[int]
    measured: KnownCounts
    first: datetime | None
    last: datetime | None
    begins: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class TimelineFigures:
    """The buckets that are not empty: (index, participants, views, engagement, conversions).

    before: the participants before the first bucket.
    unknown: the months from the first bucket on whose minutes are not kept; of the month of the first bucket the rest.
    detached: the months of the question's range whose minutes are not kept.
    whole: what happened in that range, where `detached` is not empty; else it is the sum of the buckets.
    """

    filled: list[tuple[int, int, int, int, int]]
    before: int
    unknown: Sequence[DetachedSpan] = ()
    detached: Sequence[DetachedSpan] = ()
    whole: ChannelCounts | None = None


# -- the input of each view function in `domain.views` -------------------------------------------------------------
# `now` (UTC without a zone) decides which measured counts are stale. `names` has the titles of channels.


@dataclass(frozen=True, slots=True)
class EventDashboardFigures:
    """An event; under a range also what happened within it, and within `preceding`, the range before it."""

    event: EventFigures
    comparison: PeriodComparison | None
    preceding: Preceding | None
    now: datetime
    names: ChannelTable


@dataclass(frozen=True, slots=True)
class EventChannelsFigures:
    """An event's channels. `selected` are the names of the channels to show; None shows all."""

    event: EventFigures
    comparison: PeriodComparison | None
    selected: frozenset[str] | None
    now: datetime
    names: ChannelTable


@dataclass(frozen=True, slots=True)
class EventRoiFigures:
    """An event's money, and its projection where the question asks for one."""

    event: EventFigures
    comparison: PeriodComparison | None
    projection: Projection | None
    now: datetime
    names: ChannelTable


@dataclass(frozen=True, slots=True)
class ComparedCounts:
    """The participants of a period, and of the same part of the period before."""

    period: Range
    participants: int
    before: Range
    participants_before: int


@dataclass(frozen=True, slots=True)
class HourFigures:
    """The hours of a period in which somebody came: (index of the bucket, participants)."""

    buckets: Buckets
    filled: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class DistributionFigures:
    """How the distribution on a channel ended, SUCCESS or FAILED, and when."""

    channel: str
    state: str
    completed_at: datetime


@dataclass(frozen=True, slots=True)
class OutageFigures:
    """When the API of a channel was not called; `ended_at` is None while it is not. `held`: an operator wanted that."""

    channel: str
    began_at: datetime
    ended_at: datetime | None
    held: bool


@dataclass(frozen=True, slots=True)
class EventHistory:
    """What happened to an event. Instants are UTC without a zone, None where nothing has been said or counted.

    first: the first minute in which something was counted, or the start of its month, where that is not kept.
    status_at: when the status was said; planned_at: when the plan was.
    until: of an event that is over: the later of the change of its status and of its last participant.
    outages: of its channels, between its start and its end.
    """

    first: datetime | None
    status_at: datetime | None
    planned_at: datetime | None
    until: datetime | None
    distributions: Sequence[DistributionFigures]
    outages: Sequence[OutageFigures]


@dataclass(frozen=True, slots=True)
class EventInsightsFigures:
    """An event, its history, the counts that are compared, and the hours in which people came.

    day, week: None where the event did not run in both periods.
    hours: None where minutes of `hours_of` are not kept.
    """

    event: EventFigures
    history: EventHistory
    day: ComparedCounts | None
    week: ComparedCounts | None
    hours_of: Range
    hours: HourFigures | None
    now: datetime
    names: ChannelTable


@dataclass(frozen=True, slots=True)
class MerchantDashboardFigures:
    """A merchant's events together, and one page of them. `next_cursor` is None on the last page."""

    merchant: MerchantFigures
    comparison: PeriodComparison | None
    preceding: Preceding | None
    page: Sequence[ListedEvent]
    next_cursor: str | None
    days: TwoDays
    now: datetime


@dataclass(frozen=True, slots=True)
class MerchantChannelsFigures:
    """The channels of a merchant's events together. `selected` as in `EventChannelsFigures`."""

    merchant: MerchantFigures
    channels: Sequence[ChannelFigures]
    comparison: PeriodComparison | None
    selected: frozenset[str] | None
    now: datetime
    names: ChannelTable


@dataclass(frozen=True, slots=True)
class MerchantRoiFigures:
    """The money of a merchant's events together, and the projection where the question asks for one."""

    merchant: MerchantFigures
    channels: Sequence[ChannelFigures]
    comparison: PeriodComparison | None
    projection: Projection | None
    now: datetime
    names: ChannelTable


@dataclass(frozen=True, slots=True)
class TimelineViewFigures:
    """A timeline in its buckets. `granularity` is the one that the question names, or its default.

    `end` is where the last bucket ends in the range, in seconds since 1970, UTC.
    """

    head: TimelineHead
    granularity: Granularity
    buckets: Buckets
    counted: TimelineFigures
    end: int
    now: datetime
