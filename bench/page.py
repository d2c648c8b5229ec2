"""`page`: how much the memory of the event page grows while it is open for an hour.

    messages ─► HTTP ─► counted ─► "changed" ─► Chromium requests the answers again and renders them

The event changes each second. The clock of the page is moved on by a second for each change, so that its timers run as
they do in an hour, and an hour takes some minutes. The service, its event stream and its answers are real.
"""

import json
import shutil
import time
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Page, sync_playwright

from bench.figures import Figure
from bench.http_ingestion import HttpClient
from bench.servers import Servers

HOUR_S = 3_600
WARM_UP = 60
"""Changes before the first measurement: code is compiled, and caches of formats and answers are filled."""
EVENT = "0b5e2f64-0000-4000-8000-000000000001"
CHANNELS = ("NaverBlog", "WooriTV", None)
SHOWN_S_MAX = 20.0


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `page`."""
    changes = 300 if quick else HOUR_S
    database = servers.create_database("bench_page")
    servers.log_progress(f"page: {changes} changes of an open event page")
    with servers.serve(database) as serve:
        client = HttpClient(serve, servers.admin_token())
        client.post(_body(_plan()))
        address = f"http://127.0.0.1:{serve.port}"
        before, after = _measure_heap(client, address, servers.admin_token(), changes)
        client.close()
    servers.drop_database(database)
    sample = f"{changes:,} changes, one a second of the page's clock"
    growth = (after - before) / 1e6 * HOUR_S / changes
    return [
        Figure("page", "JavaScript heap of an open event page: growth in an hour", growth, "MB (target: 10)", sample),
        Figure("page", "JavaScript heap of an open event page, at the end", after / 1e6, "MB", sample),
    ]


def _measure_heap(client: HttpClient, address: str, token: str, changes: int) -> tuple[int, int]:
    """The bytes of the page's JavaScript heap before and after the changes, each after a garbage collection."""
    with sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        chromium = playwright.chromium.launch(executable_path=program, args=["--headless", "--no-sandbox"])
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
        context.add_cookies([{"name": "hannun_session", "value": token, "url": address}])
        page = context.new_page()
        page.clock.install()
        page.goto(f"{address}/events/{EVENT}?lang=en")
        page.locator(".live-live").wait_for()
        for number in range(WARM_UP):
            _change(client, page, number)
        before = _heap_bytes(page)
        for number in range(WARM_UP, WARM_UP + changes):
            _change(client, page, number)
        after = _heap_bytes(page)
        chromium.close()
    return before, after


def _change(client: HttpClient, page: Page, number: int) -> None:
    """One more participant, and now and then a sale: different figures change. Wait until the page shows it."""
    now = datetime.now(UTC).isoformat()
    channel = CHANNELS[number % len(CHANNELS)]
    messages: list[dict[str, Any]] = [
        {"type": "participant-registered", "participantId": f"p{number}", "registeredAt": now, "channel": channel}
    ]
    if number % 7 == 0:
        messages.append({"type": "sales-recorded", "saleId": f"s{number}", "amount": 10_000, "soldAt": now})
    client.post(_body(messages))
    page.clock.fast_forward(1_000)
    _wait_until_shown(page, f"{number + 1:,} people")


def _wait_until_shown(page: Page, text: str) -> None:
    """Playwright's own waiting starts with pauses of 0.1 s, a third of the whole run."""
    deadline = time.monotonic() + SHOWN_S_MAX
    while text not in (page.locator(".headline").text_content() or ""):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the page did not show {text!r} within {SHOWN_S_MAX:.0f} s")
        time.sleep(0.005)


def _plan() -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    channels = [{"channelName": name, "status": "SUCCESS", "distributionCost": 30_000} for name in CHANNELS if name]
    plan = {"eventTitle": "An open page", "userId": "bench", "totalInvestment": 1_000_000, "expectedRevenue": 2_000_000}
    return [
        {"type": "event-created", "createdAt": now, "targetRoi": 30, **plan},
        {"type": "distribution-completed", "completedAt": now, "channels": channels},
    ]


def _body(messages: list[dict[str, Any]]) -> bytes:
    return json.dumps([{"eventId": EVENT, **message} for message in messages]).encode()


def _heap_bytes(page: Page) -> int:
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.enable")
    devtools.send("HeapProfiler.collectGarbage")
    used: int = devtools.send("Runtime.getHeapUsage")["usedSize"]
    devtools.detach()
    return used
