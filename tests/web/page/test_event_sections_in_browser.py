"""What stands below the chart of an event: advice, channels, funnel, money, and when participants come."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from browsing import ANALYTICS, EVENT, Browser, digits, screenshot, signed_in
from playwright.sync_api import Page, expect
from served import Site

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"
DAYS = ("월요일", "화요일", "수요일", "목요일", "금요일", "토요일", "일요일")


def channel_names(page: Page) -> list[str]:
    """The titles in the table of channels, from top to bottom."""
    return page.locator(".channels tbody tr .cell-name > span").all_inner_texts()


@pytest.fixture
def visited(measured: Site) -> Site:
    """The measured site, with participants at 18:00 of three days, and one at another time."""
    now = datetime.now(UTC)
    evening = now.replace(hour=9, minute=5, second=0, microsecond=0)  # 18:05 in Seoul
    moments = [evening - timedelta(days=7)] * 10 + [evening - timedelta(days=2), evening - timedelta(days=3, hours=4)]
    measured.world.count(
        *(measured.world.registered(f"visitor {i}", at=at.isoformat()) for i, at in enumerate(moments))
    )
    return measured


# -- advice --------------------------------------------------------------------------------------------------------


def test_the_advice_is_that_of_the_service_and_leads_to_what_it_stands_on(measured: Site, browser: Browser) -> None:
    page = signed_in(measured, browser.new_page(), EVENT)
    advice = measured.owner.get(f"{ANALYTICS}/insights?tz=Asia/Seoul").json()["advice"]
    assert advice[0]["code"] == "channel-silent"
    items = page.locator(".advice-item")
    expect(items).to_have_count(len(advice))
    for at, each in enumerate(advice):
        expect(items.nth(at).locator(".advice-text")).to_have_text(each["text"]["ko"])
        expect(items.nth(at).locator(".advice-why")).to_have_text(each["why"]["ko"])
    items.first.get_by_role("button", name="채널 상태 보기").click()
    expect(page.get_by_role("heading", name="채널", exact=True)).to_be_focused()
    assert browser.unexpected_messages() == []


def test_on_a_phone_the_numbers_of_an_advice_are_shown_on_request(measured: Site, browser: Browser) -> None:
    page = signed_in(measured, browser.new_page(390, 844), EVENT)
    first = page.locator(".advice-item").first
    facts = first.get_by_role("list", name="근거가 된 숫자")
    expect(first).to_be_visible()
    expect(facts).to_be_hidden()
    first.get_by_role("button", name="숫자 보기").click()
    expect(facts).to_be_visible()
    first.get_by_role("button", name="숫자 접기").click()
    expect(facts).to_be_hidden()
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(facts).to_be_visible()
    expect(first.locator(".facts-switch")).to_be_hidden()


def test_without_advice_the_page_says_so(site: Site, browser: Browser) -> None:
    assert site.owner.get(f"{ANALYTICS}/insights").json()["advice"] == []
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".advice")).to_contain_text("지금은 따로 챙길 것이 없어요.")


def test_an_event_of_which_nothing_was_received_says_how_it_comes_in(site: Site, browser: Browser) -> None:
    site.world.count(site.world.created("quiet"))
    page = signed_in(site, browser.new_page(), "/events/quiet")
    advice = page.locator(".advice")
    expect(advice).to_contain_text("배포와 참여가 연결되어 있는지 확인해 보세요.")
    expect(advice.get_by_role("link", name="API 문서")).to_have_attribute("href", "/docs")


@pytest.mark.usefixtures("no_first_numbers")
def test_without_insights_the_rest_of_the_page_stays_and_a_press_loads_them(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.route("**/insights*", lambda route: route.abort())
    signed_in(site, page, EVENT)
    expect(page.locator(".advice")).to_contain_text("제안을 불러오지 못했어요.")
    expect(page.locator(".heat-map")).to_contain_text("요일과 시간대를 불러오지 못했어요.")
    expect(page.locator(".channels tr.total .cell-participants")).to_contain_text("7")
    expect(page.locator(".live-state")).to_have_text("실시간")
    page.unroute("**/insights*")
    page.locator(".heat-map").get_by_role("button", name="다시 해 보기").click()
    expect(page.locator(".advice")).to_contain_text("지금은 따로 챙길 것이 없어요.")
    expect(page.locator(".retry-note")).to_have_count(0)


# -- channels ------------------------------------------------------------------------------------------------------


def test_the_channels_are_sorted_by_any_column_with_the_keyboard(measured: Site, browser: Browser) -> None:
    page = signed_in(measured, browser.new_page(1440, 900), EVENT)
    expect(page.get_by_role("columnheader", name="참여자", exact=True)).to_have_attribute("aria-sort", "descending")
    assert channel_names(page)[:2] == ["네이버 블로그", "우리동네TV"]
    cost = page.get_by_role("columnheader", name="비용", exact=True)
    cost.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(cost).to_have_attribute("aria-sort", "ascending")
    assert channel_names(page) == ["지니TV", "네이버 블로그", "우리동네TV", "링고비즈", "인스타그램", "채널 미확인"]
    page.keyboard.press("Enter")
    expect(cost).to_have_attribute("aria-sort", "descending")
    assert channel_names(page) == ["인스타그램", "링고비즈", "우리동네TV", "네이버 블로그", "지니TV", "채널 미확인"]
    page.get_by_role("columnheader", name="조회수").get_by_role("button").click()
    assert channel_names(page)[:2] == ["네이버 블로그", "인스타그램"]  # the others have none, and are last
    page.reload()
    expect(page.get_by_role("columnheader", name="조회수")).to_have_attribute("aria-sort", "descending")
    assert browser.unexpected_messages() == []


def test_on_a_phone_the_order_is_chosen_from_a_list(measured: Site, browser: Browser) -> None:
    page = signed_in(measured, browser.new_page(390, 844, has_touch=True, is_mobile=True), EVENT)
    page.get_by_label("정렬").select_option("참여자당")
    expect(page.locator(".channels tbody .cell-name > span").first).to_have_text("네이버 블로그")
    page.get_by_role("button", name="낮은 순").click()
    expect(page.locator(".channels tbody .cell-name > span").first).to_have_text("우리동네TV")


def test_the_cheapest_and_the_dearest_channel_are_named_where_two_have_a_cost(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    lead = page.locator(".channels .section-lead")
    expect(lead).to_have_text(
        "참여자 한 명당 비용이 가장 적은 곳은 네이버 블로그 (750원), 가장 많은 곳은 우리동네TV (3,500원)이에요."
    )
    expect(page.get_by_role("row", name="네이버 블로그")).to_contain_text("가장 적어요")
    site.world.count(site.world.created("one", eventTitle="하나"))
    site.world.count(
        site.world.distributed("one", channelName="NAVER", distributionCost=3_000),
        site.world.registered("n", "one", channel="NAVER"),
        site.world.registered("w", "one", channel="WooriTV"),
    )
    signed_in(site, page, "/events/one")
    expect(page.get_by_role("row", name="네이버 블로그")).to_contain_text("3,000원")
    expect(lead).to_have_count(0)


# -- funnel --------------------------------------------------------------------------------------------------------


def test_the_funnel_has_the_counts_of_the_api_and_the_shares_between_them(measured: Site, browser: Browser) -> None:
    page = signed_in(measured, browser.new_page(), EVENT)
    summary = measured.owner.get(ANALYTICS).json()["summary"]
    names = ("totalReach", "totalViews", "totalClicks", "totalParticipants", "totalConversions")
    steps = page.locator(".funnel .funnel-step")
    expect(steps).to_have_count(5)
    shown = [digits(steps.nth(at).locator("strong").inner_text()) for at in range(5)]
    assert shown == [summary[name] for name in names]
    expect(steps.nth(1)).to_contain_text("노출수의 18.18%")
    expect(steps.nth(4)).to_contain_text("참여자보다 많아요")  # 79 conversions that channels counted of 7 people
    expect(page.locator(".funnel .section-lead")).to_contain_text("가장 많이 줄어드는 곳은 ‘클릭수 → 참여자’예요.")


def test_a_step_that_no_channel_has_measured_is_not_0(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    steps = page.locator(".funnel .funnel-step")
    for at in (0, 1, 2, 4):
        expect(steps.nth(at)).to_contain_text("아직 측정 전")
        expect(steps.nth(at).locator(".bar.unmeasured")).to_have_count(1)
    expect(steps.nth(3)).to_contain_text("7명")
    expect(page.locator(".funnel .step-rate")).to_have_count(0)


# -- money ---------------------------------------------------------------------------------------------------------


def test_the_panel_shows_roi_beside_target_and_expectation_and_the_way_to_break_even(
    site: Site, browser: Browser
) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    roi = site.owner.get(ANALYTICS).json()["roi"]
    panel = page.locator(".roi-panel")
    assert (roi["targetRoi"], roi["estimatedRoi"], roi["breakEvenParticipants"]) == (30, 127.27, 13)
    expect(panel.locator(".rois")).to_have_text(
        re.compile(r"현재 ROI\s*45.45% 손실\s*목표 ROI\s*30%\s*예상 ROI\s*\+127.27%")
    )
    expect(panel.locator(".break-even")).to_contain_text("13명 중 7명")
    expect(panel.locator(".break-even")).to_contain_text("6명 더 오면 본전")


def test_the_panel_says_that_expected_revenue_is_not_earned(site: Site, browser: Browser) -> None:
    world = site.world
    world.count(world.created("hopes", totalInvestment=100, expectedRevenue=400), world.registered("p", "hopes"))
    page = signed_in(site, browser.new_page(), "/events/hopes")
    panel = page.locator(".roi-panel")
    expect(panel).to_contain_text("기록된 매출이 없어서, 현재 ROI는 예상 매출로 계산했어요. 아직 번 돈이 아니에요.")
    expect(panel.locator('[data-figure="roi.revenue.recorded"]')).to_contain_text("기록 없음")
    expect(panel.locator(".break-even")).to_contain_text("예상 매출로 계산했어요")
    expect(panel.locator(".break-even .bar.assumed")).to_have_count(1)


def test_a_break_even_that_is_passed_says_by_how_many(site: Site, browser: Browser) -> None:
    world = site.world
    world.count(
        world.created("passed", totalInvestment=100), world.sold(400, event="passed"),
        *(world.registered(f"p{at}", "passed") for at in range(4)),
    )  # fmt: skip
    page = signed_in(site, browser.new_page(), "/events/passed")
    assert site.owner.get("/api/v1/events/passed/analytics").json()["roi"]["breakEvenParticipants"] == 1
    expect(page.locator(".break-even strong")).to_have_text("1명")
    expect(page.locator(".break-even")).to_contain_text("3명 더 와서 본전을 넘었어요")


# -- when they come ------------------------------------------------------------------------------------------------


def test_the_heat_map_has_the_counts_of_the_api_and_names_the_busiest_hour(visited: Site, browser: Browser) -> None:
    page = signed_in(visited, browser.new_page(), EVENT)
    heat = visited.owner.get(f"{ANALYTICS}/insights?tz=Asia/Seoul").json()["heatMap"]
    cells = page.locator(".heat-cells td[data-hour]")
    expect(cells).to_have_count(7 * 24)
    shown = [int(text) for text in cells.all_text_contents()]
    assert shown == [count for row in heat["participants"] for count in row]
    assert sum(shown) == heat["total"]
    day = max(range(7), key=lambda at: max(heat["participants"][at]))
    hour = heat["participants"][day].index(max(shown))
    words = f"{DAYS[day]} {hour}시"
    expect(page.locator(".heat-map .section-lead")).to_contain_text(f"{words}에 가장 많이 왔어요. {max(shown)}명")
    expect(page.locator(".heat-readout")).to_have_text(f"{words} · {max(shown)}명")
    assert browser.unexpected_messages() == []


def test_of_a_few_participants_the_heat_map_names_no_busy_hour(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".heat-map .section-lead")).to_have_text("붐비는 시간을 말하기에는 참여가 아직 적어요.")


def test_the_cells_of_the_heat_map_are_reached_by_keyboard_and_have_a_table(visited: Site, browser: Browser) -> None:
    page = signed_in(visited, browser.new_page(390, 844), EVENT)
    cells = page.get_by_role("group", name="요일과 시간대별 참여자")
    cells.focus()
    page.keyboard.press("Home")
    for _ in DAYS:
        page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".heat-readout")).to_have_text(re.compile("월요일 1시 · [0-9]+명"))
    expect(page.locator(".heat-cells .chosen")).to_have_attribute("data-hour", "1")
    page.locator(".heat-map").get_by_role("button", name="표로 보기").click()
    expect(page.locator(".hours-table tbody tr")).to_have_count(24)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# -- all of it -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_sections_are_accessible_and_fit(visited: Site, browser: Browser, width: int, language: str) -> None:
    page = browser.new_page(width, 900, bypass_csp=True)
    signed_in(visited, page, f"{EVENT}?lang={language}&hours=1")
    expect(page.locator(".advice-item").first).to_be_visible()
    expect(page.locator(".hours-table")).to_be_visible()
    page.add_script_tag(path=AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in violations] == []
        screenshot(page, f"event-{language}-{scheme}-{width}")
    page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
