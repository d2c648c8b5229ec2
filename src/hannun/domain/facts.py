"""Facts: what a decoded message states, or why it states nothing."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from hannun.domain.channels import Channel, ChannelType

MINUTE_US = 60_000_000

INSTANT_FROM_US, INSTANT_BEFORE_US = 0, 253_370_764_800_000_000

"""1970 to 9998: what every driver and every zone on the road can express."""


class Kind(StrEnum):
    """The kinds of message; each is its topic's default name and its `type` over HTTP."""

    EVENT_CREATED = "event-created"
    PARTICIPANT_REGISTERED = "participant-registered"
    DISTRIBUTION_COMPLETED = "distribution-completed"
    EVENT_STATUS_CHANGED = "event-status-changed"
    SALES_RECORDED = "sales-recorded"


LEFT_OUT = "leftOut"

"""Among the kept fields of a dead letter: the names of those that it had and that were not kept."""

UNKNOWN_KIND = "unknown"

"""What stands in a dead letter where a message named no kind of ours."""


class Reason(StrEnum):
    """Why a message cannot be used: the whole list."""

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
    """What became of a distribution on one channel."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class EventCreated(NamedTuple):
    """An event and its plan. Again with a newer `created_at`, the plan changes; what was counted does not."""

    event_id: str
    created_at: int
    title: str
    user_id: str
    total_investment: Decimal
    expected_revenue: Decimal
    target_roi: Decimal
    baseline_revenue: Decimal | None
    status: EventStatus
    starts_at: int | None
    ends_at: int | None


class ParticipantRegistered(NamedTuple):
    """Somebody took part. `participant` is 32 hexadecimal digits, `minute` minutes since 1970 UTC."""

    event_id: str
    participant: str
    minute: int
    channel: Channel | None


class Delivery(NamedTuple):
    """What became of one channel of a distribution. `expected_views` is a plan, never a measurement."""

    channel: Channel
    channel_type: ChannelType
    state: DeliveryState
    cost: Decimal
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
    """One sale, or with a negative `amount` one refund."""

    event_id: str
    sale_id: str
    amount: Decimal
    sold_at: int
    channel: Channel | None


Fact = EventCreated | ParticipantRegistered | DistributionCompleted | EventStatusChanged | SalesRecorded


class Rejected(NamedTuple):
    """A message that cannot be used. `fields` are its known fields as far as they are usable, never more."""

    kind: str
    reason: Reason
    detail: str
    event_id: str | None = None
    fields: dict[str, Any] | None = None
