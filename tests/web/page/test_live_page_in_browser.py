"""A live page: however often something changes, it asks at most once a second, and what it says of itself is true."""

from datetime import UTC, datetime, timedelta

import pytest
from browsing import Browser, signed_in, tile
from playwright.sync_api import Page, Request, expect
from served import Site
from world import SPRING

EVENT = f"/events/{SPRING}?lang=ko"
ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
COUNT_ANNOUNCEMENTS = """
window.announced = 0;
window.EventSource = class extends EventSource {
  constructor(url) {
    super(url);
    this.addEventListener("changed", () => window.announced++);
  }
};
"""


class Requests:
    """The requests of a page for one path."""

    def __init__(self, page: Page, path: str) -> None:
        self._path = path
        self.count = 0
        page.on("request", self._on_request)

    def is_one(self, url: str) -> bool:
        """Whether a request for this address is one of them."""
        return url.split("?")[0].endswith(self._path)

    def _on_request(self, request: Request) -> None:
        self.count += self.is_one(request.url)


def announce(site: Site, page: Page, name: str) -> None:
    """Change the event, and wait until the page was told."""
    before = page.evaluate("announced")
    site.world.count(site.world.registered(name))
    page.wait_for_function("before => announced > before", arg=before, polling=50)


def test_a_page_that_is_told_of_many_changes_asks_once_a_second(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.add_init_script(COUNT_ANNOUNCEMENTS)
    page.clock.install()
    requests = Requests(page, ANALYTICS)
    signed_in(site, page, EVENT)
    expect(page.locator(".live-live")).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now()") + 10_000)
    page.clock.run_for(5_000)  # what was due is loaded, and the second after it is over
    page.wait_for_load_state("networkidle")

    before = requests.count
    with page.expect_response(lambda response: requests.is_one(response.url)):
        announce(site, page, "first")
        page.clock.run_for(50)
    assert requests.count == before + 1
    for number in range(10):
        announce(site, page, f"next {number}")
    page.clock.run_for(800)
    assert requests.count == before + 1
    shown = tile(page, "참여자").get_by_text("18")
    site.world.wait_for("all changes to be shown", lambda: page.clock.run_for(100) or shown.is_visible())
    assert requests.count == before + 2


RECORD_STREAMS = """
window.openedAt = [];
window.failedAt = [];
window.EventSource = class extends EventSource {
  constructor(url) {
    super(url);
    openedAt.push(Date.now());
    this.addEventListener("error", () => this.readyState === EventSource.CLOSED && failedAt.push(Date.now()));
  }
};
"""


def stop_clock(page: Page) -> None:
    """From here on the page's time passes by `run_for` only: then each timer runs exactly when it is due."""
    page.clock.install()
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=10))


def has_failed(page: Page, times: int) -> bool:
    """Let a second pass. Returns whether the stream was refused so often."""
    page.clock.run_for(1_000)
    return bool(page.evaluate("times => failedAt.length >= times", times))


@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.75), (0.5, 1.0), (0.96, 1.23)])
def test_a_page_whose_stream_is_refused_waits_longer_each_time(
    site: Site, browser: Browser, random: float, factor: float
) -> None:
    page = browser.new_page()
    page.add_init_script(f"Math.random = () => {random};")
    page.add_init_script(RECORD_STREAMS)
    page.route("**/live", lambda route: route.fulfill(status=503, json={"code": "unavailable"}))
    stop_clock(page)
    signed_in(site, page, EVENT)
    site.world.wait_for("the stream to be refused", lambda: has_failed(page, 7))
    opened, failed = page.evaluate("[openedAt, failedAt]")
    waits = [after - before for before, after in zip(failed, opened[1:], strict=False)][:6]
    expected = [seconds * 1_000 * factor for seconds in (2, 4, 8, 16, 30, 30)]
    assert all(0 <= wait - due < 20 for wait, due in zip(waits, expected, strict=True)), waits
    expect(page.locator(".live-connecting")).to_be_visible()  # it has never been live


def test_a_page_whose_stream_was_open_begins_with_the_shortest_wait_again(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.add_init_script("Math.random = () => 0.5;")
    page.add_init_script(RECORD_STREAMS)
    refusing = [True]
    page.route(
        "**/live",
        lambda route: route.fulfill(status=503, json={"code": "unavailable"}) if refusing[0] else route.continue_(),
    )
    stop_clock(page)
    signed_in(site, page, EVENT)
    site.world.wait_for("the stream to be refused", lambda: has_failed(page, 3))
    refusing[0] = False
    live = page.locator(".live-live")
    site.world.wait_for("the stream to be open", lambda: page.clock.run_for(1_000) or live.is_visible())
    refusing[0] = True

    async def end() -> None:
        site.services.open_streams.end()

    failures = page.evaluate("failedAt.length")
    site.run_in_loop(end)
    site.world.wait_for("the stream to be refused again", lambda: has_failed(page, failures + 2))
    (wait,) = page.evaluate("n => [openedAt[n + 1] - failedAt[n]]", failures)
    assert 2_000 <= wait < 2_020
