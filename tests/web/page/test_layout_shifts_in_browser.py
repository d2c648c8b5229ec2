"""What is shown stays where it is, whichever response comes last."""

import re
from typing import Any

import pytest
from browsing import EVENT, Browser, signed_in
from layout_shifts import assert_nothing_moved, observe_shifts, wait_two_frames
from playwright.sync_api import Page, Request, Route, expect
from polling import wait_for
from served import Site
from world import OWNER

pytestmark = pytest.mark.browser

PHONE, DESKTOP = (390, 844), (1440, 900)
SIZES = pytest.mark.parametrize("size", [PHONE, DESKTOP])
LANGUAGES = pytest.mark.parametrize("lang", ["ko", "en"])
PATHS = pytest.mark.parametrize("path", [EVENT, "/"])
LATE = re.compile("/api/|/linked/")
"""What may come late: answers, and scripts. The style sheet comes before the first paint in any case."""


class Responses:
    """The responses that a page waits for, one of which may be held."""

    def __init__(self, page: Page, site: Site) -> None:
        self._page, self._site = page, site
        self._open: set[Request] = set()
        self._held: list[Route] = []
        self.last: str | None = None
        self.names: list[str] = []
        page.on("request", self._begin)
        # An event stream has a response, and no end.
        page.on("response", lambda response: self._open.discard(response.request))
        page.on("requestfailed", lambda request: self._open.discard(request))
        page.route(LATE, self._pass_or_hold)

    def _name(self, request: Request) -> str:
        """The address of a request without what differs from load to load."""
        return re.sub(r"Date=[^&]*", "Date", request.url.removeprefix(self._site.address))

    def _begin(self, request: Request) -> None:
        if LATE.search(request.url):
            self._open.add(request)
            self.names.append(self._name(request))

    def _pass_or_hold(self, route: Route) -> None:
        if self._name(route.request) == self.last:
            self._held.append(route)
            self._open.discard(route.request)
        else:
            route.continue_()

    def wait_for_all_but_the_last(self) -> None:
        def settled() -> bool:
            wait_two_frames(self._page)
            return bool(self._held) and not self._open

        wait_for(f"all but {self.last}", settled)

    def release(self) -> None:
        self.last = None
        for route in self._held:
            route.continue_()
        self._held.clear()


def wait_until_whole(page: Page, path: str) -> None:
    expect(page.locator(".live-live")).to_be_visible()
    if path == EVENT:
        expect(page.locator(".plot canvas")).to_be_visible()
        expect(page.locator(".change").first).not_to_be_empty()
        expect(page.locator(".event-sections [aria-busy=true]")).to_have_count(0)
    else:
        expect(page.locator(".event-card").first).to_be_visible()


def assert_nothing_moves_whichever_comes_last(
    site: Site, browser: Browser, path: str, size: tuple[int, int], lang: str
) -> None:
    page = browser.new_page(*size)
    observe_shifts(page)
    page.context.add_cookies([{"name": "hannun_session", "value": site.token(OWNER), "url": site.address}])
    responses = Responses(page, site)
    address = f"{site.address}{path}?lang={lang}"
    page.goto(address)
    wait_until_whole(page, path)
    names = list(dict.fromkeys(responses.names))
    assert any(name.endswith("/live") for name in names)
    for name in names:
        responses.last = name
        page.goto(address, wait_until="commit")
        responses.wait_for_all_but_the_last()
        responses.release()
        wait_until_whole(page, path)
        assert_nothing_moved(page, f"when {name} came last")
    assert browser.unexpected_messages() == []


@PATHS
@SIZES
@LANGUAGES
def test_nothing_that_is_shown_moves_while_the_rest_is_loaded(
    running: Site, browser: Browser, path: str, size: tuple[int, int], lang: str
) -> None:
    page = browser.new_page(*size)
    observe_shifts(page)
    signed_in(running, page, f"{path}?lang={lang}")
    wait_until_whole(page, path)
    assert_nothing_moved(page)


@pytest.mark.faults
@PATHS
@SIZES
@LANGUAGES
def test_nothing_moves_whichever_response_comes_last(
    running: Site, browser: Browser, path: str, size: tuple[int, int], lang: str
) -> None:
    assert_nothing_moves_whichever_comes_last(running, browser, path, size, lang)


@pytest.mark.faults
@PATHS
@pytest.mark.parametrize(("size", "lang"), [(PHONE, "en"), (DESKTOP, "ko")])
def test_nothing_moves_whichever_response_comes_last_without_first_numbers(
    running: Site, browser: Browser, no_first_numbers: Any, path: str, size: tuple[int, int], lang: str
) -> None:
    assert_nothing_moves_whichever_comes_last(running, browser, path, size, lang)
