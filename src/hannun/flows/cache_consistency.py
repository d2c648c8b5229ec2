"""Compare the cache with the database: 1 s, 10 s and 60 s after an invalidation, for a sample of them.

    announced ─► in the sample? ─► after 1, 10, 60 s: cached answer = answer from the database? ─► share of equals

A difference may be a change that is on its way. So it counts only if the very same answer is still cached after the
longest time that a pending invalidation may take, which is when a writer died. The sample bounds the cost: each topic
in it is compared three times.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from hannun.domain.answer import EncodedAnswer, Topic, topic_fields
from hannun.domain.batch import ChangedEvent
from hannun.errors import HannunError
from hannun.telemetry import log, metrics

AFTER_S: Final = (1.0, 10.0, 60.0)
STALENESS_S_MAX: Final = 2.0
"""How old an answer may be at worst: when a writer dies between its commit and the invalidation."""
COMPARISONS_IN_SHARE_MAX: Final = 1_000
"""How many of the latest comparisons the reported share covers."""

ReadAnswer = Callable[[Topic], Awaitable[EncodedAnswer | None]]


class ConsistencyChecker:
    """Samples invalidations and compares the cache with the database after each.

    Args:
        announcements: each changed event; None whenever announcements may have been missed.
        read_cached: the answer that is cached for a topic now.
        read_database: the answer that the database gives for it now; None if there is no such event.
        samples_a_second: how many invalidations are followed.

    Attributes:
        shares: the share of compared answers that were consistent, by the seconds after their invalidation.
    """

    def __init__(
        self,
        announcements: Callable[[], AsyncIterator[ChangedEvent | None]],
        read_cached: ReadAnswer,
        read_database: ReadAnswer,
        *,
        samples_a_second: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._announcements = announcements
        self._read_cached = read_cached
        self._read_database = read_database
        self._sample_interval_s = 1 / samples_a_second
        self._sleep = sleep
        self._next_sample_at = 0.0
        self.shares: Mapping[float, float] = {}
        self._following: set[asyncio.Task[None]] = set()
        self._results: dict[float, deque[bool]] = {
            after_s: deque(maxlen=COMPARISONS_IN_SHARE_MAX) for after_s in AFTER_S
        }

    async def run(self) -> None:
        """Receive announcements and follow a sample of them until cancelled."""
        try:
            async for event in self._announcements():
                if event is not None and time.monotonic() >= self._next_sample_at:
                    self._next_sample_at = time.monotonic() + self._sample_interval_s
                    self._start_following(event)
        finally:
            for task in self._following:
                task.cancel()

    def _start_following(self, event: ChangedEvent) -> None:
        topics = [("event", event.event_id)]
        if event.user_id is not None:
            topics.append(("user", event.user_id))
        for topic in topics:
            task = asyncio.create_task(self.follow(topic))
            self._following.add(task)
            task.add_done_callback(self._following.discard)

    async def follow(self, topic: Topic) -> None:
        """Compare a topic at each delay of `AFTER_S` after its invalidation."""
        waited_s = 0.0
        for after_s in AFTER_S:
            await self._sleep(after_s - waited_s)
            waited_s = after_s
            try:
                consistent = await self.compare(topic)
            except HannunError:  # PostgreSQL is unavailable: there is nothing to compare with
                continue
            except Exception as error:  # the answer cannot be computed: there is nothing to compare with either
                log.error("a comparison failed", **topic_fields(topic), exc_info=error)
                return
            self._record(topic, after_s, consistent)

    async def compare(self, topic: Topic) -> bool | None:
        """Whether the cached answer equals that of the database; None if none is cached."""
        cached = await self._read_cached(topic)
        if cached is None:
            return None
        if await self._equals_database(topic, cached):
            return True
        await self._sleep(STALENESS_S_MAX)
        again = await self._read_cached(topic)
        return again is None or again.etag != cached.etag or await self._equals_database(topic, cached)

    async def _equals_database(self, topic: Topic, cached: EncodedAnswer) -> bool:
        current = await self._read_database(topic)
        return current is not None and current.etag == cached.etag

    def _record(self, topic: Topic, after_s: float, consistent: bool | None) -> None:
        after = f"{after_s:g}"
        result = "absent" if consistent is None else "consistent" if consistent else "inconsistent"
        metrics.consistency_checks.labels(after, result).inc()
        if consistent is None:
            return
        results = self._results[after_s]
        results.append(consistent)
        share = sum(results) / len(results)
        self.shares = {**self.shares, after_s: share}  # replaced, so that another thread reads a whole one
        metrics.consistent.labels(after).set(share)
        if not consistent:
            log.error("cached answer differs from the database", **topic_fields(topic), after_s=after_s)
