"""Facts: what a decoded message states, or why the message is unusable."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from hannun.domain.channels import Channel, ChannelType

MINUTE_US = 60_000_000

INSTANT_FROM_US, INSTANT_BEFORE_US = 0, 253_370_764_800_000_000
"""1970 to 9998: every driver and every time zone can express these instants."""


class Kind(StrEnum):
    """The kinds of message; each is its topic's default name and its `type` over HTTP."""

    EVENT_CREATED = "event-created"
    PARTICIPANT_REGISTERED = "participant-registered"
    DISTRIBUTION_COMPLETED = "distribution-completed"
    EVENT_STATUS_CHANGED = "event-status-changed"
    SALES_RECORDED = "sales-recorded"


class Reason(StrEnum):
    """Why a message is unusable. The list is complete."""

    NOT_JSON = "not-json"
    BAD_TEXT = "bad-utf8-or-nul"
    TOO_LARGE = "too-large"
    UNKNOWN_TYPE = "unknown-type"
    MISSING_FIELD = "missing-field"
    WRONG_TYPE = "wrong-type"
    OUT_OF_BOUNDS = "out-of-bounds"
    NO_OFFSET = "no-offset-in-a-time"
    OUT_OF_TIME = "too-early-or-too-far-ahead"
    OWNER_CHANGED = "owner-changed"
    REFUSED = "refused-by-the-database"


class EventStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"
    ARCHIVED = "ARCHIVED"


class DeliveryState(StrEnum):
    """The outcome of a distribution on one channel."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class EventCreated(NamedTuple):
    """An event and its plan. A newer `created_at` replaces the plan as a whole; counts stay. None means "not said"."""

    event_id: str
    created_at: int
    title: str
    user_id: str
    total_investment: Decimal | None
    expected_revenue: Decimal | None
    target_roi: Decimal | None
    baseline_revenue: Decimal | None
    status: EventStatus | None
    starts_at: int | None
    ends_at: int | None


class ParticipantRegistered(NamedTuple):
    """A person took part. `participant` is 32 hexadecimal digits, `minute` counts minutes since 1970 UTC."""

    event_id: str
    participant: str
    minute: int
    channel: Channel | None


class Delivery(NamedTuple):
    """The outcome of a distribution on one channel. `expected_views` is a plan, never a measurement.

    `cost` is None where the message does not say it.
    """

    channel: Channel
    channel_type: ChannelType
    state: DeliveryState
    cost: Decimal | None
    expected_views: int | None


class DistributionCompleted(NamedTuple):
    event_id: str
    completed_at: int
    deliveries: tuple[Delivery, ...]


class EventStatusChanged(NamedTuple):
    event_id: str
    changed_at: int
    status: EventStatus


class SalesRecorded(NamedTuple):
    """One sale, or one refund if `amount` is negative."""

    event_id: str
    sale_id: str
    amount: Decimal
    sold_at: int
    channel: Channel | None


OtherFact = EventCreated | DistributionCompleted | EventStatusChanged | SalesRecorded
"""What is no registration."""
Fact = ParticipantRegistered | OtherFact


class Rejected(NamedTuple):
    """An unusable message. `fields` are its known, valid fields (see `dead_letter_redaction`), never more."""

    kind: str
    reason: Reason
    detail: str
    event_id: str | None = None
    fields: dict[str, Any] | None = None
