"""Marks of messages that are counted, for others to look at. Nothing here asks them: Redis may lose them, and a check
followed by an act is a race.

Written after the commit by a thread of their own, up to a settable number a second; what is above it is not marked, and
while Redis is away none is.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hannun.cache import keys
from hannun.cache.address import RedisAddress

_AT_ONCE: Final = 500
_REST_S: Final = 5.0
MEMBER: Final = "1"


class ProcessedMarkers:
    """Marks messages. `mark` is for any thread and never waits; one thread calls `run`.

    Args:
        a_second: how many at most; 0 marks none.
        lifetime_s: how long a mark lives.
    """

    def __init__(
        self, address: RedisAddress, *, a_second: int, lifetime_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = redis.Redis.from_pool(
            redis.ConnectionPool(
                connection_class=address.connection,
                retry=Retry(NoBackoff(), 0),
                **address.options(),
            )
        )
        self._a_second = a_second
        self._lifetime_ms = int(lifetime_s * 1000)
        self._now = now
        self._turn = threading.Lock()
        self._second = -1
        self._left = 0
        self._waiting: queue.Queue[list[str]] = queue.Queue(maxsize=100)

    def close(self) -> None:
        self._client.close()

    def room(self) -> int:
        """How many more may be marked in this second."""
        with self._turn:
            self._renew()
            return self._left

    def mark(self, message_ids: Iterable[str]) -> None:
        """These messages are counted."""
        with self._turn:
            self._renew()
            some = [id_ for id_, _ in zip(message_ids, range(self._left), strict=False)]
            if not some or self._waiting.full():
                return
            self._left -= len(some)
            self._waiting.put_nowait(some)

    def run(self, stop: threading.Event) -> None:
        """Write what is to be marked until told to stop; then the rest of it."""
        while not (stop.is_set() and self._waiting.empty()):
            try:
                some = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                self.write(some)
            except (redis.RedisError, OSError):
                stop.wait(_REST_S)
                while not self._waiting.empty():  # what could not be marked meanwhile never is
                    self._waiting.get_nowait()

    def write(self, message_ids: list[str]) -> None:
        """Write marks now."""
        for first in range(0, len(message_ids), _AT_ONCE):
            with self._client.pipeline(transaction=False) as pipe:
                for id_ in message_ids[first : first + _AT_ONCE]:
                    key = keys.processed(id_)
                    pipe.sadd(key, MEMBER)
                    pipe.pexpire(key, self._lifetime_ms)
                pipe.execute()

    def _renew(self) -> None:
        second = int(self._now())
        if second != self._second:
            self._second, self._left = second, self._a_second
