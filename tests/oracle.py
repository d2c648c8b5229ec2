"""A second implementation of the specification: it computes what every figure must be.

It handles one message after the other, with plain dictionaries, and imports nothing of `hannun`. It is slow and simple
on purpose. Where it and the service differ, one of them misreads `spec/3-messages.md`.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
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
    """NFC, case-folded, without spaces, `_`, `-`, zero-width and control characters."""
    seen = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf"))
    return "".join(c for c in unicodedata.normalize("NFC", seen).casefold() if c not in " _-")


def without_unstated_amount(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that say something: null and an empty text say nothing."""
    return {
        name: [without_unstated_amount(each) for each in value] if isinstance(value, list) else value
        for name, value in fields.items()
        if value is not None and value != ""
    }


def id_of(text: str) -> str:
    """A UUID in lower case; any other id as it is."""
    return text.lower() if len(text) == 36 and re.fullmatch("[0-9a-f]+(-[0-9a-f]+){4}", text.lower()) else text


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


def channel_of(message: dict[str, Any]) -> str | None:
    """A known channel by its name, an unknown one by the form in which names are compared."""
    for name in ("channelName", "channel", "entryPath"):
        if message.get(name) is not None:
            return SPELLINGS.get(same(message[name]), same(message[name]))
    return None


def instant(text: str) -> datetime:
    """An instant; a zone in brackets behind its offset says nothing more."""
    return datetime.fromisoformat(text.split("[")[0]).astimezone(UTC)


def money(amount: Any) -> Decimal:
    return Decimal(str(amount)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def stated_amount(fields: dict[str, Any], name: str) -> Decimal | None:
    """An amount of a message that was stripped of what it does not say; None where it says none."""
    return money(fields[name]) if name in fields else None


def total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of the amounts that were said; None where none was."""
    given = [amount for amount in amounts if amount is not None]
    return sum(given, Decimal("0.00")) if given else None


def gain(earned: Decimal | None, invested: Decimal | None) -> Decimal | None:
    return None if earned is None or invested is None else percent(earned - invested, invested)


def percent(part: Decimal, whole: Decimal) -> Decimal | None:
    if whole == 0:
        return None
    return Decimal(round(Fraction(part) / Fraction(whole) * 10_000)).scaleb(-2)


@dataclass
class Event:
    """Everything that messages and channels have said about one event."""

    owner: str | None = None
    plan: tuple[datetime, dict[str, Any]] | None = None
    status: tuple[datetime, str] | None = None
    participants: dict[str, tuple[datetime, str | None]] = field(default_factory=dict)
    states: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)
    successes: dict[str, tuple[datetime, Decimal | None]] = field(default_factory=dict)
    sales: dict[str, Decimal] = field(default_factory=dict)
    sold_at: dict[str, datetime] = field(default_factory=dict)
    increments: list[tuple[datetime, str, dict[str, int]]] = field(default_factory=list)


class Oracle:
    """Takes all messages, and computes what tables and answers must hold."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.rejections: list[str] = []

    def add_message(self, kind: str, raw: bytes, received_at: int | None = None) -> None:
        """Take one message. Messages come in the order in which they are counted.

        Args:
            received_at: in microseconds since 1970; None for now.
        """
        try:
            message = without_unstated_amount(json.loads(raw))
        except ValueError:
            self.rejections.append("not-json")
            return
        ids = [message["eventId"], message.get("userId", "-")]
        if any("/" in each or each in (".", "..") for each in ids):
            self.rejections.append("out-of-bounds")
            return
        event = self.events.setdefault(id_of(message["eventId"]), Event())
        received = datetime.now(UTC) if received_at is None else EPOCH + timedelta(microseconds=received_at)
        if instant(message[DECIDING[kind]]) > received + timedelta(hours=24):
            self.rejections.append("too-early-or-too-far-ahead")
            return
        if kind == "event-created":
            self._created(event, message)
        elif kind == "participant-registered":
            at = instant(message["registeredAt"])
            if at < datetime(2015, 1, 1, tzinfo=UTC):
                self.rejections.append("too-early-or-too-far-ahead")
                return
            if "," in (channel_of(message) or ""):
                self.rejections.append("out-of-bounds")
                return
            minute = at.replace(second=0, microsecond=0)
            event.participants.setdefault(id_of(message["participantId"]), (minute, channel_of(message)))
        elif kind == "distribution-completed":
            self._distributed(event, message)
        elif kind == "event-status-changed":
            self._status(event, instant(message["changedAt"]), message["status"])
        else:
            if "," in (channel_of(message) or ""):
                self.rejections.append("out-of-bounds")
                return
            amount = money(message["amount"])
            sale = id_of(message["saleId"])
            event.sales.setdefault(sale, -amount if message.get("refund") else amount)
            event.sold_at.setdefault(sale, instant(message["soldAt"]))

    def add_measurement(self, event_id: str, channel: str, minute: datetime, **counts: int) -> None:
        """Take what a channel has measured since its previous measurement."""
        self.events[event_id].increments.append((minute, channel, counts))

    def _created(self, event: Event, message: dict[str, Any]) -> None:
        owner = id_of(message["userId"])
        if event.owner not in (None, owner):
            self.rejections.append("owner-changed")
            return
        event.owner = owner
        at = instant(message["createdAt"])
        if event.plan is None or at > event.plan[0]:
            event.plan = (at, message)
        if "status" in message:
            self._status(event, at, message["status"])

    def _status(self, event: Event, at: datetime, status: str) -> None:
        if event.status is None or at > event.status[0]:
            event.status = (at, status)

    def _distributed(self, event: Event, message: dict[str, Any]) -> None:
        at = instant(message["completedAt"])
        listed = message.get("channels") or message.get("distributedChannels") or [message]
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
                event.successes[channel] = (at, stated_amount(each, "distributionCost"))

    # -- what must be in the tables

    def _type(self, event: Event, channel: str | None) -> str | None:
        """The type of a known channel by the table above, else by this event's newest distribution."""
        if channel in KNOWN:
            return KNOWN[channel][0]
        if channel in event.states:
            type_: str = event.states[channel][1]["channelType"]
            return {"CALL": "VOICE"}.get(type_, type_)
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

    def channels(self, event_id: str) -> dict[str, tuple[str, int, Decimal | None]]:
        """Type, participants and cost by channel. A channel that only failed costs nothing."""
        event = self.events[event_id]
        named = {channel for _, channel in event.participants.values() if self._type(event, channel)} | set(
            event.states
        )
        return {
            channel: (
                self._type(event, channel) or "",
                sum(by == channel for _, by in event.participants.values()),
                event.successes.get(channel, (None, Decimal("0.00") if channel in event.states else None))[1],
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
        if event.plan is None:
            return None
        created = event.plan[1]
        planned, expected = stated_amount(created, "totalInvestment"), stated_amount(created, "expectedRevenue")
        invested = total([planned, *(cost for _, cost in event.successes.values())])
        estimated = gain(expected, invested)
        baseline, (count, recorded) = created.get("baselineRevenue"), self.sales(event_id)
        growth = None
        if baseline is not None and count:
            growth = percent(recorded - money(baseline), money(baseline))
        highest = Decimal("99999999.99")
        return {
            "event_title": created.get("eventTitle") or created["title"],
            "user_id": event.owner,
            "status": event.status[1] if event.status else "ACTIVE",
            "total_participants": len(event.participants),
            "total_views": 0,
            "total_investment": planned or 0,
            "expected_revenue": expected or 0,
            "target_roi": stated_amount(created, "targetRoi") or 0,
            "estimated_roi": min(max(estimated or Decimal(0), Decimal(0)), highest),
            "sales_growth_rate": min(max(growth or Decimal(0), -highest), highest),
        }

    # -- what must be in the answers

    def summary(self, events: list[str], within: "Within") -> dict[str, Any]:
        """Counts and rates of events together within a range."""
        channels = self.channel_counts(events, within)
        total = sum(within(minute) for each in events for minute, _ in self.events[each].participants.values())
        named = sum(counts["participants"] for counts in channels.values())
        counts_of_all = Counter[str]()
        clicked = Counter[str]()
        for (_, type_), counts in channels.items():
            counts_of_all.update(counts)
            if type_ != "VOICE":
                clicked.update(counts)
        return {
            "totalParticipants": total,
            "unattributedParticipants": total - named,
            "totalViews": counts_of_all["views"],
            "totalReach": counts_of_all["impressions"],
            "totalClicks": counts_of_all["clicks"],
            "totalConversions": counts_of_all["conversions"],
            "clickThroughRate": rate(counts_of_all["clicks"], counts_of_all["impressions"]),
            "engagementRate": rate(engagement(counts_of_all), counts_of_all["impressions"]),
            "participationRate": rate(total, counts_of_all["views"]),
            "conversionRate": rate(clicked["conversions"], clicked["clicks"]),
            "socialInteractions": {name: counts_of_all[name] for name in ("likes", "comments", "shares")},
        }

    def channel_counts(self, events: list[str], within: "Within") -> dict[tuple[str, str], Counter[str]]:
        """The counts of each channel of these events within a range, by name and type; also channels without any."""
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
        cost = total(self.channels(each)[name][2] for each in self._with(events, name, type_))
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

    def measured(self, events: list[str], name: str, type_: str, now: datetime) -> dict[str, Any]:
        """The state of a channel over events together, and as of when.

        What is measured is good for ten minutes, and for ever where it was good when its event ended.
        """
        newest = {
            each: max(at for at, channel, _ in self.events[each].increments if channel == name)
            for each in self._with(events, name, type_)
            if any(channel == name for _, channel, _ in self.events[each].increments)
        }
        stale = [at + timedelta(minutes=10) for each, at in newest.items() if self._goes_stale(each, at)]
        stale_since = min(stale, default=now + timedelta(1))
        return {
            "state": self._state_of_distribution(events, name, type_)
            if not newest
            else "stale"
            if stale_since <= now
            else "measured",
            "measuredAt": text_of(min(newest.values(), default=None)),
            "staleSince": text_of(stale_since) if stale_since <= now else None,
            "measuredCounts": sorted(
                {
                    re.sub("_(.)", lambda found: found[1].upper(), count)
                    for each in newest
                    for _, channel, counts in self.events[each].increments
                    if channel == name
                    for count in counts
                }
            ),
        }

    def _goes_stale(self, event_id: str, measured_at: datetime) -> bool:
        status = self.events[event_id].status
        return status is None or status[1] == "ACTIVE" or measured_at + timedelta(minutes=10) < status[0]

    def _state_of_distribution(self, events: list[str], name: str, type_: str) -> str:
        """Only the newest distribution counts: "planned" after any success."""
        statuses = {
            self.events[each].states[name][1]["status"]
            for each in self._with(events, name, type_)
            if name in self.events[each].states
        }
        return "planned" if "SUCCESS" in statuses else "failed" if statuses else "unknown"

    def roi(self, events: list[str], *, target: bool = True) -> dict[str, Any]:
        """Money of events together. Each event counts with its recorded revenue, or else with its expected one.

        Sums are of what was said; None where nothing was.
        """
        planned, costs, expected, revenue, assumed, recorded = (list[Decimal | None]() for _ in range(6))
        grown, base = list[Decimal](), list[Decimal]()
        for event_id in events:
            event = self.events[event_id]
            assert event.plan is not None
            created = event.plan[1]
            mine, sold = stated_amount(created, "expectedRevenue"), self.sales(event_id)
            planned.append(stated_amount(created, "totalInvestment"))
            costs += [cost for _, _, cost in self.channels(event_id).values()]
            expected.append(mine)
            if sold[0]:
                recorded.append(sold[1])
                revenue.append(sold[1])
                if "baselineRevenue" in created:
                    grown.append(sold[1])
                    base.append(money(created["baselineRevenue"]))
            else:
                revenue.append(mine)
                assumed.append(mine)
        invested, earned = total([*planned, *costs]), total(revenue)
        counts = Counter[str]()
        for more in self.channel_counts(events, always).values():
            counts.update(more)
        came = self.summary(events, always)["totalParticipants"]
        plan = self.events[events[0]].plan if len(events) == 1 else None
        needed = None
        if invested is not None and earned and earned > 0 and came:
            needed = -(-(Fraction(invested) * came / Fraction(earned)) // 1) * 1
        growth = percent(sum(grown) - sum(base), Decimal(sum(base))) if grown else None
        return {
            "currentRoi": number(gain(earned, invested)),
            "targetRoi": number(stated_amount(plan[1], "targetRoi")) if plan and target else None,
            "estimatedRoi": number(gain(total(expected), invested)),
            "salesGrowthRate": number(growth),
            "investment": {
                "total": number(invested),
                "planned": number(total(planned)),
                "channels": number(total(costs)),
            },
            "revenue": {
                "total": number(earned),
                "recorded": number(total(recorded)),
                "expected": number(total(expected)),
                "assumedShare": number(percent(total(assumed) or Decimal(0), earned))
                if earned and earned > 0
                else None,
            },
            "costPerParticipant": each(invested, came),
            "costPerView": each(invested, counts["views"]),
            "costPerConversion": each(invested, counts["conversions"]),
            "breakEvenParticipants": None if needed is None else int(needed),
        }

    def points(
        self,
        events: list[str],
        granularity: str,
        zone: ZoneInfo,
        start: datetime,
        end: datetime,
        week_start: str = "monday",
    ) -> list[dict[str, Any]]:
        """Every bucket that contains a minute of [start, end), built minute by minute."""
        came = Counter(at for each in events for at, _ in self.events[each].participants.values())
        measured: dict[datetime, Counter[str]] = {}
        for event_id in events:
            for minute, _, more in self.events[event_id].increments:
                measured.setdefault(minute, Counter()).update(more)
        before = sum(count for at, count in came.items() if at < start)
        buckets: list[dict[str, Any]] = []
        for bucket_start, minutes in buckets_by_walking(granularity, zone, start, end, week_start):
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


def text_of(moment: datetime | None) -> str | None:
    """The text of an instant in UTC."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def rate(part: int, whole: int) -> float | int | None:
    return number(percent(Decimal(part), Decimal(whole)))


def each(cost: Decimal | None, count: int) -> float | int | None:
    return None if cost is None or count == 0 else number(Decimal(round(Fraction(cost) / count * 100)) / 100)


def number(figure: Decimal | None) -> float | int | None:
    if figure is None:
        return None
    return int(figure) if figure == int(figure) else float(figure)


def engagement(counts: Counter[str]) -> int:
    return counts["likes"] + counts["comments"] + counts["shares"] + counts["clicks"]


MINUTE = timedelta(minutes=1)
BACK = {"minute": 0, "hourly": 3, "daily": 50, "weekly": 9 * 24, "monthly": 33 * 24}


def buckets_by_walking(
    granularity: str, zone: ZoneInfo, start: datetime, end: datetime, week_start: str = "monday"
) -> Iterator[tuple[datetime, list[datetime]]]:
    """(start in the zone, minutes within the range) of each bucket. Reads the zone's clock at every single minute."""

    def clock_at(at: datetime) -> Any:
        there = at.astimezone(zone)
        if granularity == "minute":
            return at
        if granularity == "hourly":
            return there.replace(minute=0, second=0, tzinfo=None), there.utcoffset()
        if granularity == "daily":
            return there.date()
        if granularity == "weekly":
            day = there.date()
            while day.strftime("%A").lower() != week_start:
                day -= timedelta(days=1)
            return day
        return there.year, there.month

    at = start - timedelta(hours=BACK[granularity])
    began, last, minutes = at, clock_at(at), list[datetime]()
    while at < end:
        now = clock_at(at)
        # A clock set back over midnight shows yesterday again, but the new day has begun.
        if now != last if granularity in ("minute", "hourly") else now > last:
            if minutes:
                yield began.astimezone(zone), minutes
            began, last, minutes = at, now, []
        if at >= start:
            minutes.append(at)
        at += MINUTE
    if minutes:
        yield began.astimezone(zone), minutes
