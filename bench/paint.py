"""How soon a page shows its numbers on a phone, what a live update costs, how smoothly a list scrolls.

    paint      a throttled phone with an empty cache: document ─► first frame with the numbers ─► chart, live stream
    update     message ─► counted ─► "changed" ─► answers ─► tiles, sections and a chart of 2,000 points drawn again
    scroll     the wheel turns over a list of 1,000 events; a page without scripts takes turns with it

The service, its event stream and its answers are real. Chromium draws without a graphics card.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from statistics import median
from typing import Any, TypeVar

from playwright.sync_api import Browser, CDPSession, Page, Response

from bench.chromium import open_chromium, sign_in
from bench.figures import Figure, percentile
from bench.http_ingestion import HttpClient
from bench.servers import Servers

OWNER = "bench"
EVENT = "0b5e2f64-0000-4000-8000-000000000002"
EVENTS = 1_000
BUCKETS = 2_000
CHANNELS = ("WooriTV", "GenieTV", "RingoBiz", "Instagram", "NaverBlog", "KakaoChannel")
BODY_MESSAGES = 1_000

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1_280, "height": 900}
CPU_SLOWER = 4
LINE = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1_600_000 / 8,
    "uploadThroughput": 750_000 / 8,
}
"""A slow mobile connection: ms for each round trip, bytes a second."""

Measured = TypeVar("Measured")

WHEEL_TURNS = 150
WHEEL_PX = 200

_OBSERVE_LOAD = """
window.shifts = 0;
new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
window.numbersPainted = new Promise((resolve) => {
    const look = () => {
        const value = document.querySelector(".hero .value:not(.missing)");
        // The message arrives after the frame in which the number has been found was painted.
        if (!value?.getClientRects().length) return requestAnimationFrame(look);
        const painted = new MessageChannel();
        painted.port1.onmessage = () => resolve(performance.now());
        painted.port2.postMessage(null);
    };
    requestAnimationFrame(look);
});
"""
_TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_OBSERVE_UPDATE = """(headline) => {
    window.updated = new Promise((resolve) => {
        const look = () => document.querySelector(".headline")?.textContent.startsWith(headline);
        const observer = new MutationObserver(() => look() && (observer.disconnect(), resolve()));
        observer.observe(document.querySelector(".headline"), { subtree: true, childList: true, characterData: true });
    });
}"""
_COUNT_SHOWN = """() => {
    const count = (selector) => document.querySelectorAll(selector).length;
    const points = Number(document.querySelector(".plot").ariaValueMax) + 1;
    return `${count(".metric")} tiles, ${count(".num")} figures in all, a heat map, a chart of ${points} points`;
}"""
_SCRIPTS = ("FunctionCall", "BlinkScheduler_PerformMicrotaskCheckpoint", "EvaluateScript", "MinorGC", "MajorGC")
_TASKS = ("ThreadControllerImpl::RunTask", *_SCRIPTS)
WARM_UPS = 5
_RECORD_FRAMES = """() => {
    window.frames_ms = [];
    let before = null;
    const record = (now) => {
        if (before !== null) window.frames_ms.push(now - before);
        before = now;
        if (window.frames_ms) requestAnimationFrame(record);
    };
    requestAnimationFrame(record);
}"""
_TAKE_FRAMES = "() => { const taken = window.frames_ms; window.frames_ms = null; return taken; }"


def run_first_load(servers: Servers, *, quick: bool) -> list[Figure]:
    """The first load of an event page and of the events list."""
    with _open_bench(servers, "paint", quick=quick) as bench:
        return list(bench.first_loads())


def run_live_update(servers: Servers, *, quick: bool) -> list[Figure]:
    """A live update of an event page."""
    with _open_bench(servers, "update", quick=quick) as bench:
        return list(bench.live_update())


def run_scrolling(servers: Servers, *, quick: bool) -> list[Figure]:
    """Scrolling the list of events."""
    with _open_bench(servers, "scroll", quick=quick) as bench:
        return list(bench.scrolling())


@dataclass(slots=True)
class Load:
    """What the first load of a page took."""

    numbers_ms: float = 0.0
    contentful_ms: float = 0.0
    requests: int = 0
    bytes: int = 0
    shifts: float = 0.0


@dataclass(slots=True)
class Update:
    """The processor time of a page's main thread for one update, in ms."""

    script: float
    """Scripts, which includes rendering in microtasks, and garbage collection."""
    task: float
    """All, which includes layout, painting, and the frames in which numbers are animated."""


@dataclass(slots=True)
class Scroll:
    """One way down a page by the wheel."""

    frames_ms: list[float] = field(default_factory=list)
    task_ms: float = 0.0
    elements: int = 0


@dataclass(frozen=True, slots=True)
class _Bench:
    name: str
    servers: Servers
    chromium: Browser
    client: HttpClient
    address: str
    rounds: int
    participants: Iterator[int] = field(default_factory=lambda: count(1))

    def first_loads(self) -> Iterator[Figure]:
        """The event's page and the list of events, in turns."""
        pages = {"event page": f"/events/{EVENT}", "events list": f"/users/{OWNER}"}
        taken: dict[str, list[Load]] = {name: [] for name in pages}
        for round_number in range(-1, self.rounds):
            for name, path in pages.items():
                load = self._load(path)
                if round_number >= 0:  # the first one makes the service compress its files
                    taken[name].append(load)
            self.servers.log_progress(f"{self.name}: first loads, round {round_number + 1} of {self.rounds}, {_load()}")
        for name, loads in taken.items():
            sample = f"median of {self.rounds}; CPU 4x slower, 1.6 Mbit/s, 150 ms, {PHONE['width']}x{PHONE['height']}"
            what = f"first load, {name}"
            yield Figure(self.name, f"{what}: the numbers", _median(loads, _numbers_s), "s (target: 1.5)", sample)
            first_s = _median(loads, lambda load: load.contentful_ms / 1e3)
            yield Figure(self.name, f"{what}: first contentful paint", first_s, "s", sample)
            yield Figure(
                self.name, f"{what}: requests", _median(loads, lambda load: load.requests), "(target: 15)", sample
            )
            kilobytes = _median(loads, lambda load: load.bytes / 1e3)
            yield Figure(self.name, f"{what}: received", kilobytes, "kB (target: 120)", sample)
            yield Figure(self.name, f"{what}: CLS", _median(loads, lambda load: load.shifts), "(target: 0.02)", sample)

    def _load(self, path: str) -> Load:
        """One load with an empty cache, until the page is whole and live."""
        context = sign_in(self.chromium, self.address, self.servers.token(OWNER, "MERCHANT", 0), **PHONE)
        page = context.new_page()
        page.add_init_script(_OBSERVE_LOAD)
        load = Load()
        devtools = context.new_cdp_session(page)
        devtools.on("Network.requestWillBeSent", lambda _: _count(load, requests=1))
        devtools.on("Network.loadingFinished", lambda end: _count(load, received=int(end["encodedDataLength"])))
        devtools.send("Network.enable")
        devtools.send("Network.emulateNetworkConditions", LINE)
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWER})
        page.goto(f"{self.address}{path}?lang=en", wait_until="commit")
        load.numbers_ms = page.evaluate("window.numbersPainted")
        page.locator(".live-live").wait_for()
        page.locator(".plot canvas, .windowed").first.wait_for()
        page.wait_for_load_state("load")
        page.evaluate(_TWO_FRAMES)
        load.contentful_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        load.shifts = page.evaluate("window.shifts")
        context.close()
        return load

    def live_update(self) -> Iterator[Figure]:
        """One more participant, again and again, in turns with a reload in which nothing has changed."""
        for what, query in (("", ""), (", its table of 2,000 rows open", "&table=1")):
            page = self._open_chart(query)
            shown = page.evaluate(_COUNT_SHOWN)
            updates, reloads = [], []
            for number in range(WARM_UPS + 2 * self.rounds):
                updates.append(self._update(page))
                reloads.append(self._reload(page))
                self.servers.log_progress(f"{self.name}: live update {number + 1}{what}, {_load()}")
            page.context.close()
            sample = f"median of {2 * self.rounds}; {shown}"
            yield from _update_figures(self.name, f"live update of an event page{what}", updates[WARM_UPS:], sample)
            yield from _update_figures(self.name, "  a reload without a change", reloads[WARM_UPS:], sample)

    def _open_chart(self, query: str) -> Page:
        context = sign_in(self.chromium, self.address, self.servers.token(OWNER, "MERCHANT", 1), **DESK)
        page = context.new_page()
        page.goto(f"{self.address}/events/{EVENT}?lang=en&view=all&granularity=hourly{query}")
        page.locator(".live-live").wait_for()
        page.locator(".plot canvas").wait_for()
        page.locator(".heat-cells").wait_for()
        return page

    def _update(self, page: Page) -> Update:
        number = next(self.participants)
        page.evaluate(_OBSERVE_UPDATE, f"{2 * BUCKETS + number:,} ")
        with self._traced(page) as update:
            self.client.post(_body([_registered(f"live-{number}", datetime.now(UTC), number)]))
            page.evaluate("window.updated")
            page.evaluate(_TWO_FRAMES)
        return update

    def _reload(self, page: Page) -> Update:
        with self._traced(page) as update:
            with page.expect_response(_is_insights):
                page.keyboard.press("r")
            page.evaluate(_TWO_FRAMES)
        return update

    @contextmanager
    def _traced(self, page: Page) -> Iterator[Update]:
        """What the block costs the page."""
        update = Update(0.0, 0.0)
        self.chromium.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
        yield update
        events = json.loads(self.chromium.stop_tracing())["traceEvents"]
        update.script, update.task = _outermost_ms(events, _SCRIPTS), _outermost_ms(events, _TASKS)

    def scrolling(self) -> Iterator[Figure]:
        """The list of events, and a page of the same height without scripts, in turns."""
        context = sign_in(self.chromium, self.address, self.servers.token(OWNER, "MERCHANT", 2), **DESK)
        page, plain = context.new_page(), context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/api/" in request.url else None)
        page.goto(f"{self.address}/users/{OWNER}?lang=en")
        page.locator(".live-live").wait_for()
        page.get_by_role("button", name=f"All {EVENTS + 1:,}").wait_for()
        answers = [url for url in asked if "/analytics" in url]
        plain.goto("about:blank")
        plain.evaluate("document.body.append(Object.assign(document.createElement('p'), { id: 'tall' }))")
        plain.evaluate("tall.style.height = '200000px'")
        taken: dict[Page, list[Scroll]] = {page: [], plain: []}
        for _ in range(self.rounds):
            for each, scrolls in taken.items():
                scrolls.append(_scroll(each))
        context.close()
        sample = f"median of {self.rounds}; {WHEEL_TURNS} turns of the wheel, {EVENTS + 1:,} events"
        what = f"scrolling {EVENTS:,} events"
        p95 = {each: median(percentile(scroll.frames_ms, 95) for scroll in scrolls) for each, scrolls in taken.items()}
        yield Figure(self.name, f"{what}: frame, p95", p95[page], "ms (target: 20)", sample)
        yield Figure(self.name, "scrolling a page without scripts: frame, p95", p95[plain], "ms", sample)
        task_ms = _median(taken[page], lambda scroll: scroll.task_ms / len(scroll.frames_ms))
        yield Figure(self.name, f"{what}: processor time of the main thread for a frame", task_ms, "ms", sample)
        elements = max(scroll.elements for scroll in taken[page])
        yield Figure(self.name, f"{what}: elements in the document", elements, "", sample)
        yield Figure(self.name, f"{what}: requests for events", len(answers), "(target: 3)", sample)


@contextmanager
def _open_bench(servers: Servers, name: str, *, quick: bool) -> Iterator[_Bench]:
    """A service with the events of one merchant, and a browser."""
    database = servers.create_database(f"bench_{name}")
    servers.log_progress(f"{name}: {EVENTS:,} events, and one with {BUCKETS:,} hours")
    with servers.serve(database) as serve, open_chromium() as chromium:
        client = HttpClient(serve, servers.admin_token())
        _fill(client)
        yield _Bench(name, servers, chromium, client, f"http://127.0.0.1:{serve.port}", rounds=3 if quick else 9)
        client.close()
    servers.drop_database(database)


def _update_figures(name: str, what: str, updates: Sequence[Update], sample: str) -> Iterator[Figure]:
    yield Figure(name, f"{what}: scripts", _median(updates, lambda u: u.script), "ms (target: 16)", sample)
    yield Figure(name, f"{what}: main thread in all", _median(updates, lambda u: u.task), "ms", sample)


def _is_insights(response: Response) -> bool:
    return "/analytics/insights" in response.url


def _outermost_ms(events: Sequence[dict[str, Any]], names: Sequence[str]) -> float:
    """The processor time of the events with these names on the main threads of pages, each nested one once."""
    threads = {_thread(each) for each in events if each.get("args", {}).get("name") == "CrRendererMain"}
    named = [each for each in events if each["name"] in names and each.get("ph") == "X" and _thread(each) in threads]
    total_us, end = 0.0, dict.fromkeys(threads, 0.0)
    for each in sorted(named, key=lambda each: (each["ts"], -each["dur"])):
        if each["ts"] >= end[_thread(each)]:
            end[_thread(each)] = each["ts"] + each["dur"]
            total_us += each.get("tdur", 0)
    return total_us / 1e3


def _thread(event: dict[str, Any]) -> tuple[int, int]:
    return event["pid"], event["tid"]


def _scroll(page: Page) -> Scroll:
    page.bring_to_front()
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(_TWO_FRAMES)
    page.mouse.move(DESK["width"] / 2, DESK["height"] / 2)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _processor_ms(devtools)
    page.evaluate(_RECORD_FRAMES)
    for _ in range(WHEEL_TURNS):
        page.mouse.wheel(0, WHEEL_PX)
    frames_ms = page.evaluate(_TAKE_FRAMES)
    task_ms = _processor_ms(devtools) - before
    devtools.detach()
    return Scroll(frames_ms, task_ms, page.evaluate("document.querySelectorAll('*').length"))


def _processor_ms(devtools: CDPSession) -> float:
    """The processor time of a page's main thread so far."""
    seconds = {metric["name"]: metric["value"] for metric in devtools.send("Performance.getMetrics")["metrics"]}
    return float(seconds["TaskDuration"]) * 1e3


def _count(load: Load, *, requests: int = 0, received: int = 0) -> None:
    load.requests += requests
    load.bytes += received


def _numbers_s(load: Load) -> float:
    """A number can be found before it is painted, but nothing is painted before the first contentful paint."""
    return max(load.numbers_ms, load.contentful_ms) / 1e3


def _median(measured: Sequence[Measured], value_of: Callable[[Measured], float]) -> float:
    return median(map(value_of, measured))


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def _fill(client: HttpClient) -> None:
    """An event with figures in each of its hours, and the others of its merchant."""
    messages = _messages()
    while part := list(islice(messages, BODY_MESSAGES)):
        client.post(_body(part))


def _messages() -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC)
    begin = now - timedelta(hours=BUCKETS - 1)
    plan = {"userId": OWNER, "totalInvestment": 1_000_000, "expectedRevenue": 2_000_000, "targetRoi": 30}
    channels = [{"channelName": name, "status": "SUCCESS", "distributionCost": 30_000} for name in CHANNELS]
    created = {"createdAt": begin.isoformat(), "startDate": begin.isoformat()}
    yield {"type": "event-created", "eventTitle": "Measured", **created, **plan}
    yield {"type": "distribution-completed", "completedAt": begin.isoformat(), "channels": channels}
    for number in range(2 * BUCKETS):
        yield _registered(f"p{number}", begin + timedelta(hours=number // 2), number)
    for number in range(EVENTS):
        event_id = f"event-{number:04}"
        day = (begin + timedelta(minutes=number)).isoformat()
        yield {
            "eventId": event_id,
            "type": "event-created",
            "createdAt": day,
            "eventTitle": f"No. {number}",
            **plan,
        }
        if number % 3 == 0:
            yield {"eventId": event_id, **_registered(f"p{number}", now - timedelta(hours=number % 24), number)}


def _registered(participant: str, at: datetime, number: int) -> dict[str, Any]:
    channel = CHANNELS[number % len(CHANNELS)]
    registered = {"participantId": participant, "registeredAt": at.isoformat(), "channel": channel}
    return {"type": "participant-registered", **registered}


def _body(messages: list[dict[str, Any]]) -> bytes:
    return json.dumps([{"eventId": EVENT, **message} for message in messages]).encode()
