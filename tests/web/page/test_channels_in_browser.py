"""The channels on the page: what each has measured, as of when, and what is stale, failed, planned or unknown."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from browsing import EVENT, Browser, signed_in, tile
from playwright.sync_api import expect
from served import Site
from world import SPRING

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"
WIDTHS = (1440, 390)


@pytest.fixture
def measured(site: Site) -> Site:
    """A site with an event that has a channel in each state."""
    world = site.world
    world.count(
        world.distributed(channelName="Instagram", distributionCost=40_000),
        world.distributed(channelName="RingoBiz", distributionCost=9_000, channelType="VOICE"),
        world.distributed(channelName="GenieTV", status="FAILED"),
    )
    now = datetime.now(UTC).replace(tzinfo=None)

    def ago(minutes: int) -> str:
        return (now - timedelta(minutes=minutes)).isoformat(" ")

    world.measure(
        world.measurement("NaverBlog", at=ago(1), views=12_000, impressions=90_000, clicks=1_350, likes=40),
        world.measurement("Instagram", at=ago(60), views=8_000, impressions=20_000, clicks=500, conversions=70),
        world.measurement("RingoBiz", SPRING, at=ago(2), total_calls=300, completed_calls=120, conversions=9),
    )
    return site


def test_each_channel_shows_its_state_and_only_counts_that_it_has_reported(measured: Site, browser: Browser) -> None:
    page = signed_in(measured, browser.new_page(), EVENT)
    naver = page.get_by_role("row", name="NaverBlog")
    expect(naver).to_contain_text("측정됨")
    expect(naver).to_contain_text("12,000")
    expect(naver).to_contain_text("조회당 0.25원")
    expect(naver.get_by_role("cell").nth(4)).to_have_text("전환율–")  # it has reported no conversions
    instagram = page.get_by_role("row", name="Instagram")
    expect(instagram).to_contain_text("오래됨")
    expect(instagram).to_contain_text("부터 지난 값")
    expect(instagram).to_contain_text("전환당 571.43원")
    ringo = page.get_by_role("row", name="RingoBiz")
    expect(ringo.get_by_role("cell").nth(2)).to_contain_text("–")  # calls, but no views
    expect(ringo).to_contain_text("40%")
    expect(page.get_by_role("row", name="GenieTV")).to_contain_text("응답 없음")
    expect(page.get_by_role("row", name="WooriTV")).to_contain_text("아직 재지 않음")
    total = page.locator("tr.total")
    expect(total).to_contain_text("20,000")
    expect(total.get_by_role("cell").nth(2)).to_contain_text("지난 값")  # one of its parts is stale
    expect(tile(page, "조회수")).to_contain_text("지난 값")
    page.goto(measured.address)
    expect(tile(page, "조회수").locator(".value")).to_have_text("20,000")
    expect(tile(page, "조회수")).to_contain_text("지난 값")
    assert browser.unexpected_messages() == []


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
def test_channels_in_every_state_are_accessible_and_fit(measured: Site, browser: Browser) -> None:
    found = {}
    for width in WIDTHS:
        page = browser.new_page(width, 900, bypass_csp=True)
        for lang, stale in (("ko", "오래됨"), ("en", "Stale")):
            signed_in(measured, page, f"{EVENT}?lang={lang}")
            expect(page.get_by_role("row", name="Instagram")).to_contain_text(stale)
            page.add_script_tag(path=AXE)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
                found[f"{width} {lang} {scheme}"] = [(rule["id"], rule["nodes"][0]["html"]) for rule in violations]
            # The chart is resized one frame after the window, so wait for it.
            page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    assert {state: rules for state, rules in found.items() if rules} == {}
