"""Every figure of every view, over random histories, ranges and zones, against an independent oracle."""

import json
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from oracle import KNOWN, Oracle, Within, between, buckets_by_walking, number, percent, same
from served import OTHER_MERCHANT, Site
from world import OWNER, SPRING, World

from hannun.domain.batch import ReceivedMessage
from hannun.domain.buckets import buckets_in
from hannun.domain.granularity import Granularity, WeekStart

OTHER = "5b0c2f64-0000-4000-8000-000000000002"
THIRD = "5b0c2f64-0000-4000-8000-000000000003"
LATE = "5b0c2f64-0000-4000-8000-000000000004"
EVENTS = (SPRING, OTHER, THIRD, LATE)
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
MINE = f"/api/v1/users/{OWNER}/analytics"
SPELLINGS = ["NAVER", "네이버블로그", "WooriTV", "Kakao Channel", "ringo-biz", "Radio", "Poster", None]
CLOCK_CHANGES = [  # zone, an instant near a change of its offset
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


class Recorder:
    """Sends messages and measurements to the service and to the oracle."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.oracle = Oracle()

    def __call__(self, *messages: ReceivedMessage) -> None:
        for message in messages:
            self.oracle.add_message(message.kind, message.raw)
        self.world.count(*messages)

    def measure(self, event: str, channel: str, minute: datetime, **counts: int) -> None:
        shown = channel if channel in KNOWN else channel.capitalize()
        self.world.record_measurement(event, shown, minute.strftime("%Y-%m-%d %H:%M"), counts)
        self.oracle.add_measurement(event, channel, minute, **counts)


def history(recorder: Recorder, random_: random.Random) -> None:
    """Events of one merchant, one ARCHIVED: participants since September, sales, distributions, measurements."""
    world = recorder.world
    for number_, event in enumerate(EVENTS):
        plan = {
            "eventTitle": ["봄맞이 100% 행사", "여름_할인", "Autumn SALE", "겨울"][number_],
            "totalInvestment": random_.choice([None, 0, 10_000, "99999.99"]),
            "expectedRevenue": random_.choice([None, 0, 25_000, "1000.50"]),
            "targetRoi": random_.choice([None, 0, 30]),
            "baselineRevenue": random_.choice([None, 0, 5_000]),
        }
        recorder(world.created(event, **{name: value for name, value in plan.items() if value is not None}))
    recorder(world.status_changed("ARCHIVED", "2026-11-20T00:00:00Z", THIRD))
    first = datetime(2026, 9, 4, 12, tzinfo=UTC)
    span_s = int((NOW - first).total_seconds())
    for event in EVENTS[:3]:
        people = []
        for i in range(random_.choice([0, 60, 150])):
            at = first + timedelta(seconds=random_.randrange(span_s))
            if i % 3 == 0:  # many near a change of offset
                near = datetime.fromisoformat(random_.choice(CLOCK_CHANGES)[1])
                at = near + timedelta(minutes=random_.randint(-200, 200))
            fields = {"channel": channel} if (channel := random_.choice(SPELLINGS)) else {}
            people.append(world.registered(f"p{i}", event, at=at.isoformat(), **fields))
        recorder(*people)
        for name in random_.sample(["NAVER", "WooriTV", "RingoBiz", "Radio", "Instagram"], random_.randint(0, 4)):
            recorder(
                world.distributed(
                    event,
                    channelName=name,
                    channelType={"WooriTV": "TV", "RingoBiz": "VOICE"}.get(name, "SNS"),
                    status=random_.choice(["SUCCESS", "SUCCESS", "FAILED"]),
                    distributionCost=random_.choice([None, 0, 3_000, "777.77"]),
                    expectedViews=random_.randint(0, 900),
                )
            )
        for _ in range(random_.choice([0, 0, 4])):
            recorder(world.sold(random_.choice([900, "30000.25"]), event=event, refund=random_.random() < 0.3))
        for name, (type_, _, _) in recorder.oracle.channels(event).items():
            for _ in range(random_.randint(0, 6)):
                minute = (first + timedelta(seconds=random_.randrange(span_s))).replace(second=0, microsecond=0)
                names = ["impressions", "views", "clicks", "conversions", "likes", "comments", "shares"]
                counts = {each: random_.randrange(50) for each in names}
                if type_ == "VOICE":
                    counts = {"total_calls": 20, "completed_calls": random_.randrange(20), "conversions": 3}
                polled = {(at, channel) for at, channel, _ in recorder.oracle.events[event].increments}
                if (minute, name) not in polled:
                    recorder.measure(event, name, minute, **counts)


def ranges(
    random_: random.Random, recorder: Recorder
) -> Iterable[tuple[dict[str, str], datetime | None, datetime | None, ZoneInfo]]:
    """(query parameters, start, end, zone) of random ranges."""
    for zone_name, near in CLOCK_CHANGES:
        zone = ZoneInfo(zone_name)
        middle = datetime.fromisoformat(near)
        start = (middle - timedelta(minutes=random_.randrange(4 * 1_440))).replace(second=0)
        # an instant with a participant: only the end itself shows that a range is half open
        registered = [at for event in recorder.oracle.events.values() for at, _ in event.participants.values()]
        later = [at for at in registered if at > middle]
        end = (middle + timedelta(minutes=random_.randrange(1, 4 * 1_440))).replace(second=0)
        end = min(later) if later and random_.random() < 0.5 else end
        shape = random_.randrange(4)
        if shape == 0:  # dates in the zone
            days = start.astimezone(zone).date(), end.astimezone(zone).date() + timedelta(days=1)
            start, end = (first_minute_of(day.isoformat(), zone) for day in days)
            yield {"tz": zone_name, "startDate": str(days[0]), "endDate": str(days[1])}, start, end, zone
        elif shape == 1:
            yield {"tz": zone_name, "startDate": start.isoformat()}, start, None, zone
        elif shape == 2:
            yield {"tz": zone_name, "endDate": end.astimezone(zone).isoformat()}, None, end, zone
        else:
            bounds = {"startDate": start.astimezone(zone).isoformat(), "endDate": end.isoformat()}
            yield {"tz": zone_name, **bounds}, start, end, zone
    for zone_name, ahead in (("Asia/Seoul", 3), ("America/New_York", 2)):  # weeks that are not over
        zone = ZoneInfo(zone_name)
        days = [NOW.astimezone(zone).date() + timedelta(days=each) for each in (ahead - 7, ahead)]
        bounds = {"startDate": str(days[0]), "endDate": str(days[1])}
        start, end = (first_minute_of(str(day), zone) for day in days)
        yield {"tz": zone_name, **bounds}, start, end, zone
    hours = NOW - timedelta(hours=30), NOW + timedelta(hours=5)
    bounds = {"startDate": hours[0].isoformat(), "endDate": hours[1].isoformat()}
    yield {"tz": "UTC", **bounds}, *hours, ZoneInfo("UTC")
    yield {}, None, None, ZoneInfo("Asia/Seoul")


def first_minute_of(day: str, zone: ZoneInfo) -> datetime:
    """The first minute of a date in a zone, searched minute by minute."""
    at = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=15)
    while at.astimezone(zone).date().isoformat() < day:
        at += timedelta(minutes=1)
    return at


def preceding_range(start: datetime | None, end: datetime | None, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """The preceding range: as many calendar days where both ends start a day, else as many minutes. Of a range that is
    not over, as much of it as has elapsed. No clocks changed near NOW, so that is a number of minutes."""
    if start is None:
        return None
    over = NOW.replace(second=0) + timedelta(minutes=1)
    end = end or over
    elapsed = min(end, over) - start
    dates = [at.astimezone(zone).date().isoformat() for at in (start, end)]
    if [first_minute_of(day, zone) for day in dates] == [start, end]:
        days = datetime.fromisoformat(dates[1]) - datetime.fromisoformat(dates[0])
        first = first_minute_of((datetime.fromisoformat(dates[0]) - days).date().isoformat(), zone)
        return first, start if over >= end else first + elapsed
    return start - (end - start), start - (end - start) + elapsed


def oracle_name(channel: dict[str, Any]) -> tuple[str, str]:
    """The (name, type) under which the oracle has a channel."""
    name = channel["channelName"]
    return (name if name in KNOWN else same(name)), channel["channelType"]


def assert_summary(
    answer: dict[str, Any], oracle: Oracle, events: list[str], within: Within, before: tuple[datetime, datetime] | None
) -> None:
    found = answer["summary"]
    expected = oracle.summary(events, within)
    assert {name: found[name] for name in expected} == expected
    if before is None:
        assert (found["previous"], found["delta"]) == (None, None)
        return
    base, asked_from = oracle.summary(events, between(*before)), datetime.fromisoformat(answer["period"]["startDate"])
    previous = found["previous"]
    assert [datetime.fromisoformat(previous["period"][end]) for end in ("startDate", "endDate")] == list(before)
    assert previous["partial"] == (datetime.fromisoformat(previous["period"]["endDate"]) < asked_from)
    for name in ("totalParticipants", "totalViews", "totalConversions"):
        assert previous[name] == base[name]
        change = None
        if base[name]:
            change = number(percent(Decimal(expected[name] - base[name]), Decimal(base[name])))
        assert found["delta"][name] == change


def assert_channels(found: list[dict[str, Any]], oracle: Oracle, events: list[str], within: Within) -> None:
    """Channels are flat, as on a dashboard."""
    assert sorted(map(oracle_name, found)) == sorted(oracle.channel_counts(events, within))
    for channel in found:
        name, type_ = oracle_name(channel)
        expected = oracle.channel(events, name, type_, within) | {"channelName": channel["channelName"]}
        assert {field: channel[field] for field in expected} == expected
        measured = {field: channel[field] for field in ("state", "measuredAt", "staleSince")}
        measured["measuredCounts"] = sorted(channel["measuredCounts"])
        assert measured == oracle.measured(events, name, type_, NOW)


def flat(channel: dict[str, Any]) -> dict[str, Any]:
    return {**channel, **channel["metrics"], **channel["performance"]}


def assert_adds_up(answer: dict[str, Any], channels: list[dict[str, Any]]) -> None:
    by_channel = sum(channel.get("participants", 0) for channel in channels)
    assert by_channel + answer["unattributedParticipants"] == answer["totalParticipants"]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.faults)])
def test_every_figure_of_every_view_agrees_with_an_oracle(site: Site, seed: int) -> None:
    random_ = random.Random(seed)
    recorder = Recorder(site.world)
    history(recorder, random_)
    oracle = recorder.oracle
    site.set_now(NOW.isoformat())
    visible = [event for event in EVENTS if event != THIRD]
    for params, start, end, zone in ranges(random_, recorder):
        within = between(start, end)
        before = preceding_range(start, end, zone)
        for event in random_.sample(EVENTS, 2):
            path = f"/api/v1/events/{event}/analytics"
            answer = site.owner.get(path, params=params).json()
            assert_summary(answer, oracle, [event], within, before)
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
        assert_summary(together, oracle, visible, within, before)
        assert together["roi"] == oracle.roi(visible, target=False)
        assert {event["eventId"]: event["totalParticipants"] for event in together["events"]} == {
            event: oracle.summary([event], within)["totalParticipants"] for event in visible
        }
        channels = site.owner.get(f"{MINE}/channels", params=params).json()
        shown = [flat(channel) for channel in channels["channels"]]
        assert_channels(shown, oracle, visible, within)
        assert_adds_up(channels, shown)
        money = site.owner.get(f"{MINE}/roi", params=params).json()
        expected = oracle.roi(visible, target=False)
        assert {name: money[name] for name in expected} == expected
        assert_adds_up(money, money["channels"])
        archived = site.owner.get(MINE, params=params | {"status": "ARCHIVED"}).json()
        assert [event["eventId"] for event in archived["events"]] == [THIRD]
        assert_summary(archived, oracle, [THIRD], within, before)


def roll_up_partly(world: World, random_: random.Random, minutes: list[datetime]) -> None:
    """Run the roll-up or not, and move the watermark of some events back or not. Answers must not depend on it."""
    if random_.random() < 0.6:
        world.roll_up()
    if minutes and random_.random() < 0.5:
        watermark = random_.choice(minutes).replace(second=0, microsecond=0, tzinfo=None)
        world.rows(
            "UPDATE hannun.events SET cumulative_owed_from = least(cumulative_owed_from, %s) WHERE event_no %% 2 = %s",
            watermark,
            random_.randrange(2),
        )


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.faults)])
def test_every_bucket_of_every_timeline_agrees_with_an_oracle(site: Site, seed: int) -> None:
    random_ = random.Random(seed)
    recorder = Recorder(site.world)
    history(recorder, random_)
    site.set_now(NOW.isoformat())
    visible = [event for event in EVENTS if event != THIRD]
    for params, start, end, zone in ranges(random_, recorder):
        for granularity in ("hourly", "daily", "weekly", "monthly", "minute"):
            mine = random_.random() < 0.3
            events = visible if mine else [random_.choice(EVENTS)]
            path = f"{MINE}/timeline" if mine else f"/api/v1/events/{events[0]}/analytics/timeline"
            minutes = [at for event in events for at, _ in recorder.oracle.events[event].participants.values()]
            minutes += [at for event in events for at, _, _ in recorder.oracle.events[event].increments]
            first = start or min(minutes, default=NOW.replace(second=0))
            last = end or NOW.replace(second=0) + timedelta(minutes=1)
            if granularity == "minute" and (last - first) > timedelta(days=5):
                continue
            roll_up_partly(site.world, random_, minutes)
            first_day = random_.choice(["monday", "sunday"])
            asked = params | {"granularity": granularity, "weekStart": first_day}
            answer = site.owner.get(path, params=asked).json()
            assert answer["weekStart"] == (first_day if granularity == "weekly" else None)
            points = answer["dataPoints"]
            complete = [point.pop("complete") for point in points]
            expected = recorder.oracle.points(events, granularity, zone, first, last, first_day)
            assert points == expected, (params, granularity)
            starts = [datetime.fromisoformat(point["timestamp"]) for point in points]
            for number_, (begins, is_complete) in enumerate(zip(starts, complete, strict=True)):
                ends = starts[number_ + 1] if number_ + 1 < len(starts) else None
                if ends is not None:
                    assert is_complete == ((start is None or begins >= start) and ends <= NOW)
            if end is None and complete:
                assert complete[-1] is False
            assert answer["totals"]["participants"] == sum(point["participants"] for point in points)
            total = sum(len(recorder.oracle.events[event].participants) for event in events)
            if end is None and points:
                assert points[-1]["cumulativeParticipants"] == total


# -- buckets, against a walk over every minute of local time


ZONES = sorted(available_timezones() - {"Factory", "localtime"})


@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize(("zone", "near"), [*CLOCK_CHANGES, ("Australia/Lord_Howe", "2026-04-04T15:00:00Z")])
def test_a_bucket_starts_at_each_change_of_offset(zone: str, near: str, granularity: Granularity) -> None:
    middle = datetime.fromisoformat(near)
    start, end = middle - timedelta(minutes=150), middle + timedelta(minutes=170)
    found = buckets_in(int(start.timestamp()), int(end.timestamp()), granularity, zone)
    expected = [begins for begins, _ in buckets_by_walking(granularity, ZoneInfo(zone), start, end)]
    assert found.labels() == [begins.isoformat() for begins in expected]


def test_an_hour_cut_by_a_half_hour_change_of_offset_has_two_buckets() -> None:
    """At 02:00 Lord Howe sets its clocks back to 01:30."""
    change = int(datetime(2026, 4, 4, 15, tzinfo=UTC).timestamp())
    found = buckets_in(change - 3_600, change + 3_600, Granularity.HOURLY, "Australia/Lord_Howe")
    assert found.labels() == ["2026-04-05T01:00:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T02:00:00+10:30"]
    assert found.end == change + 5_400


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(2, 6))])
def test_buckets_start_by_local_time_in_every_zone(seed: int) -> None:
    random_ = random.Random(seed)
    spans_h = {"minute": 3, "hourly": 40, "daily": 120, "weekly": 24 * 20, "monthly": 24 * 50}
    for _ in range(30):
        week_start = random_.choice(list(WeekStart))
        name, granularity = random_.choice(ZONES), random_.choice(list(spans_h))
        zone = ZoneInfo(name)
        near = datetime(1973, 1, 1, tzinfo=UTC) + timedelta(days=random_.randrange(24_000))
        # many near a change of offset, searched day by day and not by the code under test
        if random_.random() < 0.7:
            for _ in range(400):
                if near.astimezone(zone).utcoffset() != (near + timedelta(days=1)).astimezone(zone).utcoffset():
                    break
                near += timedelta(days=1)
        start = near - timedelta(minutes=random_.randrange(60 * spans_h[granularity]))
        end = near + timedelta(minutes=random_.randrange(1, 60 * spans_h[granularity]))
        bounds = int(start.timestamp()), int(end.timestamp())
        found = buckets_in(*bounds, Granularity(granularity), name, week_start)
        expected = [begins for begins, _ in buckets_by_walking(granularity, zone, start, end, week_start)]
        assert found.labels() == [begins.isoformat() for begins in expected], (name, granularity, start, end)
        assert found.hours() == [begins.hour for begins in expected]
        assert found.weekdays() == [begins.isoweekday() for begins in expected]
        assert all((begins - found.starts[0]) % found.step_s == 0 for begins in [*found.starts, found.end])
        following = [
            begins for begins, _ in buckets_by_walking(granularity, zone, end, end + timedelta(days=33), week_start)
        ]
        nexts = [int(at.timestamp()) for at in following if at >= end]
        if nexts:
            assert found.end == nexts[0]


# -- parameters

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"


def three_events(world: World) -> None:
    """Three events: two on NaverBlog, one of them also on WooriTV; the third on no channel."""
    world.count(
        world.created(eventTitle="봄맞이 100% 행사", totalInvestment=10_000),
        world.created(OTHER, eventTitle="여름_SALE"),
        world.created(THIRD, eventTitle="가을"),
        world.distributed(channelName="NAVER", distributionCost=3_000),
        world.distributed(channelName="WooriTV", distributionCost=500),
        world.distributed(OTHER, channelName="NAVER"),
        *(world.registered(f"n{i}", channel="NAVER", at=f"2026-11-2{i}T10:00:00+09:00") for i in range(3)),
        world.registered("w", channel="WooriTV", at="2026-11-20T23:59:59+09:00"),
        world.registered("x", at="2026-11-21T00:00:00+09:00"),
        world.registered("o", OTHER, channel="네이버블로그"),
    )


def names(answer: Any) -> list[str]:
    return [channel["channelName"] for channel in answer.json()["channels"]]


def test_one_several_or_all_channels_are_answered_and_add_up(site: Site) -> None:
    three_events(site.world)
    whole = site.owner.get(f"{ANALYTICS}/channels").json()
    assert set(whole) == {
        "eventId", "period", "moneyPeriod", "totalParticipants", "unattributedParticipants", "channels", "provenance",
        "lastUpdatedAt",
    }  # fmt: skip
    (naver, woori) = whole["channels"]
    assert set(naver) >= {"channelName", "channelType", "state", "metrics", "performance", "measuredAt"}
    assert (naver["metrics"]["participants"], woori["metrics"]["participants"]) == (3, 1)
    assert (whole["totalParticipants"], whole["unattributedParticipants"]) == (5, 1)
    assert naver["performance"]["costPerParticipant"] == 1_000
    for named, shown, total in (
        ("NAVER", ["NaverBlog"], 3),
        ("naver blog,우리동네TV", ["NaverBlog", "WooriTV"], 4),
        ("WooriTV", ["WooriTV"], 1),
        ("Instagram", [], 0),
        ("Instagram,NAVER", ["NaverBlog"], 3),
    ):
        for _ in range(2):  # live, and from the cache where it is cached
            answer = site.owner.get(f"{ANALYTICS}/channels", params={"channels": named})
            assert names(answer) == shown
            assert (answer.json()["totalParticipants"], answer.json()["unattributedParticipants"]) == (total, 0)
            assert set(answer.json()) == set(whole)
            assert all(channel in whole["channels"] for channel in answer.json()["channels"])
    assert site.other_merchant.get(f"{ANALYTICS}/channels?channels=NAVER").status_code == 404
    assert site.other_merchant.get(f"{ANALYTICS}/channels?channels=nowhere").status_code == 404
    assert site.owner.get("/api/v1/events/nowhere/analytics/channels?channels=NAVER").status_code == 404


def test_channels_are_sorted_and_those_without_a_value_come_last(site: Site) -> None:
    three_events(site.world)
    site.world.count(site.world.distributed(channelName="Instagram", distributionCost=9_000))
    for by, order, expected in (
        ("participants", "desc", ["NaverBlog", "WooriTV", "Instagram"]),
        ("participants", "asc", ["Instagram", "WooriTV", "NaverBlog"]),
        ("channelName", "asc", ["Instagram", "NaverBlog", "WooriTV"]),
        ("distributionCost", "desc", ["Instagram", "NaverBlog", "WooriTV"]),
        ("costPerParticipant", "desc", ["NaverBlog", "WooriTV", "Instagram"]),
        ("costPerParticipant", "asc", ["WooriTV", "NaverBlog", "Instagram"]),
        ("views", "desc", ["Instagram", "NaverBlog", "WooriTV"]),
    ):
        answer = site.owner.get(f"{ANALYTICS}/channels", params={"sortBy": by, "sortOrder": order})
        assert names(answer) == expected, (by, order)
    for by in ("channelType", "state", "impressions", "totalCalls", "clickThroughRate", "costPerConversion", "likes"):
        assert len(names(site.owner.get(f"{MINE}/channels", params={"sortBy": by}))) == 3


def test_a_merchants_events_are_filtered_by_status_channel_and_title(site: Site) -> None:
    three_events(site.world)
    site.world.count(site.world.status_changed("ENDED", "2026-11-22T00:00:00Z", OTHER))
    for params, found, participants in (
        ({}, {SPRING, OTHER, THIRD}, 6),
        ({"q": "100%"}, {SPRING}, 5),
        ({"q": "_"}, {OTHER}, 1),
        ({"q": "%"}, {SPRING}, 5),
        ({"q": "sale"}, {OTHER}, 1),
        ({"q": "가을"}, {THIRD}, 0),
        ({"q": "겨울"}, set(), 0),
        ({"channels": "NAVER"}, {SPRING, OTHER}, 6),
        ({"channels": "우리동네TV"}, {SPRING}, 5),
        ({"channels": "WooriTV,Instagram"}, {SPRING}, 5),
        ({"channels": "Instagram"}, set(), 0),
        ({"status": "ENDED"}, {OTHER}, 1),
        ({"status": "ENDED", "channels": "WooriTV"}, set(), 0),
        ({"status": "ACTIVE", "q": "봄"}, {SPRING}, 5),
    ):
        answer = site.owner.get(MINE, params=params).json()
        assert {event["eventId"] for event in answer["events"]} == found, params
        assert (answer["totalEvents"], answer["summary"]["totalParticipants"]) == (len(found), participants)
        for view in ("timeline", "roi"):
            same_events = site.owner.get(f"{MINE}/{view}", params=params).json()
            assert same_events["totalEvents"] == len(found)
        assert site.owner.get(f"{MINE}/roi", params=params).json()["totalParticipants"] == participants
    (naver,) = site.owner.get(f"{MINE}/channels", params={"channels": "NAVER"}).json()["channels"]
    assert naver["metrics"]["participants"] == 4  # here the parameter selects channels, not events


def test_an_unknown_channel_is_refused_and_named(site: Site) -> None:
    world = site.world
    world.count(
        world.created(),
        world.distributed(channelName="Poster", channelType="SNS"),
        world.registered("p1", channel="Flyer"),
        world.created("another", owner=OTHER_MERCHANT),
        world.registered("p2", "another", channel="Secret Club"),
    )
    for path in (f"{ANALYTICS}/channels", f"{MINE}/channels", MINE, f"{MINE}/timeline", f"{MINE}/roi"):
        for known in ("naver", "poster", "FLYER", "네이버블로그,Poster"):
            answer = site.owner.get(path, params={"channels": known})
            assert answer.status_code == 200, (path, known, answer.text)
        for unknown in ("Secret Club", "NAVERR", "---", "x" * 90, "a\x00b"):
            for named in (unknown, f"NAVER,{unknown}"):
                answer = site.owner.get(path, params={"channels": named}, headers={"Accept-Language": "en"})
                assert answer.status_code == 400, (path, named, answer.text)
                if "\0" not in unknown:
                    assert (answer.json()["code"], answer.json()["field"]) == ("unknown-channel", "channels")
                    assert repr(unknown) in answer.json()["detail"]
        korean = site.owner.get(path, params={"channels": "NAVERR"}, headers={"Accept-Language": "ko"})
        assert "'NAVERR': 없는 채널입니다" in korean.json()["detail"]
        assert site.owner.get(path, params={"channels": "NAVERR", "format": "csv"}).status_code == 400


def test_a_timeline_holds_only_the_requested_metrics(site: Site) -> None:
    three_events(site.world)
    params = {"granularity": "daily", "metrics": "views,cumulativeParticipants"}
    for path in (f"{ANALYTICS}/timeline", f"{MINE}/timeline"):
        answer = site.owner.get(path, params=params).json()
        assert all(
            set(point) == {"timestamp", "complete", "views", "cumulativeParticipants"} for point in answer["dataPoints"]
        )
        assert set(answer["totals"]) == {"views"}
        assert {"dataPoints.views", "dataPoints.cumulativeParticipants"} <= set(answer["provenance"])
        assert "dataPoints.participants" not in answer["provenance"]


def test_an_instant_belongs_to_exactly_one_of_two_adjacent_ranges(site: Site) -> None:
    three_events(site.world)
    site.world.record_measurement(SPRING, "NaverBlog", "2026-11-20 14:59", {"views": 5})
    site.world.record_measurement(SPRING, "NaverBlog", "2026-11-20 15:00", {"views": 70})
    for path in (ANALYTICS, MINE):
        for bounds, participants, views in (
            ({"startDate": "2026-11-20", "endDate": "2026-11-21"}, 2 + (path == MINE), 5),
            ({"startDate": "2026-11-21", "endDate": "2026-11-22"}, 2, 70),
            ({"startDate": "2026-11-20T23:59:59+09:00", "endDate": "2026-11-21"}, 1, 5),
            ({"startDate": "2026-11-21T00:00:00+09:00", "endDate": "2026-11-21T00:01:00+09:00"}, 1, 70),
        ):
            answer = site.owner.get(path, params=bounds).json()
            summary = answer["summary"]
            assert (summary["totalParticipants"], summary["totalViews"]) == (participants, views), (path, bounds)
            if path == MINE:
                assert sum(event["totalParticipants"] for event in answer["events"]) == participants
                assert sum(event["totalViews"] for event in answer["events"]) == views


def test_last_updated_at_of_a_merchant_does_not_fall_when_an_event_leaves_the_filter(site: Site) -> None:
    three_events(site.world)
    site.world.count(site.world.registered("another", SPRING))
    before = site.owner.get(MINE).json()["lastUpdatedAt"]
    site.world.count(site.world.status_changed("ARCHIVED", "2026-11-22T00:00:00Z", SPRING))

    def without_it() -> Any:  # a local cache entry may be 100 ms old
        answer = site.owner.get(MINE).json()
        return answer if answer["totalEvents"] == 2 else None

    assert site.world.wait_for("the event to leave", without_it)["lastUpdatedAt"] > before


def test_a_range_is_compared_with_the_preceding_range(site: Site) -> None:
    three_events(site.world)
    day = {"startDate": "2026-11-21", "endDate": "2026-11-22"}
    summary = site.owner.get(ANALYTICS, params=day).json()["summary"]
    assert (summary["totalParticipants"], summary["unattributedParticipants"]) == (2, 1)
    assert summary["previous"] == {
        "period": {
            "startDate": "2026-11-20T00:00:00+09:00",
            "endDate": "2026-11-21T00:00:00+09:00",
            "tz": "Asia/Seoul",
        },
        "totalParticipants": 2,
        "totalViews": 0,
        "totalConversions": 0,
        "partial": False,
    }
    assert summary["delta"] == {"totalParticipants": 0, "totalViews": None, "totalConversions": None}
    week = site.owner.get(ANALYTICS, params={"startDate": "2026-11-18", "endDate": "2026-11-25"}).json()["summary"]
    assert (week["totalParticipants"], week["delta"]["totalParticipants"]) == (5, None)  # the page shows "new"


def test_a_range_that_is_not_over_is_compared_with_as_much_of_the_one_before_and_says_so(site: Site) -> None:
    three_events(site.world)
    days = {"startDate": "2026-11-21", "endDate": "2026-11-22"}
    for now, participants, ends in (
        ("2026-11-21T09:59:59+09:00", 0, "2026-11-20T10:00:00+09:00"),
        ("2026-11-21T10:00:00+09:00", 1, "2026-11-20T10:01:00+09:00"),
        ("2026-11-21T23:58:59+09:00", 1, "2026-11-20T23:59:00+09:00"),
        ("2026-11-21T23:59:00+09:00", 2, "2026-11-21T00:00:00+09:00"),
    ):
        site.set_now(now)
        for path in (ANALYTICS, MINE):
            previous = site.owner.get(path, params=days).json()["summary"]["previous"]
            expected = participants + (path == MINE and participants > 0)
            assert (previous["totalParticipants"], previous["period"]["endDate"]) == (expected, ends)
            assert previous["partial"] == (ends[:10] == "2026-11-20")


def test_weeks_begin_on_the_day_that_the_question_or_the_setting_names(site_with: Callable[..., Site]) -> None:
    monday, sunday = "2026-11-16T00:00:00+09:00", "2026-11-15T00:00:00+09:00"

    def first_week(site: Site, path: str, **params: str) -> tuple[str, str]:
        answer = site.owner.get(f"{path}/timeline", params={"granularity": "weekly", **params}).json()
        return answer["weekStart"], answer["dataPoints"][0]["timestamp"]

    for default in ("monday", "sunday"):
        site = site_with(week_start=default)
        if default == "monday":
            three_events(site.world)
        site.set_now(NOW.isoformat())
        for path in (ANALYTICS, MINE):
            for _ in range(2):  # live, and from the cache: no other week start may be cached under its key
                assert first_week(site, path) == (default, monday if default == "monday" else sunday)
                assert first_week(site, path, weekStart="sunday") == ("sunday", sunday)
                assert first_week(site, path, weekStart="monday") == ("monday", monday)
        daily = f"{ANALYTICS}/timeline?granularity=daily"
        assert site.owner.get(f"{daily}&weekStart=sunday").content == site.owner.get(daily).content
        assert site.owner.get(f"{daily}&weekStart=friday").json()["code"] == "bad-parameter"


def test_every_figure_has_provenance_with_kind_time_and_unit(site: Site) -> None:
    three_events(site.world)

    def figures(part: dict[str, Any], prefix: str) -> set[str]:
        """The paths of all numbers, and of nulls."""
        found = set()
        for name, value in part.items():
            if isinstance(value, dict) and name != "socialInteractions":
                found |= figures(value, f"{prefix}{name}.")
            elif value is None or isinstance(value, int | float | dict):
                found.add(prefix + name)
        return found

    for path, parts in (
        (ANALYTICS, ("summary", "roi")),
        (MINE, ("summary", "roi")),
    ):
        answer = site.owner.get(path).json()
        for part in parts:
            here = {name: value for name, value in answer[part].items() if name not in ("previous", "delta")}
            assert figures(here, f"{part}.") <= set(answer["provenance"])
    a_day = {"startDate": "2026-11-21", "endDate": "2026-11-22"}
    for path in (ANALYTICS, MINE):
        answer = site.owner.get(path, params=a_day).json()
        compared = {name: answer["summary"][name] for name in ("previous", "delta")}
        shown = {each for each in figures(compared, "summary.") if "period" not in each and "partial" not in each}
        assert shown and shown <= set(answer["provenance"])
    timeline = site.owner.get(f"{ANALYTICS}/timeline").json()
    assert figures(timeline["totals"], "totals.") <= set(timeline["provenance"])
    mine = site.owner.get(MINE).json()
    assert figures(mine["events"][0], "events.") - {"events.startDate", "events.endDate"} <= set(mine["provenance"])
    money = site.owner.get(f"{ANALYTICS}/roi").json()
    shown = {
        name: money[name] for name in ("currentRoi", "targetRoi", "investment", "revenue", "breakEvenParticipants")
    }
    assert figures(shown, "") <= set(money["provenance"])
    for path in (ANALYTICS, f"{ANALYTICS}/channels", f"{ANALYTICS}/timeline", f"{ANALYTICS}/roi", MINE):
        for origin in site.owner.get(path).json()["provenance"].values():
            assert origin["kind"] in {"measured", "planned", "estimated", "stale", "unknown"}
            assert origin["unit"]


def test_what_no_message_has_said_is_null_and_unknown(site: Site) -> None:
    world = site.world
    world.count(
        world.created(totalInvestment=0, expectedRevenue=0, targetRoi=0),
        world.created(OTHER, at="2026-11-02T09:00:00+09:00"),
        world.distributed(OTHER, channelName="NAVER"),
        world.distributed(OTHER, channelName="Radio", channelType="TV", status="FAILED", distributionCost=7),
        world.registered("p", OTHER, channel="WooriTV"),
    )
    said, unsaid = (site.owner.get(f"/api/v1/events/{event}/analytics").json() for event in (SPRING, OTHER))
    assert (said["roi"]["investment"], said["roi"]["targetRoi"]) == ({"total": 0, "planned": 0, "channels": None}, 0)
    assert said["roi"]["revenue"] == {"total": 0, "recorded": None, "expected": 0, "assumedShare": None}
    roi, kinds = unsaid["roi"], {path: origin["kind"] for path, origin in unsaid["provenance"].items()}
    # A channel that only failed costs nothing, and that is known.
    assert roi["investment"] == {"total": 0, "planned": None, "channels": 0}
    assert roi["revenue"] == {"total": None, "recorded": None, "expected": None, "assumedShare": None}
    for name in ("currentRoi", "targetRoi", "estimatedRoi", "salesGrowthRate", "breakEvenParticipants"):
        assert (roi[name], kinds[f"roi.{name}"]) == (None, "unknown"), name
    for name in ("investment.planned", "revenue.total", "revenue.recorded", "revenue.expected"):
        assert kinds[f"roi.{name}"] == "unknown", name
    costs = {each["channelName"]: each["distributionCost"] for each in unsaid["channelPerformance"]}
    assert costs == {"NaverBlog": None, "Radio": 0, "WooriTV": None}
    together = site.owner.get(MINE).json()
    assert [event["targetRoi"] for event in together["events"]] == [None, 0]
    assert together["roi"]["revenue"]["total"] == 0, "a sum is of what was said"


def test_every_view_has_the_same_etag_live_and_cached(site: Site) -> None:
    three_events(site.world)
    site.set_now(NOW.isoformat())
    for path in (
        ANALYTICS,
        f"{ANALYTICS}/channels",
        f"{ANALYTICS}/channels?channels=NAVER",
        f"{ANALYTICS}/timeline?granularity=daily",
        f"{ANALYTICS}/roi",
        f"{ANALYTICS}?startDate=2026-11-21",
        MINE,
        f"{MINE}/channels",
        f"{MINE}/timeline",
        f"{MINE}/roi",
    ):
        first, again, fresh = (
            site.owner.get(path),
            site.owner.get(path),
            site.owner.get(path, params={"refresh": "true"}),
        )
        assert first.json()["lastUpdatedAt"] is not None
        if "?" not in path or "channels=" in path or "granularity" in path:
            assert first.headers["etag"] == again.headers["etag"]
            assert first.content == again.content
        assert site.owner.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
        assert fresh.status_code == 200


# -- projection


def test_a_projection_has_figures_or_reasons(site: Site) -> None:
    world = site.world
    site.set_now("2026-11-23T12:00:00+09:00")

    def projected(event: str) -> Any:
        path = f"/api/v1/events/{event}/analytics/roi"
        return site.owner.get(path, params={"includeProjection": "true"}).json()["projection"]

    plan = {"totalInvestment": 100_000, "endDate": "2026-12-03T00:00:00+09:00"}
    world.count(world.created(SPRING, **plan), world.created(OTHER, totalInvestment=5))
    assert projected(OTHER)["reasons"]["participants"] == "no-end"
    assert projected(SPRING)["reasons"]["participants"] == "nobody-came"
    world.count(world.registered("p", at="2026-11-20T10:00:00+09:00"))
    assert projected(SPRING)["reasons"]["participants"] == "too-early"
    # ten participants on each of nine days, of which the first is not complete, and two today
    people = [(day, who) for day in range(14, 23) for who in range(10)]
    world.count(*(world.registered(f"{d}-{w}", at=f"2026-11-{d}T09:0{w}:00+09:00") for d, w in people))
    world.count(*(world.registered(f"today-{i}", at="2026-11-23T09:00:00+09:00") for i in range(2)))
    projection = projected(SPRING)
    assert (projection["method"], projection["level"], projection["days"]) == ("mean-of-last-weeks", 95, 7)
    # 91 registered before today (one more than ten on the 20th); ten days are left from midnight on
    assert projection["participants"]["value"] == 91 + round(71 / 7 * 10)
    assert projection["participants"]["low"] < projection["participants"]["value"] < projection["participants"]["high"]
    assert (projection["revenue"], projection["reasons"]) == (
        None,
        dict.fromkeys(("revenue", "roi"), "nothing-recorded"),
    )
    sold = [f"2026-11-{day}T12:00:00+09:00" for day in range(16, 23)]
    world.count(*(world.sold(20_000, soldAt=at) for at in sold), world.sold(5_000, soldAt="2026-11-23T09:00:00+09:00"))
    projection = projected(SPRING)
    assert projection["revenue"] == {
        "value": 340_000,
        "low": 340_000,
        "high": 340_000,
    }  # 20,000 on each of ten more days
    assert projection["roi"]["value"] == 240
    world.count(world.status_changed("ENDED", "2026-11-23T00:00:00Z"))
    assert projected(SPRING)["reasons"]["roi"] == "over"
    several = site.owner.get(f"{MINE}/roi", params={"includeProjection": "true"}).json()["projection"]
    assert several["reasons"]["roi"] == "several-events"


def test_a_timeline_is_cached_until_its_next_bucket_starts(site: Site) -> None:
    three_events(site.world)
    site.set_now("2026-11-23T12:34:56+09:00")
    for granularity, until in (
        ("minute", "2026-11-23T12:35:00+09:00"),
        ("hourly", "2026-11-23T13:00:00+09:00"),
        ("daily", "2026-11-24T00:00:00+09:00"),
        ("weekly", "2026-11-30T00:00:00+09:00"),
        ("monthly", "2026-12-01T00:00:00+09:00"),
    ):
        site.owner.get(f"{ANALYTICS}/timeline", params={"granularity": granularity})
        cached: Any = site.redis.get(f"analytics:timeline:{SPRING}:{granularity}")
        assert json.loads(cached)["_hannun"]["until_ms"] == datetime.fromisoformat(until).timestamp() * 1_000
