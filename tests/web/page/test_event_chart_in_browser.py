"""The chart of an event: its ranges, buckets, comparison and cumulative view, all of them in the URL."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import EVENT, Browser, signed_in, tile
from playwright.sync_api import Page, expect
from served import Site, open_site
from world import SPRING, World

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"


def days_ago(days: float) -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=days)


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    """A running event with participants in the last 48 hours, in the 48 before, and three weeks ago."""
    with open_site(world) as site:
        site.send(
            world.created(startDate=days_ago(25).isoformat(), endDate=days_ago(-5).isoformat()),
            world.distributed(channelName="NAVER", at=days_ago(0.5).isoformat()),
        )
        days = (0.1, 0.2, 0.3, 2.4, 2.5, 20)
        site.send(*(world.registered(channel="NAVER", at=days_ago(day).isoformat()) for day in days))
        world.record_measurement(
            SPRING, "NaverBlog", f"{days_ago(0.2):%Y-%m-%d %H:%M}", {"views": 60, "clicks": 30, "conversions": 6}
        )
        yield site


def query_of(url: str) -> dict[str, str]:
    """The query of a URL."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def step(page: Page, name: str) -> str:
    """Press a step to an earlier range; return the URL of its timeline. A live update may ask for the newest too."""
    with page.expect_response(re.compile("/timeline.*endDate")) as timeline:
        page.get_by_role("button", name=name, exact=True).click()
    return timeline.value.url


def test_a_step_shows_the_range_before_and_never_the_future(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    with page.expect_response(re.compile("/timeline")) as first:
        signed_in(site, page, EVENT)
    later = page.get_by_role("button", name="다음 기간", exact=True)
    expect(later).to_have_attribute("aria-disabled", "true")
    expect(page.locator(".readout")).to_contain_text("3명이 참여했어요")
    newest, before = query_of(first.value.url), query_of(step(page, "이전 기간"))
    assert "endDate" not in newest
    assert moment(before["endDate"]) - moment(before["startDate"]) == timedelta(days=2)
    assert moment(before["endDate"]) == moment(newest["startDate"])
    expect(page.locator(".readout")).to_contain_text("2명이 참여했어요")
    expect(later).to_have_attribute("aria-disabled", "false")
    assert page.url.endswith("?offset=-1")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".readout")).to_contain_text("최근 48시간 동안 3명이")
    page.keyboard.press("ArrowRight")  # the end of the ranges
    assert page.url == site.address + EVENT
    page.goto(f"{site.address}{EVENT}?offset=3")
    expect(page.locator(".readout")).to_contain_text("최근 48시간 동안 3명이")
    page.goto(f"{site.address}{EVENT}?view=30d")
    expect(page.locator(".readout")).to_contain_text("최근 30일 동안 6명이")
    earlier = page.get_by_role("button", name="이전 기간", exact=True)
    expect(earlier).to_have_attribute("aria-disabled", "true")  # the event began in this range
    assert browser.unexpected_messages() == []


def test_buckets_that_were_chosen_stay_in_each_range_that_has_them(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), f"{EVENT}?view=all&granularity=weekly")
    ranges, buckets = (page.get_by_role("navigation", name=name, exact=True) for name in ("기간", "간격"))
    ranges.get_by_role("link", name="30일").click()
    expect(buckets.get_by_role("link", name="주", exact=True)).to_have_attribute("aria-current", "true")
    assert query_of(page.url) == {"view": "30d", "granularity": "weekly"}
    ranges.get_by_role("link", name="7일").click()
    expect(buckets.get_by_role("link", name="일", exact=True)).to_have_attribute("aria-current", "true")
    assert query_of(page.url) == {"view": "7d"}


def test_a_key_for_buckets_that_no_range_has_says_so(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    page.keyboard.press("m")
    note = page.locator(".key-note")
    expect(note).to_have_text("월별로 볼 만큼 길지 않아요")
    assert page.url == site.address + EVENT
    page.keyboard.press("w")  # the shortest range that has weeks
    expect(note).to_have_text("")
    assert query_of(page.url) == {"view": "30d", "granularity": "weekly"}


def test_the_comparison_is_with_the_same_elapsed_part_of_the_range_before(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), f"{EVENT}?table=1")
    expect(page.locator(".plot canvas")).to_be_visible()
    with page.expect_response(re.compile("/timeline.*endDate")) as compared:
        page.get_by_role("button", name="이전 기간과 비교").click()
    range_before = query_of(compared.value.url)
    elapsed = datetime.now(UTC) - timedelta(days=2) - moment(range_before["endDate"])
    assert timedelta(0) <= elapsed < timedelta(minutes=5)
    expect(page.locator(".readout")).to_contain_text(re.compile(r"이전 기간\(\d+/\d+ – \d+/\d+\)보다 50% 늘었어요"))
    expect(page.locator(".legend li")).to_have_count(2)
    expect(page.locator(".chart-table thead th")).to_have_text(["시각", "참여자", "이전 기간", "누적 참여자"])
    assert page.url.endswith("?table=1&compare=1")
    page.get_by_role("button", name="이전 기간과 비교").click()
    expect(page.locator(".chart-table thead th")).to_have_count(3)
    assert browser.unexpected_messages() == []


def test_the_cumulative_view_has_one_axis_and_ends_at_the_total(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), f"{EVENT}?view=all&table=1")
    expect(page.locator(".u-axis")).to_have_count(2)  # time and participants
    page.get_by_role("button", name="누적", exact=True).click()
    expect(page.locator("#chart-title")).to_have_text("누적 참여자")
    expect(page.locator(".chart-table tbody tr").first.locator("td")).to_have_text(["6"])
    expect(page.locator(".u-axis")).to_have_count(2)
    tile(page, "조회수").get_by_role("button", name="조회수", exact=True).click()
    expect(page.locator(".chart-table tbody tr").first.locator("td")).to_have_text(["60"])


def test_a_copied_address_shows_the_same_chart(site: Site, browser: Browser) -> None:
    query = "?view=7d&metric=conversions&granularity=hourly&offset=-1&compare=1&cumulative=1&table=1"
    page = signed_in(site, browser.new_page(), EVENT + query)
    expect(page.locator("#chart-title")).to_have_text("누적 전환")
    expect(page.locator(".ranges a[aria-current]")).to_have_text("7일")
    expect(page.locator(".segments.small a[aria-current]")).to_have_text("시간")
    for name in ("이전 기간과 비교", "누적", "전환"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".chart-table thead th")).to_have_text(["시각", "누적 전환", "이전 기간"])
    expect(page.get_by_role("button", name="다음 기간", exact=True)).to_have_attribute("aria-disabled", "false")
    assert page.url == site.address + EVENT + query


def test_keys_choose_the_buckets_and_open_the_export(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    for key, title in (("d", "일별 참여자"), ("w", "주별 참여자"), ("d", "일별 참여자")):
        page.keyboard.press(key)
        expect(page.locator("#chart-title")).to_have_text(title)
    with page.expect_response(re.compile("/timeline")):
        page.keyboard.press("r")
    page.keyboard.press("x")
    expect(page.get_by_role("dialog", name="내보내기", exact=True)).to_be_visible()


def test_the_keyboard_reads_the_buckets_of_the_chart(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), f"{EVENT}?view=30d")
    chart = page.get_by_role("slider", name="일별 참여자")
    expect(page.locator(".plot canvas")).to_be_visible()  # the chart's library comes after the numbers
    expect(page.locator(".live-state")).to_have_text("실시간")
    chart.focus()
    page.keyboard.press("End")
    expect(page.locator(".readout")).to_contain_text("아직 채워지는 중")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".readout.at-cursor")).to_be_visible()
    expect(chart).to_have_attribute("aria-valuetext", page.locator(".readout").text_content() or "-")
    assert "offset" not in page.url  # the key moves in the chart, and not to another range
    page.keyboard.press("Escape")
    expect(page.locator(".readout")).to_contain_text("최근 30일 동안")


def test_what_happened_is_marked_and_listed(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    marks = page.locator(".chart-marks")
    expect(marks.locator("summary")).to_have_text("그래프의 표시 1개")
    marks.locator("summary").click()
    expect(marks.locator("li")).to_contain_text("네이버 블로그 배포")
    page.get_by_role("link", name="English").click()
    expect(page.locator(".chart-marks li")).to_contain_text("Distributed on Naver Blog")


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
@pytest.mark.parametrize("size", [(390, 844), (1440, 900)])
def test_every_state_of_the_chart_is_accessible(site: Site, browser: Browser, size: tuple[int, int]) -> None:
    page = browser.new_page(*size, bypass_csp=True)
    found = {}
    for query in ("?metric=views&table=1", "?compare=1&view=7d&lang=en", "?metric=participationRate&cumulative=1"):
        signed_in(site, page, EVENT + query)
        expect(page.locator(".plot canvas")).to_be_visible()
        page.add_script_tag(path=AXE)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
            found[f"{query} {scheme}"] = [(rule["id"], rule["nodes"][0]["html"][:120]) for rule in violations]
    assert found == {state: [] for state in found}
