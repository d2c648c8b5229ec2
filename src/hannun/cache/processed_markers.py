"""Markers of counted messages, for other teams to read. Hannun itself never reads them.

Redis may lose a marker, and a check followed by an act is a race, so markers decide nothing. A thread of its own writes
them after the commit, up to a configured number per second. Messages above that number get none, and no message gets
one while Redis is unavailable.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hannun import deadlines
from hannun.cache import keys
from hannun.cache.address import RedisAddress
from hannun.cache.cluster import WRITERS_REFRESH_S, ClusterMap, NodeClients, by_owner
from hannun.telemetry import log

_MESSAGES_PER_PIPELINE: Final = 500
_BATCHES_WAITING_MAX: Final = 100
_FAILURE_COOLDOWN_S: Final = 5.0
MEMBER: Final = "1"


class ProcessedMarkers:
    """Writes markers in the background. `enqueue` is safe in any thread and never waits; one thread calls `run`.

    Args:
        per_second_max: how many markers per second; 0 writes none.
        lifetime_s: how long a marker lives.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        per_second_max: int,
        lifetime_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = _client(address)
        self._timeout_s = address.timeout_s
        self._per_second_max = per_second_max
        self._lifetime_ms = int(lifetime_s * 1000)
        self._now = now
        self._lock = threading.Lock()
        self._second = -1
        self._remaining = 0
        self._waiting: queue.Queue[list[str]] = queue.Queue(maxsize=_BATCHES_WAITING_MAX)

    def close(self) -> None:
        self._client.close()

    def remaining(self) -> int:
        """How many more markers may be enqueued in the current second."""
        with self._lock:
            self._refill()
            return self._remaining

    def enqueue(self, message_ids: Iterable[str]) -> None:
        """Have markers written for these messages, as many as the current second allows."""
        with self._lock:
            self._refill()
            some = [id_ for id_, _ in zip(message_ids, range(self._remaining), strict=False)]
            if not some or self._waiting.full():
                return
            self._remaining -= len(some)
            self._waiting.put_nowait(some)

    def run(self, stop: threading.Event) -> None:
        """Write markers until `stop` is set, and then those that are still waiting."""
        while not (stop.is_set() and self._waiting.empty()):
            try:
                some = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                self.write(some)
            except (redis.RedisError, OSError):
                stop.wait(_FAILURE_COOLDOWN_S)
                while not self._waiting.empty():  # what came in meanwhile gets no marker
                    self._waiting.get_nowait()
            except Exception as error:  # these messages get no marker; the next ones do
                log.error("markers could not be written", messages=len(some), exc_info=error)

    def wake(self) -> None:
        """Make `run` check `stop` at once instead of within 0.2 s."""
        with suppress(queue.Full):  # then it does not wait anyway
            self._waiting.put_nowait([])

    def write(self, message_ids: list[str]) -> None:
        """Write markers now."""
        self._write_to(self._client, [keys.processed(id_) for id_ in message_ids])

    def _write_to(self, client: redis.Redis, markers: list[str]) -> None:
        for first in range(0, len(markers), _MESSAGES_PER_PIPELINE):
            with deadlines.within(self._timeout_s), client.pipeline(transaction=False) as pipe:
                for key in markers[first : first + _MESSAGES_PER_PIPELINE]:
                    pipe.sadd(key, MEMBER)
                    pipe.pexpire(key, self._lifetime_ms)
                pipe.execute()

    def _refill(self) -> None:
        second = int(self._now())
        if second != self._second:
            self._second, self._remaining = second, self._per_second_max


class ClusterProcessedMarkers(ProcessedMarkers):
    """Writes markers to the nodes of a Redis Cluster."""

    def __init__(self, address: RedisAddress, **options: Any) -> None:
        super().__init__(address, **options)
        self._clients = NodeClients(ClusterMap(address), _client)

    def close(self) -> None:
        self._clients.close()
        super().close()

    def write(self, message_ids: list[str]) -> None:
        topology = self._clients.map.topology(WRITERS_REFRESH_S)
        for node, some in by_owner(topology, map(keys.processed, message_ids)).items():
            if node is not None:
                self._write_to(self._clients.of(node), some)


def _client(address: RedisAddress) -> redis.Redis:
    return redis.Redis.from_pool(
        redis.ConnectionPool(connection_class=address.connection, retry=Retry(NoBackoff(), 0), **address.options())
    )
