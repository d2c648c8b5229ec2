"""What the figures must be, said a second time: the specification read by somebody who has not seen our code.

One message after the other, plain dictionaries, nothing of `hannun`. Slow and simple on purpose: where it and the
service differ, one of them misreads `spec/3-messages.md`.
"""

import json
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

KNOWN = {
    "WooriTV": ("TV", ["URIDONGNETV", "WOORIDONGNE_TV", "우리동네TV"]),
    "GenieTV": ("TV", ["GINITV", "지니TV"]),
    "RingoBiz": ("VOICE", ["링고비즈"]),
    "Instagram": ("SNS", []),
    "NaverBlog": ("SNS", ["NAVER", "Naver Blog", "네이버블로그"]),
    "KakaoChannel": ("SNS", ["KAKAO", "Kakao Channel", "카카오채널"]),
}


def same(name: str) -> str:
    """NFC, case-folded, without spaces, `_` and `-`."""
    return "".join(c for c in unicodedata.normalize("NFC", name).casefold() if c not in " _-")


SPELLINGS = {same(spelling): name for name, (_, others) in KNOWN.items() for spelling in (name, *others)}


def channel_of(told: dict[str, Any]) -> str | None:
    """A known channel by its name, an unknown one by the form in which names are compared."""
    for name in ("channelName", "channel", "entryPath"):
        if told.get(name) is not None:
            return SPELLINGS.get(same(told[name]), same(told[name]))
    return None


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def money(told: Any) -> Decimal:
    return Decimal(str(told)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def percent(part: Decimal, whole: Decimal) -> Decimal | None:
    if whole == 0:
        return None
    return Decimal(round(Fraction(part) / Fraction(whole) * 10_000)).scaleb(-2)


@dataclass
class Event:
    """All that was told of one event."""

    owner: str | None = None
    plan: tuple[datetime, dict[str, Any]] | None = None
    status: tuple[datetime, str] | None = None
    participants: dict[str, tuple[datetime, str | None]] = field(default_factory=dict)
    states: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)
    successes: dict[str, tuple[datetime, Decimal]] = field(default_factory=dict)
    sales: dict[str, Decimal] = field(default_factory=dict)


class Oracle:
    """Knows what was told and says what the tables must hold."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.letters: list[str] = []

    def hears(self, kind: str, raw: bytes) -> None:
        """One message, in the order of the log."""
        try:
            told = json.loads(raw)
        except ValueError:
            self.letters.append("not-json")
            return
        event = self.events.setdefault(told["eventId"], Event())
        if kind == "event-created":
            self._created(event, told)
        elif kind == "participant-registered":
            at = instant(told["registeredAt"])
            if at < datetime(2015, 1, 1, tzinfo=UTC):
                self.letters.append("too-early-or-too-far-ahead")
                return
            minute = at.replace(second=0, microsecond=0)
            event.participants.setdefault(told["participantId"], (minute, channel_of(told)))
        elif kind == "distribution-completed":
            self._distributed(event, told)
        elif kind == "event-status-changed":
            self._status(event, instant(told["changedAt"]), told["status"])
        else:
            amount = money(told["amount"])
            event.sales.setdefault(told["saleId"], -amount if told.get("refund") else amount)

    def _created(self, event: Event, told: dict[str, Any]) -> None:
        if event.owner not in (None, told["userId"]):
            self.letters.append("owner-changed")
            return
        event.owner = told["userId"]
        at = instant(told["createdAt"])
        if event.plan is not None and at <= event.plan[0]:
            return
        event.plan = (at, told)
        self._status(event, at, told.get("status") or "ACTIVE")

    def _status(self, event: Event, at: datetime, status: str) -> None:
        if event.status is None or at > event.status[0]:
            event.status = (at, status)

    def _distributed(self, event: Event, told: dict[str, Any]) -> None:
        at = instant(told["completedAt"])
        listed = told.get("channels") or told.get("distributedChannels") or [told]
        if any(channel_of(each) not in KNOWN and "channelType" not in each for each in listed):
            self.letters.append("missing-field")
            return
        for each in listed:
            channel = channel_of(each)
            assert channel is not None
            if channel not in event.states or at > event.states[channel][0]:
                event.states[channel] = (at, each)
            success = each["status"] == "SUCCESS"
            if success and (channel not in event.successes or at > event.successes[channel][0]):
                event.successes[channel] = (at, money(each.get("distributionCost", 0)))

    # -- what must be in the tables

    def _type(self, event: Event, channel: str | None) -> str | None:
        """The table's type of a known channel, else what this event's newest distribution told."""
        if channel in KNOWN:
            return KNOWN[channel][0]
        if channel in event.states:
            told: str = event.states[channel][1]["channelType"]
            return {"CALL": "VOICE"}.get(told, told)
        return None

    def unattributed(self, event_id: str) -> int:
        event = self.events[event_id]
        return sum(self._type(event, channel) is None for _, channel in event.participants.values())

    def total(self, event_id: str) -> int:
        return len(self.events[event_id].participants)

    def timeline(self, event_id: str) -> dict[datetime, int]:
        """Participants by minute."""
        return dict(Counter(minute for minute, _ in self.events[event_id].participants.values()))

    def cumulative(self, event_id: str) -> dict[datetime, int]:
        counts = self.timeline(event_id)
        return {minute: sum(n for at, n in counts.items() if at < minute + timedelta(minutes=1)) for minute in counts}

    def channels(self, event_id: str) -> dict[str, tuple[str, int, Decimal]]:
        """Type, participants and cost by channel."""
        event = self.events[event_id]
        named = {channel for _, channel in event.participants.values() if self._type(event, channel)} | set(
            event.states
        )
        return {
            channel: (
                self._type(event, channel) or "",
                sum(by == channel for _, by in event.participants.values()),
                event.successes.get(channel, (None, Decimal("0.00")))[1],
            )
            for channel in named
            if channel is not None
        }

    def sales(self, event_id: str) -> tuple[int, Decimal]:
        sales = self.events[event_id].sales
        return len(sales), sum(sales.values(), Decimal("0.00"))

    def stats(self, event_id: str) -> dict[str, Any] | None:
        """The row of event_stats; None while the event was not created."""
        event = self.events[event_id]
        if event.plan is None or event.status is None:
            return None
        told = event.plan[1]
        planned, expected = money(told.get("totalInvestment", 0)), money(told.get("expectedRevenue", 0))
        invested = planned + sum((cost for _, cost in event.successes.values()), Decimal(0))
        estimated = percent(expected - invested, invested)
        baseline, (count, recorded) = told.get("baselineRevenue"), self.sales(event_id)
        growth = None
        if baseline is not None and count:
            growth = percent(recorded - money(baseline), money(baseline))
        highest = Decimal("99999999.99")
        return {
            "event_title": told.get("eventTitle") or told["title"],
            "user_id": event.owner,
            "status": event.status[1],
            "total_participants": len(event.participants),
            "total_views": 0,
            "total_investment": planned,
            "expected_revenue": expected,
            "target_roi": money(told.get("targetRoi", 0)),
            "estimated_roi": min(max(estimated or Decimal(0), Decimal(0)), highest),
            "sales_growth_rate": min(max(growth or Decimal(0), -highest), highest),
        }
