"""The path of an answer through the cache: hit, lease, fill, single flight, version floors.

An answer is cached in two places: in this process (local entry, 1 s at most) and in Redis. On a miss one reader takes a
lease and fills Redis; the other readers wait for that answer instead of reading PostgreSQL (single flight). A version
floor is the least version that this process may still return for a key, because it has returned or committed that one.
"""

from collections.abc import Awaitable, Callable
from typing import ClassVar, Literal, Protocol

import msgspec

from hannun.cache import AnswerCache
from hannun.domain.answer import EncodedAnswer

Source = Literal["cache", "live"]
"""Where an answer comes from: the cache, or PostgreSQL."""
Compute = Callable[[], Awaitable[EncodedAnswer | None]]
"""Computes an answer from PostgreSQL; None where its subject does not exist."""


class SeenVersion:
    """The version that the caller says they have: no older answer is returned from a cache.

    The caller may say anything, so computing an answer only for that reason has a limit. Where it is reached, what the
    caller says is ignored.

    Args:
        may_rebuild: whether the limit allows one more; called once at most.
    """

    __slots__ = ("_may_rebuild", "_rebuilds", "version")

    def __init__(self, version: int = 0, may_rebuild: Callable[[], bool] = lambda: True) -> None:
        self.version = version
        self._may_rebuild = may_rebuild
        self._rebuilds: bool | None = None

    def accepts(self, cached: EncodedAnswer) -> bool:
        """Whether this cached answer is returned."""
        if cached.version >= self.version:
            return True
        if self._rebuilds is None:
            self._rebuilds = self._may_rebuild()
        return not self._rebuilds


class AnswerReader(Protocol):
    """Reads an answer by its cache key, and computes it where it is not cached. `caches`: whether it fills a cache."""

    caches: ClassVar[bool]

    def local(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        """The entry of this process; None where there is none that may be used."""

    async def read(
        self, key: str | None, compute: Compute, *, refresh: bool, seen: SeenVersion
    ) -> tuple[EncodedAnswer | None, Source]:
        """The answer, from Redis or computed; without a key, or with `refresh`, always computed.

        It must run to its end: a caller that is cancelled half-way would break the connection under its next user.
        """


class DirectReader:
    """Computes every answer: for commands, which have no cache."""

    caches: ClassVar = False

    def local(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        return None

    async def read(
        self, key: str | None, compute: Compute, *, refresh: bool, seen: SeenVersion
    ) -> tuple[EncodedAnswer | None, Source]:
        return await compute(), "live"


class CachedReader:
    """Reads through the cache. While PostgreSQL is known to be away, cached answers are marked stale: nothing can tell
    whether they are still true."""

    caches: ClassVar = True

    def __init__(self, cache: AnswerCache, database_away: Callable[[], bool] = lambda: False) -> None:
        self._cache = cache
        self._database_away = database_away

    def local(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        answer = self._cache.get_local(key, version_min) if self._cache.has_local_cache else None
        return None if answer is None else self._marked(answer)

    async def from_redis(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        """The answer that Redis holds, which becomes a local entry; None on a miss, without computing it."""
        if not self._cache.has_local_cache:
            answer = await self._cache.get(key, version_min)
        else:
            with self._cache.local_fill_guard(key) as guard:
                answer = await self._cache.get(key, version_min)
                if answer is not None:
                    self._cache.store_local(guard, key, answer)
        return None if answer is None else self._marked(answer)

    async def read(
        self, key: str | None, compute: Compute, *, refresh: bool, seen: SeenVersion
    ) -> tuple[EncodedAnswer | None, Source]:
        if key is None:
            return await compute(), "live"
        with self._cache.local_fill_guard(key) as guard:
            answer, source = await self._read(key, compute, refresh, seen)
            if answer is not None:
                self._cache.store_local(guard, key, answer)
        return (answer if answer is None or source == "live" else self._marked(answer)), source

    async def _read(
        self, key: str, compute: Compute, refresh: bool, seen: SeenVersion
    ) -> tuple[EncodedAnswer | None, Source]:
        if refresh:
            lease = await self._cache.acquire_lease(key, by_force=True)
        else:
            cached, lease = await self._cache.get_or_acquire(key, seen.accepts)
            if cached is not None:
                return cached, "cache"
        if lease is None and self._cache.available:
            waited_for = await self._cache.wait_for_fill(key, seen.accepts)
            if waited_for is not None:
                return waited_for, "cache"
        if lease is None:
            return await self._compute_without_filling(key, compute), "live"
        filled = False
        floor = self._cache.version_floor(key)
        try:
            answer = await compute()
            if answer is not None:
                self._cache.record_answer(key, floor, answer)
                filled = await self._cache.fill(lease, answer)
        finally:
            if not filled:
                await self._cache.release(lease)
        return answer, "live"

    async def _compute_without_filling(self, key: str, compute: Compute) -> EncodedAnswer | None:
        """Raises the key's version floor: this process returns no older answer, which Redis may still hold."""
        floor = self._cache.version_floor(key)
        answer = await compute()
        if answer is not None:
            self._cache.record_answer(key, floor, answer)
        return answer

    def _marked(self, cached: EncodedAnswer) -> EncodedAnswer:
        return msgspec.structs.replace(cached, stale=True) if self._database_away() else cached
