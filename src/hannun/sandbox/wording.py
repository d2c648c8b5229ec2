"""How producers write a fact down: one fact in, one message out, in any of the ways that the spec allows.

Spellings, offsets, kinds of numbers and fields that nobody asked for vary as they do among services
that were written by different people. The personal data is made up and stands here to be dropped.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from hannun.sandbox.catalogue import SEOUL, TARIFFS, Channel, Event

EVENT_CREATED = "event-created"
PARTICIPANT_REGISTERED = "participant-registered"
DISTRIBUTION_COMPLETED = "distribution-completed"
EVENT_STATUS_CHANGED = "event-status-changed"
SALES_RECORDED = "sales-recorded"


class Message(NamedTuple):
    """One message as a producer would send it: `key` is its eventId, `value` its JSON object."""

    topic: str
    key: str
    value: dict[str, object]


# The first of each is how most producers write it; the last 지니TV is decomposed, as files from a Mac are.
SPELLINGS = {
    "WooriTV": ("WooriTV", "URIDONGNETV", "WOORIDONGNE_TV", "우리동네TV", "wooritv"),
    "GenieTV": ("GenieTV", "GINITV", "지니TV", unicodedata.normalize("NFD", "지니TV")),
    "RingoBiz": ("RingoBiz", "링고비즈", "RINGO_BIZ", "ringobiz"),
    "Instagram": ("Instagram", "INSTAGRAM", "instagram"),
    "NaverBlog": ("NaverBlog", "NAVER", "Naver Blog", "네이버블로그"),
    "KakaoChannel": ("KakaoChannel", "KAKAO", "Kakao Channel", "카카오채널"),
}
_NAMES = ("홍길동", "김아무개", "성춘향", "이몽룡", "심청")


def created(rng: random.Random, event: Event) -> Message:
    return Message(EVENT_CREATED, event.id, _plan(rng, event, event.created, event.title, event.expected_revenue))


def replanned(rng: random.Random, event: Event, at: datetime) -> Message:
    """The same event again, with a newer time, another title and more to hope for."""
    title, revenue = f"{event.title} (앙코르)", round(event.expected_revenue * 1.2)
    return Message(EVENT_CREATED, event.id, _plan(rng, event, at, title, revenue))


def status_changed(rng: random.Random, event: Event, status: str, at: datetime) -> Message:
    value = {**_head(rng, event), "status": status, "changedAt": instant(rng, at), "changedBy": "scheduler"}
    return Message(EVENT_STATUS_CHANGED, event.id, value)


def distributed(
    rng: random.Random, event: Event, channels: Sequence[Channel], status: Sequence[str], at: datetime
) -> Message:
    """The outcome for some channels at once; a single one stands in the message's own fields."""
    outcomes = [_outcome(rng, *each) for each in zip(channels, status, strict=True)]
    value = {**_head(rng, event), "completedAt": instant(rng, at)}
    if len(outcomes) == 1:
        value |= outcomes[0]
    else:
        value[rng.choice(("channels", "distributedChannels"))] = outcomes
    return Message(DISTRIBUTION_COMPLETED, event.id, value)


def registered(rng: random.Random, event: Event, participant_id: str, channel: str | None, at: datetime) -> Message:
    value = {**_head(rng, event), "participantId": participant_id, "registeredAt": instant(rng, at)}
    value |= _source(rng, channel)
    # What a form collects and nobody here wants. The numbers of this exchange belong to nobody.
    value["name"] = rng.choice(_NAMES)
    value["phoneNumber"] = f"010-0000-{rng.randrange(10_000):04d}"
    if rng.random() < 0.3:
        value["marketingConsent"] = rng.random() < 0.5
    return Message(PARTICIPANT_REGISTERED, event.id, value)


def sold(
    rng: random.Random, event: Event, channel: str | None, amount: int, at: datetime, *, refund: bool = False
) -> Message:
    value = {**_head(rng, event), "saleId": random_id(rng), "amount": _money(rng, amount), "soldAt": instant(rng, at)}
    value |= _source(rng, channel)
    if refund:
        value["refund"] = True
    elif rng.random() < 0.3:
        value["refund"] = False
    value["paymentMethod"] = rng.choice(("CARD", "CASH", "PAY"))
    return Message(SALES_RECORDED, event.id, value)


def random_id(rng: random.Random, version: int = 4) -> str:
    return str(UUID(int=rng.getrandbits(128), version=version))


def instant(rng: random.Random, at: datetime) -> str:
    """ISO 8601 with an offset: Seoul's or Z, cut to milli- or microseconds, some to the second."""
    timespec = rng.choice(("milliseconds", "milliseconds", "microseconds", "seconds"))
    if rng.random() < 0.5:
        return at.astimezone(SEOUL).isoformat(timespec=timespec)
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def _head(rng: random.Random, event: Event) -> dict[str, object]:
    """What all have in common; a messageId is usual, not certain."""
    head: dict[str, object] = {"eventId": event.id}
    if rng.random() < 0.95:
        head["messageId"] = random_id(rng)
    return head


def _plan(rng: random.Random, event: Event, at: datetime, title: str, revenue: int) -> dict[str, object]:
    plan = {
        **_head(rng, event),
        rng.choice(("eventTitle", "title")): title,
        rng.choice(("userId", "storeId")): event.merchant.id,
        "createdAt": instant(rng, at),
        "totalInvestment": _money(rng, event.total_investment),
        "expectedRevenue": _money(rng, revenue),
        "targetRoi": event.target_roi,
        "startDate": instant(rng, event.starts),
        "objective": "신규 고객 유치",
        "ownerName": "홍길동",
        "ownerPhone": "010-0000-0000",
    }
    if event.ends is not None:
        plan["endDate"] = instant(rng, event.ends)
    if event.baseline_revenue is not None:
        plan["baselineRevenue"] = _money(rng, event.baseline_revenue)
    if rng.random() < 0.5:
        plan["status"] = "ACTIVE"
    return plan


def _outcome(rng: random.Random, channel: Channel, status: str) -> dict[str, object]:
    kind = TARIFFS[channel.name].type
    outcome: dict[str, object] = {
        rng.choice(("channelName", "channel")): _spelled(rng, channel.name),
        "channelType": rng.choice(("VOICE", "CALL")) if kind == "VOICE" else kind,
        "status": status,
        "expectedViews": channel.expected_views,
    }
    if status == "SUCCESS":
        outcome["distributionCost"] = _money(rng, channel.cost)
    else:
        outcome["errorMessage"] = "upstream timed out"
    return outcome


def _source(rng: random.Random, channel: str | None) -> dict[str, object]:
    if channel is None:
        return {}
    return {rng.choice(("channelName", "channelName", "channel", "entryPath")): _spelled(rng, channel)}


def _spelled(rng: random.Random, channel: str) -> str:
    spellings = SPELLINGS[channel]
    return spellings[0] if rng.random() < 0.6 else rng.choice(spellings)


def _money(rng: random.Random, won: int) -> int | str:
    """A JSON number, or as careful producers write decimals: a string."""
    return won if rng.random() < 0.7 else f"{won}.00"
