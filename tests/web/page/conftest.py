"""One Chromium for each module, and a site with an event to look at."""

import shutil
from collections.abc import Iterator

import pytest
from browsing import Browser
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import sync_playwright
from served import OTHER_MERCHANT, Site, open_site
from world import World

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """One Chromium for the module, with a new profile folder."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Browser]:
    browser = Browser(chromium)
    yield browser
    browser.close()


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    """The service with an event of seven participants, and another merchant's event."""
    with open_site(world) as site:
        world.count(
            world.created(totalInvestment=100_000, expectedRevenue=250_000, targetRoi=30),
            world.distributed(channelName="NAVER", distributionCost=3_000, expectedViews=18_600),
            world.distributed(channelName="WooriTV", distributionCost=7_000),
            *(world.registered(f"n{i}", channel="NAVER") for i in range(4)),
            *(world.registered(f"w{i}", channel="WooriTV", at="2026-11-21T18:00:00+09:00") for i in range(2)),
            world.registered("x"),
            world.sold(60_000),
            world.created("another-merchants", owner=OTHER_MERCHANT, eventTitle="남의 이벤트"),
        )
        yield site
