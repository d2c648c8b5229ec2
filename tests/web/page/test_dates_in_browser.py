"""What the page says about when an event runs."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from browsing import EVENT, Browser, signed_in, without_insights
from playwright.sync_api import Page, expect
from served import Site, open_site
from world import World

pytestmark = pytest.mark.browser

SEOUL = ZoneInfo("Asia/Seoul")
PLAN = {"totalInvestment": 100_000, "expectedRevenue": 40_000}


@pytest.fixture
def site(world: World) -> Any:
    """A site without events."""
    with open_site(world) as site:
        yield site


def days_from_now(days: float) -> datetime:
    """A whole minute, some days from now, in Seoul."""
    return (datetime.now(UTC) + timedelta(days=days)).replace(second=0, microsecond=0).astimezone(SEOUL)


def in_korean(moment: datetime) -> str:
    return f"{moment.year}년 {moment.month}월 {moment.day}일"


def with_time(moment: datetime) -> str:
    return f"{in_korean(moment)} {moment:%H:%M}"


def end_after(start: datetime, end: datetime) -> str:
    """The end of a period as the page shows it: without the year if it is the year of the start."""
    return with_time(end).removeprefix(f"{start.year}년 ")


def plan(start: datetime | None, end: datetime | None) -> dict[str, Any]:
    dates = {"startDate": start, "endDate": end}
    return PLAN | {name: at.isoformat() for name, at in dates.items() if at is not None}


@pytest.mark.usefixtures("no_first_numbers")
def test_an_event_in_the_future_has_not_started_and_loses_nothing(site: Site, browser: Browser) -> None:
    start, end = days_from_now(2), days_from_now(9)
    site.send(site.world.created(**plan(start, end)), site.world.registered("early"))
    page = signed_in(site, without_insights(browser.new_page()))
    card = page.locator(".event-card")
    date = in_korean(start).removeprefix(f"{datetime.now(start.tzinfo).year}년 ")
    expect(card.locator(".event-state")).to_have_text(f"예정 · {date}부터")
    card.click()
    expect(page.locator(".status")).to_have_text("예정")
    expect(page.locator("main")).to_contain_text(f"{in_korean(start)} – {end_after(start, end)} 종료 예정")
    headline = page.locator(".headline")
    expect(headline).to_have_text(f"아직 시작하지 않았어요. {with_time(start)}에 시작해요. 지금까지 1명이 참여했어요.")
    expect(page.locator("main")).not_to_contain_text(re.compile("진행 중|손실"))
    page.goto(f"{site.address}{EVENT}?lang=en")
    expect(headline).to_contain_text("It has not started yet.")
    expect(page.locator("main")).not_to_contain_text(re.compile("[Rr]unning|[Ll]oss|it loses"))
    assert browser.unexpected_messages(503) == []


def test_a_running_event_shows_its_planned_end(site: Site, browser: Browser) -> None:
    start, end = days_from_now(-3), days_from_now(4)
    site.send(site.world.created(**plan(start, end)))
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".period")).to_have_text(f"진행 중 {in_korean(start)} – {end_after(start, end)} 종료 예정")
    page.get_by_role("link", name="English").click()
    expect(page.locator(".period")).to_contain_text("(planned end)")


def test_an_event_without_a_planned_end_says_so(site: Site, browser: Browser) -> None:
    start = days_from_now(-3)
    site.send(site.world.created(**plan(start, None)))
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".period")).to_have_text(f"진행 중 {in_korean(start)} 시작 · 종료일 미정")


def test_an_event_past_its_planned_end_does_not_run_until_it_is_ended(site: Site, browser: Browser) -> None:
    world = site.world
    start, end = days_from_now(-9), days_from_now(-2)
    site.send(world.created(**plan(start, end)))
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".status")).to_have_text("종료 예정일 지남")
    site.send(world.status_changed("ENDED", days_from_now(-1).isoformat()))
    expect(page.locator(".period")).to_have_text(f"종료 {in_korean(start)} – {end_after(start, end)}")


def test_an_event_that_was_ended_early_did_not_run_until_its_planned_end(site: Site, browser: Browser) -> None:
    world = site.world
    start = days_from_now(-9)
    site.send(world.created(**plan(start, days_from_now(5))))
    site.send(world.status_changed("ENDED", days_from_now(-1).isoformat()))
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".period")).to_have_text(f"종료 {in_korean(start)} 시작")


def test_the_trend_sentence_is_about_the_time_since_the_event_began(site: Site, browser: Browser) -> None:
    """Participants fall from hour to hour. Over 48 hours, of which the event ran only 12, they would seem to rise."""
    world = site.world
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=ago) for ago in range(12, 0, -1)]
    people = [
        world.registered(f"{hour}-{who}", at=at.isoformat())
        for hour, at in enumerate(hours)
        for who in range(3 * (12 - hour))
    ]
    site.send(world.created(**plan(None, None)), *people)
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".readout")).to_contain_text("줄어드는 흐름이에요.")
    site.send(world.status_changed("ENDED", datetime.now(UTC).isoformat()))
    expect(page.locator(".status")).to_have_text("종료")
    expect(page.locator(".readout")).not_to_contain_text("흐름")  # an ended event has no trend any more


def at_hour(days: int, hour: int) -> datetime:
    """An hour of a day in Seoul, some days from today."""
    return (datetime.now(SEOUL) + timedelta(days=days)).replace(hour=hour, minute=0, second=0, microsecond=0)


def ranges(page: Page) -> list[str]:
    """The names of the chart's ranges; the shown one has a star."""
    links = page.locator(".ranges a").all()
    return [f"{link.text_content()}{'*' if link.get_attribute('aria-current') else ''}" for link in links]


def expect_ranges(page: Page, *names: str) -> None:
    expect(page.locator(".ranges a[aria-current]")).to_have_text(next(name for name in names if "*" in name)[:-1])
    assert ranges(page) == list(names)


def test_an_ended_event_opens_on_its_own_period(site: Site, browser: Browser) -> None:
    world = site.world
    start = at_hour(-40, 10)
    end = start + timedelta(days=10, hours=8)
    people = [world.registered(f"p{i}", at=(start + timedelta(days=i)).isoformat()) for i in range(9)]
    site.send(world.created(**plan(start, end)), *people, world.status_changed("ENDED", end.isoformat()))
    page = browser.new_page()
    with page.expect_response(re.compile("/timeline")) as first:
        signed_in(site, page, f"{EVENT}?table=1")
    assert f"startDate={start:%Y-%m-%d}&endDate={end + timedelta(days=1):%Y-%m-%d}" in first.value.url
    expect_ranges(page, "이벤트 기간*", "전체")
    expect(page.locator(".readout")).to_contain_text("이벤트 기간에 9명이 참여했어요.")
    rows = page.locator(".chart-table tbody tr")
    expect(rows).to_have_count(11)
    expect(page.locator(".chart")).not_to_contain_text("집계 중")
    page.get_by_role("link", name="전체", exact=True).click()
    expect(page.locator(".readout")).to_contain_text("처음부터 지금까지 9명이 참여했어요.")
    page.goto(f"{site.address}{EVENT}?view=48h&lang=en")
    expect(page.locator(".readout")).to_have_text("In the last 48 hours, nobody joined.")  # what the URL says
    expect_ranges(page, "48 h*", "Event", "All")
    assert browser.unexpected_messages() == []


def test_an_event_of_one_day_is_shown_by_its_hours(site: Site, browser: Browser) -> None:
    world = site.world
    start = at_hour(-9, 10)
    end = start + timedelta(hours=8)
    people = [world.registered(f"p{i}", at=start.isoformat()) for i in range(3)]
    site.send(world.created(**plan(start, end)), *people, world.status_changed("ENDED", end.isoformat()))
    page = signed_in(site, browser.new_page(), f"{EVENT}?table=1")
    expect(page.locator(".readout")).to_contain_text(f"{start.month}월 {start.day}일 10시, 3명")
    expect(page.locator(".chart-table tbody tr")).to_have_count(24)
    expect(page.locator("#chart-title")).to_have_text("시간별 참여자")
    expect(page.locator(".chart")).not_to_contain_text("집계 중")


def test_a_planned_event_explains_why_it_has_no_chart(site: Site, browser: Browser) -> None:
    world = site.world
    site.send(world.created(**plan(days_from_now(2), days_from_now(9))))
    page = signed_in(site, browser.new_page(), EVENT)
    chart = page.locator(".chart")
    expect(chart).to_contain_text("아직 시작하지 않았어요. 첫 참여가 들어오면 여기에 흐름이 나타나요.")
    expect(chart).not_to_contain_text("48시간")
    expect(page.locator(".plot canvas")).to_have_count(0)
    site.send(world.registered("early", at=datetime.now(UTC).isoformat()))
    expect(page.locator(".plot canvas")).to_be_visible()
    expect_ranges(page, "2시간", "48시간", "7일", "30일", "전체*")
    expect(page.locator(".readout")).to_contain_text("처음부터 지금까지 1명이 참여했어요.")
    assert browser.unexpected_messages() == []


def test_an_event_past_its_planned_end_opens_on_its_period_until_now(site: Site, browser: Browser) -> None:
    world = site.world
    late = world.registered("late", at=datetime.now(UTC).isoformat())
    site.send(world.created(**plan(days_from_now(-12), days_from_now(-5))), late)
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".readout")).to_contain_text("이벤트 기간에 1명이 참여했어요.")
    expect_ranges(page, "48시간", "이벤트 기간*", "전체")


def test_an_open_chart_follows_the_end_of_its_event(site: Site, browser: Browser) -> None:
    world = site.world
    site.send(world.created(**plan(days_from_now(-3), days_from_now(4))))
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".readout")).to_have_text("최근 48시간 동안 새 참여가 없었어요.")
    expect_ranges(page, "2시간", "48시간*", "7일", "30일", "전체")
    site.send(world.status_changed("ENDED", datetime.now(UTC).isoformat()))
    expect(page.locator(".readout")).to_have_text("이벤트 기간에 새 참여가 없었어요.")
    expect_ranges(page, "이벤트 기간*", "전체")


@pytest.mark.parametrize(("start", "end"), [(3, 9), (-3, -9), (None, -9), (3, None)])
def test_an_ended_event_with_an_odd_plan_has_a_chart(
    site: Site, browser: Browser, start: float | None, end: float | None
) -> None:
    """Ended before its start, ending before it starts, and with only one of both: no range of it is refused."""
    world = site.world
    dates = plan(*(None if days is None else days_from_now(days) for days in (start, end)))
    site.send(world.created(**dates), world.status_changed("ENDED", datetime.now(UTC).isoformat()))
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".readout")).to_have_text("이벤트 기간에 새 참여가 없었어요.")
    assert browser.unexpected_messages() == []


def test_hours_that_begin_at_the_half_hour_are_whole(site: Site, browser: Browser) -> None:
    site.send(site.world.created(**plan(days_from_now(-3), None)))
    page = signed_in(site, browser.new_page(), f"{EVENT}?table=1&tz=Asia/Kolkata")
    rows = page.locator(".chart-table tbody tr")
    expect(rows.first).to_contain_text("집계 중")  # the current hour
    expect(rows.filter(has_text="집계 중")).to_have_count(1)


def test_only_events_that_go_on_say_that_nobody_joined_lately(site: Site, browser: Browser) -> None:
    world = site.world
    site.send(
        world.created("ended", eventTitle="ended", **plan(days_from_now(-9), days_from_now(-2))),
        world.status_changed("ENDED", days_from_now(-2).isoformat(), "ended"),
        world.created("ahead", eventTitle="ahead", **plan(days_from_now(2), days_from_now(9))),
        world.created("open", eventTitle="open", **plan(days_from_now(-2), days_from_now(9))),
    )
    page = signed_in(site, browser.new_page())
    cards = page.locator(".event-card")
    expect(cards).to_have_count(3)
    assert cards.filter(has_text="오늘").locator(".event-title").all_text_contents() == ["open"]
    expect(page.locator(".spark")).to_have_count(1)
    site.send(world.registered("early", "ahead", at=datetime.now(UTC).isoformat()))
    expect(cards.filter(has_text="ahead")).to_contain_text("오늘 +1명")
