"""The questions of the API: subject, range, filters, order; with the reading of lists and cursors from text."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from hannun.domain.facts import EventStatus
from hannun.domain.granularity import Granularity, WeekStart
from hannun.domain.ids import ID_LENGTH_MAX
from hannun.domain.ranges import ALL_TIME, DEFAULT_TZ, Range
from hannun.errors import BadRequest

PAGE_DEFAULT, PAGE_MAX = 50, 500
NAMES_MAX = 20
"""The most channels, or metrics, that one question may name."""
TEXT_LENGTH_MAX = 100


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
    """How channels are sorted. Channels without a value come last in both orders; ties are sorted by name."""

    by: SortBy = SortBy.PARTICIPANTS
    descending: bool = True


@dataclass(frozen=True, slots=True)
class EventSubject:
    """One event."""

    event_id: str

    @property
    def is_default(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class MerchantSubject:
    """The events of a merchant that the filters leave. Without a status these are all but the ARCHIVED ones.

    text: occurs in the event's title.
    channels: names in any spelling; the event runs on at least one of them.
    """

    user_id: str
    status: EventStatus | None = None
    text: str | None = None
    channels: tuple[str, ...] = ()

    @property
    def is_default(self) -> bool:
        return self.status is None and self.text is None and not self.channels


Subject = EventSubject | MerchantSubject
SubjectT_co = TypeVar("SubjectT_co", bound=Subject, covariant=True)


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows a question besides its range. Which of them a question has depends on its view."""

    channels: tuple[str, ...] = ()
    granularity: Granularity | None = None
    week_start: WeekStart = WeekStart.MONDAY
    status: EventStatus | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class EventDashboardQuestion:
    """The dashboard of one event."""

    subject: EventSubject
    range: Range = ALL_TIME

    @property
    def is_default(self) -> bool:
        return self.range.is_default


@dataclass(frozen=True, slots=True)
class MerchantDashboardQuestion:
    """The dashboard of a merchant: the totals of the merchant's events, and one page of the list of events."""

    subject: MerchantSubject
    range: Range = ALL_TIME
    cursor: str | None = None
    limit: int = PAGE_DEFAULT

    @property
    def is_default(self) -> bool:
        return self.subject.is_default and self.range.is_default and self.cursor is None and self.limit == PAGE_DEFAULT


@dataclass(frozen=True, slots=True)
class ChannelsQuestion(Generic[SubjectT_co]):
    """The channels of a subject. `channels` selects some by name, in any spelling; an empty one selects all."""

    subject: SubjectT_co
    range: Range = ALL_TIME
    channels: tuple[str, ...] = ()
    order: Order = Order()


@dataclass(frozen=True, slots=True)
class TimelineQuestion(Generic[SubjectT_co]):
    """A timeline. Without a granularity it is hourly up to 7 days, else daily."""

    subject: SubjectT_co
    range: Range = ALL_TIME
    granularity: Granularity | None = None
    metrics: frozenset[Metric] = field(default=frozenset(Metric))
    week_start: WeekStart = WeekStart.MONDAY

    @property
    def is_default(self) -> bool:
        # weeks from another day are never cached: all services share a cache key, and each may have its own setting
        weeks = self.granularity is Granularity.WEEKLY and self.week_start is not WeekStart.MONDAY
        return not weeks and self.range.is_default and self.subject.is_default and len(self.metrics) == len(Metric)


@dataclass(frozen=True, slots=True)
class RoiQuestion(Generic[SubjectT_co]):
    """Return on investment of a subject; `projection` also asks where the event will end."""

    subject: SubjectT_co
    range: Range = ALL_TIME
    projection: bool = False

    @property
    def is_default(self) -> bool:
        return self.range.is_default and self.subject.is_default and not self.projection


@dataclass(frozen=True, slots=True)
class InsightsQuestion:
    """What the figures of an event mean. The zone decides what today is; `week_start` orders the days of the week."""

    subject: EventSubject
    tz: str = DEFAULT_TZ
    week_start: WeekStart = WeekStart.MONDAY

    @property
    def is_default(self) -> bool:
        return self.tz == DEFAULT_TZ and self.week_start is WeekStart.MONDAY


Question = (
    EventDashboardQuestion
    | InsightsQuestion
    | MerchantDashboardQuestion
    | ChannelsQuestion[EventSubject]
    | ChannelsQuestion[MerchantSubject]
    | TimelineQuestion[EventSubject]
    | TimelineQuestion[MerchantSubject]
    | RoiQuestion[EventSubject]
    | RoiQuestion[MerchantSubject]
)


def parse_metrics(text: str | None) -> frozenset[Metric]:
    """The metrics of a comma-separated list; all of them where the list is None.

    Raises:
        BadRequest: a timeline has no metric of such a name.
    """
    if text is None:
        return frozenset(Metric)
    names = parse_list("metrics", text)
    known = {metric.value for metric in Metric}
    for name in names:
        if name not in known:
            raise BadRequest(
                "no metric is named {name!r}: use one of {known}",
                code="unknown-metric",
                field="metrics",
                name=name[:40],
                known=", ".join(Metric),
            )
    return frozenset(map(Metric, names))


def parse_list(name: str, text: str | None) -> tuple[str, ...]:
    """The entries of a comma-separated list, each once. `name` is the parameter's, for the error.

    Raises:
        BadRequest: an entry is empty, or there are more than NAMES_MAX.
    """
    if text is None:
        return ()
    entries: Sequence[str] = [entry.strip() for entry in text.split(",")]
    if not all(entries):
        raise BadRequest("{field} has an empty entry", code="bad-parameter", field=name)
    if len(entries) > NAMES_MAX:
        raise BadRequest(
            "{field} has more than {count_max} entries: send fewer",
            code="too-many",
            field=name,
            count_max=NAMES_MAX,
        )
    return tuple(dict.fromkeys(entries))


def encode_cursor(created_at: datetime, row_id: int) -> str:
    """The cursor of the page after an event: the sort key of that event."""
    return _encode_text(f"{created_at.isoformat()}/{row_id}")


def decode_cursor(cursor: str) -> tuple[datetime, int]:
    """The sort key, (created_at, row_id), of the event before the page.

    Raises:
        BadRequest: `encode_cursor` has not made this cursor.
    """
    try:
        at, row_id = _decode_text(cursor).split("/")
        sort_key = datetime.fromisoformat(at).replace(tzinfo=None), int(row_id)
        if not 0 <= sort_key[1] < 2**63:
            raise ValueError("not a row id")
        return sort_key
    except ValueError as error:
        raise _bad_cursor() from error


def encode_id_cursor(last_id: str) -> str:
    """The cursor of the page after an id, in a list that is sorted by id."""
    return _encode_text(last_id)


def decode_id_cursor(cursor: str) -> str:
    """The id before the page.

    Raises:
        BadRequest: `encode_id_cursor` has not made this cursor.
    """
    try:
        last_id = _decode_text(cursor)
        if not 0 < len(last_id) <= ID_LENGTH_MAX or "\0" in last_id:
            raise ValueError("not an id")
        return last_id
    except ValueError as error:
        raise _bad_cursor() from error


def _encode_text(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_text(cursor: str) -> str:
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()


def _bad_cursor() -> BadRequest:
    return BadRequest("the cursor is not valid: send nextCursor unchanged", code="bad-cursor", field="cursor")
