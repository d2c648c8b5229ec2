"""The insights of an event over HTTP, beside the dashboard and the timeline of the same moment."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from served import Site, open_site
from test_kept_months import keep
from test_shares import create_link, open_link, visitor
from world import SPRING, World

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
NOON = "2026-11-23T03:00:40+00:00"
"""Noon in Seoul, a Monday."""
PLAN = {"totalInvestment": 100_000, "startDate": "2026-11-01T09:00:00+09:00", "endDate": "2026-12-05T09:00:00+09:00"}


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with open_site(world) as site:
        site.set_now(NOON)
        yield site


def get(site: Site, path: str, **parameters: str) -> Any:
    answer = site.owner.get(f"{ANALYTICS}{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def arrivals(around: datetime, seed: int) -> list[datetime]:
    """Some moments of the two weeks before, most of them within two days."""
    chance = random.Random(seed)
    minutes = [chance.randrange(60 * 24 * (15 if chance.random() < 0.3 else 2)) for _ in range(300)]
    return [around + timedelta(minutes=20) - timedelta(minutes=each) for each in minutes]


def registered(world: World, moments: list[datetime]) -> list[Any]:
    return [world.registered(at=at.isoformat()) for at in moments]


# -- comparisons and heat map, beside a simple count of the moments

CLOCK_CHANGES = [  # noon, night, and the hours around a change of the clocks, on that day and on the next
    ("Asia/Seoul", "2026-11-23T03:00:40Z"),
    ("Asia/Seoul", "2026-11-22T15:00:00Z"),
    ("America/New_York", "2026-03-08T20:15:00Z"),  # a day of 23 hours
    ("America/New_York", "2026-03-09T06:30:00Z"),  # 02:30: the day before had no such time
    ("America/New_York", "2026-03-09T15:00:00Z"),
    ("America/New_York", "2026-11-01T05:30:00Z"),  # a day of 25 hours, its first 01:30
    ("America/New_York", "2026-11-01T06:30:00Z"),  # and its second
    ("America/New_York", "2026-11-01T20:00:00Z"),
    ("America/New_York", "2026-11-02T07:30:00Z"),
    ("America/Havana", "2026-03-09T04:10:00Z"),  # 00:10: the day before began at 01:00
]


@pytest.mark.parametrize(("tz", "now"), CLOCK_CHANGES)
def test_comparisons_and_heat_map_count_by_the_clock_of_the_zone(site: Site, tz: str, now: str) -> None:
    moment, zone = datetime.fromisoformat(now), ZoneInfo(tz)
    came = arrivals(moment, seed=7)
    site.world.count(
        site.world.created(startDate=(moment - timedelta(days=40)).isoformat()), *registered(site.world, came)
    )
    site.set_now(now)
    found = get(site, "/insights", tz=tz)

    end = moment.replace(second=0) + timedelta(minutes=1)
    today, clock = moment.astimezone(zone).date(), end.astimezone(zone).time()
    there = [each.astimezone(zone) for each in came]
    day, week = found["comparisons"]["day"], found["comparisons"]["week"]
    assert day["participants"] == sum(each.date() == today and each < end for each in there)
    until = first_minute_at(today - timedelta(days=1), clock, zone)
    yesterday = [each for each in there if each.date() == today - timedelta(days=1)]
    if tz != "America/Havana":  # there yesterday began after that time: the same number of minutes is compared
        assert day["previous"]["participants"] == sum(each < until for each in yesterday)

    for compared in (day, week):
        for part in (compared, compared["previous"]):
            period = {name: part["period"][name] for name in ("startDate", "endDate")}
            assert get(site, "/timeline", tz=tz, **period)["totals"]["participants"] == part["participants"]
    assert_heat_map(found["heatMap"], there, end)


def first_minute_at(date: date, clock: time, zone: ZoneInfo) -> datetime:
    """The first minute of a date at or after a time of the clock. Of an hour that the clocks repeat that is in the
    first one."""
    night = datetime.combine(date, time(), UTC) - timedelta(days=1)
    minutes = ((night + timedelta(minutes=each)).astimezone(zone) for each in range(4 * 24 * 60))
    return next(each for each in minutes if each.date() == date and each.time() >= clock)


def assert_heat_map(shown: dict[str, Any], there: list[datetime], end: datetime) -> None:
    """Whether every hour of every weekday has those who came then, and the total all of the period."""
    cells = [[0] * 24 for _ in range(7)]
    start = datetime.fromisoformat(shown["period"]["startDate"])
    within = [each for each in there if start <= each < end]
    for each in within:
        cells[each.weekday()][each.hour] += 1
    assert datetime.fromisoformat(shown["period"]["endDate"]) == end
    assert shown["participants"] == cells
    assert shown["total"] == len(within)
    assert shown["weeks"] <= 8


def test_the_week_of_the_heat_map_begins_where_it_was_asked_to(site: Site) -> None:
    site.world.count(site.world.created(**PLAN), site.world.registered("p", at="2026-11-22T10:00:00+09:00"))
    monday, sunday = (get(site, "/insights", weekStart=each)["heatMap"] for each in ("monday", "sunday"))
    assert (monday["days"][0], sunday["days"][0]) == ("monday", "sunday")
    assert monday["participants"][6] == sunday["participants"][0] and sum(sunday["participants"][0]) == 1


@pytest.mark.parametrize("planned_end", [None, "2026-11-12T00:00:00+09:00"])
def test_an_event_that_came_as_ended_ran_until_its_last_participant(site: Site, planned_end: str | None) -> None:
    """Its status is as old as its plan: it says that the event is over, and not when it ended."""
    came = [datetime.fromisoformat(at) for at in ("2026-10-29T10:30:00+09:00", "2026-11-19T13:00:00+09:00")]
    site.world.count(
        site.world.created(status="ENDED", at="2026-10-19T09:00:00+09:00", endDate=planned_end),
        site.world.distributed(channelName="NAVER"),
        *registered(site.world, came),
    )
    site.world.rows("INSERT INTO hannun.channel_outages VALUES ('naverblog', '2026-11-10', '2026-11-11', 'failures')")
    shown = get(site, "/insights")
    assert shown["heatMap"]["period"]["startDate"] == "2026-10-29T00:00:00+09:00"
    assert_heat_map(shown["heatMap"], came, datetime.fromisoformat("2026-11-20T00:00:00+09:00"))
    assert [each["at"][:10] for each in shown["marks"] if each["kind"] == "channel-outage"] == ["2026-11-10"]


def test_an_event_that_came_as_ended_without_participants_ran_until_its_planned_end(site: Site) -> None:
    site.world.count(
        site.world.created(
            status="ENDED",
            at="2026-10-19T09:00:00+09:00",
            startDate="2026-10-20T09:00:00+09:00",
            endDate="2026-11-12T00:00:00+09:00",
        )
    )
    shown = get(site, "/insights")["heatMap"]["period"]
    assert (shown["startDate"], shown["endDate"]) == ("2026-10-20T00:00:00+09:00", "2026-11-13T00:00:00+09:00")


def test_nothing_is_compared_before_the_event_has_run_in_both_periods(site: Site) -> None:
    world = site.world
    world.count(
        world.created(startDate="2026-11-22T08:00:00+09:00"),
        *(world.registered(at="2026-11-22T09:00:00+09:00") for _ in range(3)),
    )
    assert get(site, "/insights")["comparisons"] == {"day": None, "week": None}, "it began yesterday at 8"
    world.count(world.created(at="2026-11-02T00:00:00Z", startDate="2026-11-21T08:00:00+09:00"))
    found = get(site, "/insights")["comparisons"]
    assert found["day"] is not None and found["week"] is None
    world.count(world.status_changed("ENDED", "2026-11-23T11:00:00+09:00"))
    assert get(site, "/insights")["comparisons"] == {"day": None, "week": None}


# -- sentences


def headline(site: Site) -> tuple[str, str]:
    found = get(site, "/insights")["headline"]
    return found["code"], found["text"]["ko"]


def test_the_headline_follows_the_life_of_an_event(site: Site) -> None:
    world = site.world
    world.count(world.created(startDate="2026-11-30T10:00:00+09:00"))
    assert headline(site) == ("not-begun", "아직 시작 전이에요. 2026년 11월 30일 10:00에 시작해요.")
    world.count(world.created(at="2026-11-02T00:00:00Z", targetRoi=30, totalInvestment=50_000, **DATES))
    assert headline(site) == ("nothing-yet", "아직 참여자가 없어요.")
    yesterday = [world.registered(at=f"2026-11-22T0{hour}:30:00+09:00") for hour in range(8) for _ in range(5)]
    today = [world.registered(at=f"2026-11-23T0{hour}:30:00+09:00") for hour in range(8) for _ in range(10)]
    world.count(*yesterday, *today)
    assert headline(site) == ("ahead-of-yesterday", "지금까지 120명이 참여했고, 오늘은 어제 같은 시각보다 100% 많아요.")
    world.count(world.sold(60_000), world.status_changed("ENDED", "2026-11-23T11:00:00+09:00"))
    assert headline(site) == (
        "ended-below-target",
        "모두 120명이 참여했고, ROI +20%로 목표 30%에 10%p 못 미쳤어요.",
    )


DATES = {"startDate": "2026-11-01T10:00:00+09:00", "endDate": "2026-12-01T00:00:00+09:00"}


def test_each_fact_of_an_advice_is_the_figure_of_the_dashboard(site: Site) -> None:
    world = site.world
    evenings = [f"2026-11-{day:02}T{hour}:10:00+09:00" for day in range(9, 23) for hour in (18, 19, 20, 20)]
    world.count(
        world.created(**PLAN),
        world.distributed(channelName="NAVER", distributionCost=3_000),
        world.distributed(channelName="WooriTV", distributionCost=70_000),
        world.distributed(channelName="지니TV", status="FAILED"),
        *(world.registered(at=at, channel="NAVER") for at in evenings),
        *(world.registered(channel="WooriTV") for _ in range(20)),
        world.sold(60_000),
    )
    found, dashboard = get(site, "/insights"), get(site, "")
    assert [each["code"] for each in found["advice"]] == ["channel-silent", "break-even", "best-channel"]
    channels = {each["channelName"]: each for each in dashboard["channelPerformance"]}
    for each in found["advice"]:
        assert set(each["text"]) == set(each["why"]) == {"ko", "en"}
        for fact in each["facts"]:
            first, *path = fact["path"].split(".")
            value: Any = channels if first == "channelPerformance" else (found | dashboard)[first]
            for name in path:
                value = value[name]
            assert fact["value"] == value, fact
    assert [each["text"]["ko"] for each in found["advice"]] == [
        "지니TV 배포가 실패했어요. 다시 배포할지 확인해 보세요.",
        "본전까지 144명이 더 필요해요. 지금 속도로는 끝나는 12월 5일까지 모자라요.",
        "네이버 블로그가 참여자 한 명에 54원으로 가장 적게 들어요. 다음인 우리동네TV는 3,500원으로 65.3배예요.",
    ]


def test_an_event_that_ended_without_sales_is_told_so_and_nothing_of_a_silent_channel(site: Site) -> None:
    world = site.world
    world.count(
        world.created(expectedRevenue=1_000, **PLAN),
        world.distributed(channelName="NAVER", status="FAILED"),
        *(world.registered(at="2026-11-20T10:00:00+09:00") for _ in range(40)),
        world.status_changed("ENDED", "2026-11-22T11:00:00+09:00"),
    )
    assert [each["code"] for each in get(site, "/insights")["advice"]] == ["no-sales"]


# -- marks


def test_marks_say_what_happened_when_in_the_order_of_time(site: Site) -> None:
    world = site.world
    world.count(
        world.created(**PLAN),
        world.distributed(channelName="NAVER", at="2026-11-02T09:00:00+09:00"),
        world.distributed(channelName="지니TV", status="FAILED", at="2026-11-03T09:00:00+09:00"),
        world.status_changed("ENDED", "2026-11-22T11:00:00+09:00"),
    )
    shown = [(each["at"][:10], each["kind"], each["channelName"], each["text"]["ko"]) for each in marks(site)]
    assert shown == [
        ("2026-11-01", "event-started", None, "이벤트 시작"),
        ("2026-11-02", "distribution-succeeded", "NaverBlog", "네이버 블로그 배포"),
        ("2026-11-03", "distribution-failed", "GenieTV", "지니TV 배포 실패"),
        ("2026-11-22", "status-changed", None, "상태: 종료"),
        ("2026-12-05", "event-ends", None, "종료 예정"),
    ]


def marks(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(site, "/insights")["marks"]
    return found


def test_outages_of_the_channels_of_an_event_during_its_life_are_marks(site: Site) -> None:
    world = site.world
    world.count(world.created(**PLAN), world.distributed(channelName="NAVER", at="2026-11-02T09:00:00+09:00"))
    world.rows(
        "INSERT INTO hannun.channel_outages VALUES "
        "('naverblog', '2026-10-30', '2026-10-31', 'failures'), ('naverblog', '2026-11-10', '2026-11-11', 'failures'), "
        "('naverblog', '2026-11-22', NULL, 'held'), ('wooritv', '2026-11-12', '2026-11-13', 'failures')"
    )
    found = [each for each in marks(site) if each["kind"] == "channel-outage"]
    assert [(each["at"], each["until"], each["channelName"], each["text"]["ko"]) for each in found] == [
        ("2026-11-10T09:00:00+09:00", "2026-11-11T09:00:00+09:00", "NaverBlog", "네이버 블로그 응답 없음"),
        ("2026-11-22T09:00:00+09:00", None, "NaverBlog", "네이버 블로그 측정 멈춤"),
    ]
    world.count(world.status_changed("ENDED", "2026-11-20T09:00:00+09:00"))
    assert [each["at"][:10] for each in marks(site) if each["kind"] == "channel-outage"] == ["2026-11-10"]


# -- months whose minutes are not kept


def test_a_month_that_is_not_kept_leaves_the_heat_map_and_changes_no_comparison(site: Site) -> None:
    world = site.world
    world.count(
        world.created(startDate="2026-09-01T00:00:00+09:00"),
        *(world.registered(at=f"2026-09-{day:02}T10:00:00+09:00") for day in range(20, 31)),
        *(world.registered(at=f"2026-10-0{day}T10:00:00+09:00") for day in range(1, 6)),
    )
    site.set_now("2026-10-05T03:00:00Z")
    before = get(site, "/insights")
    assert before["comparisons"]["week"]["previous"]["participants"] == 7 and before["heatMap"]["total"] == 16
    keep(site, months=1)
    after = get(site, "/insights")
    assert after["comparisons"] == before["comparisons"]
    assert after["heatMap"]["period"]["startDate"] == "2026-10-02T00:00:00+09:00", "the first whole day that is kept"
    assert after["heatMap"]["total"] == 4
    site.set_now("2026-10-01T14:00:00Z")
    found = get(site, "/insights")
    assert (found["heatMap"]["participants"], found["heatMap"]["total"]) == (None, None)
    assert found["provenance"]["heatMap"]["reason"] == "not-kept"


# -- over HTTP


def test_the_plain_answer_is_cached_for_a_minute_and_until_a_participant_comes(site: Site) -> None:
    site.set_now(datetime.now(UTC).replace(second=0, microsecond=0).isoformat())
    site.send(site.world.created(), site.world.registered("p1"))
    first = site.owner.get(f"{ANALYTICS}/insights")
    again = site.owner.get(f"{ANALYTICS}/insights", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.headers["ETag"]) == (304, first.headers["ETag"])
    for parameters in ({"tz": "UTC"}, {"weekStart": "sunday"}):
        for _ in range(2):
            assert site.owner.get(f"{ANALYTICS}/insights", params=parameters).headers["X-Data-Source"] == "live"
    key = f"analytics:insights:{SPRING}"
    site.world.wait_for("the plain answer to be cached", lambda: site.redis.exists(key))
    site.send(site.world.registered("p2"))
    assert not site.redis.exists(key)
    assert "2명" in get(site, "/insights")["headline"]["text"]["ko"]


BOUNDARIES = {
    "the minute ends": ("2026-11-23T12:34:20+09:00", {}, "2026-11-23T12:35:00+09:00"),
    "the day ends": ("2026-11-23T23:59:20+09:00", {}, "2026-11-24T00:00:00+09:00"),
    "the event begins": (
        "2026-11-23T12:34:20+09:00",
        {"startDate": "2026-11-23T12:34:40+09:00"},
        "2026-11-23T12:34:40+09:00",
    ),
    "its planned end comes": (
        "2026-11-23T12:34:20+09:00",
        {"endDate": "2026-11-23T12:34:50+09:00"},
        "2026-11-23T12:34:50+09:00",
    ),
}


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_an_answer_is_no_longer_returned_once_the_clock_has_passed_a_boundary(
    site: Site, boundary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, plan, until = BOUNDARIES[boundary]
    last = datetime.fromisoformat(until) - timedelta(milliseconds=1)
    site.world.count(site.world.created(**plan), *(site.world.registered() for _ in range(3)))
    sources = []
    for moment in (now, last.isoformat(), until):
        set_all_clocks(site, moment, monkeypatch)
        answer = site.owner.get(f"{ANALYTICS}/insights")
        sources.append(answer.headers["X-Data-Source"])
        key = f"analytics:insights:{SPRING}"
        site.world.wait_for("the answer to be cached", lambda key=key: site.redis.exists(key))
    assert sources == ["live", "cache", "live"]
    again = site.owner.get(f"{ANALYTICS}/insights", params={"refresh": "true"}).json()
    assert answer.json() == again


def set_all_clocks(site: Site, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock that answers depend on, and the one by which cached answers expire."""
    site.set_now(moment)
    since_1970 = datetime.fromisoformat(moment).timestamp()
    clock = SimpleNamespace(time=lambda: since_1970, monotonic=monotonic)
    monkeypatch.setattr("hannun.cache.answer_cache.time", clock)


def test_at_midnight_the_cached_answer_of_the_day_before_is_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    world = site.world
    world.count(world.created(**PLAN), *(world.registered(at="2026-11-23T11:00:00+09:00") for _ in range(30)))
    set_all_clocks(site, "2026-11-23T23:59:59+09:00", monkeypatch)
    assert get(site, "/insights")["comparisons"]["day"]["participants"] == 30
    set_all_clocks(site, "2026-11-24T00:00:00+09:00", monkeypatch)
    day = get(site, "/insights")["comparisons"]["day"]
    assert (day["participants"], day["period"]["startDate"]) == (0, "2026-11-24T00:00:00+09:00")


def test_a_share_link_opens_the_insights_and_what_cannot_be_asked_is_refused(site: Site) -> None:
    site.world.count(site.world.created())
    with visitor(site) as guest:
        assert guest.get(f"{ANALYTICS}/insights").status_code == 401
        open_link(guest, create_link(site.owner))
        assert guest.get(f"{ANALYTICS}/insights").json() == get(site, "/insights")
    for parameters, code in (({"tz": "Seoul"}, "unknown-zone"), ({"format": "csv"}, "unknown-parameter")):
        answer = site.owner.get(f"{ANALYTICS}/insights", params=parameters)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert site.owner.get("/api/v1/events/none/analytics/insights").status_code == 404
