"""How long what was sent has waited to be counted, of each partition: what stood still, and for how long."""

import threading
import time
from collections import defaultdict, deque
from types import TracebackType
from typing import Self

import psycopg
from outside import Partition, Topics, positions

LOOK_EVERY_S = 0.02


class Watch:
    """Looks all the time at what has landed in the logs, and at the positions, from a thread of its own.

    It asks how long a message has waited, and not how long a position has not moved: where nothing is sent nothing
    needs to move.
    """

    def __init__(self, topics: Topics, database_url: str) -> None:
        self._topics = topics
        self._database_url = database_url
        self._seen = 0
        self._waiting: defaultdict[Partition, deque[tuple[int, float]]] = defaultdict(deque)
        self._longest: dict[Partition, float] = {}
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._looks)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._enough.set()
        self._thread.join()

    def reset(self) -> None:
        """Forget how long anything has waited that is counted by now."""
        with self._lock:
            self._longest = {}

    def longest_waits_s(self) -> dict[Partition, float]:
        """The longest that a message of each partition has waited since `reset`, or waits."""
        assert self._thread.is_alive(), "nobody looks any more"
        with self._lock:
            return dict(self._longest)

    def _looks(self) -> None:
        with psycopg.connect(self._database_url, autocommit=True) as conn:
            while not self._enough.wait(LOOK_EVERY_S):
                landed = self._topics.delivered[self._seen :]
                self._seen += len(landed)
                now_s = time.monotonic()
                for partition, offset, _, _ in landed:
                    self._waiting[partition].append((offset, now_s))
                self._notes(positions(conn))

    def _notes(self, counted: dict[Partition, int]) -> None:
        now_s = time.monotonic()
        with self._lock:
            for partition, waiting in self._waiting.items():
                if waiting:
                    waits_s = now_s - waiting[0][1]
                    self._longest[partition] = max(waits_s, self._longest.get(partition, 0.0))
                while waiting and waiting[0][0] < counted.get(partition, 0):
                    waiting.popleft()
