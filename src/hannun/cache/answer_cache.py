"""The answer cache: cached answers in Redis, filled under a lease, in front of a local cache in the process.

    get the answer, or acquire the lease (random token), in one script
       ├► hit ─► answer
       ├► lease ─► read PostgreSQL ─► fill, if the lease is still held ─► answer
       └► another reader holds it: wait for its fill while the lease lives, then read PostgreSQL without filling

    a batch commits ─► delete answer and lease in one command ─► announce the change

The lease prevents a cache stampede: of many readers that miss, one reads PostgreSQL (single flight). What was read
before a commit cannot be filled after the commit's invalidation, since the lease it needs is gone. An entry names the
key it was made for, its version, its owner and the run of the server it was written to. It is a miss under another key,
and after the server was restarted with old data.

Reads are asynchronous (`AnswerCache`, in `serve`). Invalidations are synchronous (`Invalidator`, in every process that
writes). `local` holds answers in the process as well, and `version_floors` what numbers must not fall below.
`tests/cache/model.py` explores the whole protocol, step by step.
"""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from hannun.cache import announcements, entry, keys, subscription
from hannun.cache.address import RedisAddress
from hannun.cache.failures import DISCONNECTED, TIMED_OUT, TIMEOUT_COOLDOWN_S, UNAVAILABLE
from hannun.cache.lease import FILL_SCRIPT, GET_OR_ACQUIRE_SCRIPT, LEASE_MS, RELEASE_SCRIPT, Lease
from hannun.cache.local import FillGuard, LocalCache
from hannun.cache.read_pool import ReadConnectionPool
from hannun.cache.server_run import read_run_id
from hannun.cache.subscription import PING_INTERVAL_S, RECONNECT_INTERVAL_S, Received
from hannun.cache.version_floors import VersionFloors
from hannun.domain.answer import EncodedAnswer
from hannun.domain.batch import ChangedEvent
from hannun.telemetry import Series, log, metrics

WRITE_CHECK_INTERVAL_S: Final = 0.5
"""How often it is checked that Redis accepts deletions, and so invalidations."""
PENDING_DELIVERED_S: Final = 2.0
"""Within this time after Redis accepts invalidations again, those that are pending are delivered."""
POLL_INTERVAL_S: Final = 0.01
"""How often a waiting reader looks for the answer and the lease."""
LOCAL_CACHE_PING_INTERVAL_S: Final = 0.04
"""How often the subscription is pinged where local entries depend on it: they are served for 100 ms after a ping."""


class _GuardedRead:
    """A read whose result may be stored locally. A class: a generator costs three times as much, at every hit."""

    __slots__ = ("_guard", "_local")

    def __init__(self, local: LocalCache, key: str) -> None:
        self._local = local
        self._guard = local.begin_read(key, time.monotonic())

    def __enter__(self) -> FillGuard | None:
        return self._guard

    def __exit__(self, *_: object) -> None:
        self._local.end_read(self._guard)


class AnswerCache:
    """Cached answers for the readers of one event loop. Every method treats an unavailable Redis as a miss."""

    def __init__(
        self,
        address: RedisAddress,
        *,
        lifetime_s: float,
        timeout_s: float | None = None,
        local_bytes_max: int = 0,
        floors: VersionFloors | None = None,
    ) -> None:
        """
        Args:
            lifetime_s: how long an answer stays in Redis, plus or minus 5 %.
            timeout_s: how long a command may take, where that is less than the address's own time-out.
            local_bytes_max: memory for the local cache; 0 stores nothing locally.
            floors: those of the process, where several servers hold its answers.
        """
        self._lifetime_s = lifetime_s
        self._timeout_s = min(address.timeout_s, timeout_s or address.timeout_s)
        self._local = LocalCache(local_bytes_max)
        self.has_local_cache = self._local.enabled
        self._floors = floors or VersionFloors()
        connection = address.asyncio_connection
        options = address.options() | {"redis_connect_func": self._record_server_run}
        read_connections_max = options.pop("max_connections") // 2
        # A blocking pool: a reader that finds all connections in use waits for one. An error instead would send all
        # those readers to PostgreSQL.
        self._client = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool(
                address.connections_max - read_connections_max,
                self._timeout_s,
                connection_class=connection,
                retry=Retry(NoBackoff(), 1, DISCONNECTED),
                **options | {"socket_timeout": self._timeout_s},
            )
        )
        self._read_pool = ReadConnectionPool(
            lambda: connection(**options | {"socket_timeout": None, "health_check_interval": 0}),
            count_max=read_connections_max,
            timeout_s=self._timeout_s,
        )
        self._get_or_acquire_script = self._client.register_script(GET_OR_ACQUIRE_SCRIPT)
        self._fill_script = self._client.register_script(FILL_SCRIPT)
        self._release_script = self._client.register_script(RELEASE_SCRIPT)
        self._server = ""
        self._cooldown_until = 0.0
        self._distrusted_until = 0.0
        self.write_check = keys.WRITE_CHECK
        self._polls: dict[str, asyncio.Task[tuple[EncodedAnswer | None, bool]]] = {}
        self.available = False
        """Whether Redis answered the most recent command."""
        self.local_hits = self.hits = self.misses = self.unanswered = self.fills = self.refused_fills = 0

    async def open(self) -> None:
        """Check whether Redis answers. If not, the service is degraded; that is no error."""
        metrics.cache_reads.add_source(self._count_reads)
        metrics.cache_fills.add_source(self._count_fills)
        await self.check()

    async def close(self) -> None:
        metrics.cache_reads.remove_source(self._count_reads)
        metrics.cache_fills.remove_source(self._count_fills)
        await self._read_pool.close()
        await self._client.aclose()

    async def check(self) -> bool:
        """Whether Redis answers a ping now."""
        try:
            await self._within_timeout(self._client.ping())
            self.available = True
        except UNAVAILABLE:
            self.available = False
        return self.available

    async def watch_writes(self) -> None:
        """Check at intervals whether Redis accepts invalidations, until cancelled."""
        while True:
            await self.check_writes()
            await asyncio.sleep(WRITE_CHECK_INTERVAL_S)

    async def check_writes(self) -> None:
        """Check whether Redis accepts invalidations. While it refuses them, everything that it holds is a miss.

        A server answers reads and refuses deletions where its disk is full, where it became a replica, and where this
        login may not delete: no commit then removes the answers that it makes false.
        """
        try:
            await self._within_timeout(self._client.unlink(self.write_check))
        except redis.exceptions.AskError:
            pass  # a node of a cluster whose slots are moving; it is checked again with a key of its own
        except redis.ResponseError as error:
            if self._distrusted_until != math.inf:
                log.error("Redis refuses invalidations; its answers are not used", error=str(error))
            self._distrusted_until = math.inf
        except UNAVAILABLE:
            pass  # what it holds cannot be read either, and is as true as before when it is back
        else:
            if self._distrusted_until == math.inf:
                log.info("Redis accepts invalidations again")
                self._distrusted_until = time.monotonic() + PENDING_DELIVERED_S

    # -- the local cache

    def get_local(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        """The local entry of a key; None if there is none that is valid and at least of version `version_min`."""
        answer = self._local.get(key, time.monotonic(), int(time.time() * 1000))
        if answer is None or answer.version < version_min or answer.version < self._floors.get(key):
            return None
        self.local_hits += 1
        return answer

    def local_fill_guard(self, key: str) -> _GuardedRead:
        """A context for every read of a key. It yields the guard that `store_local` needs."""
        return _GuardedRead(self._local, key)

    def store_local(self, guard: FillGuard | None, key: str, answer: EncodedAnswer) -> None:
        """Store locally what was just read, unless the key was invalidated since the read began."""
        self._local.put(guard, key, answer)

    def require_versions(self, events: Iterable[ChangedEvent]) -> None:
        """These changes were committed in this process: from now on it answers nothing older. Safe in any thread."""
        for event in events:
            for key in keys.of_event(event):
                self._floors.raise_to(key, event.version)
            if event.user_id is not None:
                self._floors.require_new_read(keys.user(event.user_id))

    # -- Redis

    async def get(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        """The cached answer of a key.

        None if no valid answer is cached, it is below `version_min` or the key's floor, or Redis is unavailable or
        refuses invalidations.
        """
        if not self._may_read():
            return None
        try:
            # Bytes in any case: `decode_responses` is off.
            value: bytes | None = await (
                self._read_pool.get(key)
                if self._read_pool.has_capacity
                else self._within_timeout(self._client.get(key))
            )
        except UNAVAILABLE as error:
            self._record_failed_read(error)
            return None
        return self._decode(key, value, version_min)

    async def get_or_acquire(
        self, key: str, accepts: Callable[[EncodedAnswer], bool] = lambda _: True
    ) -> tuple[EncodedAnswer | None, Lease | None]:
        """The cached answer of a key, as `get`, if it is accepted; else the right to fill the key, as `acquire_lease`.

        Neither where another reader holds the lease, or Redis is unavailable (see `available`). It takes one round
        trip, unless what is cached cannot be returned.
        """
        if not self._may_read():
            return None, await self.acquire_lease(key) if self.available else None
        token, server = secrets.token_hex(8), self._server
        try:
            reply = await self._run_script(self._get_or_acquire_script, [key, keys.lease(key)], [token, LEASE_MS])
        except UNAVAILABLE as error:
            self._record_failed_read(error)
            return None, None
        is_cached = isinstance(reply, bytes)
        answer = self._decode(key, reply if is_cached else None)
        if answer is not None and accepts(answer):
            return answer, None
        if not is_cached:
            lease = Lease(key, token, server) if reply else None
            if lease is None or server == self._server:
                return None, lease
            await self.release(lease)  # the command opened a connection to another run, where its fill would be a miss
        return await self._acquire_unless_filled(key, accepts)

    async def _acquire_unless_filled(
        self, key: str, accepts: Callable[[EncodedAnswer], bool]
    ) -> tuple[EncodedAnswer | None, Lease | None]:
        """The right to fill a key that was just read, or what another reader has filled and released meanwhile."""
        lease = await self.acquire_lease(key)
        if lease is None:
            return None, None
        filled = await self.get(key)
        if filled is None or not accepts(filled):
            return None, lease
        await self.release(lease)
        return filled, None

    def _may_read(self) -> bool:
        """Whether a read may be sent to Redis now. If not, it counts as unanswered."""
        if self._is_distrusted():
            self.unanswered += 1
            return False
        if self._cooldown_until:
            now = time.monotonic()
            if now < self._cooldown_until:
                self.unanswered += 1
                return False
            # This reader tries whether Redis is back; the others need not wait for the result.
            self._cooldown_until = now + TIMEOUT_COOLDOWN_S
        return True

    def _record_failed_read(self, error: BaseException) -> None:
        self.available = _is_wrong_type(error)
        self._cooldown_until = time.monotonic() + TIMEOUT_COOLDOWN_S if isinstance(error, TIMED_OUT) else 0.0
        self.unanswered += 1

    def _decode(self, key: str, value: bytes | None, version_min: int = 0) -> EncodedAnswer | None:
        """The answer in what Redis has returned for a key; None where it must not be used."""
        self.available = True
        self._cooldown_until = 0.0
        answer = None if value is None else entry.decode(value, key, self._server, int(time.time() * 1000))
        if answer is None or answer.version < version_min or answer.version < self._floors.get(key):
            self.misses += 1
            return None
        self.hits += 1
        return answer

    async def _run_script(self, script: AsyncScript, keys_: Sequence[str], args: Sequence[Any]) -> Any:
        if self._read_pool.has_capacity:
            return await self._read_pool.run_script(cast(str, script.script), script.sha, keys_, args)
        return await self._within_timeout(script(keys_, args))

    async def owner(self, key: str) -> str | None:
        """The owner in the cached answer of a key; None if no valid answer is cached.

        It reads only the head of the value, so that the time it takes does not reveal the size of the answer.
        """
        if self._is_distrusted() or time.monotonic() < self._cooldown_until:
            return None
        try:
            head: bytes = await self._within_timeout(self._client.getrange(key, 0, entry.HEAD_LAST))
        except UNAVAILABLE as error:
            self.available = _is_wrong_type(error)
            if isinstance(error, TIMED_OUT):
                self._cooldown_until = time.monotonic() + TIMEOUT_COOLDOWN_S
            return None
        self.available = True
        return entry.decode_owner(head, key, self._server)

    def _is_distrusted(self) -> bool:
        return self._distrusted_until > 0 and time.monotonic() < self._distrusted_until

    async def acquire_lease(self, key: str, *, by_force: bool = False) -> Lease | None:
        """The right to fill `key`; None if another reader holds it, or Redis is unavailable (see `available`).

        By force it is taken from its holder, whose fill is then refused.
        """
        # The server run is the one known before the command. After a restart a restored lease may so fill, but what it
        # fills names the earlier run and is a miss.
        token, server = secrets.token_hex(8), self._server
        try:
            acquired = await self._within_timeout(
                self._client.set(keys.lease(key), token, nx=not by_force, px=LEASE_MS)
            )
        except UNAVAILABLE:
            self.available = False
            return None
        return Lease(key, token, server) if acquired else None

    async def fill(self, lease: Lease, answer: EncodedAnswer) -> bool:
        """Cache an answer, if the lease is still held and nothing newer is cached. The lease is gone afterwards."""
        try:
            filled = await self._run_script(self._fill_script, *self._fill_arguments(lease, answer))
        except UNAVAILABLE:
            self.available = False
            return False
        if filled:
            self.fills += 1
            self._floors.record_filled(lease.key, answer.version)
        else:
            self.refused_fills += 1
        return bool(filled)

    async def acquire_leases(self, keys_: Sequence[str]) -> list[Lease]:
        """The right to fill those of these keys that nobody else fills, in one round trip; none where Redis is
        unavailable."""
        tokens, server = [secrets.token_hex(8) for _ in keys_], self._server
        pipeline = self._client.pipeline(transaction=False)
        for key, token in zip(keys_, tokens, strict=True):
            pipeline.set(keys.lease(key), token, nx=True, px=LEASE_MS)
        try:
            acquired = await self._within_timeout(pipeline.execute())
        except UNAVAILABLE:
            self.available = False
            return []
        return [Lease(key, token, server) for key, token, got in zip(keys_, tokens, acquired, strict=True) if got]

    async def fill_all(self, answers: Sequence[tuple[Lease, EncodedAnswer]]) -> set[str]:
        """Cache many answers in one round trip, each as `fill` does. Returns the keys whose answers were accepted."""
        pipeline = self._client.pipeline(transaction=False)
        for lease, answer in answers:
            keys_, args = self._fill_arguments(lease, answer)
            await self._fill_script(keys_, args, client=pipeline)
        try:
            accepted = await self._within_timeout(pipeline.execute())
        except UNAVAILABLE:
            self.available = False
            return set()
        filled = [answer for answer, is_filled in zip(answers, accepted, strict=True) if is_filled]
        self.fills += len(filled)
        self.refused_fills += len(answers) - len(filled)
        for lease, answer in filled:
            self._floors.record_filled(lease.key, answer.version)
        return {lease.key for lease, _ in filled}

    async def release_all(self, leases: Sequence[Lease]) -> None:
        """Give up many leases in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for lease in leases:
            await self._release_script(keys=[keys.lease(lease.key)], args=[lease.token], client=pipeline)
        try:
            await self._within_timeout(pipeline.execute())
        except UNAVAILABLE:
            self.available = False

    def _fill_arguments(self, lease: Lease, answer: EncodedAnswer) -> tuple[list[str], list[Any]]:
        # 95 % to 105 % of the lifetime, so that answers that were filled together do not expire together.
        lifetime_ms = int(self._lifetime_s * 1000 * (0.95 + secrets.randbelow(100) / 1000))
        value = entry.encode(lease.key, lease.server, answer)
        return [lease.key, keys.lease(lease.key)], [lease.token, value, lifetime_ms, answer.version, lease.server]

    async def release(self, lease: Lease) -> None:
        """Give up a lease without a fill, so that the next reader need not wait for its expiry."""
        try:
            await self._run_script(self._release_script, [keys.lease(lease.key)], [lease.token])
        except UNAVAILABLE:
            self.available = False

    def version_floor(self, key: str) -> int:
        """The least version that may be answered for a key. Read it before a read of the database begins."""
        return self._floors.get(key)

    def record_answer(self, key: str, floor: int, answer: EncodedAnswer) -> None:
        """The database returned this answer, which Redis does not hold yet: it becomes the floor of its key.

        `floor` is `version_floor` from before the read.
        """
        self._floors.record_read(key, floor, answer.version)

    async def wait_for_fill(
        self, key: str, accepts: Callable[[EncodedAnswer], bool] = lambda _: True
    ) -> EncodedAnswer | None:
        """Wait until the holder of the lease has filled; None as soon as the lease is gone without an accepted fill."""
        deadline = time.monotonic() + LEASE_MS / 1000
        while time.monotonic() < deadline:
            answer, leased = await asyncio.shield(self._next_poll(key))
            if answer is not None and accepts(answer):
                return answer
            if not leased:
                return None
        return None

    def _next_poll(self, key: str) -> asyncio.Task[tuple[EncodedAnswer | None, bool]]:
        """The next poll of a key and its lease, shared by all who wait for it.

        If each of many waiting readers polled for itself, the polls would take longer than the fill. A poll that has
        begun is not shared with a later reader, who could get what was read before its own call.
        """
        poll = self._polls.get(key)
        if poll is None:
            poll = self._polls[key] = asyncio.create_task(self._poll(key))
        return poll

    async def _poll(self, key: str) -> tuple[EncodedAnswer | None, bool]:
        """The cached answer, and whether a reader still holds the lease."""
        await asyncio.sleep(POLL_INTERVAL_S)
        del self._polls[key]
        answer = await self.get(key)
        if answer is not None or not self.available:
            return answer, False
        try:
            if await self._within_timeout(self._client.exists(keys.lease(key))):
                return None, True
        except UNAVAILABLE:
            return None, False
        return await self.get(key), False  # the holder may have filled between the two commands

    async def _within_timeout(self, command: Awaitable[Any]) -> Any:
        """The reply to a command. redis-py's time-out is for each step of it: waiting for a connection, each step of
        connecting, sending, reading."""
        async with asyncio.timeout(self._timeout_s):
            return await command

    # -- announcements

    async def announcements(self) -> AsyncIterator[ChangedEvent | None]:
        """Each changed event as it is announced, and None whenever announcements may have been missed.

        Local entries are invalidated before the event is passed on. Ends with the caller's task. While Redis is
        unavailable it tries again every second.
        """
        ping_interval_s = LOCAL_CACHE_PING_INTERVAL_S if self._local.enabled else PING_INTERVAL_S
        while True:
            try:
                stream = self._receive_announcements(ping_interval_s)
                async with aclosing(stream):
                    async for received in stream:
                        if received.kind == "pong":
                            # What was announced before this ping was sent has arrived before its answer.
                            self._local.confirm_up_to(float(received.data or 0))
                        else:
                            yield self._invalidate_local(received)
            except UNAVAILABLE:
                self._local.suspend()
                yield None
                await asyncio.sleep(RECONNECT_INTERVAL_S)

    def _receive_announcements(self, ping_interval_s: float) -> AsyncGenerator[Received, None]:
        return subscription.receive(
            self._client, keys.ANNOUNCEMENTS, ping_interval_s=ping_interval_s, pong_timeout_s=self._timeout_s
        )

    def _invalidate_local(self, received: Received) -> ChangedEvent | None:
        """The announced event, after its local entries are removed; None if announcements may have been missed."""
        # redis-py reconnects by itself; only the new "subscribe" tells that it did.
        event = None if received.kind == "subscribe" else announcements.decode(received.data)
        if event is None:
            self._local.suspend()
        else:
            self._local.invalidate(keys.invalidated_by(event))
        return event

    def _count_reads(self) -> Series:
        return {
            ("local",): self.local_hits,
            ("redis",): self.hits,
            ("miss",): self.misses,
            ("unavailable",): self.unanswered,
        }

    def _count_fills(self) -> Series:
        return {("filled",): self.fills, ("refused",): self.refused_fills}

    async def _record_server_run(self, connection: redis.asyncio.Connection) -> None:
        """On each new connection: record which run of the server it reached. A restarted server may hold old data."""
        self._server = await read_run_id(connection)


def _is_wrong_type(error: BaseException) -> bool:
    """Whether Redis answered that the key holds another type, so somebody else's value: a miss, not an outage."""
    return str(error).startswith("WRONGTYPE")
