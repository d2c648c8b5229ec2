"""Users of the page in one process, each with an event stream and the requests of the page: for `bench.load`.

    python -m bench.load_clients PORT < a line of JSON [token, owner, [event, ...]] for each user, an empty line, then:
    "users N"      until the first N users have a page open; answers {}
    "measure S"    what the users see in S seconds; answers a `Seen`

    the list of events (document, stream) ─► an event (four answers, stream, the same again) ─► closed ─► the list ...
         └─ "changed": read again               └─ "changed", once a minute, another range: read again

Requests go over persistent connections that all users share, as those of the gateway before `serve` do. What the
scripts do is in `static/live-query.js`, `views/event.js`, `views/merchant.js` and `chart-range.js`. A browser has the
files of the page in its cache, so that they cost no request.

How long a person looks is drawn from an exponential distribution that is cut at ten times its mean, as TPC-W
draws think times. Its means are assumed; bench/README.md says from what.
"""

import asyncio
import json
import random
import resource
import sys
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import brotli
import uvloop

from bench.chromium import COOKIE
from bench.live_clients import Page, answer
from bench.messages import total_participants

VISIT_S = 300.0
LIST_S = 20.0
RANGE_S = 60.0
"""The means of a visit, of its look at the list of events, and of the time until a user chooses another range."""
THINK_MAX = 10
"""A time is at most so many times its mean."""

# live-query.js and views/event.js
REFRESH_GAP_S = 1.0
POLL_S = 60.0
INSIGHTS_GAP_S = 2.0
TODAY_GAP_S = 30.0
RESPONSE_S_MAX = 10.0
"""As long as the page waits for an answer."""

OPENED_AT_ONCE = 16
FIRST_PAGE_S_MAX = 15.0
RETRY_S = 2.0
ZONE = "Asia/Seoul"
RANGES = ("48h", "7d", "30d", "2h", "all")
"""The ranges of the chart of a running event. The page begins with the first one."""


@dataclass(slots=True)
class Seen:
    """What users saw while a measurement ran. Times are in seconds.

    Args:
        opens: from a click until all answers of the page have come and its stream is open.
        reads: of single requests.
        uncached: how many of these the service computed.
        unchanged: how many of these had 304 as answer.
        totals: (event, participants before, participants now, time since 1970) of each answer with new participants.
        changes: how often a page was read again because a change was announced.
        failures: the requests and streams that failed, by what was found.
    """

    opens: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    uncached: int = 0
    unchanged: int = 0
    totals: list[tuple[str, int, int, float]] = field(default_factory=list)
    changes: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def record_failure(self, what: str) -> None:
        self.failures[what] = self.failures.get(what, 0) + 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, headers in lower case, and body as it was sent."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The value of a header; empty without it."""
        _, found, rest = self.head.partition(b"\r\n" + name + b": ")
        return rest.partition(b"\r\n")[0] if found else b""

    @property
    def content(self) -> bytes:
        """The body without its encoding."""
        match self.header(b"content-encoding"):
            case b"br":
                return brotli.decompress(self.body)  # type: ignore[no-any-return]
            case b"gzip":
                return zlib.decompress(self.body, 16 + zlib.MAX_WBITS)
            case _:
                return self.body


class RequestConnection(asyncio.Protocol):
    """A persistent connection, with one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        self.transport = transport

    async def request(self, head: bytes) -> Answer:
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(head)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None or self._waiting.done():
            return
        received = Answer(int(self._received[9:12]), self._lower_names(self._received[: end + 2]), b"")
        length = int(received.header(b"content-length") or (0 if received.status == 304 else -1))
        if length < 0:
            self._waiting.set_exception(ConnectionError("an answer without Content-Length"))
        elif len(self._received) >= end + 4 + length:
            body, self._received = self._received[end + 4 :], b""
            self._waiting.set_result(Answer(received.status, received.head, body))

    @staticmethod
    def _lower_names(head: bytes) -> bytes:
        return b"".join(
            name.lower() + colon + value
            for name, colon, value in (line.partition(b":") for line in head.splitlines(keepends=True))
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(f"the connection was closed: {exc}"))


class WatchedPage(Page):
    """The stream of one page. `changed` is set when a change is announced, or when the stream is lost."""

    __slots__ = ("changed", "is_lost")

    def __init__(self, head: bytes, opened: asyncio.Future[None]) -> None:
        super().__init__(head, opened)
        self.changed = asyncio.Event()
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        before = self.frames
        super().data_received(data)
        if self.frames > before:
            self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_lost = True
        self.changed.set()


class Service:
    """The service as users reach it, and what they saw of it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: deque[RequestConnection] = deque()
        self._streams = 0
        self.seen = Seen()

    async def get(self, path: str, token: str, etag: bytes = b"") -> Answer:
        """The answer to a request.

        Raises:
            ConnectionError: it is neither 200 nor 304, or the connection was lost.
            TimeoutError: it did not come in time.
        """
        condition = b"If-None-Match: " + etag + b"\r\n" if etag else b""
        head = _head(path, token) + b"Accept-Encoding: gzip, deflate, br, zstd\r\n" + condition + b"\r\n"
        started = time.perf_counter()
        async with self._connection() as connection, asyncio.timeout(RESPONSE_S_MAX):
            received = await connection.request(head)
        self.seen.reads.append(time.perf_counter() - started)
        self.seen.unchanged += received.status == 304
        self.seen.uncached += received.header(b"x-data-source") == b"live"
        if received.status not in (200, 304):
            raise ConnectionError(f"status {received.status} of {path.partition('?')[0].rpartition('/')[2]}")
        return received

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[RequestConnection]:
        """The connection that was used last of those that are idle, or a new one. After an error it is closed."""
        while self._idle and not self._idle[-1].is_open:
            self._idle.pop()
        if self._idle:
            connection = self._idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(RequestConnection, "127.0.0.1", self._port)
        try:
            yield connection
        except BaseException:
            connection.transport.abort()
            raise
        self._idle.append(connection)

    @asynccontextmanager
    async def stream(self, path: str, token: str) -> AsyncIterator[WatchedPage]:
        """The stream of a page, closed at the end of the block. `opened` of it is waited for by the caller."""
        loop = asyncio.get_running_loop()
        page = WatchedPage(_head(path, token) + b"\r\n", loop.create_future())
        self._streams += 1
        # Ports of one source address run short after some 28,000 connections.
        source = (f"127.0.0.{2 + self._streams // 10_000 % 200}", 0)
        await loop.create_connection(lambda: page, "127.0.0.1", self._port, local_addr=source)
        try:
            yield page
        finally:
            page.opened.cancel()
            page.transport.abort()


def _head(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nCookie: {COOKIE}={token}\r\n".encode()


class User:
    """A person who looks at the events of a merchant, again and again."""

    def __init__(self, service: Service, number: int, token: str, owner: str, events: list[str]) -> None:
        self._service = service
        self._token = token
        self._owner = owner
        self._events = events
        self._random = random.Random(f"user {number}")
        self._etags: dict[str, bytes] = {}
        self.first_page = asyncio.Event()

    async def live(self) -> None:
        """Visit again and again. The first visit begins somewhere in its middle, as if it had begun earlier."""
        begins_with_event = self._random.random() > LIST_S / VISIT_S
        while True:
            try:
                if not begins_with_event:
                    self._etags = {}  # a visit begins with a new document
                    await self._visit_list()
                begins_with_event = False
                await self._visit_event(self._random.choice(self._events))
            except (ConnectionError, TimeoutError, OSError) as error:
                self._service.seen.record_failure(str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _visit_list(self) -> None:
        base = f"/api/v1/users/{self._owner}"

        async def load() -> None:
            await self._read(f"{base}/analytics")

        started = time.perf_counter()
        await self._service.get("/", self._token)  # it carries the first answers
        async with self._service.stream(f"{base}/live", self._token) as page:
            async with asyncio.timeout(RESPONSE_S_MAX):
                await page.opened
            self._record_open(started)
            await self._watch(page, load, self._think(LIST_S))

    async def _visit_event(self, event: str) -> None:
        shown = EventPage(self._read, self._service, event)
        started = time.perf_counter()
        async with self._service.stream(f"{shown.base}/live", self._token) as page:
            await shown.load()
            async with asyncio.timeout(RESPONSE_S_MAX):
                await page.opened
            self._record_open(started)
            # The stream opens with an ETag that the page did not hold when it began to load.
            await shown.load()
            ends = time.perf_counter() + self._think(VISIT_S - LIST_S)
            while (left_s := ends - time.perf_counter()) > 0:
                await self._watch(page, shown.load, min(left_s, self._think(RANGE_S)))
                shown.range = self._random.choice(RANGES)
                await shown.load()

    async def _watch(self, page: WatchedPage, load: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Look at an open page for some time. It is read again after a change, and once a minute."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        loaded = loop.time()
        while loop.time() < ends:
            try:
                async with asyncio.timeout_at(min(ends, loaded + POLL_S)):
                    await page.changed.wait()
                    await asyncio.sleep(loaded + REFRESH_GAP_S - loop.time())
            except TimeoutError:
                if loop.time() < loaded + POLL_S:
                    return
            if page.is_lost:
                raise ConnectionError("the stream was lost")
            self._service.seen.changes += page.changed.is_set()
            page.changed.clear()
            loaded = loop.time()
            await load()

    async def _read(self, path: str) -> Answer:
        """Read an answer again, or for the first time in this visit."""
        received = await self._service.get(path, self._token, self._etags.get(path, b""))
        self._etags[path] = received.header(b"etag")
        return received

    def _record_open(self, started: float) -> None:
        self._service.seen.opens.append(time.perf_counter() - started)
        self.first_page.set()

    def _think(self, mean_s: float) -> float:
        return min(self._random.expovariate(1 / mean_s), THINK_MAX * mean_s)


class EventPage:
    """An open page of an event: which answers it reads, and the participants that it shows."""

    def __init__(self, read: Callable[[str], Awaitable[Answer]], service: Service, event: str) -> None:
        self.base = f"/api/v1/events/{event}"
        self.range = RANGES[0]
        self._read = read
        self._service = service
        self._event = event
        self._total: int | None = None
        self._loaded_at: dict[str, float] = {}

    async def load(self) -> None:
        """Read the answers of the page, in the order in which its scripts do."""
        analytics = f"{self.base}/analytics"
        is_first = self._total is None
        if is_first:  # the dates of the event decide about the rest
            await self._read_dashboard(analytics)
        more = [f"{analytics}/timeline?{urlencode(_range(self.range))}"]
        if self._is_due("insights", INSIGHTS_GAP_S):
            more.append(f"{analytics}/insights?{urlencode({'tz': ZONE})}")
        if self._is_due("today", TODAY_GAP_S):
            more.append(f"{analytics}?{urlencode(_today())}")
        reads = [] if is_first else [self._read_dashboard(analytics)]
        await asyncio.gather(*reads, *map(self._read, more))

    def _is_due(self, what: str, gap_s: float) -> bool:
        now = time.perf_counter()
        is_due = now >= self._loaded_at.get(what, -gap_s) + gap_s
        if is_due:
            self._loaded_at[what] = now
        return is_due

    async def _read_dashboard(self, path: str) -> None:
        received = await self._read(path)
        if received.status == 304:
            return
        at, total = time.time(), total_participants(received.content)
        if self._total is not None and total > self._total:
            self._service.seen.totals.append((self._event, self._total, total, at))
        self._total = max(total, self._total or 0)


def _today() -> dict[str, str]:
    """The parameters of the figures of today, as the page sends them."""
    today = datetime.now(ZoneInfo(ZONE)).date()
    return {"tz": ZONE, "startDate": str(today), "endDate": str(today + timedelta(days=1))}


def _range(name: str) -> dict[str, str]:
    """The parameters of the timeline of a range, as the page sends them."""
    now = datetime.now(UTC)
    match name:
        case "2h":
            start = now.replace(second=0, microsecond=0) - timedelta(hours=2, minutes=-1)
            return {"tz": ZONE, "granularity": "minute", "startDate": f"{start:%Y-%m-%dT%H:%M:%SZ}"}
        case "48h":
            start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=47)
            return {"tz": ZONE, "granularity": "hourly", "startDate": f"{start:%Y-%m-%dT%H:%M:%SZ}"}
        case "7d" | "30d":
            day = now.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=int(name[:-1]) - 1)
            return {"tz": ZONE, "granularity": "daily", "startDate": str(day)}
        case _:
            return {"tz": ZONE, "granularity": "daily"}


async def main(port: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    service = Service(port)
    users = [User(service, number, *plan) for number, plan in enumerate(read_plan())]
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    while command := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        if command[0] == "users":
            await add_users(users[len(tasks) : int(command[1])], tasks)
            answer({})
        else:
            service.seen = Seen()
            await asyncio.sleep(float(command[1]))
            answer(asdict(service.seen))
        for task in tasks:
            if task.done():
                task.result()  # raises what ended it


async def add_users(users: list[User], tasks: list[asyncio.Task[None]]) -> None:
    """Start these users, some at once, until each has its first page open."""
    slots = asyncio.Semaphore(OPENED_AT_ONCE)

    async def add(user: User) -> None:
        async with slots:
            tasks.append(asyncio.create_task(user.live()))
            with suppress(TimeoutError):  # users that get no page are failures of the next measurement
                async with asyncio.timeout(FIRST_PAGE_S_MAX):
                    await user.first_page.wait()

    await asyncio.gather(*map(add, users))


def read_plan() -> Iterator[tuple[str, str, list[str]]]:
    while line := sys.stdin.readline().strip():
        token, owner, events = json.loads(line)
        yield token, owner, events


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
