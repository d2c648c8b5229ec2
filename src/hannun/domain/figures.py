"""What PostgreSQL found, as values: what answers are made of. An event's version is the microsecond (since 1970) of its
newest change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from hannun.domain.buckets import Buckets
from hannun.domain.granularity import Granularity
from hannun.domain.metrics import ChannelCounts, Money, total
from hannun.domain.ranges import Range
from hannun.domain.response_schemas import Projection

VOICE = "VOICE"
UNTOUCHED = ChannelCounts()


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """One channel of an event, or of all events of a merchant on which it runs.

    `delivery` is the state of its newest distribution, None without one; `changed` its newest change.
    """

    name: str
    type: str
    counts: ChannelCounts
    average_duration_s: int | None
    cost: Decimal
    delivery: str | None
    expected_views: int | None
    changed: int

    @property
    def state(self) -> str:
        """What is known of a channel that nobody has polled: its distribution's state is all there is."""
        if self.delivery == "FAILED":
            return "failed"
        return "planned" if self.delivery == "SUCCESS" else "unknown"


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts together; `counts` with those of no channel, `clicked` of the TV and SNS channels alone, which have
    clicks: what the conversion rate is made of."""

    counts: ChannelCounts
    clicked: ChannelCounts
    unattributed: int


def totals_of(by_channel: Iterable[tuple[str, ChannelCounts]], unattributed: int) -> Totals:
    """The totals of channels, told as (type, counts), and of those who came by none."""
    pairs = list(by_channel)
    return Totals(
        total(counts for _, counts in pairs) + ChannelCounts(participants=unattributed),
        total(counts for type_, counts in pairs if type_ != VOICE),
        unattributed,
    )


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """What happened within a range: by (channel, type), and who came by no channel whose type is known."""

    channels: Mapping[tuple[str, str], ChannelCounts] = field(default_factory=dict)
    unattributed: int = 0

    def of(self, channel: ChannelFigures) -> ChannelCounts:
        return self.channels.get((channel.name, channel.type), UNTOUCHED)

    @property
    def totals(self) -> Totals:
        return totals_of(((type_, counts) for (_, type_), counts in self.channels.items()), self.unattributed)


@dataclass(frozen=True, slots=True)
class PeriodComparison:
    """What happened within a range, and in the equal one before; None where there is none."""

    period: PeriodFigures
    before: PeriodFigures | None


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
    target_roi: Decimal
    starts_at: datetime | None
    ends_at: datetime | None
    channels: tuple[ChannelFigures, ...]

    @property
    def totals(self) -> Totals:
        """What the event came to. The parts are summed up, so that they add up whatever stands in a total."""
        return totals_of(((channel.type, channel.counts) for channel in self.channels), self.unattributed)


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event in its merchant's list. `last_hours` are participants of the last 24 clock hours, oldest first."""

    row_id: int
    created_at: datetime
    event_id: str
    title: str
    status: str
    participants: int
    views: int
    target_roi: Decimal
    version: int
    money: Money
    starts_at: datetime | None
    ends_at: datetime | None
    last_hours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MerchantFigures:
    """All of a merchant's events that a question is about, together.

    `version` and `changed` are of all of the merchant's events, so that they do not fall when one of them leaves.
    `version` rises with every commit that changes any of them, in whichever order they commit; `changed` is the
    microsecond (since 1970) of the newest change, which may have been committed before an older one.
    """

    event_nos: list[int]
    event_ids: list[str]
    version: int
    changed: int
    totals: Totals
    money: Money


@dataclass(frozen=True, slots=True)
class TimelineHead:
    """Whose timeline it is, and over which minutes anything has happened (UTC, None where nothing has).

    `measured` says whether a channel has ever been measured. `version` and `changed` as in `MerchantFigures`; of one
    event they are the same.
    """

    owner: str
    version: int
    changed: int
    participants: int
    event_nos: list[int]
    first: datetime | None
    last: datetime | None
    measured: bool


@dataclass(frozen=True, slots=True)
class TimelineFigures:
    """What happened in each bucket in which something did: (bucket, participants, views, engagement, conversions); and
    how many came after the range."""

    filled: list[tuple[int, int, int, int, int]]
    after: int


# -- what each view is made of: the input of the functions in `domain.views` ---------------------------------------


@dataclass(frozen=True, slots=True)
class EventDashboardFigures:
    """An event; under a range also what happened within it, and within `preceding`, the equal range before it."""

    event: EventFigures
    comparison: PeriodComparison | None
    preceding: Range | None


@dataclass(frozen=True, slots=True)
class EventChannelsFigures:
    """An event's channels. `selected` are the names of the channels to show; None shows all."""

    event: EventFigures
    comparison: PeriodComparison | None
    selected: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class EventRoiFigures:
    """An event's money, and its projection where the question asks for one."""

    event: EventFigures
    comparison: PeriodComparison | None
    projection: Projection | None


@dataclass(frozen=True, slots=True)
class MerchantDashboardFigures:
    """A merchant's events together, and one page of them. `next_cursor` is None on the last page."""

    merchant: MerchantFigures
    comparison: PeriodComparison | None
    preceding: Range | None
    page: Sequence[EventLine]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class MerchantChannelsFigures:
    """The channels of a merchant's events together. `selected` as in `EventChannelsFigures`."""

    merchant: MerchantFigures
    channels: Sequence[ChannelFigures]
    comparison: PeriodComparison | None
    selected: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class MerchantRoiFigures:
    """The money of a merchant's events together, and the projection where the question asks for one."""

    merchant: MerchantFigures
    channels: Sequence[ChannelFigures]
    comparison: PeriodComparison | None
    projection: Projection | None


@dataclass(frozen=True, slots=True)
class TimelineViewFigures:
    """A timeline in its buckets. `granularity` is the one that the question names, or its default.

    `now` is seconds since 1970, UTC.
    """

    head: TimelineHead
    granularity: Granularity
    buckets: Buckets
    counted: TimelineFigures
    now: int
