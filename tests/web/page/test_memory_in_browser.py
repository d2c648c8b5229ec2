"""The memory of an open page does not grow with its updates."""

import pytest
from browsing import EVENT, Browser, count_nodes, signed_in
from playwright.sync_api import expect
from served import Site

pytestmark = pytest.mark.browser


def test_nodes_of_earlier_renderings_are_released(site: Site, browser: Browser) -> None:
    """Different numbers change with each update, so that Preact reuses different parts of the renderings before."""
    world = site.world
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".live-state")).to_have_text("실시간")
    expect(page.locator(".plot canvas")).to_be_visible()
    total = 7

    def update() -> None:
        nonlocal total
        total += 1
        channel = {1: {"channel": "NAVER"}, 2: {"channel": "WooriTV"}}.get(total % 3, {})
        site.send(world.registered(f"late {total}", **channel), world.sold(total))
        expect(page.locator(".headline")).to_contain_text(f"지금까지 {total}명이 참여했")

    for _ in range(2):
        update()
    before = count_nodes(page)
    for _ in range(6):
        update()
    assert before > 300  # the nodes of one rendering
    assert count_nodes(page) < 1.2 * before
