"""What the page says when a session ends or the server is away."""

import re

import pytest
from browsing import EVENT, Browser, signed_in
from playwright.sync_api import Page, Route, expect
from served import Site
from world import OWNER

pytestmark = pytest.mark.browser

ENDED = "로그인이 끝났어요"
CODE_FIELD = "일회용 코드"


def expire_session(site: Site, page: Page) -> None:
    """The session of the page's cookie expires."""
    expired = site.token(OWNER, lasts_s=-60)
    page.context.add_cookies([{"name": "hannun_session", "value": expired, "url": site.address}])


def sign_in(site: Site, page: Page) -> None:
    page.get_by_label(CODE_FIELD, exact=True).fill(site.sign_in_code(OWNER))
    page.get_by_role("button", name="로그인").click()


def test_an_expired_session_is_said_and_the_next_one_goes_on_where_the_user_was(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{site.address}{EVENT}?view=30d")
    expect(page.get_by_label(CODE_FIELD, exact=True)).to_be_visible()
    expect(page.get_by_text(ENDED)).to_have_count(0)  # nobody was signed in before
    sign_in(site, page)
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    expect(page.locator(".live-state")).to_have_text("실시간")
    expire_session(site, page)
    site.send(site.world.registered("one-more"))
    expect(page.get_by_role("alert").first).to_contain_text(ENDED)
    page.reload()
    expect(page.get_by_role("alert").first).to_contain_text(ENDED)  # also for who comes back later
    sign_in(site, page)
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    assert page.url == f"{site.address}{EVENT}?view=30d"
    expect(page.get_by_role("link", name="30일", exact=True)).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="로그아웃").click()
    expect(page.get_by_label(CODE_FIELD, exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_label(CODE_FIELD, exact=True)).to_be_visible()
    expect(page.get_by_text(ENDED)).to_have_count(0)  # the user has ended it
    assert browser.unexpected_messages(401) == []


def test_a_sign_in_code_leads_back_to_where_a_session_ended(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(site.address + EVENT)
    sign_in(site, page)
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    expire_session(site, page)
    page.reload()
    expect(page.get_by_role("alert").first).to_contain_text(ENDED)
    page.goto(f"{site.address}/#code={site.sign_in_code(OWNER)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    assert page.url == site.address + EVENT
    page.goto(site.address)  # it was led back once
    expect(page.get_by_role("heading", level=1)).to_have_text("내 이벤트")


def test_the_chart_of_another_range_is_not_shown_under_the_chosen_one(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    expect(page.locator(".readout")).to_contain_text("최근 48시간 동안")
    page.route("**/analytics*", lambda route: route.abort())
    page.route("**/timeline*", lambda route: route.abort())
    page.get_by_role("link", name="2시간", exact=True).click()
    chart = page.locator(".chart")
    expect(chart).to_contain_text("2시간의 흐름을 불러오지 못했어요")
    expect(page.locator(".plot canvas")).to_have_count(0)
    expect(chart).not_to_contain_text(re.compile("48시간 동안|시간별"))
    expect(page.locator(".live-warning")).to_be_visible()
    page.get_by_role("link", name="48시간", exact=True).click()
    expect(page.locator(".readout")).to_contain_text("최근 48시간 동안")  # this one is known
    expect(page.locator(".plot canvas")).to_be_visible()
    page.get_by_role("link", name="2시간", exact=True).click()
    page.unroute("**/analytics*")
    page.unroute("**/timeline*")
    expect(page.locator(".readout")).to_contain_text("최근 2시간 동안")
    expect(page.locator(".plot canvas")).to_be_visible()
    assert [text for text in browser.unexpected_messages() if "ERR_FAILED" not in text] == []


def test_while_another_range_is_loaded_the_chart_says_so(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    held: list[Route] = []
    page.route("**/timeline*", lambda route: held.append(route))
    page.get_by_role("link", name="2시간", exact=True).click()
    expect(page.locator(".readout")).to_have_text("흐름을 불러오고 있어요: 2시간")
    expect(page.locator(".plot canvas")).to_be_hidden()
    expect(page.locator(".legend")).to_be_hidden()
    held[0].continue_()
    expect(page.locator(".readout")).to_contain_text("최근 2시간 동안")
    expect(page.locator(".plot canvas")).to_be_visible()


def test_a_participant_by_a_channel_without_a_type_was_not_without_a_channel(site: Site, browser: Browser) -> None:
    site.world.count(site.world.registered("by-poster", channel="길거리 포스터"))
    page = signed_in(site, browser.new_page(), EVENT)
    row = page.get_by_role("row", name="채널 미확인")
    expect(row).to_contain_text("채널이 없거나, 종류를 아직 모르는 채널로 온 참여자")
    expect(row).to_contain_text("2")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("row", name="Channel unknown")).to_contain_text("one whose type is not known yet")


def test_a_page_that_is_not_live_does_not_say_that_it_is(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".live-state")).to_have_text("실시간")
    page.evaluate(
        """() => {
            window.contradictions = 0;
            const shown = (css) => document.querySelector(css)?.textContent;
            const isWrong = () => shown(".live-warning") && shown(".live-state") === "실시간";
            const observer = new MutationObserver(() => (window.contradictions += isWrong() ? 1 : 0));
            observer.observe(document.body, { childList: true, subtree: true, characterData: true });
        }"""
    )
    page.route("**/analytics*", lambda route: route.abort())
    page.get_by_role("link", name="2시간", exact=True).click()
    expect(page.locator(".live-warning")).to_be_visible()
    expect(page.locator(".live-state")).to_have_text("다시 연결 중")
    page.unroute("**/analytics*")
    expect(page.locator(".live-warning")).to_have_count(0)
    expect(page.locator(".live-state")).to_have_text("실시간")
    assert page.evaluate("window.contradictions") == 0


@pytest.mark.usefixtures("no_first_numbers")
def test_the_code_of_an_error_is_shown_only_where_it_is_asked_for(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    expected = {
        404: "이벤트를 찾을 수 없어요",
        403: "이 계정에는 이 화면을 볼 권한이 없어요",
        503: "서버가 잠시 쉬고 있어요",
        429: "요청이 잠시 몰렸어요",
    }
    problem: dict[str, int] = {}

    def answer(route: Route) -> None:
        route.fulfill(status=problem["status"], json={"code": "a-code", "detail": "자세한 내용"})

    page.route("**/analytics", answer)
    for problem["status"], text in expected.items():
        signed_in(site, page, EVENT)
        expect(page.get_by_role("alert")).to_contain_text(text)
        expect(page.locator("body")).not_to_contain_text("a-code")
    for problem["status"] in (400, 500):
        signed_in(site, page, EVENT)
        expect(page.get_by_role("alert")).to_contain_text("아래 코드를 알려 주세요.")
        expect(page.locator(".code")).to_have_text("a-code · 자세한 내용")


def test_a_merchant_that_does_not_exist_is_not_called_an_event(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), "/users/nobody")
    expect(page.get_by_role("alert")).to_contain_text("판매자 ID가 맞는지 확인해 주세요.")
    expect(page.get_by_role("alert")).not_to_contain_text("다른 판매자의 이벤트")
