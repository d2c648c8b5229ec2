"""Measure how long delivered messages wait until they are counted, partition by partition."""

import threading
import time
from collections import defaultdict, deque
from types import TracebackType
from typing import Self

import psycopg
from outside import BackgroundLoop, Partition, Topics, positions

POLL_S = 0.02


class WaitMonitor(BackgroundLoop):
    """Compares the delivered records with the positions in the database, in a thread, while the block runs.

    It measures how long a message waits, and not how long a position stands still: a position need not move where no
    message is sent.
    """

    def __init__(self, topics: Topics, database_url: str) -> None:
        super().__init__(self._compare, POLL_S)
        self._topics = topics
        self._database_url = database_url
        self._seen_count = 0
        self._waiting: defaultdict[Partition, deque[tuple[int, float]]] = defaultdict(deque)
        self._longest_s: dict[Partition, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._database = psycopg.connect(self._database_url, autocommit=True)
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._database.close()

    def reset(self) -> None:
        """Forget the waits of messages that are counted by now."""
        with self._lock:
            self._longest_s = {}

    def longest_waits_s(self) -> dict[Partition, float]:
        """The longest wait of a message of each partition since `reset`. Includes messages that still wait."""
        assert self.is_running, "the monitor has failed; its exception is in pytest's output"
        with self._lock:
            return dict(self._longest_s)

    def _compare(self) -> None:
        delivered = self._topics.delivered[self._seen_count :]
        self._seen_count += len(delivered)
        now_s = time.monotonic()
        for partition, offset, _, _ in delivered:
            self._waiting[partition].append((offset, now_s))
        self._record_waits(positions(self._database))

    def _record_waits(self, counted: dict[Partition, int]) -> None:
        now_s = time.monotonic()
        with self._lock:
            for partition, waiting in self._waiting.items():
                if waiting:
                    wait_s = now_s - waiting[0][1]
                    self._longest_s[partition] = max(wait_s, self._longest_s.get(partition, 0.0))
                while waiting and waiting[0][0] < counted.get(partition, 0):
                    waiting.popleft()
