"""What the figures must be, said a second time: the specification read by somebody who has not seen our code.

One message after the other, plain dictionaries, nothing of `hannun`. Slow and simple on purpose: where it and the
service differ, one of them misreads `spec/3-messages.md`.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

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


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DECIDING = {
    "event-created": "createdAt",
    "participant-registered": "registeredAt",
    "distribution-completed": "completedAt",
    "event-status-changed": "changedAt",
    "sales-recorded": "soldAt",
}
"""The instant of each kind that decides something."""

SPELLINGS = {same(spelling): name for name, (_, others) in KNOWN.items() for spelling in (name, *others)}


def channel_of(told: dict[str, Any]) -> str | None:
    """A known channel by its name, an unknown one by the form in which names are compared."""
    for name in ("channelName", "channel", "entryPath"):
        if told.get(name) is not None:
            return SPELLINGS.get(same(told[name]), same(told[name]))
    return None


def instant(text: str) -> datetime:
    """An instant; a zone in brackets behind its offset says nothing more."""
    return datetime.fromisoformat(text.split("[")[0]).astimezone(UTC)


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
    sold_at: dict[str, datetime] = field(default_factory=dict)
    increments: list[tuple[datetime, str, dict[str, int]]] = field(default_factory=list)


class Oracle:
    """Knows what was told and says what the tables must hold."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.rejections: list[str] = []

    def add_message(self, kind: str, raw: bytes, received_at: int | None = None) -> None:
        """One message, in the order of the log, received at this time (microseconds since 1970; None: just now)."""
        try:
            told = json.loads(raw)
        except ValueError:
            self.rejections.append("not-json")
            return
        event = self.events.setdefault(told["eventId"], Event())
        received = datetime.now(UTC) if received_at is None else EPOCH + timedelta(microseconds=received_at)
        if instant(told[DECIDING[kind]]) > received + timedelta(hours=24):
            self.rejections.append("too-early-or-too-far-ahead")
            return
        if kind == "event-created":
            self._created(event, told)
        elif kind == "participant-registered":
            at = instant(told["registeredAt"])
            if at < datetime(2015, 1, 1, tzinfo=UTC):
                self.rejections.append("too-early-or-too-far-ahead")
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
            event.sold_at.setdefault(told["saleId"], instant(told["soldAt"]))

    def add_measurement(self, event_id: str, channel: str, minute: datetime, **counts: int) -> None:
        """What a channel measured, as it rose."""
        self.events[event_id].increments.append((minute, channel, counts))

    def _created(self, event: Event, told: dict[str, Any]) -> None:
        if event.owner not in (None, told["userId"]):
            self.rejections.append("owner-changed")
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
            self.rejections.append("missing-field")
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

    # -- what must be in the answers

    def summary(self, events: list[str], within: "Within") -> dict[str, Any]:
        """Counts and rates of events together within a range."""
        channels = self.channel_counts(events, within)
        total = sum(within(minute) for each in events for minute, _ in self.events[each].participants.values())
        named = sum(counts["participants"] for counts in channels.values())
        together = Counter[str]()
        clicked = Counter[str]()
        for (_, type_), counts in channels.items():
            together.update(counts)
            if type_ != "VOICE":
                clicked.update(counts)
        return {
            "totalParticipants": total,
            "unattributedParticipants": total - named,
            "totalViews": together["views"],
            "totalReach": together["impressions"],
            "totalClicks": together["clicks"],
            "totalConversions": together["conversions"],
            "clickThroughRate": rate(together["clicks"], together["impressions"]),
            "engagementRate": rate(engagement(together), together["impressions"]),
            "participationRate": rate(total, together["views"]),
            "conversionRate": rate(clicked["conversions"], clicked["clicks"]),
            "socialInteractions": {name: together[name] for name in ("likes", "comments", "shares")},
        }

    def channel_counts(self, events: list[str], within: "Within") -> dict[tuple[str, str], Counter[str]]:
        """What happened within a range on each channel of events, by name and type; quiet ones too."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for event_id in events:
            event = self.events[event_id]
            for name, (type_, _, _) in self.channels(event_id).items():
                counts = found.setdefault((name, type_), Counter())
                counts["participants"] += sum(within(at) for at, by in event.participants.values() if by == name)
                for minute, channel, more in event.increments:
                    if channel == name and within(minute):
                        counts.update(more)
        return found

    def channel(self, events: list[str], name: str, type_: str, within: "Within") -> dict[str, Any]:
        """The flat entry of a channel in a dashboard, over events together."""
        counts = self.channel_counts(events, within)[name, type_]
        ever = self.channel_counts(events, always)[name, type_]
        cost = sum((self.channels(each)[name][2] for each in self._with(events, name, type_)), Decimal(0))
        by = ("completed_calls", "total_calls") if type_ == "VOICE" else ("conversions", "clicks")
        return {
            "channelName": name,
            "channelType": type_,
            "participants": counts["participants"],
            "views": counts["views"],
            "impressions": counts["impressions"],
            "clicks": counts["clicks"],
            "conversions": counts["conversions"],
            "clickThroughRate": rate(counts["clicks"], counts["impressions"]),
            "engagementRate": rate(engagement(counts), counts["impressions"]),
            "participationRate": rate(counts["participants"], counts["views"]),
            "conversionRate": rate(counts[by[0]], counts[by[1]]),
            "distributionCost": number(cost),
            "costPerParticipant": each(cost, ever["participants"]),
            "costPerView": each(cost, ever["views"]),
            "costPerConversion": each(cost, ever["conversions"]),
        }

    def _with(self, events: list[str], name: str, type_: str) -> list[str]:
        return [each for each in events if self.channels(each).get(name, ("",))[0] == type_]

    def state(self, events: list[str], name: str, type_: str) -> str:
        """Nobody measures yet, so the newest distribution is all that is known: of any success the plan."""
        told = {
            self.events[each].states[name][1]["status"]
            for each in self._with(events, name, type_)
            if name in self.events[each].states
        }
        return "planned" if "SUCCESS" in told else "failed" if told else "unknown"

    def roi(self, events: list[str], *, target: bool = True) -> dict[str, Any]:
        """Money of events together: each counts with its own revenue, recorded or else expected."""
        planned = costs = expected = revenue = assumed = Decimal(0)
        grown = base = recorded = None
        for event_id in events:
            event = self.events[event_id]
            assert event.plan is not None
            told = event.plan[1]
            mine, sold = money(told.get("expectedRevenue", 0)), self.sales(event_id)
            planned += money(told.get("totalInvestment", 0))
            costs += sum((cost for _, cost in event.successes.values()), Decimal(0))
            expected += mine
            if sold[0]:
                recorded = (recorded or 0) + sold[1]
                revenue += sold[1]
                if told.get("baselineRevenue") is not None:
                    grown, base = (grown or 0) + sold[1], (base or 0) + money(told["baselineRevenue"])
            else:
                revenue += mine
                assumed += mine
        invested = planned + costs
        counts = Counter[str]()
        for more in self.channel_counts(events, always).values():
            counts.update(more)
        came = self.summary(events, always)["totalParticipants"]
        plan = self.events[events[0]].plan if len(events) == 1 else None
        needed = None
        if revenue > 0 and came:
            needed = -(-(Fraction(invested) * came / Fraction(revenue)) // 1) * 1
        return {
            "currentRoi": number(percent(revenue - invested, invested)),
            "targetRoi": number(money(plan[1].get("targetRoi", 0))) if plan and target else None,
            "estimatedRoi": number(percent(expected - invested, invested)),
            "salesGrowthRate": None if grown is None or base is None else number(percent(grown - base, base)),
            "investment": {"total": number(invested), "planned": number(planned), "channels": number(costs)},
            "revenue": {
                "total": number(revenue),
                "recorded": number(recorded),
                "expected": number(expected),
                "assumedShare": number(percent(assumed, revenue)) if revenue > 0 else None,
            },
            "costPerParticipant": each(invested, came),
            "costPerView": each(invested, counts["views"]),
            "costPerConversion": each(invested, counts["conversions"]),
            "breakEvenParticipants": None if needed is None else int(needed),
        }

    def points(
        self, events: list[str], granularity: str, zone: ZoneInfo, start: datetime, end: datetime
    ) -> list[dict[str, Any]]:
        """Every bucket that holds a minute of [start, end), minute by minute."""
        came = Counter(at for each in events for at, _ in self.events[each].participants.values())
        measured: dict[datetime, Counter[str]] = {}
        for event_id in events:
            for minute, _, more in self.events[event_id].increments:
                measured.setdefault(minute, Counter()).update(more)
        before = sum(count for at, count in came.items() if at < start)
        buckets: list[dict[str, Any]] = []
        for bucket_start, minutes in buckets_by_walking(granularity, zone, start, end):
            within = [minute for minute in minutes if minute in came or minute in measured]
            counts = Counter[str]()
            for minute in within:
                counts.update(measured.get(minute, {}))
            participants = sum(came[minute] for minute in within)
            before += participants
            buckets.append(
                {
                    "timestamp": bucket_start.isoformat(),
                    "participants": participants,
                    "views": counts["views"],
                    "engagement": engagement(counts),
                    "conversions": counts["conversions"],
                    "cumulativeParticipants": before,
                }
            )
        return buckets


Within = Callable[[datetime], bool]


def always(_: datetime) -> bool:
    return True


def between(start: datetime | None, end: datetime | None) -> Within:
    return lambda at: (start is None or at >= start) and (end is None or at < end)


def rate(part: int, whole: int) -> float | int | None:
    return number(percent(Decimal(part), Decimal(whole)))


def each(cost: Decimal, count: int) -> float | int | None:
    return None if count == 0 else number(Decimal(round(Fraction(cost) / count * 100)) / 100)


def number(figure: Decimal | None) -> float | int | None:
    if figure is None:
        return None
    return int(figure) if figure == int(figure) else float(figure)


def engagement(counts: Counter[str]) -> int:
    return counts["likes"] + counts["comments"] + counts["shares"] + counts["clicks"]


MINUTE = timedelta(minutes=1)
BACK = {"minute": 0, "hourly": 3, "daily": 50, "weekly": 9 * 24, "monthly": 33 * 24}


def buckets_by_walking(
    granularity: str, zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[tuple[datetime, list[datetime]]]:
    """(start in the zone, its minutes within the range) of each bucket: the clock is looked at every single minute."""

    def shown(at: datetime) -> Any:
        there = at.astimezone(zone)
        if granularity == "minute":
            return at
        if granularity == "hourly":
            return there.replace(minute=0, second=0, tzinfo=None), there.utcoffset()
        if granularity == "daily":
            return there.date()
        return there.isocalendar()[:2] if granularity == "weekly" else (there.year, there.month)

    at = start - timedelta(hours=BACK[granularity])
    began, last, minutes = at, shown(at), list[datetime]()
    while at < end:
        now = shown(at)
        # A clock that is set back over midnight shows yesterday once more: the new day has begun all the same.
        if now != last if granularity in ("minute", "hourly") else now > last:
            if minutes:
                yield began.astimezone(zone), minutes
            began, last, minutes = at, now, []
        if at >= start:
            minutes.append(at)
        at += MINUTE
    if minutes:
        yield began.astimezone(zone), minutes
