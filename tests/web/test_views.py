"""Every figure of every view, over random histories, ranges and zones, against another reading of the specification."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from oracle import KNOWN, Oracle, Within, between, number, percent, same, walked
from served import Site
from world import OWNER, SPRING, World

from hannun.domain.batch import Received
from hannun.domain.buckets import buckets
from hannun.domain.keys import Granularity

OTHER = "5b0c2f64-0000-4000-8000-000000000002"
THIRD = "5b0c2f64-0000-4000-8000-000000000003"
LATE = "5b0c2f64-0000-4000-8000-000000000004"
EVENTS = (SPRING, OTHER, THIRD, LATE)
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
MINE = f"/api/v1/users/{OWNER}/analytics"
SPELLINGS = ["NAVER", "네이버블로그", "WooriTV", "Kakao Channel", "ringo-biz", "Radio", "Poster", None]
CHANGING = [  # zone, a moment near which its clocks change
    ("Asia/Seoul", "2026-10-20T00:00:00Z"),
    ("UTC", "2026-11-01T00:00:00Z"),
    ("Asia/Kathmandu", "2026-11-01T18:15:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/Havana", "2026-11-01T05:00:00Z"),
    ("America/St_Johns", "2026-11-01T04:30:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Africa/Cairo", "2026-10-29T21:00:00Z"),
    ("Asia/Gaza", "2026-10-23T23:00:00Z"),
    ("Europe/Dublin", "2026-10-25T01:00:00Z"),
    ("America/Santiago", "2026-09-06T04:00:00Z"),
    ("Pacific/Chatham", "2026-09-26T14:00:00Z"),
]


class Told:
    """Messages, told to the service and to the oracle."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.oracle = Oracle()

    def __call__(self, *messages: Received) -> None:
        for message in messages:
            self.oracle.hears(message.kind, message.raw)
        self.world.counts(*messages)

    def measured(self, event: str, channel: str, minute: datetime, **counts: int) -> None:
        shown = channel if channel in KNOWN else channel.capitalize()
        self.world.measures(event, shown, minute.strftime("%Y-%m-%d %H:%M"), counts)
        self.oracle.sees(event, channel, minute, **counts)


def history(told: Told, random_: random.Random) -> None:
    """Events of one merchant, one ARCHIVED: people from September to today, sales, distributions, measurements."""
    world = told.world
    for number_, event in enumerate(EVENTS):
        plan = {
            "eventTitle": ["봄맞이 100% 행사", "여름_할인", "Autumn SALE", "겨울"][number_],
            "totalInvestment": random_.choice([0, 10_000, "99999.99"]),
            "expectedRevenue": random_.choice([0, 25_000, "1000.50"]),
            "targetRoi": random_.choice([0, 30]),
            "baselineRevenue": random_.choice([None, 0, 5_000]),
        }
        told(world.created(event, **{name: value for name, value in plan.items() if value is not None}))
    told(world.status("ARCHIVED", "2026-11-20T00:00:00Z", THIRD))
    first = datetime(2026, 9, 4, 12, tzinfo=UTC)
    span_s = int((NOW - first).total_seconds())
    for event in EVENTS[:3]:
        people = []
        for i in range(random_.choice([0, 60, 150])):
            at = first + timedelta(seconds=random_.randrange(span_s))
            if i % 3 == 0:  # as many around a change of clocks as elsewhere
                near = datetime.fromisoformat(random_.choice(CHANGING)[1])
                at = near + timedelta(minutes=random_.randint(-200, 200))
            fields = {"channel": channel} if (channel := random_.choice(SPELLINGS)) else {}
            people.append(world.registered(f"p{i}", event, at=at.isoformat(), **fields))
        told(*people)
        for name in random_.sample(["NAVER", "WooriTV", "RingoBiz", "Radio", "Instagram"], random_.randint(0, 4)):
            told(
                world.distributed(
                    event,
                    channelName=name,
                    channelType={"WooriTV": "TV", "RingoBiz": "VOICE"}.get(name, "SNS"),
                    status=random_.choice(["SUCCESS", "SUCCESS", "FAILED"]),
                    distributionCost=random_.choice([0, 3_000, "777.77"]),
                    expectedViews=random_.randint(0, 900),
                )
            )
        for _ in range(random_.choice([0, 0, 4])):
            told(world.sold(random_.choice([900, "30000.25"]), event=event, refund=random_.random() < 0.3))
        for name, (type_, _, _) in told.oracle.channels(event).items():
            for _ in range(random_.randint(0, 6)):
                minute = (first + timedelta(seconds=random_.randrange(span_s))).replace(second=0, microsecond=0)
                names = ["impressions", "views", "clicks", "conversions", "likes", "comments", "shares"]
                counts = {each: random_.randrange(50) for each in names}
                if type_ == "VOICE":
                    counts = {"total_calls": 20, "completed_calls": random_.randrange(20), "conversions": 3}
                polled = {(at, channel) for at, channel, _ in told.oracle.events[event].increments}
                if (minute, name) not in polled:
                    told.measured(event, name, minute, **counts)


def ranges(random_: random.Random) -> Iterable[tuple[dict[str, str], datetime | None, datetime | None, ZoneInfo]]:
    """What is asked, and what it means."""
    for zone_name, near in CHANGING:
        zone = ZoneInfo(zone_name)
        middle = datetime.fromisoformat(near)
        start = (middle - timedelta(minutes=random_.randrange(4 * 1_440))).replace(second=0)
        end = (middle + timedelta(minutes=random_.randrange(1, 4 * 1_440))).replace(second=0)
        shape = random_.randrange(4)
        if shape == 0:  # dates of the zone
            days = start.astimezone(zone).date(), end.astimezone(zone).date() + timedelta(days=1)
            start, end = (first_of(day.isoformat(), zone) for day in days)
            yield {"tz": zone_name, "startDate": str(days[0]), "endDate": str(days[1])}, start, end, zone
        elif shape == 1:
            yield {"tz": zone_name, "startDate": start.isoformat()}, start, None, zone
        elif shape == 2:
            yield {"tz": zone_name, "endDate": end.astimezone(zone).isoformat()}, None, end, zone
        else:
            bounds = {"startDate": start.astimezone(zone).isoformat(), "endDate": end.isoformat()}
            yield {"tz": zone_name, **bounds}, start, end, zone
    yield {}, None, None, ZoneInfo("Asia/Seoul")


def first_of(day: str, zone: ZoneInfo) -> datetime:
    """The first minute that a zone shows on a date, looked for minute by minute."""
    at = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=15)
    while at.astimezone(zone).date().isoformat() < day:
        at += timedelta(minutes=1)
    return at


def previous_of(start: datetime | None, end: datetime | None, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """The equal range before: as many days of the clock where both ends begin one, else as many minutes."""
    if start is None:
        return None
    end = end or NOW.replace(second=0) + timedelta(minutes=1)
    dates = [at.astimezone(zone).date().isoformat() for at in (start, end)]
    if [first_of(day, zone) for day in dates] == [start, end]:
        days = datetime.fromisoformat(dates[1]) - datetime.fromisoformat(dates[0])
        return first_of((datetime.fromisoformat(dates[0]) - days).date().isoformat(), zone), start
    return start - (end - start), start


def ours(channel: dict[str, Any]) -> tuple[str, str]:
    """A channel as the oracle names it."""
    name = channel["channelName"]
    return (name if name in KNOWN else same(name)), channel["channelType"]


def assert_summary(
    found: dict[str, Any], oracle: Oracle, events: list[str], within: Within, before: tuple[datetime, datetime] | None
) -> None:
    expected = oracle.summary(events, within)
    assert {name: found[name] for name in expected} == expected
    if before is None:
        assert (found["previous"], found["delta"]) == (None, None)
        return
    base = oracle.summary(events, between(*before))
    told = found["previous"]
    assert [datetime.fromisoformat(told["period"][end]) for end in ("startDate", "endDate")] == list(before)
    for name in ("totalParticipants", "totalViews", "totalConversions"):
        assert told[name] == base[name]
        change = None
        if base[name]:
            change = number(percent(Decimal(expected[name] - base[name]), Decimal(base[name])))
        assert found["delta"][name] == change


def assert_channels(found: list[dict[str, Any]], oracle: Oracle, events: list[str], within: Within) -> None:
    """Of a dashboard, flat."""
    assert sorted(map(ours, found)) == sorted(oracle.channel_counts(events, within))
    for channel in found:
        name, type_ = ours(channel)
        expected = oracle.channel(events, name, type_, within) | {"channelName": channel["channelName"]}
        assert {field: channel[field] for field in expected} == expected
        assert channel["state"] == oracle.state(events, name, type_)


def flat(channel: dict[str, Any]) -> dict[str, Any]:
    return {**channel, **channel["metrics"], **channel["performance"]}


def assert_adds_up(answer: dict[str, Any], channels: list[dict[str, Any]]) -> None:
    by_channel = sum(channel.get("participants", 0) for channel in channels)
    assert by_channel + answer["unattributedParticipants"] == answer["totalParticipants"]


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_of_every_view_is_what_the_messages_say(site: Site, seed: int) -> None:
    random_ = random.Random(seed)
    told = Told(site.world)
    history(told, random_)
    oracle = told.oracle
    site.at(NOW.isoformat())
    seen = [event for event in EVENTS if event != THIRD]
    for params, start, end, zone in ranges(random_):
        within = between(start, end)
        before = previous_of(start, end, zone)
        for event in random_.sample(EVENTS, 2):
            path = f"/api/v1/events/{event}/analytics"
            answer = site.owner.get(path, params=params).json()
            assert_summary(answer["summary"], oracle, [event], within, before)
            assert_channels(answer["channelPerformance"], oracle, [event], within)
            assert_adds_up(answer["summary"], answer["channelPerformance"])
            assert answer["roi"] == oracle.roi([event])
            assert answer["moneyPeriod"]["startDate"] is answer["moneyPeriod"]["endDate"] is None

            channels = site.owner.get(f"{path}/channels", params=params).json()
            shown = [flat(channel) for channel in channels["channels"]]
            assert_channels(shown, oracle, [event], within)
            assert_adds_up(channels, shown)
            assert channels["totalParticipants"] == answer["summary"]["totalParticipants"]
            counts = [channel["participants"] for channel in shown]
            assert counts == sorted(counts, reverse=True)

            money = site.owner.get(f"{path}/roi", params=params).json()
            expected = oracle.roi([event])
            assert {name: money[name] for name in expected} == expected
            assert_adds_up(money, money["channels"])
            assert money["projection"] is None
        together = site.owner.get(MINE, params=params).json()
        assert together["totalEvents"] == 3
        assert_summary(together["summary"], oracle, seen, within, before)
        assert together["roi"] == oracle.roi(seen, target=False)
        assert {event["eventId"]: event["totalParticipants"] for event in together["events"]} == {
            event: oracle.summary([event], within)["totalParticipants"] for event in seen
        }
        channels = site.owner.get(f"{MINE}/channels", params=params).json()
        shown = [flat(channel) for channel in channels["channels"]]
        assert_channels(shown, oracle, seen, within)
        assert_adds_up(channels, shown)
        money = site.owner.get(f"{MINE}/roi", params=params).json()
        expected = oracle.roi(seen, target=False)
        assert {name: money[name] for name in expected} == expected
        assert_adds_up(money, money["channels"])
        archived = site.owner.get(MINE, params=params | {"status": "ARCHIVED"}).json()
        assert [event["eventId"] for event in archived["events"]] == [THIRD]
        assert_summary(archived["summary"], oracle, [THIRD], within, before)


@pytest.mark.parametrize("seed", range(4))
def test_every_bucket_of_every_timeline_is_what_the_messages_say(site: Site, seed: int) -> None:
    random_ = random.Random(seed)
    told = Told(site.world)
    history(told, random_)
    site.at(NOW.isoformat())
    seen = [event for event in EVENTS if event != THIRD]
    for params, start, end, zone in ranges(random_):
        for granularity in ("hourly", "daily", "weekly", "monthly", "minute"):
            mine = random_.random() < 0.3
            events = seen if mine else [random_.choice(EVENTS)]
            path = f"{MINE}/timeline" if mine else f"/api/v1/events/{events[0]}/analytics/timeline"
            minutes = [at for event in events for at, _ in told.oracle.events[event].participants.values()]
            minutes += [at for event in events for at, _, _ in told.oracle.events[event].increments]
            first = start or min(minutes, default=NOW.replace(second=0))
            last = end or NOW.replace(second=0) + timedelta(minutes=1)
            if granularity == "minute" and (last - first) > timedelta(days=5):
                continue
            answer = site.owner.get(path, params=params | {"granularity": granularity}).json()
            points = answer["dataPoints"]
            complete = [point.pop("complete") for point in points]
            expected = told.oracle.points(events, granularity, zone, first, last)
            assert points == expected, (params, granularity)
            starts = [datetime.fromisoformat(point["timestamp"]) for point in points]
            for number_, (begins, is_complete) in enumerate(zip(starts, complete, strict=True)):
                ends = starts[number_ + 1] if number_ + 1 < len(starts) else None
                if ends is not None:
                    assert is_complete == ((start is None or begins >= start) and ends <= NOW)
            if end is None and complete:
                assert complete[-1] is False
            assert answer["totals"]["participants"] == sum(point["participants"] for point in points)
            total = sum(len(told.oracle.events[event].participants) for event in events)
            if end is None and points:
                assert points[-1]["cumulativeParticipants"] == total


# -- buckets, against a walk over every minute


ZONES = sorted(available_timezones() - {"Factory", "localtime"})


@pytest.mark.parametrize("seed", range(6))
def test_buckets_of_every_zone_begin_where_its_clocks_say(seed: int) -> None:
    random_ = random.Random(seed)
    spans_h = {"minute": 3, "hourly": 40, "daily": 120, "weekly": 24 * 20, "monthly": 24 * 50}
    for _ in range(30):
        name, granularity = random_.choice(ZONES), random_.choice(list(spans_h))
        zone = ZoneInfo(name)
        near = datetime(1973, 1, 1, tzinfo=UTC) + timedelta(days=random_.randrange(24_000))
        # half of them where the offset changes: looked for day by day, so that the walk does not ask who is tested
        if random_.random() < 0.7:
            for _ in range(400):
                if near.astimezone(zone).utcoffset() != (near + timedelta(days=1)).astimezone(zone).utcoffset():
                    break
                near += timedelta(days=1)
        start = near - timedelta(minutes=random_.randrange(60 * spans_h[granularity]))
        end = near + timedelta(minutes=random_.randrange(1, 60 * spans_h[granularity]))
        found = buckets(int(start.timestamp()), int(end.timestamp()), Granularity(granularity), name)
        expected = [begins for begins, _ in walked(granularity, zone, start, end)]
        assert found.labels() == [begins.isoformat() for begins in expected], (name, granularity, start, end)
        assert found.hours() == [begins.hour for begins in expected]
        assert found.weekdays() == [begins.isoweekday() for begins in expected]
        assert all(begins % found.grain == 0 for begins in found.starts)
        following = [begins for begins, _ in walked(granularity, zone, end, end + timedelta(days=33))]
        nexts = [int(at.timestamp()) for at in following if at >= end]
        if nexts:
            assert found.ends == nexts[0]
