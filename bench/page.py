"""`page`: how much the memory and the document of the event page grow while it is open for an hour.

    messages ─► HTTP ─► counted ─► "changed" ─► Chromium requests the answers again and renders them

The event changes each second. The clock of the page is moved on by a second for each change, so that its timers run as
they do in an hour, and an hour takes some minutes. The service, its event stream and its answers are real.
"""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Page

from bench.chromium import open_chromium, sign_in
from bench.figures import Figure
from bench.http_ingestion import HttpClient
from bench.servers import Servers

HOUR_S = 3_600
WARM_UP = 60
"""Changes before the first measurement: code is compiled, and caches of formats and answers are filled."""
EVENT = "0b5e2f64-0000-4000-8000-000000000001"
CHANNELS = ("NaverBlog", "WooriTV", None)
SALE = 1_000
"""Won. All sales of an hour leave the event below its break-even, so that the page has the same parts throughout."""
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
        before, after = _measure_page(client, address, servers.admin_token(), changes)
        client.close()
    servers.drop_database(database)
    sample = f"{changes:,} changes, one a second of the page's clock"
    growth = (after.heap_bytes - before.heap_bytes) / 1e6 * HOUR_S / changes
    nodes = "DOM nodes of an open event page"
    return [
        Figure("page", "JavaScript heap of an open event page: growth in an hour", growth, "MB (target: 10)", sample),
        Figure("page", "JavaScript heap of an open event page, at the end", after.heap_bytes / 1e6, "MB", sample),
        Figure("page", f"{nodes}: growth", after.nodes - before.nodes, "nodes (target: 0)", sample),
        Figure("page", f"{nodes}, at the end", after.nodes, "nodes", sample),
    ]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a page keeps, after a garbage collection."""

    heap_bytes: int
    nodes: int
    """DOM nodes, those that are not in the document any more included."""


def _measure_page(client: HttpClient, address: str, token: str, changes: int) -> tuple[Memory, Memory]:
    """What the page keeps before and after the changes."""
    with open_chromium() as chromium:
        page = sign_in(chromium, address, token, width=1280, height=900).new_page()
        page.clock.install()
        page.goto(f"{address}/events/{EVENT}?lang=en")
        page.locator(".live-live").wait_for()
        for number in range(WARM_UP):
            _change(client, page, number)
        before = _memory(page)
        for number in range(WARM_UP, WARM_UP + changes):
            _change(client, page, number)
        after = _memory(page)
    return before, after


def _change(client: HttpClient, page: Page, number: int) -> None:
    """One more participant, and now and then a sale: different figures change. Wait until the page shows it."""
    now = datetime.now(UTC).isoformat()
    channel = CHANNELS[number % len(CHANNELS)]
    messages: list[dict[str, Any]] = [
        {"type": "participant-registered", "participantId": f"p{number}", "registeredAt": now, "channel": channel}
    ]
    if number % 7 == 0:
        messages.append({"type": "sales-recorded", "saleId": f"s{number}", "amount": SALE, "soldAt": now})
    client.post(_body(messages))
    page.clock.fast_forward(1_000)
    _wait_until_shown(page, f"{number + 1:,}")


def _wait_until_shown(page: Page, participants: str) -> None:
    """Playwright's own waiting starts with pauses of 0.1 s, a third of the whole run."""
    deadline = time.monotonic() + SHOWN_S_MAX
    # The tile and not the headline, which comes with the insights, at most every 2 s of the page's clock.
    while page.locator(".hero .num").first.text_content() != participants:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the page did not show {participants} participants within {SHOWN_S_MAX:.0f} s")
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


def _memory(page: Page) -> Memory:
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.enable")
    devtools.send("HeapProfiler.collectGarbage")
    heap_bytes: int = devtools.send("Runtime.getHeapUsage")["usedSize"]
    nodes: int = devtools.send("Memory.getDOMCounters")["nodes"]
    devtools.detach()
    return Memory(heap_bytes, nodes)
