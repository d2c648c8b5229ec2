"""Wake the pages that look at something when it changes.

Redis announces what changed; the hub tells every page that watches it, once for many changes in a moment, with the
answer's new ETag. A page is only told "changed": it asks again, and mostly gets what the hub has just put into the
cache. While announcements may be missed, pages are told to look for themselves.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from hannun.errors import HannunError

TELL_EVERY_S = 0.5
"""The same page is told at most twice a second: nobody reads faster."""

SEND_S_MAX = 1.0
"""How long telling one page may take. One that does not read is left out, and finds out when it asks again."""

Topic = tuple[str, str]
"""("event", eventId) or ("user", userId)."""
Send = Callable[[bytes], Awaitable[None]]


class LiveUpdates:
    """Watchers by what they watch. One for each process; runs in its event loop."""

    def __init__(
        self,
        announcements: Callable[[], AsyncIterator[dict[str, Any] | None]],
        etag: Callable[[Topic], Awaitable[str | None]],
    ) -> None:
        self._announcements = announcements
        self._etag = etag
        self._watchers: defaultdict[Topic, set[Send]] = defaultdict(set)
        self._changed: set[Topic] = set()
        self._wake = asyncio.Event()

    @property
    def watching(self) -> int:
        """How many pages watch."""
        return sum(len(watchers) for watchers in self._watchers.values())

    def watch(self, topic: Topic, send: Send) -> Callable[[], None]:
        """Tell `send` whenever the topic changes, until the returned function is called."""
        self._watchers[topic].add(send)

        def leave() -> None:
            self._watchers[topic].discard(send)
            if not self._watchers[topic]:
                del self._watchers[topic]

        return leave

    async def run(self) -> None:
        """Until cancelled: listen, and tell."""
        await asyncio.gather(self._listen(), self._tell())

    async def _listen(self) -> None:
        async for announced in self._announcements():
            if announced is None:  # something may have been missed: everybody looks for themselves
                self._changed.update(self._watchers)
            else:
                self._note(("event", announced.get("eventId", "")))
                if announced.get("userId"):
                    self._note(("user", announced["userId"]))
            self._wake.set()

    def _note(self, topic: Topic) -> None:
        if topic in self._watchers:
            self._changed.add(topic)

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, self._changed = self._changed, set()
            for topic in changed:
                await self._tell_one(topic)
            await asyncio.sleep(TELL_EVERY_S)

    async def _tell_one(self, topic: Topic) -> None:
        watchers = list(self._watchers.get(topic, ()))
        if not watchers:
            return
        try:
            etag = await self._etag(topic)
        except HannunError:  # the page will find out by itself what is wrong
            etag = None
        kind, id_ = topic
        told = msgspec.json.encode({"eventId" if kind == "event" else "userId": id_, "etag": etag})
        frame = b"event: changed\ndata: " + told + b"\n\n"
        await asyncio.gather(*(self._send(watcher, frame) for watcher in watchers), return_exceptions=True)

    @staticmethod
    async def _send(watcher: Send, frame: bytes) -> None:
        async with asyncio.timeout(SEND_S_MAX):
            await watcher(frame)
