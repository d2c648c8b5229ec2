"""What the page says about when an event runs."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from browsing import EVENT, Browser, signed_in
from playwright.sync_api import expect
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


def test_an_event_in_the_future_has_not_started_and_loses_nothing(site: Site, browser: Browser) -> None:
    start, end = days_from_now(2), days_from_now(9)
    site.send(site.world.created(**plan(start, end)), site.world.registered("early"))
    page = signed_in(site, browser.new_page())
    card = page.locator(".event-card")
    expect(card.locator(".status")).to_have_text("시작 전")
    expect(card).to_contain_text(f"{in_korean(start)} – {end_after(start, end)} 종료 예정")
    card.click()
    expect(page.locator(".status")).to_have_text("시작 전")
    headline = page.locator(".headline")
    expect(headline).to_have_text(f"아직 시작하지 않았어요. {with_time(start)}에 시작해요. 지금까지 1명이 참여했어요.")
    expect(page.locator("main")).not_to_contain_text(re.compile("진행 중|손실"))
    page.goto(f"{site.address}{EVENT}?lang=en")
    expect(headline).to_contain_text("It has not started yet.")
    expect(page.locator("main")).not_to_contain_text(re.compile("running|loss|loses", re.IGNORECASE))
    assert browser.unexpected_messages() == []


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
