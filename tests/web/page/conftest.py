"""One Chromium for each module, and a site with an event to look at."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from browsing import SEOUL, Browser, hours_ago
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import sync_playwright
from served import OTHER_MERCHANT, Site, open_site
from world import SPRING, World

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


@pytest.fixture
def running(world: World) -> Iterator[Site]:
    """A running event whose channels have reported views and conversions."""
    with open_site(world) as site:
        plan = {"startDate": hours_ago(24 * 20).isoformat(), "endDate": hours_ago(-24 * 9).isoformat()}
        world.count(
            world.created(**plan, totalInvestment=100_000, expectedRevenue=250_000, targetRoi=50),
            world.distributed(channelName="NAVER", distributionCost=3_000),
        )
        now = datetime.now(UTC)
        midnight = now.astimezone(SEOUL).replace(hour=0, minute=0, second=0, microsecond=0)
        today = [(midnight + (now - midnight) * part).isoformat() for part in (0, 0.5, 1)]
        yesterday = [(midnight - timedelta(days=1) + (now - midnight) * part).isoformat() for part in (0, 0.4)]
        site.send(
            *(world.registered(channel="NAVER", at=at) for at in (*today, *yesterday)),
            world.registered(at=hours_ago(24 * 10).isoformat()),
            world.sold(60_000),
        )
        # Today in Seoul too, at any hour: what is compared with yesterday is that of today.
        measured_at = (midnight + (now - midnight) / 2).astimezone(UTC)
        world.record_measurement(
            SPRING, "NaverBlog", f"{measured_at:%Y-%m-%d %H:%M}", {"views": 90, "clicks": 30, "conversions": 12}
        )
        yield site


@pytest.fixture(autouse=True)
def patient_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document waits for its first numbers for as long as a test may take, also on a loaded machine."""
    monkeypatch.setattr("hannun.web.first_answers.FIRST_ANSWERS_S", 20.0)


@pytest.fixture
def no_first_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents come without numbers, so that the page makes its first requests itself."""

    async def none(*_: object) -> None:
        return None

    monkeypatch.setattr("hannun.web.pages.first_answers", none)
