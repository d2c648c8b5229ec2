"""The channels on the page: what each has measured, as of when, and what is stale, failed, planned or unknown."""

from pathlib import Path

import pytest
from browsing import EVENT, Browser, signed_in, tile
from playwright.sync_api import expect
from served import Site

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"
WIDTHS = (1440, 390)


def test_each_channel_shows_its_state_and_only_counts_that_it_has_reported(measured: Site, browser: Browser) -> None:
    page = signed_in(measured, browser.new_page(), EVENT)
    naver = page.get_by_role("row", name="네이버 블로그")
    expect(naver).to_contain_text("측정됨")
    expect(naver).to_contain_text("12,000")
    expect(naver).to_contain_text("조회당 1원 미만")
    expect(naver.get_by_role("cell").nth(5)).to_have_text("전환율–")  # it has reported no conversions
    instagram = page.get_by_role("row", name="인스타그램")
    expect(instagram).to_contain_text("멈춤")
    expect(instagram).to_contain_text("부터")
    expect(instagram).to_contain_text("전환당 571원")
    ringo = page.get_by_role("row", name="링고비즈")
    expect(ringo.get_by_role("cell").nth(2)).to_contain_text("–")  # calls, but no views
    expect(ringo).to_contain_text("40%")
    expect(page.get_by_role("row", name="지니TV")).to_contain_text("실패")
    expect(page.get_by_role("row", name="우리동네TV")).to_contain_text("아직 측정 전")
    total = page.locator("tr.total")
    expect(total).to_contain_text("20,000")
    expect(total.get_by_role("cell").nth(2)).to_contain_text("지난 값")  # one of its parts is stale
    expect(tile(page, "조회수")).to_contain_text("지난 값")
    assert browser.unexpected_messages() == []


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
def test_channels_in_every_state_are_accessible_and_fit(measured: Site, browser: Browser) -> None:
    found = {}
    for width in WIDTHS:
        page = browser.new_page(width, 900, bypass_csp=True)
        for lang, title, stale in (("ko", "인스타그램", "멈춤"), ("en", "Instagram", "Stopped")):
            signed_in(measured, page, f"{EVENT}?lang={lang}")
            expect(page.locator(".channels tbody tr", has_text=title)).to_contain_text(stale)
            page.add_script_tag(path=AXE)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
                found[f"{width} {lang} {scheme}"] = [(rule["id"], rule["nodes"][0]["html"]) for rule in violations]
            # The chart is resized one frame after the window, so wait for it.
            page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    assert {state: rules for state, rules in found.items() if rules} == {}
