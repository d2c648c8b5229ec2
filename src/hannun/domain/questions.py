"""What can be asked, and within which bounds: subjects, ranges, filters, orders."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from hannun.domain.facts import EventStatus
from hannun.domain.granularity import Granularity
from hannun.domain.ranges import EVERYTHING, Range
from hannun.errors import BadRequest

PAGE_DEFAULT, PAGE_MAX = 50, 200
NAMES_MAX = 20
"""The most channels or metrics named in one question."""
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
SubjectT_co = TypeVar("SubjectT_co", bound=Subject, covariant=True)


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows a question besides its range. Which of them a question has depends on its view."""

    channels: tuple[str, ...] = ()
    granularity: Granularity | None = None
    status: EventStatus | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class EventDashboardQuestion:
    """The dashboard of one event."""

    of: OfEvent
    range: Range = EVERYTHING

    @property
    def plain(self) -> bool:
        return self.range.plain


@dataclass(frozen=True, slots=True)
class MerchantDashboardQuestion:
    """The dashboard of a merchant: the totals of the merchant's events, and one page of the list of events."""

    of: OfMerchant
    range: Range = EVERYTHING
    cursor: str | None = None
    limit: int = PAGE_DEFAULT

    @property
    def plain(self) -> bool:
        return self.of.plain and self.range.plain and self.cursor is None and self.limit == PAGE_DEFAULT


@dataclass(frozen=True, slots=True)
class ChannelsQuestion(Generic[SubjectT_co]):
    """The channels of a subject. `channels` selects some by name, in any spelling; empty selects all."""

    of: SubjectT_co
    range: Range = EVERYTHING
    channels: tuple[str, ...] = ()
    order: Order = Order()


@dataclass(frozen=True, slots=True)
class TimelineQuestion(Generic[SubjectT_co]):
    """A timeline; without a granularity it is hourly up to 7 days, else daily."""

    of: SubjectT_co
    range: Range = EVERYTHING
    granularity: Granularity | None = None
    metrics: frozenset[Metric] = field(default=frozenset(Metric))

    @property
    def plain(self) -> bool:
        return self.range.plain and self.of.plain and len(self.metrics) == len(Metric)


@dataclass(frozen=True, slots=True)
class RoiQuestion(Generic[SubjectT_co]):
    """Return on investment of a subject; `projection` also asks where the event will end."""

    of: SubjectT_co
    range: Range = EVERYTHING
    projection: bool = False

    @property
    def plain(self) -> bool:
        return self.range.plain and self.of.plain and not self.projection


Question = (
    EventDashboardQuestion
    | MerchantDashboardQuestion
    | ChannelsQuestion[OfEvent]
    | ChannelsQuestion[OfMerchant]
    | TimelineQuestion[OfEvent]
    | TimelineQuestion[OfMerchant]
    | RoiQuestion[OfEvent]
    | RoiQuestion[OfMerchant]
)


def parse_metrics(text: str | None) -> frozenset[Metric]:
    """The metrics of a list with commas; all where none is given.

    Raises:
        BadQuestion: one of them is none that a timeline has.
    """
    if text is None:
        return frozenset(Metric)
    names = parse_list("metrics", text)
    known = {metric.value for metric in Metric}
    for name in names:
        if name not in known:
            raise BadRequest(
                "no metric is named {name!r}: there are {known}",
                code="unknown-metric",
                field="metrics",
                name=name[:40],
                known=", ".join(Metric),
            )
    return frozenset(map(Metric, names))


def parse_list(name: str, text: str | None) -> tuple[str, ...]:
    """The entries of a list with commas, each once.

    Raises:
        BadQuestion: an entry is empty, or there are more than NAMES_MAX.
    """
    if text is None:
        return ()
    entries: Sequence[str] = [entry.strip() for entry in text.split(",")]
    if not all(entries):
        raise BadRequest("{field} has an empty entry", code="bad-parameter", field=name)
    if len(entries) > NAMES_MAX:
        raise BadRequest(
            "{field} names more than {count_max}, the most that is answered: ask for less",
            code="too-many",
            field=name,
            count_max=NAMES_MAX,
        )
    return tuple(dict.fromkeys(entries))


def encode_cursor(created_at: datetime, row_id: int) -> str:
    """Where a page ends: the place of its last event."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()}/{row_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, int]:
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
        raise BadRequest(
            "this cursor is not one of ours: take nextCursor as it came", code="bad-cursor", field="cursor"
        ) from error
