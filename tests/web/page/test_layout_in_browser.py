"""Layout of the page: no text covers another one, and nothing is wider than the window, also with long names."""

import pytest
from browsing import EVENT, Browser, signed_in
from playwright.sync_api import Page, expect
from served import Site

pytestmark = pytest.mark.browser

LONG_TITLE = "우리동네에서가장오래된빵집이스무번째생일을맞아단골손님모두에게드리는겨울한정판케이크선물"
LONG_CHANNEL = "아주길고긴이름을가진우리동네케이블텔레비전지역광고채널하나둘셋넷다섯여섯일곱여덟"

OVERLAPS = """() => {
    const cut = (box, frame) => ({
        left: Math.max(box.left, frame.left),
        top: Math.max(box.top, frame.top),
        right: Math.min(box.right, frame.right),
        bottom: Math.min(box.bottom, frame.bottom),
    });
    const isCut = (style) => style.overflow !== "visible" || style.clipPath !== "none";
    const visiblePart = (box, element) => {
        for (let each = element; each; each = each.parentElement)
            if (isCut(getComputedStyle(each))) box = cut(box, each.getBoundingClientRect());
        return box;
    };
    const texts = [];
    const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || !element.checkVisibility() || element.closest("svg, option")) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        for (const box of range.getClientRects())
            texts.push({ text: node.data, element, box: visiblePart(box, element) });
    }
    // Boxes of lines are higher than their letters.
    const overlap = ({ left, top, right, bottom }) => right - left > 2 && bottom - top > 6;
    return texts.flatMap((one, at) =>
        texts
            .slice(at + 1)
            .filter((other) => other.element !== one.element && overlap(cut(one.box, other.box)))
            .map((other) => `${one.text} | ${other.text}`),
    );
}"""
"""The pairs of texts on the page that cover each other."""


def assert_readable(page: Page, width: int) -> None:
    page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    assert page.evaluate(OVERLAPS) == []


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("width", [320, 390, 800, 1440])
def test_no_text_covers_another(measured: Site, browser: Browser, width: int, language: str) -> None:
    page = signed_in(measured, browser.new_page(width, 900), f"{EVENT}?lang={language}")
    expect(page.locator(".advice-item").first).to_be_visible()
    expect(page.locator(".funnel .funnel-step")).to_have_count(5)
    assert_readable(page, width)


@pytest.mark.parametrize("width", [320, 390, 800, 1440])
def test_long_names_and_large_amounts_fit(site: Site, browser: Browser, width: int) -> None:
    world = site.world
    world.count(
        world.created(
            "long",
            eventTitle=LONG_TITLE,
            totalInvestment=1_234_567_890,
            expectedRevenue=9_876_543_210_123,
            targetRoi=9e7,
        ),
        *(world.registered(f"a{at}", "long", channel=LONG_CHANNEL) for at in range(40)),
        *(world.registered(f"b{at}", "long", channel="Instagram") for at in range(4)),
        world.distributed("long", channelName=LONG_CHANNEL, channelType="TV", distributionCost=1_000_000),
        world.distributed("long", channelName="Instagram", distributionCost=1_234_567_890.12),
    )
    page = signed_in(site, browser.new_page(width, 900))
    expect(page.get_by_role("link", name=LONG_TITLE)).to_be_visible()
    assert_readable(page, width)
    page.goto(f"{site.address}/events/long")
    expect(page.locator(".advice-best-channel")).to_contain_text(LONG_CHANNEL)
    assert_readable(page, width)
