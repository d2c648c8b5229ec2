"""The page of the checks of the running system, for administrators."""

import os
import re
from pathlib import Path

import pytest
from browsing import Browser
from playwright.sync_api import Page, expect
from served import Site
from world import OWNER, World

from hannun.flows import channel_breakers

pytestmark = pytest.mark.browser
WIDTHS = (390, 1440)
AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"


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


def fill_the_system(world: World) -> None:
    """Dead letters, a breaker that somebody holds open, positions of two partitions."""
    world.count(world.created(), world.registered())
    world.count(world.message("sales-recorded", saleId="1"), world.message("sales-recorded", saleId="2"))
    with world.database.transaction() as conn:
        channel_breakers.hold_open(conn, "wooritv", "kim@host")
    world.rows(
        "INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, epoch) "
        "SELECT 'participant-registered', n, 'x', 1000 + n, 1 FROM generate_series(0, 1) n"
    )


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_figures_of_the_running_system_are_live(site: Site, world: World, browser: Browser, language: str) -> None:
    fill_the_system(world)
    page = open_checks(site, browser, language=language)
    figures = page.locator(".system-figure")
    expect(figures).to_have_count(8)
    expect(page.locator(".live-line")).to_contain_text({"ko": "실시간", "en": "Live"}[language])
    channels = page.get_by_role("region", name={"ko": "채널 측정", "en": "Measuring channels"}[language])
    expect(channels).to_contain_text({"ko": "우리동네TV", "en": "WooriTV"}[language])
    expect(channels).to_contain_text({"ko": "운영자가 멈춤", "en": "Held open by an operator"}[language])
    positions = page.get_by_role("region", name={"ko": "Kafka 위치", "en": "Positions in Kafka"}[language])
    expect(positions.get_by_role("row")).to_have_count(3)
    world.rows("UPDATE hannun.positions SET next_offset = 5000 WHERE partition = 1")
    expect(positions).to_contain_text("5,000")
    assert browser.unexpected_messages() == []


@pytest.mark.parametrize("language", ["ko", "en"])
def test_on_a_phone_nothing_of_channels_and_positions_is_cut(
    site: Site, world: World, browser: Browser, language: str
) -> None:
    fill_the_system(world)
    page = open_checks(site, browser, language=language, width=390)
    rows = page.locator(".system-table tbody tr")
    expect(rows.first).to_be_visible()
    names = rows.first.locator("td").evaluate_all(
        "all => all.map((each) => getComputedStyle(each, '::before').content)"
    )
    assert any({"ko": "오래된 측정", "en": "Stale"}[language] in each for each in names), "each figure has its name"
    widths = page.eval_on_selector_all(
        ".system-scroll", "all => all.map((each) => [each.scrollWidth, each.clientWidth])"
    )
    assert len(widths) == 2 and all(needed <= given for needed, given in widths)
    positions = page.get_by_role("region", name={"ko": "Kafka 위치", "en": "Positions in Kafka"}[language])
    expect(positions.get_by_role("row")).to_have_count(3)


def test_findings_stand_above_the_figures_with_titles_and_one_word(site: Site, world: World, browser: Browser) -> None:
    break_something(world)
    page = open_checks(site, browser, language="ko", width=390)
    expect(page.locator(".system-figure").first).to_be_visible()
    tops = page.evaluate(
        "['.finding', '.system-figure'].map((each) => document.querySelector(each).getBoundingClientRect().top)"
    )
    assert tops[0] < tops[1]
    headings = page.locator(".finding h2").all_text_contents()
    assert headings and not any(re.fullmatch("[a-z]+(-[a-z]+)*", each) for each in headings), "no key of a check"
    rights = page.locator(".checks li", has_text="역할의 권한")
    expect(rights).to_contain_text(page.locator(".finding .severity").first.text_content() or "")
    expect(page.locator(".finding").first).to_contain_text("hannun doctor --only rights")


def test_counting_over_http_is_seen(site: Site, browser: Browser) -> None:
    page = open_checks(site, browser, language="en")
    figure = page.locator(".system-figure", has_text="Last counted")
    expect(figure).to_contain_text("None since this page is open")
    site.send(site.world.registered())
    expect(figure).to_contain_text("ago", timeout=20_000)


def test_dead_letters_are_chosen_and_retried_or_dropped(site: Site, world: World, browser: Browser) -> None:
    fill_the_system(world)
    page = open_checks(site, browser)
    letters = page.get_by_role("region", name="Dead letters")
    expect(letters.get_by_role("checkbox")).to_have_count(2)
    expect(letters.get_by_role("button", name="Retry")).to_be_disabled()
    letters.get_by_role("button", name="Select all").click()
    letters.get_by_role("button", name="Retry").click()
    expect(letters.get_by_role("status")).to_contain_text("still unusable 2")
    letters.get_by_role("checkbox").first.uncheck()
    letters.get_by_role("button", name="Drop").click()
    expect(letters).to_contain_text("Close 1 without counting")
    letters.get_by_role("button", name="Drop").click()
    expect(letters.get_by_role("status")).to_contain_text("dropped 1")
    expect(letters.get_by_role("checkbox")).to_have_count(1)
    assert browser.unexpected_messages() == []


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_whole_page_is_accessible_and_fits(
    site: Site, world: World, browser: Browser, width: int, scheme: str, language: str
) -> None:
    fill_the_system(world)
    page = open_checks(site, browser, language=language, width=width, color_scheme=scheme)
    expect(page.locator(".system-figure")).to_have_count(8)
    expect(page.locator(".dead-letter-list li")).to_have_count(2)
    page.evaluate(AXE.read_text("utf-8"))
    violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("HANNUN_SCREENSHOTS"):
        page.screenshot(path=Path(folder, f"ops-whole-{language}-{scheme}-{width}.png"), full_page=True)
