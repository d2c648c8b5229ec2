"""Notify the pages that watch an event or a merchant when its figures change.

    announcements ─► changed topics ─► at most twice a second: the ETag of each ─► one frame ─► `send` of each watcher

Redis announces what changed. Each page that watches it is notified with the answer's new ETag, once for many changes in
a moment. A page is only notified that something changed: it fetches the answer itself, and mostly gets what was just
cached for the ETag. When announcements may have been missed, all pages are notified.

A page that begins to watch gets the ETag as of then. It compares this with the one of the answer that it holds, and so
fetches again only if something changed in between.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
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

TOPICS_AT_ONCE: Final = 4
"""How many topics are notified at the same time: an ETag that takes long delays no more than a share of the others."""

SENDS_IN_A_ROW: Final = 250
"""After so many pages, some milliseconds, the event loop serves requests before the next ones."""

Send = Callable[[bytes], None]
"""Sends a frame to one page. It never waits: a page that does not read gets the newest frame when it reads again."""


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
        self._opened: defaultdict[Topic, list[Send]] = defaultdict(list)
        """The pages that have begun to watch since the last round."""
        self._wake = asyncio.Event()
        self._logged: set[str] = set()

    @property
    def watcher_count(self) -> int:
        """How many pages watch."""
        return sum(len(watchers) for watchers in self._watchers.values())

    def watch(self, topic: Topic, send: Send) -> None:
        """Call `send` with a frame soon, and whenever the topic changes, until `unwatch` is called."""
        self._watchers[topic].add(send)
        self._opened[topic].append(send)
        self._wake.set()

    def unwatch(self, topic: Topic, send: Send) -> None:
        """Undo `watch`. Doing it twice changes nothing."""
        watchers = self._watchers.get(topic)
        if watchers is not None:
            watchers.discard(send)
            if not watchers:
                del self._watchers[topic]

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
            opened, self._opened = self._opened, defaultdict(list)
            rounds = [
                _Round(topic, opened.get(topic, []), topic in changed, changed.get(topic)) for topic in changed | opened
            ]
            waiting = iter(rounds)
            await asyncio.gather(*(self._notify_topics(waiting) for _ in range(min(TOPICS_AT_ONCE, len(rounds)))))
            await asyncio.sleep(NOTIFY_INTERVAL_S)

    async def _notify_topics(self, rounds: "Iterator[_Round]") -> None:
        """Notify the watchers of these topics, one topic after the other."""
        for each in rounds:
            topic = each.topic
            try:
                with tracing.following([each.traceparent], "notify pages"):
                    await self._notify_watchers(each)
            except Exception as error:  # one topic must not end the notifications of the others
                self._log_once(topic, error)

    async def _notify_watchers(self, each: "_Round") -> None:
        if each.topic not in self._watchers:
            return
        etag = await self._etag_or_none(each.topic)
        watchers = self._watchers.get(each.topic, set())
        await _send_all([send for send in each.opened if send in watchers], _frame("opened", each.topic, etag))
        if each.is_changed:
            # Pages that begin to watch from here on get the ETag after that, in the next round.
            await _send_all(list(self._watchers.get(each.topic, ())), _frame("changed", each.topic, etag))

    async def _etag_or_none(self, topic: Topic) -> str | None:
        """The current ETag; None if there is no answer: the page gets the error itself when it fetches."""
        try:
            return await self._etag(topic)
        except HannunError:
            return None
        except Exception as error:
            self._log_once(topic, error)
            return None

    def _log_once(self, topic: Topic, error: Exception) -> None:
        """Log the first error of each type: an answer that fails would otherwise be logged with every change."""
        kind = type(error).__name__
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("a page could not be notified", **topic_fields(topic), error=kind, exc_info=error)


@dataclass(frozen=True, slots=True)
class _Round:
    """What is sent about one topic in one round: to the pages that have begun to watch, and, if it changed, to all."""

    topic: Topic
    opened: list[Send]
    is_changed: bool
    traceparent: str | None


async def _send_all(sends: list[Send], frame: bytes) -> None:
    for number, send in enumerate(sends, 1):
        send(frame)
        if number % SENDS_IN_A_ROW == 0:
            await asyncio.sleep(0)


def _frame(name: str, topic: Topic, etag: str | None) -> bytes:
    kind, id_ = topic
    data = msgspec.json.encode({"eventId" if kind == "event" else "userId": id_, "etag": etag})
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
