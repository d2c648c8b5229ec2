"""Version floors: the least version that a process may answer for a key, so that numbers never run backwards.

read from PostgreSQL past Redis, or committed here ─► raise the floor ─► cached answers below it are misses
                                                                     └► Redis holds that version: remove the floor
"""

import itertools
import threading
from typing import Final

KEYS_MAX: Final = 50_000
_ABOVE_ALL_VERSIONS: Final = 1 << 128


class VersionFloors:
    """The floor of each key that needs one. Safe to use from any thread.

    A key needs one while Redis or the local cache may hold something older than what this process has answered or
    committed, so until an answer of that version is filled. That makes them few; above `KEYS_MAX` the oldest are
    removed.
    """

    def __init__(self) -> None:
        self._floors: dict[str, int] = {}
        self._unknown_versions = itertools.count(_ABOVE_ALL_VERSIONS)
        self._lock = threading.Lock()

    def get(self, key: str) -> int:
        """The floor of a key; 0 if any version will do."""
        return self._floors.get(key, 0)

    def raise_to(self, key: str, version: int) -> None:
        """From now on, answer no version below this one."""
        with self._lock:
            self._floors[key] = max(self._floors.pop(key, 0), version)
            if len(self._floors) > KEYS_MAX:
                del self._floors[next(iter(self._floors))]

    def require_new_read(self, key: str) -> None:
        """From now on, answer only what is read from the database after this call.

        For an answer that has changed to a version that this process does not know. The floor differs at each call, so
        that a read that began before the call does not lower it.
        """
        self.raise_to(key, next(self._unknown_versions))

    def record_read(self, key: str, floor_before: int, version: int) -> None:
        """The database returned `version` to a read that began when the floor was `floor_before`.

        A version below the floor means that the database was restored: the floor goes down to it.
        """
        if version >= floor_before:
            self.raise_to(key, version)
            return
        with self._lock:
            if self._floors.get(key) == floor_before:
                self._floors[key] = version

    def record_filled(self, key: str, version: int) -> None:
        """Redis holds this version now: remove the floor, if it is not above it."""
        with self._lock:
            if self._floors.get(key, version + 1) <= version:
                del self._floors[key]
