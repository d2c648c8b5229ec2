"""How producers format a fact: each function returns one message, in one of the forms that the spec allows.

Spellings, UTC offsets, number types and superfluous fields vary, as they do among services of different authors. The
personal data are fictitious; Hannun must drop them.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from hannun.sandbox.catalogue import CHANNEL_PROFILES, SEOUL, Channel, Event

EVENT_CREATED = "event-created"
PARTICIPANT_REGISTERED = "participant-registered"
DISTRIBUTION_COMPLETED = "distribution-completed"
EVENT_STATUS_CHANGED = "event-status-changed"
SALES_RECORDED = "sales-recorded"


class Message(NamedTuple):
    """One message as a producer sends it: `key` is its eventId, `value` its JSON object."""

    topic: str
    key: str
    value: dict[str, object]


# Most producers use the first spelling. The last one of 지니TV is in Unicode form NFD, as file names on macOS are.
SPELLINGS = {
    "WooriTV": ("WooriTV", "URIDONGNETV", "WOORIDONGNE_TV", "우리동네TV", "wooritv"),
    "GenieTV": ("GenieTV", "GINITV", "지니TV", unicodedata.normalize("NFD", "지니TV")),
    "RingoBiz": ("RingoBiz", "링고비즈", "RINGO_BIZ", "ringobiz"),
    "Instagram": ("Instagram", "INSTAGRAM", "instagram"),
    "NaverBlog": ("NaverBlog", "NAVER", "Naver Blog", "네이버블로그"),
    "KakaoChannel": ("KakaoChannel", "KAKAO", "Kakao Channel", "카카오채널"),
}
_PERSON_NAMES = ("홍길동", "김아무개", "성춘향", "이몽룡", "심청")


def event_created(rng: random.Random, event: Event) -> Message:
    fields = _plan_fields(rng, event, event.created_at, event.title, event.expected_revenue)
    return Message(EVENT_CREATED, event.id, fields)


def event_replanned(rng: random.Random, event: Event, at: datetime) -> Message:
    """A second event-created of the same event, with a later time, another title and a higher expected revenue."""
    title, revenue = f"{event.title} (앙코르)", round(event.expected_revenue * 1.2)
    return Message(EVENT_CREATED, event.id, _plan_fields(rng, event, at, title, revenue))


def event_status_changed(rng: random.Random, event: Event, status: str, at: datetime) -> Message:
    value = {**_common_fields(rng, event), "status": status, "changedAt": format_time(rng, at)}
    value["changedBy"] = "scheduler"
    return Message(EVENT_STATUS_CHANGED, event.id, value)


def distribution_completed(
    rng: random.Random, event: Event, channels: Sequence[Channel], statuses: Sequence[str], at: datetime
) -> Message:
    """The outcome of a distribution to these channels. A single outcome is in the top-level fields of the message."""
    outcomes = [_outcome_fields(rng, *each) for each in zip(channels, statuses, strict=True)]
    value = {**_common_fields(rng, event), "completedAt": format_time(rng, at)}
    if len(outcomes) == 1:
        value |= outcomes[0]
    else:
        value[rng.choice(("channels", "distributedChannels"))] = outcomes
    return Message(DISTRIBUTION_COMPLETED, event.id, value)


def participant_registered(
    rng: random.Random, event: Event, participant_id: str, channel: str | None, at: datetime
) -> Message:
    value = {**_common_fields(rng, event), "participantId": participant_id, "registeredAt": format_time(rng, at)}
    value |= _channel_field(rng, channel)
    # A form collects these, and Hannun must not keep them. Numbers of this exchange are not assigned to anyone.
    value["name"] = rng.choice(_PERSON_NAMES)
    value["phoneNumber"] = f"010-0000-{rng.randrange(10_000):04d}"
    if rng.random() < 0.3:
        value["marketingConsent"] = rng.random() < 0.5
    return Message(PARTICIPANT_REGISTERED, event.id, value)


def sale_recorded(
    rng: random.Random, event: Event, channel: str | None, amount: int, at: datetime, *, refund: bool = False
) -> Message:
    value = {
        **_common_fields(rng, event),
        "saleId": create_random_id(rng),
        "amount": _format_amount(rng, amount),
        "soldAt": format_time(rng, at),
    }
    value |= _channel_field(rng, channel)
    if refund:
        value["refund"] = True
    elif rng.random() < 0.3:
        value["refund"] = False
    value["paymentMethod"] = rng.choice(("CARD", "CASH", "PAY"))
    return Message(SALES_RECORDED, event.id, value)


def create_random_id(rng: random.Random, version: int = 4) -> str:
    return str(UUID(int=rng.getrandbits(128), version=version))


def format_time(rng: random.Random, at: datetime) -> str:
    """ISO 8601 with Seoul's offset or Z, truncated to milliseconds, microseconds or seconds."""
    timespec = rng.choice(("milliseconds", "milliseconds", "microseconds", "seconds"))
    if rng.random() < 0.5:
        return at.astimezone(SEOUL).isoformat(timespec=timespec)
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def _common_fields(rng: random.Random, event: Event) -> dict[str, object]:
    """The fields of every message. A few have no messageId."""
    fields: dict[str, object] = {"eventId": event.id}
    if rng.random() < 0.95:
        fields["messageId"] = create_random_id(rng)
    return fields


def _plan_fields(rng: random.Random, event: Event, at: datetime, title: str, revenue: int) -> dict[str, object]:
    fields = {
        **_common_fields(rng, event),
        rng.choice(("eventTitle", "title")): title,
        rng.choice(("userId", "storeId")): event.merchant.id,
        "createdAt": format_time(rng, at),
        "totalInvestment": _format_amount(rng, event.total_investment),
        "expectedRevenue": _format_amount(rng, revenue),
        "targetRoi": event.target_roi,
        "startDate": format_time(rng, event.starts_at),
        "objective": "신규 고객 유치",
        "ownerName": "홍길동",
        "ownerPhone": "010-0000-0000",
    }
    if event.ends_at is not None:
        fields["endDate"] = format_time(rng, event.ends_at)
    if event.baseline_revenue is not None:
        fields["baselineRevenue"] = _format_amount(rng, event.baseline_revenue)
    if rng.random() < 0.5:
        fields["status"] = "ACTIVE"
    return fields


def _outcome_fields(rng: random.Random, channel: Channel, status: str) -> dict[str, object]:
    channel_type = CHANNEL_PROFILES[channel.name].type
    outcome: dict[str, object] = {
        rng.choice(("channelName", "channel")): _random_spelling(rng, channel.name),
        "channelType": rng.choice(("VOICE", "CALL")) if channel_type == "VOICE" else channel_type,
        "status": status,
        "expectedViews": channel.expected_views,
    }
    if status == "SUCCESS":
        outcome["distributionCost"] = _format_amount(rng, channel.cost)
    else:
        outcome["errorMessage"] = "upstream timed out"
    return outcome


def _channel_field(rng: random.Random, channel: str | None) -> dict[str, object]:
    if channel is None:
        return {}
    return {rng.choice(("channelName", "channelName", "channel", "entryPath")): _random_spelling(rng, channel)}


def _random_spelling(rng: random.Random, channel: str) -> str:
    spellings = SPELLINGS[channel]
    return spellings[0] if rng.random() < 0.6 else rng.choice(spellings)


def _format_amount(rng: random.Random, won: int) -> int | str:
    """A JSON number, or a string with decimals, as some producers write amounts."""
    return won if rng.random() < 0.7 else f"{won}.00"
