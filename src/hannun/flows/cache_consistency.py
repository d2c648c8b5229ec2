"""Hold the cache against the database: 1 s, 10 s and 60 s after an invalidation, for a sample of them.

    announced ─► (a sample) ─► after 1, 10, 60 s: kept answer = what the database says? ─► share that is consistent

A difference may be a change that is on its way; so it counts only if the very same answer is still kept when not even a
writer's death excuses it any more. What it costs is bounded by the sample: each is looked at three times.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from hannun.domain.answer import EncodedAnswer
from hannun.errors import HannunError
from hannun.telemetry import log, metrics

AFTER_S: Final = (1.0, 10.0, 60.0)
PROMISED_S: Final = 2.0
"""How old an answer may be at the worst: when a writer dies between its commit and the invalidation."""
OF_THE_LAST: Final = 1_000
"""The share is told of so many looks at most."""

Topic = tuple[str, str]
"""("event", eventId) or ("user", userId)."""
Kept = Callable[[Topic], Awaitable[EncodedAnswer | None]]


class Consistency:
    """Samples what was invalidated, and looks again.

    Args:
        kept: what the cache holds of a topic now.
        rebuilt: what the database says of it now; None where there is no such thing.
        samples_a_second: how many invalidations are followed.
    """

    def __init__(
        self,
        announcements: Callable[[], AsyncIterator[dict[str, Any] | None]],
        kept: Kept,
        rebuilt: Kept,
        *,
        samples_a_second: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._announcements = announcements
        self._kept = kept
        self._rebuilt = rebuilt
        self._every_s = 1 / samples_a_second
        self._sleep = sleep
        self._next_at = 0.0
        self._following: set[asyncio.Task[None]] = set()
        self._found: dict[float, deque[bool]] = {after_s: deque(maxlen=OF_THE_LAST) for after_s in AFTER_S}

    async def run(self) -> None:
        """Until cancelled: listen, and follow a sample."""
        try:
            async for announced in self._announcements():
                if announced is not None and time.monotonic() >= self._next_at:
                    self._next_at = time.monotonic() + self._every_s
                    self._follow(announced)
        finally:
            for task in self._following:
                task.cancel()

    def _follow(self, announced: dict[str, Any]) -> None:
        topics = [("event", announced.get("eventId")), ("user", announced.get("userId"))]
        for kind, id_ in topics:
            if isinstance(id_, str):
                task = asyncio.create_task(self.follow((kind, id_)))
                self._following.add(task)
                task.add_done_callback(self._following.discard)

    async def follow(self, topic: Topic) -> None:
        """Look at a topic again and again after its invalidation."""
        waited_s = 0.0
        for after_s in AFTER_S:
            await self._sleep(after_s - waited_s)
            waited_s = after_s
            try:
                consistent = await self.look(topic)
            except HannunError:  # PostgreSQL is away: nothing is known
                continue
            self._tell(topic, after_s, consistent)

    async def look(self, topic: Topic) -> bool | None:
        """Whether the cache says what the database says; None where it says nothing."""
        kept = await self._kept(topic)
        if kept is None:
            return None
        if await self._same(topic, kept):
            return True
        await self._sleep(PROMISED_S)
        again = await self._kept(topic)
        return again is None or again.etag != kept.etag or await self._same(topic, kept)

    async def _same(self, topic: Topic, kept: EncodedAnswer) -> bool:
        rebuilt = await self._rebuilt(topic)
        return rebuilt is not None and rebuilt.etag == kept.etag

    def _tell(self, topic: Topic, after_s: float, consistent: bool | None) -> None:
        after = f"{after_s:g}"
        result = "absent" if consistent is None else "consistent" if consistent else "inconsistent"
        metrics.consistency_checks.labels(after, result).inc()
        if consistent is None:
            return
        found = self._found[after_s]
        found.append(consistent)
        metrics.consistent.labels(after).set(sum(found) / len(found))
        if not consistent:
            log.error("the cache does not say what the database says", kind=topic[0], id=topic[1], after_s=after_s)
