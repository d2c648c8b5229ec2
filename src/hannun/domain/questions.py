"""What can be asked, and within which bounds: subjects, ranges, filters, orders."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from hannun.domain.keys import Granularity
from hannun.domain.messages import EventStatus
from hannun.errors import BadQuestion

DEFAULT_TZ = "Asia/Seoul"
RANGE_DAYS_MAX = 36_525
"""The longest range: a hundred years."""
PAGE_DEFAULT, PAGE_MAX = 50, 200
NAMES_MAX = 20
"""The most channels or metrics named in one question."""
TEXT_LENGTH_MAX = 100
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Range:
    """[start, end) in a zone. Instants are UTC without a zone, cut to the minute; None is open."""

    start: datetime | None = None
    end: datetime | None = None
    tz: str = DEFAULT_TZ

    def __post_init__(self) -> None:
        if self.start is None or self.end is None:
            return
        if self.start >= self.end:
            raise BadQuestion("startDate is not before endDate", code="empty-range", field="startDate")
        if self.end - self.start > timedelta(days=RANGE_DAYS_MAX):
            raise BadQuestion(
                "the range is longer than {days_max} days, the most that is answered: ask for less",
                code="range-too-long",
                field="startDate",
                days_max=RANGE_DAYS_MAX,
            )

    @property
    def bounded(self) -> bool:
        return self.start is not None or self.end is not None

    @property
    def plain(self) -> bool:
        """Everything so far, in the default zone: what is kept in the cache."""
        return not self.bounded and self.tz == DEFAULT_TZ

    def until(self, now: datetime) -> datetime:
        """Where the range ends, or the minute after `now` where it is open."""
        return self.end if self.end is not None else now.replace(second=0, microsecond=0) + _MINUTE

    def before(self, now: datetime) -> "Range | None":
        """The equal range that ends where this one starts; None where this one has no start, or is not there yet.

        Days are days of the clock: before a week in which the clocks are changed lies a week, and not 168 hours.
        """
        if self.start is None:
            return None
        end = self.until(now)
        zone = ZoneInfo(self.tz)
        starts, ends = (moment.replace(tzinfo=UTC).astimezone(zone) for moment in (self.start, end))
        days = ends.date() - starts.date()
        start = self.start - (end - self.start)
        if _begins_a_day(starts) and _begins_a_day(ends):
            start = _utc(datetime.combine(starts.date() - days, time(), zone))
        return Range(start, self.start, self.tz) if start < self.start else None


def _begins_a_day(moment: datetime) -> bool:
    return _utc(moment) == _utc(datetime.combine(moment.date(), time(), moment.tzinfo))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


EVERYTHING = Range()


def day(text: str, zone: ZoneInfo) -> datetime:
    """Where a date begins in a zone, UTC without a zone. At a change of the clock, the first moment of that date."""
    return _utc(datetime.combine(date.fromisoformat(text), time(), zone))


class Metric(StrEnum):
    """What a timeline can show."""

    PARTICIPANTS = "participants"
    VIEWS = "views"
    ENGAGEMENT = "engagement"
    CONVERSIONS = "conversions"
    CUMULATIVE_PARTICIPANTS = "cumulativeParticipants"


class SortBy(StrEnum):
    """What channels can be sorted by."""

    CHANNEL_NAME = "channelName"
    CHANNEL_TYPE = "channelType"
    STATE = "state"
    PARTICIPANTS = "participants"
    IMPRESSIONS = "impressions"
    VIEWS = "views"
    CLICKS = "clicks"
    CONVERSIONS = "conversions"
    LIKES = "likes"
    COMMENTS = "comments"
    SHARES = "shares"
    TOTAL_CALLS = "totalCalls"
    COMPLETED_CALLS = "completedCalls"
    CLICK_THROUGH_RATE = "clickThroughRate"
    ENGAGEMENT_RATE = "engagementRate"
    PARTICIPATION_RATE = "participationRate"
    CONVERSION_RATE = "conversionRate"
    DISTRIBUTION_COST = "distributionCost"
    COST_PER_PARTICIPANT = "costPerParticipant"
    COST_PER_VIEW = "costPerView"
    COST_PER_CONVERSION = "costPerConversion"


class SortOrder(StrEnum):
    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True, slots=True)
class Order:
    """How channels are sorted. What has no value comes last in both orders; ties by name."""

    by: SortBy = SortBy.PARTICIPANTS
    descending: bool = True


@dataclass(frozen=True, slots=True)
class OfEvent:
    """One event."""

    event_id: str

    @property
    def plain(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class OfMerchant:
    """All of a merchant's events, or those that a filter leaves; without a status all but the ARCHIVED ones.

    `text` stands in the title; `channels`, as asked, are channels of which the event has at least one.
    """

    user_id: str
    status: EventStatus | None = None
    text: str | None = None
    channels: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        return self.status is None and self.text is None and not self.channels


Subject = OfEvent | OfMerchant


@dataclass(frozen=True, slots=True)
class ChannelsQuestion:
    """The channels of a subject; `channels`, as asked, are those to show, all where there are none."""

    of: Subject
    range: Range = EVERYTHING
    channels: tuple[str, ...] = ()
    order: Order = Order()


@dataclass(frozen=True, slots=True)
class TimelineQuestion:
    """A timeline; without a granularity it is hourly up to 7 days, else daily."""

    of: Subject
    range: Range = EVERYTHING
    granularity: Granularity | None = None
    metrics: frozenset[Metric] = field(default=frozenset(Metric))

    @property
    def plain(self) -> bool:
        return self.range.plain and self.of.plain and len(self.metrics) == len(Metric)


@dataclass(frozen=True, slots=True)
class RoiQuestion:
    of: Subject
    range: Range = EVERYTHING
    projection: bool = False


@dataclass(frozen=True, slots=True)
class UserQuestion:
    """A merchant's events together, and a page of them."""

    of: OfMerchant
    range: Range = EVERYTHING
    cursor: str | None = None
    limit: int = PAGE_DEFAULT

    @property
    def plain(self) -> bool:
        return self.of.plain and self.range.plain and self.cursor is None and self.limit == PAGE_DEFAULT


def metrics_named(text: str | None) -> frozenset[Metric]:
    """The metrics of a list with commas; all where none is given.

    Raises:
        BadQuestion: one of them is none that a timeline has.
    """
    if text is None:
        return frozenset(Metric)
    names = listed("metrics", text)
    known = {metric.value for metric in Metric}
    for name in names:
        if name not in known:
            raise BadQuestion(
                "no metric is named {name!r}: there are {known}",
                code="unknown-metric",
                field="metrics",
                name=name[:40],
                known=", ".join(Metric),
            )
    return frozenset(map(Metric, names))


def listed(name: str, text: str | None) -> tuple[str, ...]:
    """The entries of a list with commas, each once.

    Raises:
        BadQuestion: an entry is empty, or there are more than NAMES_MAX.
    """
    if text is None:
        return ()
    entries: Sequence[str] = [entry.strip() for entry in text.split(",")]
    if not all(entries):
        raise BadQuestion("{field} has an empty entry", code="bad-parameter", field=name)
    if len(entries) > NAMES_MAX:
        raise BadQuestion(
            "{field} names more than {count_max}, the most that is answered: ask for less",
            code="too-many",
            field=name,
            count_max=NAMES_MAX,
        )
    return tuple(dict.fromkeys(entries))


def cursor_of(created_at: datetime, row_id: int) -> str:
    """Where a page ends: the place of its last event."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()}/{row_id}".encode()).decode().rstrip("=")


def place_of(cursor: str) -> tuple[datetime, int]:
    """The place of a cursor.

    Raises:
        BadQuestion: it is none of ours.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, row_id = text.split("/")
        place = datetime.fromisoformat(at).replace(tzinfo=None), int(row_id)
        if not 0 <= place[1] < 2**63:
            raise ValueError("not a row's number")
        return place
    except (ValueError, binascii.Error) as error:
        raise BadQuestion(
            "this cursor is not one of ours: take nextCursor as it came", code="bad-cursor", field="cursor"
        ) from error
