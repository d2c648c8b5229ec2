"""Many event streams in one process, as light as possible: for `bench.live_pages`.

    python -m bench.live_clients PORT < a line of JSON [path, token] for each stream, then an empty line, then commands
    "forget"     drop what has been received so far; answers {}
    "wait PATH"  until each stream of this path has received a change; answers {"last": ..., "frames": ...}

Times are seconds since 1970. `frames` counts the changes of all streams since the last "forget".
"""

import asyncio
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping

import uvloop

OPENED_AT_ONCE = 32
WAIT_S_MAX = 60.0


class Page(asyncio.Protocol):
    """One stream. It counts the changes that it has received."""

    __slots__ = ("frames", "head", "last", "opened", "transport")

    def __init__(self, head: bytes, opened: asyncio.Future[None]) -> None:
        self.head = head
        self.opened = opened
        self.forget()

    def forget(self) -> None:
        self.frames = 0
        self.last = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        self.transport = transport
        transport.write(self.head)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self._read_head(data)
        if b"event: changed" in data:
            self.frames += data.count(b"event: changed")
            self.last = time.time()

    def _read_head(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200 ") and b"retry:" not in data:
            self.opened.set_exception(ConnectionError(f"the stream was not opened: {data[:500]!r}"))
        elif b"retry:" in data:
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"the stream was not opened: {exc}"))
        self.frames = -1_000_000  # what waits for this page must not go on


async def main(port: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pages = await open_all(port, list(read_plan()))
    answer({"open": sum(map(len, pages.values()))})
    loop = asyncio.get_running_loop()
    while command := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        if command[0] == "forget":
            for page in (page for of_path in pages.values() for page in of_path):
                page.forget()
            answer({})
        else:
            answer(await changes(pages[command[1]]))


async def open_all(port: int, plan: list[tuple[str, str]]) -> dict[str, list[Page]]:
    """The open streams by path."""
    pages = defaultdict(list)
    slots = asyncio.Semaphore(OPENED_AT_ONCE)
    loop = asyncio.get_running_loop()

    async def open_one(number: int, path: str, token: str) -> None:
        head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        async with slots:
            page = Page(head, loop.create_future())
            # Ports of one source address run short after some 28,000 connections.
            source = (f"127.0.0.{2 + number // 10_000}", 0)
            await loop.create_connection(lambda: page, "127.0.0.1", port, local_addr=source)
            async with asyncio.timeout(WAIT_S_MAX):
                await page.opened
            pages[path].append(page)

    await asyncio.gather(*(open_one(number, *each) for number, each in enumerate(plan)))
    return pages


async def changes(pages: list[Page]) -> dict[str, float]:
    """Wait until each page has received a change."""
    async with asyncio.timeout(WAIT_S_MAX):
        while any(page.frames < 1 for page in pages):  # noqa: ASYNC110  # an event for each page would cost more
            await asyncio.sleep(0.02)
    return {"last": max(page.last for page in pages), "frames": sum(page.frames for page in pages)}


def read_plan() -> Iterator[tuple[str, str]]:
    while line := sys.stdin.readline().strip():
        path, token = json.loads(line)
        yield path, token


def answer(value: Mapping[str, object]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
