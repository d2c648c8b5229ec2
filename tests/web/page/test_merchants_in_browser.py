"""The merchants and the newest events in a real Chromium, for administrators to enter by."""

import re
from pathlib import Path

import pytest
from browsing import Browser, screenshot
from playwright.sync_api import Page, Route, expect
from served import OTHER_MERCHANT, Site, open_site
from world import OWNER, SPRING, World

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"
ADMIN = "the-operator"
WIDTHS = (390, 1440)
FAILED = {"status": 503, "json": {"code": "store-unavailable"}}
TITLES = {"ko": "판매자와 이벤트", "en": "Merchants and events"}


def open_start(site: Site, page: Page, language: str = "ko", query: str = "", role: str = "ADMIN") -> Page:
    page.context.add_cookies([{"name": "hannun_session", "value": site.token(ADMIN, role), "url": site.address}])
    page.goto(f"{site.address}/?lang={language}{query}")
    return page


def check_access(page: Page, width: int) -> None:
    """No violation of accessibility, and no scrolling sideways."""
    page.evaluate(AXE.read_text("utf-8"))
    violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_admin_enters_by_a_merchant_or_by_an_event(site: Site, browser: Browser) -> None:
    page = open_start(site, browser.new_page())
    expect(page.get_by_role("heading", level=1)).to_have_text(TITLES["ko"])
    merchants, events = (page.get_by_role("region", name=name) for name in ("판매자", "최신 이벤트"))
    expect(merchants.get_by_role("listitem")).to_have_count(2)
    entry = merchants.get_by_role("link").filter(has_text=OWNER)
    for text in ("봄맞이", "이벤트 1개", "진행 중 1개", "참여자 7명"):
        expect(entry).to_contain_text(text)
    entry.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"판매자 {OWNER}")
    page.go_back()
    events.get_by_role("link").filter(has_text="봄맞이").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    assert page.url == f"{site.address}/events/{SPRING}?lang=ko"
    page.go_back()
    page.get_by_role("link", name="시스템 점검").click()
    expect(page).to_have_url(re.compile("/ops"))
    assert browser.unexpected_messages() == []


def test_others_never_see_it(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_start(site, page, role="MERCHANT")
    expect(page.get_by_role("heading", level=1)).to_have_text("내 이벤트")
    assert [url for url in asked if re.search(r"/api/v1/(merchants|events)\b|views/merchants", url)] == []


def test_the_search_by_keyboard_finds_ids_and_titles(site: Site, browser: Browser) -> None:
    page = open_start(site, browser.new_page())
    merchants, events = page.locator(".entry-section").first, page.locator(".entry-section").last
    expect(merchants.get_by_role("listitem")).to_have_count(2)
    page.keyboard.press("/")
    page.keyboard.type("남의")
    expect(merchants.get_by_role("listitem")).to_have_count(1)
    expect(merchants).to_contain_text(OTHER_MERCHANT)
    expect(events.get_by_role("heading")).to_have_text("찾은 이벤트")
    expect(events.get_by_role("listitem")).to_have_count(1)
    assert "q=" in page.url
    page.keyboard.press("Escape")
    expect(merchants.get_by_role("listitem")).to_have_count(2)
    page.keyboard.type(OWNER[4:].upper())
    expect(merchants.get_by_role("listitem")).to_have_count(1)
    expect(events).to_contain_text("맞는 이벤트가 없어요")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"판매자 {OWNER}")
    assert browser.unexpected_messages() == []


def test_more_merchants_are_loaded_a_page_at_a_time(site: Site, browser: Browser) -> None:
    site.world.count(*(site.world.created(f"event-{n}", owner=f"merchant-{n:03}") for n in range(70)))
    page = open_start(site, browser.new_page())
    merchants = page.get_by_role("region", name="판매자", exact=True)
    expect(merchants.get_by_role("listitem")).to_have_count(10)
    expect(merchants.get_by_role("status")).to_have_text("판매자 10+곳")
    merchants.get_by_role("button", name="더 보기").click()
    expect(merchants.get_by_role("listitem")).to_have_count(60)
    merchants.get_by_role("button", name="더 보기").click()
    expect(merchants.get_by_role("listitem")).to_have_count(72)
    expect(merchants.get_by_role("button", name="더 보기")).to_have_count(0)
    expect(merchants.get_by_role("listitem").nth(60).get_by_role("link")).to_be_focused()
    expect(page.get_by_role("region", name="최신 이벤트").get_by_role("listitem")).to_have_count(10)


def test_a_list_that_cannot_be_loaded_says_so_and_loads_again(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.route("**/api/v1/merchants*", lambda route: route.fulfill(**FAILED))
    open_start(site, page)
    merchants = page.get_by_role("region", name="판매자", exact=True)
    expect(merchants).to_contain_text("판매자를 불러오지 못했어요.")
    expect(page.get_by_role("region", name="최신 이벤트").get_by_role("listitem")).to_have_count(2)
    page.unroute("**/api/v1/merchants*")
    merchants.get_by_role("button", name="다시").click()
    expect(merchants.get_by_role("listitem")).to_have_count(2)
    expect(merchants).not_to_contain_text("불러오지 못했어요")
    assert browser.unexpected_messages(503) == []


def test_without_an_event_it_says_so(world: World, browser: Browser) -> None:
    with open_site(world) as site:
        page = open_start(site, browser.new_page())
        expect(page.get_by_role("region", name="판매자", exact=True)).to_contain_text("이벤트를 연 판매자가 없어요")
        expect(page.get_by_role("region", name="최신 이벤트")).to_contain_text("아직 이벤트가 없어요")


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_state_is_accessible_and_fits(
    site: Site, browser: Browser, width: int, scheme: str, language: str
) -> None:
    long = {
        "eventTitle": "비 오는 날 파전 할인과 막걸리 무료 시음 행사 그리고 저녁 공연",
        "at": "2026-11-20T09:00:00+09:00",
    }
    site.world.count(
        site.world.created("long", **long),
        *(site.world.created(f"event-{n}", owner=f"merchant-{n}") for n in range(12)),
    )
    held: list[Route] = []
    page = browser.new_page(width=width, color_scheme=scheme)
    page.route("**/api/v1/merchants*", lambda route: held.append(route))
    open_start(site, page, language)
    expect(page.locator(".entry-section").last.locator(".entry")).to_have_count(10)
    name = f"merchants-{{}}-{language}-{scheme}-{width}"
    states = ("loading", "listed", "none", "failed")
    for state in states:
        if state == "listed":
            held[0].continue_()
            page.unroute("**/api/v1/merchants*")
            expect(page.locator(".entry-section").first.locator(".entry")).to_have_count(10)
        if state == "none":
            page.get_by_role("searchbox").fill("없는 이름")
            expect(page.locator(".entry")).to_have_count(0)
        if state == "failed":
            page.route("**/api/v1/*?limit*", lambda route: route.fulfill(**FAILED))
            page.get_by_role("searchbox").fill("")
            expect(page.locator(".retry-note")).to_have_count(2)
        check_access(page, width)
        screenshot(page, name.format(state))
