"""The answer cache over a Redis Cluster: each node is a server of its own, and each key goes to the node that owns it.

    key ─► the node of its slot ─► hit, miss, lease, fill: as with one server
       └► no node, or one that is away: a miss that nobody fills; all other keys go on

An entry is valid only on the node that granted its lease, in the run of that time (`entry`). So when a slot moves, or a
replica is promoted, its entries are misses and are filled anew; MOVED and ASK need no second question. What the
process knows beyond one server, local entries and version floors, is shared by all nodes.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final, TypeVar

import redis

from hannun.cache.address import RedisAddress
from hannun.cache.answer_cache import WRITE_CHECK_INTERVAL_S, AnswerCache
from hannun.cache.cluster import REFRESH_S, ClusterMap, Node, is_routable
from hannun.cache.lease import Lease
from hannun.cache.subscription import Received
from hannun.domain.answer import EncodedAnswer
from hannun.telemetry import Series

T = TypeVar("T")

NODE_CLOSES_S: Final = 1.0


class ClusterAnswerCache(AnswerCache):
    """Cached answers on the nodes of a Redis Cluster, for the readers of one event loop."""

    def __init__(
        self, address: RedisAddress, *, lifetime_s: float, timeout_s: float | None = None, local_bytes_max: int = 0
    ) -> None:
        super().__init__(address, lifetime_s=lifetime_s, timeout_s=timeout_s, local_bytes_max=local_bytes_max)
        self._map = ClusterMap(address)
        self._nodes: dict[Node, AnswerCache] = {}
        self._node_timeout_s = timeout_s
        self._refreshing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await super().open()
        self._refreshing = asyncio.create_task(self._keep_refreshing())

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await self._refreshing
        for cache in self._nodes.values():
            await cache.close()
        await super().close()

    # -- nodes

    async def _keep_refreshing(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            await self._refresh()

    async def _refresh(self) -> None:
        """Read the topology, and let there be a cache for each of its nodes and for no other."""
        topology = await asyncio.to_thread(self._map.topology, REFRESH_S / 2)
        for node in topology.masters.keys() - self._nodes.keys():
            self._nodes[node] = AnswerCache(
                self._map.address_of(node),
                lifetime_s=self._lifetime_s,
                timeout_s=self._node_timeout_s,
                floors=self._floors,
            )
        for node in self._nodes.keys() - topology.masters.keys():
            gone = self._nodes.pop(node)
            for counted in ("hits", "misses", "unanswered", "fills", "refused_fills"):
                setattr(self, counted, getattr(self, counted) + getattr(gone, counted))
            await gone.close()

    def _of(self, key: str) -> AnswerCache | None:
        """The cache of the node that owns a key; None where there is none, or where the key cannot be cached."""
        owner = self._map.known.owner(key)
        return None if owner is None or not is_routable(key) else self._nodes.get(owner)

    def _by_node(self, items: Iterable[T], key_of: Callable[[T], str]) -> dict[AnswerCache, list[T]]:
        found: dict[AnswerCache, list[T]] = defaultdict(list)
        for item in items:
            cache = self._of(key_of(item))
            if cache is not None:
                found[cache].append(item)
        return found

    # -- what an AnswerCache does

    async def check(self) -> bool:
        """Whether all nodes answer a ping now: with one away, the service is degraded."""
        await self._refresh()
        answers = await asyncio.gather(*(cache.check() for cache in self._nodes.values()))
        self.available = bool(answers) and all(answers)
        return self.available

    async def watch_writes(self) -> None:
        while True:
            await self.check_writes()
            await asyncio.sleep(WRITE_CHECK_INTERVAL_S)

    async def check_writes(self) -> None:
        topology = self._map.known
        for node, cache in list(self._nodes.items()):
            if (write_check := topology.write_check(node)) is not None:
                cache.write_check = write_check
        await asyncio.gather(*(cache.check_writes() for cache in list(self._nodes.values())))

    async def get(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        cache = self._of(key)
        if cache is None:
            self.available = False
            self.unanswered += 1
            return None
        answer = await cache.get(key, version_min)
        self.available = cache.available
        return answer

    async def get_or_acquire(
        self, key: str, accepts: Callable[[EncodedAnswer], bool] = lambda _: True
    ) -> tuple[EncodedAnswer | None, Lease | None]:
        cache = self._of(key)
        if cache is None:
            self.available = False
            self.unanswered += 1
            return None, None
        found = await cache.get_or_acquire(key, accepts)
        self.available = cache.available
        return found

    async def owner(self, key: str) -> str | None:
        cache = self._of(key)
        return None if cache is None else await cache.owner(key)

    async def acquire_lease(self, key: str, *, by_force: bool = False) -> Lease | None:
        cache = self._of(key)
        if cache is None:
            self.available = False
            return None
        lease = await cache.acquire_lease(key, by_force=by_force)
        self.available = cache.available
        return lease

    async def fill(self, lease: Lease, answer: EncodedAnswer) -> bool:
        cache = self._of(lease.key)
        return cache is not None and await cache.fill(lease, answer)

    async def release(self, lease: Lease) -> None:
        cache = self._of(lease.key)
        if cache is not None:
            await cache.release(lease)

    async def acquire_leases(self, keys_: Sequence[str]) -> list[Lease]:
        parts = self._by_node(keys_, lambda key: key)
        taken = await asyncio.gather(*(cache.acquire_leases(some) for cache, some in parts.items()))
        return [lease for some in taken for lease in some]

    async def fill_all(self, answers: Sequence[tuple[Lease, EncodedAnswer]]) -> set[str]:
        parts = self._by_node(answers, lambda answer: answer[0].key)
        filled = await asyncio.gather(*(cache.fill_all(some) for cache, some in parts.items()))
        return set().union(*filled)

    async def release_all(self, leases: Sequence[Lease]) -> None:
        parts = self._by_node(leases, lambda lease: lease.key)
        await asyncio.gather(*(cache.release_all(some) for cache, some in parts.items()))

    async def wait_for_fill(
        self, key: str, accepts: Callable[[EncodedAnswer], bool] = lambda _: True
    ) -> EncodedAnswer | None:
        cache = self._of(key)
        if cache is None:
            self.available = False
            return None
        answer = await cache.wait_for_fill(key, accepts)
        self.available = cache.available
        return answer

    async def _receive_announcements(self, ping_interval_s: float) -> AsyncGenerator[Received, None]:
        """What the announcing node passes on, until it is lost or another node announces."""
        announcer = self._map.known.announcer
        cache = None if announcer is None else self._nodes.get(announcer)
        if cache is None:
            raise redis.ConnectionError("no node of the Redis Cluster announces")
        async with aclosing(cache._receive_announcements(ping_interval_s)) as stream:
            async for received in stream:
                if self._map.known.announcer != announcer:
                    raise redis.ConnectionError("another node of the Redis Cluster announces")
                yield received

    def _count_reads(self) -> Series:
        counted: Any = super()._count_reads()
        for cache in self._nodes.values():
            for kind, count in cache._count_reads().items():
                counted[kind] += count
        return dict(counted)

    def _count_fills(self) -> Series:
        counted: Any = super()._count_fills()
        for cache in self._nodes.values():
            for kind, count in cache._count_fills().items():
                counted[kind] += count
        return dict(counted)
