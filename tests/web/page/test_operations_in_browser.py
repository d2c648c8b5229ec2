"""The page of the checks of the running system, for administrators."""

import os
from pathlib import Path

import pytest
from browsing import Browser
from playwright.sync_api import Page, expect
from served import Site
from world import OWNER, World

pytestmark = pytest.mark.browser
WIDTHS = (390, 1440)


def open_checks(site: Site, browser: Browser, role: str = "ADMIN", language: str = "en", **options: object) -> Page:
    page = browser.new_page(**options)  # type: ignore[arg-type]
    page.context.add_cookies([{"name": "hannun_session", "value": site.token(OWNER, role), "url": site.address}])
    page.goto(f"{site.address}/ops?lang={language}")
    return page


def break_something(world: World) -> None:
    """Two troubles: a role lacks a right, and an index is missing."""
    world.rows("REVOKE UPDATE ON hannun.events FROM analytics_readwrite")
    world.rows("DROP INDEX public.idx_event_stats_status")


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_administrator_sees_each_finding_with_what_corrects_it(
    site: Site, world: World, browser: Browser, language: str
) -> None:
    break_something(world)
    page = open_checks(site, browser, language=language)
    expect(page.get_by_role("heading", level=1)).to_have_text({"ko": "시스템 점검", "en": "System checks"}[language])
    first = page.locator(".finding").first
    expect(first).to_contain_text({"ko": "심각", "en": "Critical"}[language])
    expect(first).to_contain_text("analytics_readwrite")
    expect(first.locator("pre")).to_have_text("GRANT UPDATE ON hannun.events TO analytics_readwrite;")
    expect(page.locator(".finding").filter(has_text="public.event_stats")).to_contain_text(
        "CREATE INDEX idx_event_stats"
    )
    cause = {"ko": "권한 1개가 없습니다", "en": "lacks 1 of its rights"}[language]
    expect(first).to_contain_text(cause)
    assert browser.unexpected_messages() == []


def test_changing_the_language_changes_the_texts_of_the_findings(site: Site, world: World, browser: Browser) -> None:
    break_something(world)
    page = open_checks(site, browser, language="en")
    expect(page.locator(".finding").first).to_contain_text("lacks 1 of its rights")
    page.get_by_role("link", name="한국어").click()
    expect(page.locator(".finding").first).to_contain_text("권한 1개가 없습니다")


def test_a_merchant_may_not_see_it(site: Site, browser: Browser) -> None:
    page = open_checks(site, browser, "MERCHANT")
    expect(page.get_by_role("alert")).to_contain_text("may not")
    assert browser.unexpected_messages(403) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_it_does_not_scroll_sideways(
    site: Site, world: World, browser: Browser, width: int, scheme: str, language: str
) -> None:
    break_something(world)
    page = open_checks(site, browser, language=language, width=width, color_scheme=scheme)
    expect(page.locator(".finding").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("HANNUN_SCREENSHOTS"):
        page.screenshot(path=Path(folder, f"ops-{language}-{scheme}-{width}.png"), full_page=True)
