"""The participants of today, and of yesterday up to the same time of day, in a merchant's list of events."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from served import Site
from world import OWNER, SPRING, World

from hannun.domain.channels import load_table
from hannun.domain.questions import MerchantDashboardQuestion, MerchantSubject
from hannun.domain.ranges import Range
from hannun.flows.report import merchant_loaders
from hannun.flows.report.snapshot import Loaded, Snapshot

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
EVENTS = (SPRING, SUMMER)
MINE = f"/api/v1/users/{OWNER}/analytics"
USER_KEY = f"analytics:user:{OWNER}"
DAYS = [  # zone, a moment: of ordinary days, of days of 23 and 25 hours and those after them, of a day without midnight
    ("Asia/Seoul", "2026-11-23T14:20:30+09:00"),
    ("Asia/Seoul", "2026-11-24T00:00:00+09:00"),
    ("America/New_York", "2026-03-08T11:07:00-04:00"),
    ("America/New_York", "2026-03-09T02:30:00-04:00"),
    ("America/New_York", "2026-11-01T01:30:00-05:00"),
    ("America/New_York", "2026-11-02T01:30:00-05:00"),
    ("Australia/Lord_Howe", "2026-10-04T12:10:00+11:00"),
    ("Africa/Cairo", "2026-04-24T10:00:00+03:00"),
]


def events_with_participants(world: World, around: datetime, seed: int) -> None:
    """Two events with 150 participants each, at random minutes of the three days before `around` and the day after."""
    random_ = random.Random(seed)
    for event in EVENTS:
        world.count(world.created(event, at="2026-01-01T00:00:00Z"))
        come = [around + timedelta(minutes=random_.randrange(-72 * 60, 24 * 60)) for _ in range(150)]
        world.count(*(world.registered(event=event, at=at.astimezone(UTC).isoformat()) for at in come))


def totals(site: Site, path: str, period: dict[str, Any]) -> int:
    parameters = {name: period[name] for name in ("startDate", "endDate", "tz")}
    participants: int = site.owner.get(path, params=parameters).json()["totals"]["participants"]
    return participants


@pytest.mark.parametrize(("zone", "moment"), DAYS)
def test_both_days_agree_with_the_timelines_of_the_same_ranges(site: Site, zone: str, moment: str) -> None:
    now = datetime.fromisoformat(moment).astimezone(ZoneInfo(zone))
    events_with_participants(site.world, now, seed=1)
    site.set_now(moment)
    for rolled_up in (False, True):
        if rolled_up:
            site.world.roll_up()
        answer = site.owner.get(MINE, params={"tz": zone}).json()
        sums = {"today": 0, "yesterday": 0}
        for event in answer["events"]:
            for day, field in (("today", "participantsToday"), ("yesterday", "participantsYesterday")):
                path = f"/api/v1/events/{event['eventId']}/analytics/timeline"
                assert event[field] == totals(site, path, answer[day])
                sums[day] += event[field]
        assert sums == {day: totals(site, f"{MINE}/timeline", answer[day]) for day in sums}
        assert sums["today"] > 0

    start, end = (datetime.fromisoformat(answer["today"][name]) for name in ("startDate", "endDate"))
    assert start <= now < end
    assert start.date() == now.date()
    assert end.date() == now.date() + timedelta(days=1)
    until = datetime.fromisoformat(answer["yesterday"]["endDate"])
    minute_over = (now.replace(second=0) + timedelta(minutes=1)).replace(tzinfo=None)
    wanted = minute_over - timedelta(days=1)
    by_clock = wanted.replace(tzinfo=ZoneInfo(zone), fold=now.fold).astimezone(UTC)
    if by_clock.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wanted:
        assert until == by_clock
    else:  # yesterday's clock left that time out: the first minute after it
        shown, before = (
            (until - earlier).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            for earlier in (timedelta(), timedelta(minutes=1))
        )
        assert before < wanted < shown


def load(world: World, now: datetime, zone: str) -> Loaded[Any]:
    """The figures of the merchant's dashboard at a moment, UTC without a zone."""

    async def read() -> Loaded[Any]:
        async with await psycopg.AsyncConnection.connect(world.url) as conn:
            snapshot = Snapshot(conn, now, load_table(), timedelta(minutes=10))
            question = MerchantDashboardQuestion(MerchantSubject(OWNER), Range(tz=zone))
            return await merchant_loaders.load_dashboard(snapshot, question)

    return asyncio.run(read())


@pytest.mark.parametrize(("zone", "moment"), DAYS)
def test_an_answer_holds_until_it_says_so_and_not_a_minute_longer_than_it_is_true(
    world: World, zone: str, moment: str
) -> None:
    """Read at every moment until which the answer before is valid, through a day and its midnights."""
    now = datetime.fromisoformat(moment).astimezone(UTC).replace(tzinfo=None)
    events_with_participants(world, now, seed=2)
    random_ = random.Random(3)
    for _ in range(20):
        loaded = load(world, now, zone)
        until = loaded.valid_until
        assert until is not None
        assert until > now
        last_minute = until - timedelta(minutes=1)
        for later in {last_minute, now + (last_minute - now) * random_.random()}:
            if later > now:
                again = load(world, later, zone).figures
                assert again.days.today == loaded.figures.days.today
                assert again.page == loaded.figures.page
        now = until + timedelta(seconds=random_.randrange(60))


def test_a_cached_answer_of_a_merchant_ends_with_the_minute_of_yesterdays_next_participant_or_at_midnight(
    site: Site,
) -> None:
    world = site.world
    world.count(world.created(), world.registered(at="2026-11-22T13:10:00+09:00"))
    world.count(world.registered(at="2026-11-22T23:59:30+09:00"))

    def today_and_yesterday(moment: str) -> tuple[int, int]:
        site.set_now(moment)
        (event,) = site.owner.get(MINE, params={"refresh": "true"}).json()["events"]
        return event["participantsToday"], event["participantsYesterday"]

    def cached_until() -> datetime:
        cached: Any = site.redis.get(USER_KEY)
        return datetime.fromtimestamp(json.loads(cached)["_hannun"]["until_ms"] / 1_000, ZoneInfo("Asia/Seoul"))

    assert today_and_yesterday("2026-11-23T13:05:40+09:00") == (0, 0)
    assert cached_until().isoformat() == "2026-11-23T13:10:00+09:00"
    assert today_and_yesterday("2026-11-23T23:30:00+09:00") == (0, 1)
    assert cached_until().isoformat() == "2026-11-23T23:59:00+09:00"
    assert today_and_yesterday("2026-11-23T23:59:00+09:00") == (0, 2)
    assert cached_until().isoformat() == "2026-11-24T00:00:00+09:00"
    assert today_and_yesterday("2026-11-24T00:00:00+09:00") == (0, 0)


def test_a_day_in_a_month_that_is_not_kept_is_null_and_the_other_is_counted(world: World, site: Site) -> None:
    world.count(world.created(SPRING), world.created(SUMMER))
    world.count(world.registered(at="2026-11-01T05:00:00+09:00"), world.registered(at="2026-11-02T11:00:00+09:00"))
    with world.owner_connection() as owner:
        owner.execute("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_10")
    site.set_now("2026-11-02T12:00:00+09:00")  # yesterday began in October, by UTC
    events = site.owner.get(MINE).json()["events"]
    days = {event["eventId"]: (event["participantsToday"], event["participantsYesterday"]) for event in events}
    assert days == {SPRING: (1, None), SUMMER: (0, 0)}


def test_a_page_of_500_events_is_one_answer(site: Site) -> None:
    world = site.world
    world.count(*(world.created(f"event-{number:03}") for number in range(501)))
    page = site.owner.get(MINE, params={"limit": 500}).json()
    assert (page["totalEvents"], len(page["events"])) == (501, 500)
    rest = site.owner.get(MINE, params={"limit": 500, "cursor": page["nextCursor"]}).json()
    assert (len(rest["events"]), rest["nextCursor"]) == (1, None)
    refused = site.owner.get(MINE, params={"limit": 501})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-parameter")


def test_the_money_of_listed_events_adds_up_to_the_totals(site: Site) -> None:
    world = site.world
    world.count(world.created(totalInvestment=100_000), world.distributed(channelName="NAVER", distributionCost=5))
    world.count(world.created(SUMMER, totalInvestment=20_000), world.sold(7_000))
    answer = site.owner.get(MINE).json()
    money = {event["eventId"]: (event["investment"], event["recordedRevenue"]) for event in answer["events"]}
    assert money == {SPRING: (100_005, 7_000), SUMMER: (20_000, None)}
    assert answer["roi"]["investment"]["total"] == 120_005
    assert answer["roi"]["revenue"]["recorded"] == 7_000
