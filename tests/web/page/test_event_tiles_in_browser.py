"""The tiles of an event: what they show, and that a tap shows their metric in the chart."""

import re
from typing import Any

import pytest
from browsing import EVENT, Browser, hours_ago, signed_in, tile
from playwright.sync_api import Page, Position, expect
from served import Site, open_site
from world import World

pytestmark = pytest.mark.browser

PHONE = (390, 844)
FIGURE = Position(x=40, y=60)
"""Where a tile has its figure."""


@pytest.fixture
def site(running: Site) -> Site:
    """All tests here are of a running event."""
    return running


def metric_buttons(page: Page) -> dict[str, str]:
    """The tiles that show a metric in the chart, each with whether the chart shows it."""
    buttons = page.locator(".metric-button").all()
    return {button.text_content() or "": button.get_attribute("aria-pressed") or "" for button in buttons}


def test_the_first_screen_of_a_phone_holds_the_answer_and_the_beginning_of_the_chart(
    site: Site, browser: Browser
) -> None:
    page = signed_in(site, browser.new_page(*PHONE, has_touch=True, is_mobile=True), EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    change = tile(page, "참여자").get_by_text("전일 대비").first
    expect(change).to_be_visible()
    whole = [
        page.locator("h1"),
        page.locator(".headline"),
        change,
        tile(page, "현재 ROI"),
        page.locator("#chart-title"),
    ]
    for part in whole:
        box = part.bounding_box()
        assert box is not None and box["y"] + box["height"] < 844, part
    plot = page.locator(".plot canvas").bounding_box()
    assert plot is not None and plot["y"] < 844


def test_each_tile_shows_its_figure_and_the_change_of_today(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(tile(page, "참여자")).to_contain_text("6명")
    expect(tile(page, "참여자").locator(".change").first).to_have_text(re.compile("전일 대비 ▲ 50% 늘었어요"))
    expect(tile(page, "현재 ROI")).to_contain_text("41.75% 손실")
    expect(tile(page, "현재 ROI")).to_contain_text("목표 50%까지 91.75%p 남았어요")
    expect(tile(page, "조회수")).to_contain_text("90회")
    expect(tile(page, "참여율")).to_contain_text("6.67%")
    expect(
        tile(
            page,
            "전환",
        )
    ).to_contain_text("12건")
    expect(tile(page, "참여자당 비용")).to_contain_text("17,167원")
    page.goto(f"{site.address}{EVENT}?lang=en")
    expect(tile(page, "Participants").locator(".change").first).to_have_text(re.compile(r"vs\. yesterday ▲ 50% up"))
    assert browser.unexpected_messages() == []


def test_a_tap_on_a_tile_shows_its_metric_in_the_chart(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    title = page.locator("#chart-title")
    expect(title).to_have_text("시간별 참여자")
    assert metric_buttons(page) == {"참여자": "true", "조회수": "false", "참여율": "false", "전환": "false"}
    tile(page, "조회수").click(position=FIGURE)  # the whole tile is the button
    expect(title).to_have_text("시간별 조회수")
    expect(page.locator(".readout")).to_contain_text("최근 48시간 동안 조회수는 90회예요.")
    assert page.url.endswith("?metric=views")
    assert metric_buttons(page) == {"참여자": "false", "조회수": "true", "참여율": "false", "전환": "false"}
    tile(page, "전환").get_by_role("button", name="전환", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".readout")).to_contain_text("최근 48시간 동안 전환은 12건이에요.")
    page.keyboard.press("Enter")
    expect(title).to_have_text("시간별 전환")  # a second press does not undo the first
    tile(page, "참여율").get_by_role("button", name="참여율", exact=True).click()
    expect(page.locator(".readout")).to_contain_text("참여율은")
    tile(page, "참여자").click(position=FIGURE)
    expect(title).to_have_text("시간별 참여자")
    assert page.url == site.address + EVENT
    assert browser.unexpected_messages() == []


def test_a_tap_on_a_change_explains_it_with_the_numbers_that_went_in(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(*PHONE), EVENT)
    expected = {
        "comparisons.day.delta": "(3명 − 2명) ÷ 2명 = +50%",
        "comparisons.week.delta": "(5명 − 1명) ÷ 1명 = +400%",
        "summary.delta.totalViews": "‘이전 기간 조회수’ 값이 0이라 나눌 수 없어요.",
    }
    for path, formula in expected.items():
        page.locator(f'.change [data-figure="{path}"]').click()
        sheet = page.get_by_role("dialog")
        expect(sheet.locator(".formula")).to_contain_text(formula)
        page.keyboard.press("Escape")
        expect(sheet).to_have_count(0)
    page.locator('.change [data-figure="comparisons.day.delta"]').click()
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("오늘 지금까지 온 참여자가 어제 같은 시각까지보다 얼마나 달라졌는지예요.")
    sheet.get_by_role("button", name="어제 같은 시각까지 참여자").click()
    expect(sheet.locator(".formula-numbers")).to_have_text("2명")
    assert "metric" not in page.url, "the tile below the change was not tapped"
    assert browser.unexpected_messages() == []


def test_the_button_of_a_definition_leaves_the_chart_as_it_is(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(*PHONE, has_touch=True, is_mobile=True), EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    page.get_by_role("button", name="조회수: 뜻 보기").click()
    expect(page.get_by_role("dialog")).to_contain_text("조회수")
    expect(page.locator("#chart-title")).to_have_text("시간별 참여자")


def test_a_figure_without_a_time_series_has_no_button(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    for name in ("참여자당 비용", "현재 ROI"):
        expect(tile(page, name).locator(".metric-button")).to_have_count(0)
        tile(page, name).click(position=FIGURE)
    expect(page.locator("#chart-title")).to_have_text("시간별 참여자")


def test_a_metric_that_no_channel_has_reported_has_no_chart(world: World, browser: Browser) -> None:
    with open_site(world) as site:
        world.count(world.created(), world.registered("one", at=hours_ago(1).isoformat()))
        page = signed_in(site, browser.new_page(), f"{EVENT}?metric=views")
        expect(page.locator(".readout")).to_have_text("채널에서 아직 받은 수가 없어 그릴 수 없어요.")
        expect(page.locator(".plot canvas")).to_have_count(0)
        tile(page, "참여자").click(position=FIGURE)
        expect(page.locator(".plot canvas")).to_be_visible()


def test_an_event_that_is_over_is_not_compared_with_yesterday(site: Site, browser: Browser) -> None:
    site.send(site.world.status_changed("ENDED", hours_ago(1).isoformat()))
    requested: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: requested.append(request.url))
    signed_in(site, page, EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    expect(page.locator(".change")).to_have_count(0)
    assert [url for url in requested if re.search(r"analytics\?.*startDate", url)] == []


def test_the_page_is_whole_without_the_comparison(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    held: list[Any] = []
    page.route(re.compile(r"/analytics\?.*startDate"), lambda route: held.append(route))
    signed_in(site, page, EVENT)
    expect(page.locator(".live-state")).to_have_text("실시간")
    expect(tile(page, "참여자")).to_contain_text("6명")
    expect(page.locator(".plot canvas")).to_be_visible()
    held[0].fulfill(status=503, json={"code": "unavailable"})
    expect(page.locator(".live-warning")).to_have_count(0)
    assert browser.unexpected_messages(503) == []
