"""The theme: by the system or by the switch in the header, from the first paint on."""

import re
from pathlib import Path

import pytest
from browsing import EVENT, Browser, signed_in
from playwright.sync_api import Page, expect
from served import Site

STYLES = Path(__file__).parents[3] / "src/hannun/web/static/styles"
LIGHT, DARK = "rgb(244, 246, 244)", "rgb(16, 20, 19)"


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.browser
def test_the_switch_changes_the_theme_and_is_remembered(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    page.emulate_media(color_scheme="dark")
    switch = page.locator(".theme-switch")
    expect(switch).to_have_accessible_name("화면 색: 기기 설정대로")
    assert background(page) == DARK
    switch.click()
    expect(switch).to_have_accessible_name("화면 색: 밝게")
    assert background(page) == LIGHT
    expect(page.locator("meta[name=theme-color]").first).to_have_attribute("content", LIGHT)
    page.reload()
    expect(switch).to_have_accessible_name("화면 색: 밝게")
    switch.click()
    expect(switch).to_have_accessible_name("화면 색: 어둡게")
    page.emulate_media(color_scheme="light")
    assert background(page) == DARK
    switch.click()
    assert background(page) == LIGHT
    assert "hannun_theme" not in page.evaluate("document.cookie")  # by the system again: nothing is stored
    assert browser.unexpected_messages() == []


@pytest.mark.browser
def test_the_chart_is_drawn_again_in_the_colours_of_the_theme(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    page.emulate_media(color_scheme="light")
    canvas = page.locator(".plot canvas")
    for line in ([227, 232, 229], [43, 51, 48]):  # the colour of its grid in the light theme, and in the dark one
        expect(canvas).to_be_visible()
        page.wait_for_function(
            """([red, green, blue]) => {
                const canvas = document.querySelector(".plot canvas");
                if (!canvas) return false;
                const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
                for (let i = 0; i < pixels.length; i += 4)
                    if (pixels[i] === red && pixels[i + 1] === green && pixels[i + 2] === blue) return true;
                return false;
            }""",
            arg=line,
        )
        page.emulate_media(color_scheme="dark")


@pytest.mark.parametrize("path", ["/", "/docs", EVENT, "/nowhere"])
def test_the_document_has_the_chosen_theme_without_a_script(site: Site, path: str) -> None:
    def theme(cookie: str | None) -> str | None:
        headers = {"Accept": "text/html"} | ({} if cookie is None else {"Cookie": f"hannun_theme={cookie}"})
        answer = site.anonymous.get(path, headers=headers)
        assert "Cookie" in answer.headers["vary"]
        found = re.search('<html[^>]* data-theme="([^"]*)"', answer.text)
        return found and found[1]

    assert [theme(None), theme("dark"), theme("light"), theme('"><script>')] == [None, "dark", "light", None]


def test_no_style_sheet_asks_the_system_for_the_theme_itself() -> None:
    """The switch would not change it. A colour is a pair: light-dark(LIGHT, DARK)."""
    assert [path.name for path in STYLES.iterdir() if "prefers-color-scheme" in path.read_text("utf-8")] == []
