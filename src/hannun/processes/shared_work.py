"""Work that many requests ask for at once, done once for all of them."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedWork(Generic[T]):
    """Runs a function in a thread, for an event loop. Requests during a run, or soon after it, share its result.

    Args:
        work: blocks; a failure is shared too, and the next request begins another run.
        good_s: how long a result is given to further requests.
    """

    def __init__(self, work: Callable[[], T], good_s: float) -> None:
        self._work = work
        self._good_s = good_s
        self._running: asyncio.Task[T] | None = None
        self._good_until = 0.0

    async def result(self) -> T:
        """The newest result, at most `good_s` old."""
        if self._running is None or (self._running.done() and time.monotonic() > self._good_until):
            self._running = asyncio.create_task(asyncio.to_thread(self._run))
        return await asyncio.shield(self._running)

    def _run(self) -> T:
        result = self._work()
        self._good_until = time.monotonic() + self._good_s
        return result
