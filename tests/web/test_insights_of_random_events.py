"""The insights of random events, beside what a second program says of them.

That program is written from the definitions in `docs/api.md`. It computes with exact fractions, and counts by walking
over moments. It reads figures from the dashboard's answer only, as a merchant does.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from served import Site, open_site
from world import World

ZONES = (
    "Asia/Seoul",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "UTC",
)
NIGHTS = (  # near these the clocks of some of the zones change, or a year ends
    "2026-03-08T06:00:00",
    "2026-04-04T16:00:00",
    "2026-10-03T16:00:00",
    "2026-11-01T04:30:00",
    "2026-11-23T03:00:00",
    "2025-12-20T12:00:00",
)
CHANNELS = ("NaverBlog", "Instagram", "WooriTV", "GenieTV", "KakaoChannel")
EVENTS = 25
MINUTE = timedelta(minutes=1)


@dataclass
class Life:
    """A random event: its plan and the moments of its participants (UTC, with a zone)."""

    name: str
    now: datetime
    tz: str
    starts: datetime | None
    ends: datetime | None
    ended: datetime | None
    plan: dict[str, Any]
    is_created: bool
    came: list[tuple[datetime, str | None]] = field(default_factory=list)

    @property
    def until(self) -> datetime:
        return self.ended or self.now

    @property
    def phase(self) -> str:
        if self.ended:
            return "over"
        return "upcoming" if self.starts and self.starts > self.now else "running"

    @property
    def begun(self) -> datetime | None:
        first = [min(at for at, _ in self.came).replace(second=0)] if self.came else []
        return min(first + ([self.starts] if self.starts else []), default=None)

    def has_run_for(self, days: int) -> bool:
        return self.phase == "running" and self.begun is not None and self.now - self.begun >= timedelta(days=days)


def random_life(chance: Random, name: str) -> Life:
    now = datetime.fromisoformat(chance.choice(NIGHTS)).replace(tzinfo=UTC)
    now += timedelta(minutes=chance.randrange(-900, 2_000), seconds=chance.randrange(60))
    starts = now + timedelta(minutes=chance.choice([3_000, *[-chance.randrange(60 * 24 * 70) for _ in range(7)]]))
    is_created = chance.random() < 0.9
    has_start = is_created and chance.random() < 0.9
    ends = now + timedelta(minutes=chance.randrange(-5_000, 60 * 24 * 60)) if is_created else None
    ends = ends if ends and ends > starts and chance.random() < 0.7 else None
    ended = now - timedelta(minutes=chance.randrange(60 * 24 * 20)) if chance.random() < 0.2 and starts < now else None
    plan = {
        "totalInvestment": chance.choice([None, 0, 20_000, 3_000_000]),
        "expectedRevenue": chance.choice([None, 0, 500_000, 3_000_000]),
        "targetRoi": chance.choice([None, 30]),
    }
    life = Life(name, now, chance.choice(ZONES), starts if has_start else None, ends, ended, plan, is_created)
    opens = min(starts, life.until - timedelta(days=chance.choice([1, 5, 30])))
    busy = chance.randrange(24) if chance.random() < 0.6 else None
    share = chance.choice([0.5, 0.9])
    sources = chance.sample([None, *CHANNELS], chance.randint(1, 4))
    for _ in range(chance.choice([0, 4, 35, 120, 200])):
        at = life.until - timedelta(minutes=chance.random() * ((life.until - opens) / MINUTE))
        if busy is not None and chance.random() < share:
            at = min(life.until, at.replace(hour=busy))
        life.came.append((at.replace(microsecond=0), sources[0] if chance.random() < 0.5 else chance.choice(sources)))
    return life


def counted(world: World, life: Life, chance: Random) -> None:
    """Count all messages of an event."""
    messages = []
    received = {"at_us": int(life.now.timestamp() * 1_000_000)}
    if life.is_created:
        dates = {"startDate": life.starts, "endDate": life.ends}
        stated = {name: value.isoformat() for name, value in dates.items() if value} | {
            name: value for name, value in life.plan.items() if value is not None
        }
        messages.append(world.created(life.name, at="2025-01-01T00:00:00Z", **received, **stated))
    if life.ended:
        ended = {"status": "ENDED", "changedAt": life.ended.isoformat()}
        messages.append(world.message("event-status-changed", life.name, **received, **ended))
    costs = chance.choice([[None, 0, 1_000, 5_000.5, 900_000], [5_000, 20_000.5, 40_000], [5_000, 20_000.5, 40_000]])
    for name in chance.sample(CHANNELS, chance.randint(0, 4)):
        cost = chance.choice(costs)
        status = "FAILED" if chance.random() < 0.1 else "SUCCESS"
        fields = {} if cost is None else {"distributionCost": cost}
        at = (life.now - timedelta(days=80)).isoformat()
        messages.append(world.distributed(life.name, channelName=name, status=status, at=at, **received, **fields))
    for at, channel in life.came:
        source = {} if channel is None else {"channel": channel}
        messages.append(world.registered(event=life.name, at=at.isoformat(), **received, **source))
    for _ in range(chance.choice([0, 0, 1, 5, 5])):
        amount = chance.choice([30_000, 500_000, 1_000_000, -30_000])
        messages.append(world.sold(amount, event=life.name, soldAt=life.until.isoformat(), **received))
    world.count(*messages)
    if life.came and life.begun:
        for name in chance.sample(CHANNELS, chance.choice([0, 0, 2])):
            age = timedelta(minutes=chance.choice([2, 3_000, 9_000]))
            at = max(life.begun + MINUTE, life.now - age).astimezone(UTC).replace(second=0, microsecond=0, tzinfo=None)
            world.measure(world.measurement(name, life.name, at=at.isoformat(" "), views=chance.randrange(5_000)))


@pytest.mark.parametrize("seed", range(3))
def test_insights_say_what_follows_from_the_figures_and_nothing_else(world: World, seed: int) -> None:
    chance = Random(seed)
    said: Counter[str] = Counter()
    with open_site(world) as site:
        for number in range(EVENTS):
            life = random_life(chance, f"event-{seed}-{number}")
            counted(world, life, chance)
            site.set_now(life.now.isoformat())
            if not life.is_created:  # messages of an event that nobody has created yet are kept for it
                assert site.admin.get(f"/api/v1/events/{life.name}/analytics/insights").status_code == 404
                continue
            insights, dashboard = answers(site, life, chance.choice(["monday", "sunday"]))
            assert_heat_map(life, insights["heatMap"])
            assert_comparisons(life, insights["comparisons"])
            assert_headline(life, insights, dashboard)
            assert_advice(life, insights, dashboard)
            said.update(each["code"] for each in insights["advice"])
    assert len(said) >= 5, f"too few kinds of advice to be a test: {said}"


def answers(site: Site, life: Life, week_start: str) -> tuple[dict[str, Any], dict[str, Any]]:
    base = f"/api/v1/events/{life.name}/analytics"
    insights = site.admin.get(f"{base}/insights", params={"tz": life.tz, "weekStart": week_start})
    dashboard = site.admin.get(base, params={"tz": life.tz})
    assert (insights.status_code, dashboard.status_code) == (200, 200), (insights.text, dashboard.text)
    return insights.json(), dashboard.json()


# -- figures


def assert_heat_map(life: Life, shown: dict[str, Any]) -> None:
    start, end = (datetime.fromisoformat(shown["period"][name]) for name in ("startDate", "endDate"))
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    rows = {name: [0] * 24 for name in names}
    for at, _ in life.came:
        if start <= at < end:
            there = at.astimezone(ZoneInfo(life.tz))
            rows[names[there.weekday()]][there.hour] += 1
    assert shown["participants"] == [rows[day] for day in shown["days"]]
    assert shown["total"] == sum(map(sum, rows.values()))


def assert_comparisons(life: Life, shown: dict[str, Any]) -> None:
    end = life.now.replace(second=0) + MINUTE
    for name, days in (("day", 1), ("week", 14)):
        found = shown[name]
        runs = life.phase == "running" and life.begun is not None
        if found is None:
            assert not (runs and life.begun <= end - timedelta(days=days + 1, hours=3)), name  # type: ignore[operator]
            continue
        parts = [found, found["previous"]]
        periods = [
            [datetime.fromisoformat(each["period"][side]) for side in ("startDate", "endDate")] for each in parts
        ]
        assert runs and life.begun <= periods[1][0] and periods[0][1] == end, (
            name,
            runs,
            life.tz,
            life.now,
            life.begun,
            found,
        )  # type: ignore[operator]
        counts = [sum(first <= at < last for at, _ in life.came) for first, last in periods]
        assert [each["participants"] for each in parts] == counts
        change = None if not counts[1] else round(Fraction(100 * (counts[0] - counts[1]), counts[1]), 2)
        assert found["delta"] == (None if change is None else float(change))


def tail(successes: int, trials: int, share: Fraction) -> Fraction:
    """The exact probability of so many successes or more."""
    won, lost = share.numerator, share.denominator - share.numerator
    ways = sum(math.comb(trials, k) * won**k * lost ** (trials - k) for k in range(successes, trials + 1))
    return Fraction(ways, share.denominator**trials)


# -- sentences


def numbers(text: str) -> set[str]:
    """The numbers of a sentence in either language: dates as numbers, hours as 18:00."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    for index, month in enumerate(months, 1):
        text = re.sub(rf"\b{month}\b", str(index), text)
    text = re.sub(r"(\d+)시", lambda found: f"{int(found[1]):02}:00", text)
    return set(re.findall(r"\d\d:\d\d|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?", text))


def number(value: Any, decimals: int = 0) -> str:
    rounded = Decimal(str(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{rounded:,f}".rstrip("0").rstrip(".") if decimals else f"{rounded:,f}"


def won(value: Any) -> str:
    """Without decimals; what would round to 0 is "under 1 won"."""
    return "1" if 0 < value < 0.5 else number(value)


def assert_headline(life: Life, insights: dict[str, Any], dashboard: dict[str, Any]) -> None:
    code, text = insights["headline"]["code"], insights["headline"]["text"]
    came = len(life.came)
    assert came == dashboard["summary"]["totalParticipants"]
    assert numbers(text["ko"]) == numbers(text["en"]), text
    assert not came or number(came) in numbers(text["en"])
    compared = insights["comparisons"]["day" if "yesterday" in code else "week"]
    assert (code == "not-begun") == (life.phase == "upcoming") and code.startswith("ended") == (life.phase == "over")
    if code.startswith(("ahead", "behind")):
        now, before = compared["participants"], compared["previous"]["participants"]
        assert 2 * tail(max(now, before), now + before, Fraction(1, 2)) <= Fraction(5, 100)
        assert (code.startswith("ahead")) == (now > before)
        expected = number(now) if compared["delta"] is None else number(abs(compared["delta"]), 2)
        assert expected in numbers(text["en"])
    if "target" in code:
        roi = dashboard["roi"]
        assert ("above" in code) == (roi["currentRoi"] >= roi["targetRoi"])
        assert number(abs(roi["currentRoi"]), 2) in numbers(text["en"])


def assert_advice(life: Life, insights: dict[str, Any], dashboard: dict[str, Any]) -> None:
    expected = expected_advice(life, insights, dashboard)
    found = insights["advice"]
    assert [each["code"] for each in found] == list(expected)[:3], (life.name, expected.keys())
    for each in found:
        ko, en = (numbers(f"{each['text'][lang]} {each['why'][lang]}") for lang in ("ko", "en"))
        assert ko == en == expected[each["code"]], each
        assert each["facts"]
        for fact in each["facts"]:
            assert fact["value"] == figure(fact["path"], insights | dashboard), fact


def figure(path: str, answer: dict[str, Any]) -> Any:
    first, _, rest = path.partition(".")
    value = answer[first]
    for name in rest.split("."):
        value = next(each for each in value if each["channelName"] == name) if isinstance(value, list) else value[name]
    return value


def expected_advice(life: Life, insights: dict[str, Any], dashboard: dict[str, Any]) -> dict[str, set[str]]:
    """The numbers of each advice that is due, the most urgent first."""
    if life.phase == "upcoming":
        return {}
    came, roi = len(life.came), dashboard["roi"]
    due = {
        "channel-silent": silent_channel(life, dashboard["channelPerformance"]),
        "no-sales": no_sales(life, roi),
        "break-even": break_even(life, roi, insights["comparisons"]["week"]),
        "best-channel": best_channel(dashboard["channelPerformance"], roi["revenue"]["total"], came),
        "busy-hours": busy_hours(life, insights["heatMap"]),
        "no-costs": {number(came)}
        if came and roi["investment"]["total"] is None and (life.phase == "over" or life.has_run_for(1))
        else None,
    }
    if due["no-sales"] is not None:
        due["break-even"] = None
    return {code: expected for code, expected in due.items() if expected is not None}


def silent_channel(life: Life, channels: list[dict[str, Any]]) -> set[str] | None:
    if life.phase != "running":
        return None
    stale = sorted((each["staleSince"], each["channelName"]) for each in channels if each["state"] == "stale")
    if stale:
        first = next(each for each in channels if each["channelName"] == stale[0][1])
        others = {str(len(stale) - 1)} if len(stale) > 1 else set()
        return others | clock(first["staleSince"], life) | clock(first["measuredAt"], life)
    failed = [each for each in channels if each["state"] == "failed"]
    if not failed:
        return None
    others = {str(len(failed) - 1)} if len(failed) > 1 else set()
    return others | {number(sum(each["participants"] for each in failed))}


def clock(instant: str, life: Life) -> set[str]:
    there, now = (at.astimezone(ZoneInfo(life.tz)) for at in (datetime.fromisoformat(instant), life.now))
    time = f"{there:%H:%M}"
    return {time} if there.date() == now.date() else {str(there.month), str(there.day), time}


def date_of(moment: datetime, life: Life) -> set[str]:
    there, now = (at.astimezone(ZoneInfo(life.tz)) for at in (moment, life.now))
    return {str(there.month), str(there.day)} | (set() if there.year == now.year else {str(there.year)})


def no_sales(life: Life, roi: dict[str, Any]) -> set[str] | None:
    if roi["revenue"]["recorded"] is not None or not life.came:
        return None
    if life.phase == "over":
        return {number(len(life.came))}
    assert life.begun is not None
    days = 7 if roi["revenue"]["expected"] is not None else 2  # without any revenue there is no ROI
    return {number(len(life.came)), number((life.now - life.begun).days)} if life.has_run_for(days) else None


def break_even(life: Life, roi: dict[str, Any], week: dict[str, Any] | None) -> set[str] | None:
    """How many more earn the investment, at the revenue that each has brought, and when they will have come."""
    came, invested, revenue = len(life.came), roi["investment"]["total"], roi["revenue"]["total"]
    if life.phase != "running" or came < 30 or invested is None or not revenue or revenue <= 0:
        return None
    needed = math.ceil(Fraction(str(invested)) / (Fraction(str(revenue)) / came))
    assert needed == roi["breakEvenParticipants"]
    if needed <= came:
        return None
    expected = {number(needed), number(came), number(needed - came)}
    if week is None or week["participants"] < 10:
        return expected
    days = (needed - came) / (week["participants"] / 7)
    if life.ends is not None and life.ends > life.now and (life.ends - life.now) / timedelta(days=1) < days:
        return expected | date_of(life.ends, life) | {number(week["participants"]), "7"}
    if days > 365:
        return expected
    return expected | date_of(life.now + timedelta(days=days), life) | {number(week["participants"]), "7"}


def best_channel(channels: list[dict[str, Any]], revenue: Any, came: int) -> set[str] | None:
    with_cost = [
        each
        for each in channels
        if each["distributionCost"] is not None
        and (each["participants"] or (each["distributionCost"] and each["state"] != "failed"))
    ]
    if len(with_cost) < 2 or not all(each["distributionCost"] for each in with_cost):
        return None
    if sum(each["participants"] for each in with_cost) < 30:
        return None
    ranked = sorted(with_cost, key=lambda each: (each["costPerParticipant"] or math.inf, each["channelName"]))
    pairs = len(ranked) * (len(ranked) - 1)
    best, *others = ranked
    dearer = [each for each in others if costs_less(best, each, pairs)]
    cheapest = [
        each for each in ranked if each not in dearer and all(costs_less(each, other, pairs) for other in dearer)
    ]
    if not dearer:
        return None
    for each in cheapest:
        if each["state"] in ("stale", "failed") or (
            revenue is not None and each["costPerParticipant"] * came >= revenue
        ):
            return None
    told_apart = len(cheapest) + len(dearer) == len(ranked)
    shown = [*cheapest, dearer[0]] if told_apart else [best, dearer[-1]]
    expected = {"1"}
    for each in shown:
        expected |= {won(each["distributionCost"]), number(each["participants"])}
    lowest, highest, last = shown[0], shown[-2], shown[-1]
    expected |= {won(each["costPerParticipant"]) for each in (lowest, highest)}
    if len(cheapest) > 3 and told_apart:
        expected.add(str(len(cheapest) - 1))
    if last["costPerParticipant"] is None:
        return expected
    expected.add(won(last["costPerParticipant"]))
    return expected | (
        {number(last["costPerParticipant"] / best["costPerParticipant"], 1)} if len(shown) == 2 else set()
    )


def costs_less(one: dict[str, Any], other: dict[str, Any], pairs: int) -> bool:
    """Whether a participant costs less by a tenth at least, and by more than chance, whichever pair one looks at."""
    if not one["participants"]:
        return False
    costs = [Fraction(str(each["distributionCost"])) for each in (one, other)]
    if other["participants"] and other["costPerParticipant"] / one["costPerParticipant"] < 1.1:
        return False
    trials = one["participants"] + other["participants"]
    return tail(one["participants"], trials, costs[0] / sum(costs)) <= Fraction(1, 100) / pairs


def busy_hours(life: Life, heat_map: dict[str, Any]) -> set[str] | None:
    zone = ZoneInfo(life.tz)
    start, end = (datetime.fromisoformat(heat_map["period"][name]) for name in ("startDate", "endDate"))
    there = [at.astimezone(zone) for at, _ in life.came if start <= at < end]
    if len(there) < 30:
        return None
    minutes = minutes_by_hour(life, start, end)
    windows = []
    for first in range(24):
        hours = [(first + each) % 24 for each in range(3)]
        dates = Counter(at.date() for at in there if at.hour in hours)
        windows.append((first, dates.total(), dates, sum(minutes[hour] for hour in hours)))
    windows.sort(key=lambda window: (-window[1], window[0]))
    best, *others = windows
    others = [other for other in others if min((other[0] - best[0]) % 24, (best[0] - other[0]) % 24) >= 3]
    if len(best[2]) < 3 or 2 * max(best[2].values()) > best[1]:
        return None
    for other in others:
        share = Fraction(best[3], best[3] + other[3])
        if tail(best[1], best[1] + other[1], share) > Fraction(1, 100) / (24 * 19):
            return None
        if Fraction(best[1], best[3]) < Fraction(11, 10) * Fraction(other[1], other[3]):
            return None
    days = (end - MINUTE).astimezone(zone).date() - start.astimezone(zone).date()
    spans = {f"{hour:02}:00" for first in (best[0], others[0][0]) for hour in (first, (first + 3) % 24 or 24)}
    share_text = number(round(Fraction(100 * best[1], len(there))))
    return spans | {number(days.days + 1), number(len(there)), number(best[1]), share_text, number(others[0][1])}


def minutes_by_hour(life: Life, start: datetime, end: datetime) -> list[int]:
    """For how many minutes of each hour of the day the event ran, in steps of at most a quarter of an hour."""
    zone, minutes = ZoneInfo(life.tz), [0] * 24
    assert life.begun is not None
    begun = life.begun if life.begun <= life.until else life.until
    at, last = max(start, begun.replace(second=0)).astimezone(UTC), min(end, life.until.replace(second=0) + MINUTE)
    while at < last:
        following = min(at + timedelta(minutes=15 - at.minute % 15), last)
        minutes[at.astimezone(zone).hour] += int((following - at) / MINUTE)
        at = following
    return minutes
