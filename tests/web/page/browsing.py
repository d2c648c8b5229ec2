"""A browser for the tests of the page, and what they share."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect
from served import Site
from world import OWNER, SPRING

SEOUL = ZoneInfo("Asia/Seoul")
EVENT = f"/events/{SPRING}"
ANALYTICS = f"/api/v1{EVENT}/analytics"


class Browser:
    """Creates pages in separate browser contexts, and records their console errors and warnings."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self.console: list[str] = []

    def new_page(self, width: int = 1280, height: int = 900, **options: Any) -> Page:
        context = self._chromium.new_context(
            viewport={"width": width, "height": height},
            **{"locale": "ko-KR", "reduced_motion": "reduce", **options},
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        expect.set_options(timeout=20_000)
        page.on("console", self._record)
        page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        return page

    def _record(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.console.append(f"{message.type}: {message.text}")

    def unexpected_messages(self, *expected: int) -> list[str]:
        """The recorded console messages, except those about responses with an expected status."""
        return [text for text in self.console if not any(f"status of {status} " in text for status in expected)]

    def close(self) -> None:
        for context in self._contexts:
            context.close()


def signed_in(site: Site, page: Page, path: str = "/") -> Page:
    """Open a path with a session of the event's owner."""
    page.context.add_cookies([{"name": "hannun_session", "value": site.token(OWNER), "url": site.address}])
    page.goto(site.address + path)
    return page


def screenshot(page: Page, name: str, *, full_page: bool = True) -> None:
    """Keep a screenshot in the folder that `HANNUN_SCREENSHOTS` names, to be looked at; nothing without that."""
    if folder := os.environ.get("HANNUN_SCREENSHOTS"):
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=full_page)


def without_insights(page: Page) -> Page:
    """A page to which the service does not say what the figures mean, so that it says so itself."""
    page.route("**/analytics/insights*", lambda route: route.fulfill(status=503, json={"code": "unavailable"}))
    return page


def hours_ago(hours: float) -> datetime:
    """A whole minute in the past; in the future where `hours` is negative."""
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=hours)


def digits(text: str | None) -> int:
    """The digits of a text as a number."""
    return int(re.sub(r"\D", "", text or ""))


def tile(page: Page, name: str) -> Any:
    """The tile with this name."""
    return page.get_by_role("region", name=name, exact=True)


_COUNT_NODES = """function () {
    const isNode = (each) => ["type", "props", "__k", "__v"].every((name) => Object.hasOwn(each, name));
    return this.filter(isNode).length;
}"""
"""Counts the nodes of Preact among objects. Its minified build names the children `__k` and the version `__v`."""


def count_nodes(page: Page) -> int:
    """How many nodes of Preact are in the page's memory after a garbage collection: those on the page, and those that
    something still keeps."""
    devtools = page.context.new_cdp_session(page)
    prototype = devtools.send("Runtime.evaluate", {"expression": "Object.prototype"})["result"]["objectId"]
    # This query collects the garbage first.
    found = devtools.send("Runtime.queryObjects", {"prototypeObjectId": prototype})["objects"]["objectId"]
    call = {"objectId": found, "functionDeclaration": _COUNT_NODES}
    count: int = devtools.send("Runtime.callFunctionOn", call)["result"]["value"]
    devtools.detach()
    return count
