"""The list of a merchant's events in a real Chromium: what a card says, search, filter, sort, and a thousand events."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from browsing import Browser, screenshot, signed_in
from playwright.sync_api import Page, Route, expect
from served import Site, open_site
from world import OWNER, World

from hannun.domain import wording

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"
MANY = 1_000
NAMES = ["봄맞이 할인", "여름 물놀이 축제", "가을 한정 메뉴", "겨울 감사제"]
ANALYTICS = f"/api/v1/users/{OWNER}/analytics"


@pytest.fixture
def empty_site(world: World) -> Iterator[Site]:
    with open_site(world) as site:
        yield site


def day(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def shop(site: Site) -> None:
    """Five events: two that run, one that is planned, two that have ended; with more and with fewer people today."""
    world = site.world
    plan = {"totalInvestment": 400_000, "expectedRevenue": 900_000, "targetRoi": 50}
    site.send(
        world.created("spring", eventTitle="봄맞이 할인", at=day(-20), startDate=day(-20), endDate=day(12), **plan),
        world.created("coffee", eventTitle="아메리카노 1+1", at=day(-9), startDate=day(-9), endDate=day(3), **plan),
        world.created("lunch", eventTitle="점심 한정 메뉴", at=day(-3), startDate=day(4), endDate=day(20), **plan),
        world.created(
            "opening", eventTitle="신규 오픈 감사제", at=day(-60), startDate=day(-60), endDate=day(-30), **plan
        ),
        world.created(
            "rain", eventTitle="비 오는 날 파전 할인과 막걸리 무료 시음 행사", at=day(-90), startDate=day(-90)
        ),
        world.status_changed("ENDED", day(-30), "opening"),
        world.status_changed("ENDED", day(-40), "rain"),
        world.sold(640_000, event="spring"),
        world.sold(230_000, event="coffee"),
        world.sold(900_000, event="opening"),
    )
    for event, today, yesterday, before in (("spring", 34, 30, 400), ("coffee", 3, 9, 120), ("opening", 0, 0, 260)):
        site.send(
            *(world.registered(f"{event}-t{i}", event, at=day(0)) for i in range(today)),
            *(world.registered(f"{event}-y{i}", event, at=day(-1)) for i in range(yesterday)),
            *(world.registered(f"{event}-b{i}", event, at=day(-35 - i / 400)) for i in range(before)),
        )


def many_events(world: World) -> None:
    """A thousand events; the one with number n has n % 7 participants."""
    for begin in range(0, MANY, 200):
        numbers = range(begin, begin + 200)
        titles = {n: f"{NAMES[n % 4]} {n}" for n in numbers}
        world.count(
            *(
                world.created(f"event-{n:04}", eventTitle=titles[n], at=f"2026-11-01T09:{n // 60:02}:{n % 60:02}Z")
                for n in numbers
            ),
            *(world.registered(f"p{i}", f"event-{n:04}") for n in numbers for i in range(n % 7)),
        )


def titles(page: Page) -> list[str]:
    return page.locator(".event-title").all_text_contents()


def card(page: Page, title: str) -> Any:
    return page.locator(".event-card", has=page.get_by_text(title, exact=True))


@pytest.fixture
def large_site(empty_site: Site) -> Site:
    many_events(empty_site.world)
    return empty_site


def open_list(site: Site, browser: Browser, path: str = "/", width: int = 1280, height: int = 900) -> Page:
    page = signed_in(site, browser.new_page(width, height), path)
    expect(page.locator(".event-card").first).to_be_visible()
    return page


# -- what a merchant reads


def test_a_card_says_how_today_compares_and_whether_its_event_is_live(empty_site: Site, browser: Browser) -> None:
    shop(empty_site)
    page = open_list(empty_site, browser)
    expect(page.locator(".live-live")).to_be_visible()
    listed = {each["eventId"]: each for each in empty_site.owner.get(ANALYTICS).json()["events"]}
    for event, title in (("spring", "봄맞이 할인"), ("coffee", "아메리카노 1+1")):
        today, yesterday = listed[event]["participantsToday"], listed[event]["participantsYesterday"]
        percent = yesterday >= 20
        change = wording.change((today - yesterday) / yesterday * 100, "ko")
        size = change if percent else f"{abs(today - yesterday)}명"
        direction = "많음" if today > yesterday else "적음"
        expect(card(page, title)).to_contain_text(f"오늘 +{today}명")
        expect(card(page, title).get_by_role("img", name=f"어제 같은 시각보다 {size} {direction}")).to_be_visible()
        expect(card(page, title).locator(".event-state")).to_contain_text("까지")
        expect(card(page, title).get_by_role("img", name="실시간")).to_be_visible()
    expect(card(page, "점심 한정 메뉴").locator(".event-state")).to_contain_text("예정 · ")
    expect(card(page, "신규 오픈 감사제").locator(".event-state")).to_contain_text("종료 · ")
    for title in ("점심 한정 메뉴", "신규 오픈 감사제"):
        expect(card(page, title).get_by_role("img", name="실시간")).to_have_count(0)
        expect(card(page, title)).not_to_contain_text("오늘")
    page.context.set_offline(True)
    expect(page.locator(".live-offline")).to_be_visible()
    expect(page.get_by_role("img", name="실시간")).to_have_count(0)
    for width in (390, 1440):
        for theme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=theme)
            screenshot(page, f"events-{width}-{theme}")


def test_the_totals_are_those_of_all_events(empty_site: Site, browser: Browser) -> None:
    shop(empty_site)
    page = open_list(empty_site, browser)
    answer = empty_site.owner.get(ANALYTICS).json()
    tiles = {name: page.get_by_role("region", name=name, exact=True) for name in ("참여자", "전체 ROI", "투자와 매출")}
    expect(tiles["참여자"]).to_contain_text(f"{answer['summary']['totalParticipants']:,}")
    today = sum(each["participantsToday"] for each in answer["events"])
    expect(tiles["참여자"]).to_contain_text(f"오늘 +{today}명")
    expect(tiles["전체 ROI"]).to_contain_text(f"{answer['roi']['currentRoi']:+}%")
    expect(tiles["투자와 매출"]).to_contain_text(f"{answer['roi']['investment']['total']:,}원")
    expect(tiles["투자와 매출"]).to_contain_text(f"{answer['roi']['revenue']['total']:,}원")


def test_each_figure_of_the_totals_explains_itself(empty_site: Site, browser: Browser) -> None:
    shop(empty_site)
    page = open_list(empty_site, browser)
    answer = empty_site.owner.get(ANALYTICS).json()
    roi = answer["roi"]
    spent, earned = (f"{round(roi[name]['total']):,}원" for name in ("investment", "revenue"))
    today, yesterday = (
        sum(each[name] for each in answer["events"]) for name in ("participantsToday", "participantsYesterday")
    )
    expected = {
        "summary.totalParticipants": f"{answer['summary']['totalParticipants']:,}명",
        "comparisons.day.delta": f"({today}명 − {yesterday}명) ÷ {yesterday}명 =",
        "roi.currentRoi": f"({earned} − {spent}) ÷ {spent} = {roi['currentRoi']:+}%",
        "roi.investment.total": spent,
        "roi.revenue.total": earned,
    }
    for path, formula in expected.items():
        page.locator(f'.summary-tiles [data-figure="{path}"]').click()
        sheet = page.get_by_role("dialog")
        expect(sheet.locator(".formula")).to_contain_text(formula.replace("-", "−"))
        expect(sheet).to_contain_text("환불하면")
        screenshot(page, f"events-sheet-{path}")
        page.keyboard.press("Escape")
        expect(sheet).to_have_count(0)
    assert browser.unexpected_messages() == []


def test_yesterdays_today_is_not_shown_as_todays(empty_site: Site, browser: Browser) -> None:
    """The page stays open over midnight while nothing can be loaded."""
    shop(empty_site)
    page = browser.new_page()
    page.clock.install()
    signed_in(empty_site, page)
    expect(card(page, "봄맞이 할인")).to_contain_text("오늘 +34명")
    page.route("**/api/v1/users/**", lambda route: route.abort())
    page.clock.fast_forward(25 * 3_600 * 1_000)
    expect(page.locator(".event-list")).not_to_contain_text("오늘 +")
    expect(page.locator(".summary-tiles")).not_to_contain_text("오늘 +")


# -- search, filter, sort


def test_search_filter_and_sort_are_instant_and_in_the_address(empty_site: Site, browser: Browser) -> None:
    shop(empty_site)
    page = open_list(empty_site, browser)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if "/analytics" in request.url else None)
    assert titles(page)[:2] == ["아메리카노 1+1", "봄맞이 할인"]
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="이벤트 찾기")).to_be_focused()
    for text, found in (("할인", 2), ("할", 2), ("ㅂㅁ", 1), ("1+1", 1), ("AMERI", 0), ("", 5)):
        page.get_by_role("searchbox").fill(text)
        expect(page.locator(".event-card")).to_have_count(found)
        expect(page.get_by_role("status").filter(has_text="개")).to_have_text(
            "이벤트 5개" if found == 5 else f"5개 중 {found}개"
        )
    page.get_by_role("button", name="종료 2").click()
    page.get_by_role("combobox", name="정렬").select_option("participants")
    expect(page.locator(".event-card")).to_have_count(2)
    assert titles(page) == ["신규 오픈 감사제", "비 오는 날 파전 할인과 막걸리 무료 시음 행사"]
    page.get_by_role("searchbox").fill("감사")
    expect(page.locator(".event-card")).to_have_count(1)
    assert page.url.endswith("/?status=ended&sort=participants&q=%EA%B0%90%EC%82%AC")
    assert [url for url in requests if "?" in url] == []  # the live stream asks again for the list as it is
    copied = open_list(empty_site, browser, page.url.removeprefix(empty_site.address))
    assert titles(copied) == ["신규 오픈 감사제"]
    expect(copied.get_by_role("button", name="종료 2")).to_have_attribute("aria-pressed", "true")
    expect(copied.get_by_role("combobox", name="정렬")).to_have_value("participants")


def test_every_sort_puts_the_greatest_first_and_the_unknown_last(empty_site: Site, browser: Browser) -> None:
    shop(empty_site)
    rain = "비 오는 날 파전 할인과 막걸리 무료 시음 행사"
    for sort, expected in (
        ("participants", ["봄맞이 할인", "신규 오픈 감사제", "아메리카노 1+1"]),
        ("today", ["봄맞이 할인", "아메리카노 1+1", "점심 한정 메뉴"]),
        ("ending", ["아메리카노 1+1", "봄맞이 할인", "점심 한정 메뉴"]),
        ("newest", ["점심 한정 메뉴", "아메리카노 1+1", "봄맞이 할인"]),
        ("nonsense", ["아메리카노 1+1", "봄맞이 할인", "점심 한정 메뉴"]),  # what runs, what is planned
    ):
        assert titles(open_list(empty_site, browser, f"/?sort={sort}"))[:3] == expected
    assert titles(open_list(empty_site, browser, "/?sort=roi"))[-1] == rain


def test_the_document_lists_the_events_in_the_order_of_the_page(empty_site: Site, browser: Browser) -> None:
    shop(empty_site)
    without_scripts = signed_in(empty_site, browser.new_page(java_script_enabled=False), "/?lang=ko")
    assert titles(without_scripts) == titles(open_list(empty_site, browser, "/?lang=ko"))


def test_a_search_without_a_match_has_a_way_back(empty_site: Site, browser: Browser) -> None:
    shop(empty_site)
    page = signed_in(empty_site, browser.new_page(390, 844), "/?q=없는%20것&lang=ko")
    expect(page.get_by_text("‘없는 것’에 맞는 이벤트가 없어요")).to_be_visible()
    screenshot(page, "events-no-match")
    page.get_by_role("button", name="모든 이벤트 보기").click()
    expect(page.locator(".event-card").first).to_have_attribute("href", re.compile("/events/"))
    expect(page.get_by_role("status").filter(has_text="개")).to_have_text("이벤트 5개")
    expect(page.get_by_role("searchbox")).to_be_focused()
    assert page.url.endswith("/?lang=ko")


def test_a_merchant_without_events_reads_how_they_come_in(empty_site: Site, browser: Browser) -> None:
    page = signed_in(empty_site, browser.new_page(390, 844))
    expect(page.get_by_role("heading", name="아직 이벤트가 없어요")).to_be_visible()
    screenshot(page, "events-none")
    empty_site.send(empty_site.world.created(eventTitle="첫 이벤트"))
    expect(page.get_by_role("link", name="첫 이벤트")).to_be_visible()  # without a reload


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
def test_axe_finds_no_violation_in_any_state_of_the_list(empty_site: Site, browser: Browser) -> None:
    found: dict[str, list[str]] = {}
    for stage, path in (("none", "/"), ("list", "/"), ("filtered", "/?q=할&status=ended"), ("no match", "/?q=zzz")):
        if stage == "list":
            shop(empty_site)
        for lang, theme, width in (("ko", "light", 390), ("en", "dark", 1440)):
            separator = "&" if "?" in path else "?"
            page = browser.new_page(width, 900, color_scheme=theme, bypass_csp=True)
            signed_in(empty_site, page, f"{path}{separator}lang={lang}")
            expect(page.locator(".event-card, .no-match, .no-events").first).to_be_visible()
            page.add_script_tag(path=AXE)
            violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
            found[f"{stage} {lang}"] = [f"{each['id']}: {each['nodes'][0]['html']}" for each in violations]
    assert found == {state: [] for state in found}


# -- a thousand events


def test_a_thousand_events_take_two_requests_and_a_few_cards(large_site: Site, browser: Browser) -> None:
    page = browser.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if "/analytics" in request.url else None)
    signed_in(large_site, page)
    expect(page.locator(".live-live")).to_be_visible()
    expect(page.get_by_role("button", name="전체 1,000")).to_be_visible()
    assert len(requests) == 2, "the first events came with the document"
    for share in (0, 0.5, 1):
        page.evaluate("(share) => scrollTo(0, document.documentElement.scrollHeight * share)", share)
        last = {0: "겨울 감사제 999", 0.5: None, 1: "봄맞이 할인 0"}[share]
        if last:
            expect(card(page, last)).to_be_in_viewport()
        assert page.evaluate("document.querySelectorAll('*').length") < 1_000
    numbers = page.eval_on_selector_all(
        ".windowed > li", "items => items.map((item) => item.ariaPosInSet + '/' + item.ariaSetSize)"
    )
    assert numbers[-1] == "1000/1000"
    page.keyboard.press("/")
    page.get_by_role("searchbox").fill("메뉴 42")
    expect(page.locator(".event-card")).to_have_count(3)  # 42, 422 and 426: every fourth event is a menu
    expect(page.get_by_role("status").filter(has_text="개")).to_have_text("1,000개 중 3개")


def test_the_focus_walks_through_the_list_and_survives_scrolling(large_site: Site, browser: Browser) -> None:
    page = open_list(large_site, browser, "/?sort=participants", 390, 844)
    expect(page.get_by_role("button", name="전체 1,000")).to_be_visible()
    focused = "document.activeElement.closest('li')?.ariaPosInSet"
    page.locator(".event-card").first.focus()
    for position in range(2, 26):
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == str(position)
        expect(page.locator(".event-card:focus")).to_be_in_viewport()
    page.evaluate("scrollTo(0, 100_000)")
    expect(page.locator("li[aria-posinset='480']")).to_be_attached()
    assert page.evaluate(focused) == "25"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "26"
    expect(page.locator(".event-card:focus")).to_be_in_viewport()
    scrolled_to = page.evaluate("scrollY")
    page.keyboard.press("Enter")
    expect(page.locator(".back")).to_be_visible()
    page.go_back()
    expect(page.locator("li[aria-posinset='26']")).to_be_in_viewport()
    assert page.evaluate("scrollY") == scrolled_to


def test_a_change_moves_nothing_under_the_eyes_of_the_reader(large_site: Site, browser: Browser) -> None:
    page = open_list(large_site, browser, "/?sort=participants", 390, 844)
    expect(page.get_by_role("button", name="전체 1,000")).to_be_visible()
    page.evaluate("scrollTo(0, 60_000)")
    in_view = """[...document.querySelectorAll('.windowed > li')]
        .map((item) => [item.dataset.key, Math.round(item.getBoundingClientRect().top)])"""
    expect(page.locator("li[aria-posinset='290']")).to_be_attached()
    before = page.evaluate(in_view)
    event = before[len(before) // 2][0]
    title = page.locator(f"li[data-key='{event}'] .event-title").text_content() or ""
    large_site.send(*(large_site.world.registered(f"new{i}", event) for i in range(50)))
    expect(page.locator(f"li[data-key='{event}'] .value")).to_contain_text("5")
    assert page.evaluate(in_view) == before
    assert page.evaluate("scrollY") == 60_000
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator(".event-title").first).to_have_text(title)  # sorted anew where nobody reads in it


def test_all_events_are_printed(large_site: Site, browser: Browser) -> None:
    page = open_list(large_site, browser)
    expect(page.get_by_role("button", name="전체 1,000")).to_be_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".event-card")).to_have_count(MANY)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator(".event-card")).not_to_have_count(MANY)


def test_the_first_events_stay_when_the_further_ones_cannot_be_loaded(large_site: Site, browser: Browser) -> None:
    page = browser.new_page()

    def refuse(route: Route) -> None:
        route.fulfill(status=503, json={"code": "store-unavailable"})

    page.route("**/analytics?*cursor=*", refuse)
    signed_in(large_site, page)
    expect(page.locator(".list-rest")).to_contain_text("1,000개 중 최신 50개를 불러왔어요")
    expect(page.locator(".live-warning")).to_be_visible()
    page.unroute("**/analytics?*cursor=*")
    expect(page.get_by_role("button", name="전체 1,000")).to_be_visible()
