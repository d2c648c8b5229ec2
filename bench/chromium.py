"""The Chromium in which the benches open pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, sync_playwright

COOKIE = "hannun_session"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Chromium without a window: that of the system, else the one of Playwright."""
    with sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
        chromium = playwright.chromium.launch(executable_path=program, args=["--headless", "--no-sandbox"])
        yield chromium
        chromium.close()


def sign_in(chromium: Browser, address: str, token: str, *, width: int, height: int) -> BrowserContext:
    """A context with an empty cache, whose pages send a token as the session cookie."""
    context = chromium.new_context(viewport={"width": width, "height": height}, locale="en-US")
    context.add_cookies([{"name": COOKIE, "value": token, "url": address}])
    return context
