"""Keyboard shortcuts of the page."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from browsing import EVENT, Browser, signed_in
from playwright.sync_api import Locator, Page, Route, expect
from served import Site
from world import OWNER

pytestmark = pytest.mark.browser


def press(page: Page, key: str, code: str, **more: bool) -> None:
    """Press a key as a keyboard of another layout sends it."""
    page.evaluate(
        "init => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', init))",
        {"key": key, "code": code, "bubbles": True, "cancelable": True, **more},
    )


def test_a_question_mark_lists_the_shortcuts_of_the_view(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    page.keyboard.press("?")
    listed = page.get_by_role("dialog", name="단축키")
    expect(listed).to_be_visible()
    expect(listed).to_contain_text("단축키 보기")
    page.keyboard.press("Escape")
    expect(listed).to_be_hidden()
    for modifiers in ({"ctrlKey": True}, {"altKey": True}, {"metaKey": True}):
        press(page, "?", "Slash", **modifiers)
        expect(listed).to_be_hidden()
    page.get_by_role("button", name="단축키").click()
    expect(listed).to_be_visible()
    assert browser.unexpected_messages() == []


def test_a_key_that_is_typed_into_a_field_is_no_shortcut(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(site.address)
    field = page.get_by_label("일회용 코드", exact=True)
    field.press_sequentially("?a?")
    expect(field).to_have_value("?a?")
    expect(page.get_by_role("dialog", name="단축키")).to_be_hidden()


def test_shortcuts_can_be_turned_off_and_stay_off(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    listed = page.get_by_role("dialog", name="단축키")
    opener = page.get_by_role("button", name="단축키")
    opener.click()
    page.get_by_label("단축키 쓰기").uncheck()
    listed.get_by_role("button", name="닫기").click()
    page.reload()
    expect(opener).to_be_visible()
    page.keyboard.press("?")
    expect(listed).to_be_hidden()
    opener.click()
    page.get_by_label("단축키 쓰기").check()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(listed).to_be_visible()


def test_a_letter_works_with_a_korean_keyboard(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    page.evaluate(
        """async () => {
            const { isKey } = await import("/static/keyboard.js");
            const pressed = (key, code) => new KeyboardEvent("keydown", { key, code });
            const found = [
                isKey(pressed("d", "KeyD"), "D"), isKey(pressed("ㅇ", "KeyD"), "D"), isKey(pressed("e", "KeyD"), "D"),
                isKey(pressed("ArrowLeft", "ArrowLeft"), "ArrowLeft"), isKey(pressed("/", "Slash"), "/"),
            ];
            if (String(found) !== "true,true,false,true,true") throw new Error(String(found));
        }"""
    )


TABS_MAX = 60


def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press Tab until an element has the focus."""
    expect(target).to_be_visible()
    for _ in range(TABS_MAX):
        page.keyboard.press(key)
        if target.evaluate("element => element === document.activeElement"):
            assert target.evaluate("element => element.matches(':focus-visible')")
            return
    raise AssertionError(f"{TABS_MAX} times {key}, and the focus is not on {target}")


def test_keys_alone_lead_from_the_sign_in_to_a_share_link_and_back(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{site.address}/?lang=en")
    tab_to(page, page.get_by_label("One-time code", exact=True))
    page.keyboard.type(site.sign_in_code(OWNER))
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("My events")
    expect(heading).to_be_focused()
    tab_to(page, page.get_by_role("link", name="봄맞이"))
    page.keyboard.press("Enter")
    expect(heading).to_have_text("봄맞이")
    expect(heading).to_be_focused()
    expect(page.locator(".plot canvas")).to_be_visible()

    views = page.get_by_role("region", name="Views", exact=True).get_by_role("button", name="Views", exact=True)
    tab_to(page, views)
    page.keyboard.press("Enter")
    expect(views).to_have_attribute("aria-pressed", "true")
    cost = page.locator('[data-figure="roi.costPerParticipant"]').first
    tab_to(page, cost)
    page.keyboard.press("Enter")
    sheet = page.locator(".figure-sheet")
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(cost).to_be_focused()
    week = page.get_by_role("link", name="7 d", exact=True)
    tab_to(page, week)
    page.keyboard.press("Enter")
    expect(week).to_have_attribute("aria-current", "true")

    share = page.get_by_role("button", name="Share a link", exact=True).first
    tab_to(page, share, "Shift+Tab")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="View-only link")
    expect(dialog).to_be_visible()
    tab_to(page, dialog.get_by_role("button", name="Make a link", exact=True).first)
    page.keyboard.press("Enter")
    expect(dialog.locator(".share-links li")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(share).to_be_focused()
    tab_to(page, page.locator("a.back"), "Shift+Tab")
    page.keyboard.press("Enter")
    expect(heading).to_have_text("My events")
    expect(heading).to_be_focused()
    assert browser.unexpected_messages(401) == []


def without_figures(page: Page) -> Callable[[], None]:
    """Hold the requests for an event's figures; the returned function lets them through."""
    held: list[Route] = []
    holds = True

    def hold(route: Route) -> None:
        if holds:
            held.append(route)
        else:
            route.continue_()

    def let_through() -> None:
        nonlocal holds
        holds = False
        for route in held:
            route.continue_()

    page.route("**/events/*/analytics*", hold)
    return let_through


def test_the_heading_of_an_event_takes_the_focus_also_when_it_comes_late(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page())
    let_through = without_figures(page)
    page.get_by_role("link", name="봄맞이").click()
    expect(page.locator("#main")).to_be_focused()
    let_through()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("봄맞이")
    expect(heading).to_be_focused()


def test_a_heading_that_comes_late_leaves_the_focus_where_the_user_has_put_it(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page())
    let_through = without_figures(page)
    page.get_by_role("link", name="봄맞이").click()
    expect(page.locator("#main")).to_be_focused()
    theme = page.locator(".theme-switch")
    theme.focus()
    let_through()
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    expect(theme).to_be_focused()


def unavailable(route: Route) -> None:
    route.fulfill(status=503, json={"code": "store-unavailable"})


def test_after_a_retry_that_succeeds_the_heading_has_the_focus(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page())
    page.route("**/events/*/analytics*", unavailable)
    page.get_by_role("link", name="봄맞이").click()
    retry = page.get_by_role("button", name="다시 해 보기")
    retry.focus()
    page.unroute("**/events/*/analytics*")
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("봄맞이")
    expect(heading).to_be_focused()


@pytest.mark.usefixtures("no_first_numbers")
def test_after_a_retry_in_a_section_its_heading_has_the_focus(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.route("**/insights*", unavailable)
    signed_in(site, page, EVENT)
    retry = page.locator(".advice").get_by_role("button")
    retry.focus()
    page.unroute("**/insights*")
    page.keyboard.press("Enter")
    expect(retry).to_have_count(0)
    expect(page.locator("#advice-title")).to_be_focused()


def test_the_buttons_above_an_event_are_reached_in_the_order_in_which_they_stand(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        places = page.eval_on_selector_all(
            ".event-actions :is(a, .export > button)", "all => all.map((each) => each.getBoundingClientRect().left)"
        )
        assert len(places) == 3 and places == sorted(places)


def test_a_button_keeps_the_focus_while_it_signs_in(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    held: list[Route] = []
    page.route("**/api/v1/session", lambda route: held.append(route) if is_post(route) else route.continue_())
    page.goto(f"{site.address}/?lang=en")
    page.get_by_label("One-time code", exact=True).fill("guessed")
    submit = page.get_by_role("button", name="Sign in").first
    submit.focus()
    page.keyboard.press("Enter")
    busy = page.locator('button[aria-disabled="true"]')
    expect(busy).to_be_focused()
    page.keyboard.press("Enter")  # asks no second time
    page.get_by_label("One-time code", exact=True).press("Enter")
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator("#code-error")).not_to_be_empty()
    expect(busy).to_have_count(0)


def is_post(route: Route) -> bool:
    return route.request.method == "POST"


def test_revoking_a_link_by_keys_never_loses_the_focus(site: Site, browser: Browser) -> None:
    until = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    site.owner.post(f"/api/v1{EVENT}/shares", json={"until": until, "label": "agency"})
    page = signed_in(site, browser.new_page(), f"{EVENT}?lang=en")
    held: list[Route] = []
    page.route("**/shares/*", lambda route: held.append(route))
    page.get_by_role("button", name="Share a link", exact=True).first.press("Enter")
    dialog = page.get_by_role("dialog", name="View-only link")
    revoke = dialog.get_by_role("button", name="Revoke link: agency")
    revoke.press("Enter")
    page.keyboard.press("Tab")
    yes = dialog.get_by_role("button", name="Yes, revoke it")
    expect(yes).to_be_focused()
    tab_to(page, dialog.get_by_role("button", name="Keep it"))
    page.keyboard.press("Enter")
    expect(yes).to_have_count(0)
    expect(revoke).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(yes).to_have_attribute("aria-disabled", "true")
    expect(yes).to_be_focused()
    held.pop().abort()
    expect(dialog.get_by_role("status")).to_contain_text("cannot be reached")
    expect(revoke).to_be_focused()
    page.unroute("**/shares/*")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_have_text("The link is revoked.")
    expect(revoke).to_have_count(0)
    expect(dialog.get_by_role("heading", name="Links so far")).to_be_focused()
