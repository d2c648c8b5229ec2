"""Notify the pages that watch an event or a merchant when its figures change.

Redis announces what changed. Each page that watches it is notified with the answer's new ETag, once for many changes in
a moment. A page is only notified that something changed: it fetches the answer itself, and mostly gets what was just
cached for the ETag. When announcements may have been missed, all pages are notified.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import msgspec

from hannun import tracing
from hannun.domain.answer import Topic as Topic
from hannun.domain.answer import topic_fields
from hannun.domain.batch import ChangedEvent
from hannun.errors import HannunError
from hannun.telemetry import log

NOTIFY_INTERVAL_S: Final = 0.5
"""A page is notified at most twice a second: nobody reads faster."""

SEND_TIMEOUT_S: Final = 1.0
"""How long sending to one page may take. A page that does not read misses it, and sees the change at its next fetch."""

Send = Callable[[bytes], Awaitable[None]]


class LiveUpdates:
    """The watchers of this process, by topic. For one event loop.

    Args:
        announcements: each changed event; None whenever announcements may have been missed.
        etag: the current ETag of a topic's answer; None if there is no answer.
    """

    def __init__(
        self,
        announcements: Callable[[], AsyncIterator[ChangedEvent | None]],
        etag: Callable[[Topic], Awaitable[str | None]],
    ) -> None:
        self._announcements = announcements
        self._etag = etag
        self._watchers: defaultdict[Topic, set[Send]] = defaultdict(set)
        self._changed: dict[Topic, str | None] = {}
        """The topics that changed, each with the trace of its newest change."""
        self._wake = asyncio.Event()
        self._logged: set[str] = set()
        self._ended = asyncio.Event()

    @property
    def watcher_count(self) -> int:
        """How many pages watch."""
        return sum(len(watchers) for watchers in self._watchers.values())

    def watch(self, topic: Topic, send: Send) -> Callable[[], None]:
        """Call `send` with a frame whenever the topic changes, until the returned function is called."""
        self._watchers[topic].add(send)

        def stop_watching() -> None:
            self._watchers[topic].discard(send)
            if not self._watchers[topic]:
                del self._watchers[topic]

        return stop_watching

    def end(self) -> None:
        """End every stream, those of later requests too: the process stops, and pages connect to another one."""
        self._ended.set()

    async def wait_until_ended(self) -> None:
        await self._ended.wait()

    async def run(self) -> None:
        """Receive announcements and notify pages until cancelled."""
        await asyncio.gather(self._receive_announcements(), self._notify_pages())

    async def _receive_announcements(self) -> None:
        async for event in self._announcements():
            if event is None:  # announcements may have been missed
                self._changed.update(dict.fromkeys(self._watchers))
            else:
                self._mark_changed(("event", event.event_id), event.traceparent)
                if event.user_id:
                    self._mark_changed(("user", event.user_id), event.traceparent)
            self._wake.set()

    def _mark_changed(self, topic: Topic, traceparent: str | None) -> None:
        if topic in self._watchers:
            self._changed[topic] = traceparent

    async def _notify_pages(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, self._changed = self._changed, {}
            for topic, traceparent in changed.items():
                try:
                    with tracing.following([traceparent], "notify pages"):
                        await self._notify_watchers(topic)
                except Exception as error:  # one topic must not end the notifications of the others
                    self._log_once(topic, error)
            await asyncio.sleep(NOTIFY_INTERVAL_S)

    async def _notify_watchers(self, topic: Topic) -> None:
        watchers = list(self._watchers.get(topic, ()))
        if not watchers:
            return
        try:
            etag = await self._etag(topic)
        except HannunError:  # the page gets the error itself when it fetches
            etag = None
        except Exception as error:  # likewise; the page also finds out by its fetch
            self._log_once(topic, error)
            etag = None
        kind, id_ = topic
        data = msgspec.json.encode({"eventId" if kind == "event" else "userId": id_, "etag": etag})
        frame = b"event: changed\ndata: " + data + b"\n\n"
        await asyncio.gather(*(self._send(watcher, frame) for watcher in watchers), return_exceptions=True)

    def _log_once(self, topic: Topic, error: Exception) -> None:
        """Log the first error of each type: an answer that fails would otherwise be logged with every change."""
        kind = type(error).__name__
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("a page could not be notified", **topic_fields(topic), error=kind, exc_info=error)

    @staticmethod
    async def _send(watcher: Send, frame: bytes) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await watcher(frame)
