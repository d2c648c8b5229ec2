"""Redis: answers, leases, invalidations, announcements. An outage is a miss, never an error of the asker.

    miss ─► take the lease (SET NX, random token) ─► read PostgreSQL ─► fill, if the lease still stands ─► answer
       └─► somebody has it: wait for their answer while the lease lives, then read PostgreSQL without filling

    a batch commits ─► delete answer and lease in one command ─► announce

What was read before a commit cannot be filled after its invalidation: the lease it would need is gone. A hit is a plain
GET; scripts run only on a miss. A value names the key it was made for, its version, its owner and the server it was
given to: under another key, or from a server that has come back with old data, it is a miss.

Reading is asynchronous (`AnswerCache`, in serve), invalidating synchronous (`Invalidator`, beside every writer).
`copies` keeps answers in the process as well, and holds what numbers must not run back to. `tests/cache/model.py`
explores all of it, step by step.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hannun.cache import announcements, keys
from hannun.cache.address import AWAY, CUT, SILENT, SILENT_REST_S
from hannun.cache.address import RedisAddress as RedisAddress
from hannun.cache.entry import HEAD_LAST, owner_in, pack, unpack
from hannun.cache.get_pool import GetConnectionPool
from hannun.cache.invalidator import Invalidator as Invalidator
from hannun.cache.local import FillGuard, LocalCache, VersionFloors
from hannun.cache.subscription import messages
from hannun.domain.answer import EncodedAnswer as EncodedAnswer
from hannun.domain.batch import ChangedEvent

LEASE_MS: Final = 3_000
"""How long a reader may take to fill. Longer than any question of ours takes; a dead reader blocks no longer."""
WAIT_STEP_S: Final = 0.01
BEAT_S: Final = 0.04
"""How often a subscription is asked whether it is alive, where copies depend on it."""
SLOW_BEAT_S: Final = 5.0
"""The same where nothing depends on it but pages that wait."""

# Fill only under the lease, never over something newer. KEYS: answer, lease. ARGV: token, value, ms to live, version,
# server
_FILL = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'string' then
  local read, value = pcall(cjson.decode, kept)  -- what is no answer of ours must not bar the way
  local meta = read and type(value) == 'table' and value['_hannun']
  local believed = type(meta) == 'table' and meta['server'] == ARGV[5]
  local has, new = believed and meta['version'], ARGV[4]  -- compared as digits: a number of Lua has 53 bits
  if type(has) == 'string' and (#has > #new or (#has == #new and has > new)) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
# Give the lease back, if it is still ours.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to fill a key, while nothing invalidates it."""

    key: str
    token: str
    server: str


class _Reading:
    """While a key is read. A class: the same as a generator costs three times as much, at every hit."""

    __slots__ = ("_copies", "_guard")

    def __init__(self, copies: LocalCache, key: str) -> None:
        self._copies = copies
        self._guard = copies.begin(key, time.monotonic())

    def __enter__(self) -> FillGuard | None:
        return self._guard

    def __exit__(self, *_: object) -> None:
        self._copies.end(self._guard)


class AnswerCache:
    """Answers, for the readers of one process. Every method treats Redis' absence as a miss."""

    def __init__(
        self, address: RedisAddress, *, lifetime_s: float, timeout_s: float | None = None, local_bytes_max: int = 0
    ) -> None:
        """
        Args:
            timeout_s: how long a read may take; at most, and without it, the address's own time-out.
            local_bytes_max: room for copies in this process; 0 keeps none.
        """
        self._lifetime_s = lifetime_s
        self._timeout_s = min(address.timeout_s, timeout_s or address.timeout_s)
        self._local = LocalCache(local_bytes_max)
        self.has_local_cache = self._local.wanted
        self._floors = VersionFloors()
        connection = address.asyncio_connection
        options = address.options() | {"redis_connect_func": self._greet}
        lines_max = options.pop("max_connections") // 2
        # Blocking: whoever finds all connections in use waits for one. Refused, they would all ask PostgreSQL instead.
        self._client = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool(
                address.connections_max - lines_max,
                self._timeout_s,
                connection_class=connection,
                retry=Retry(NoBackoff(), 1, CUT),
                **options | {"socket_timeout": self._timeout_s},
            )
        )
        self._get_pool = GetConnectionPool(
            lambda: connection(**options | {"socket_timeout": None, "health_check_interval": 0}),
            count_max=lines_max,
            timeout_s=self._timeout_s,
        )
        self._fill = self._client.register_script(_FILL)
        self._release = self._client.register_script(_RELEASE)
        self._server = ""
        self._cooldown_until = 0.0
        self._looks: dict[str, asyncio.Task[tuple[EncodedAnswer | None, bool]]] = {}
        self.available = False
        """Whether Redis answered when it was last asked."""
        self.local_hits = self.hits = self.misses = self.fills = self.refused_fills = 0

    async def open(self) -> None:
        """Look whether Redis is there. Not being there is degraded, not an error."""
        await self.check()

    async def close(self) -> None:
        await self._get_pool.close()
        await self._client.aclose()

    async def check(self) -> bool:
        """Whether Redis answers now."""
        try:
            await self._client.ping()
            self.available = True
        except AWAY:
            self.available = False
        return self.available

    # -- copies in this process

    def get_local(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        """This process's own copy, where there is one to be believed that is not older than what was `seen`."""
        answer = self._local.get(key, time.monotonic(), int(time.time() * 1000))
        if answer is None or answer.version < version_min or answer.version < self._floors.of(key):
            return None
        self.local_hits += 1
        return answer

    def local_fill_guard(self, key: str) -> "_Reading":
        """Around all that may be read of a key: what is read inside may be kept under this guard."""
        return _Reading(self._local, key)

    def store_local(self, guard: FillGuard | None, key: str, answer: EncodedAnswer) -> None:
        """Keep a copy of what was just read, if nothing was announced since its reading began."""
        self._local.keep(guard, key, answer)

    def require_versions(self, events: Iterable[ChangedEvent]) -> None:
        """These were committed here: from now on nothing older is answered here. For any thread."""
        for event in events:
            for key in keys.of_event(event):
                self._floors.rise(key, event.version)
            if event.user_id is not None:
                self._floors.outdate(keys.user(event.user_id))

    # -- Redis

    async def get(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        """The kept answer; None where there is none to be believed, or only one older than what was `seen` or told."""
        if self._cooldown_until:
            now = time.monotonic()
            if now < self._cooldown_until:
                return None
            self._cooldown_until = (
                now + SILENT_REST_S
            )  # one looks whether it is back; the others need not wait for that
        try:
            value: Any = await (self._get_pool.get(key) if self._get_pool.free else self._client.get(key))
        except AWAY as error:
            self.available = str(error).startswith("WRONGTYPE")  # somebody else's value under our key: a miss
            self._cooldown_until = time.monotonic() + SILENT_REST_S if isinstance(error, SILENT) else 0.0
            return None
        self.available = True
        self._cooldown_until = 0.0
        answer = None if value is None else unpack(value, key, self._server, int(time.time() * 1000))
        if answer is None or answer.version < version_min or answer.version < self._floors.of(key):
            self.misses += 1
            return None
        self.hits += 1
        return answer

    async def owner(self, key: str) -> str | None:
        """The owner that stands in the kept answer; None where there is none to be believed.

        Its head is read alone, so that how long it takes does not tell how much is kept.
        """
        if time.monotonic() < self._cooldown_until:
            return None
        try:
            head: Any = await self._client.getrange(key, 0, HEAD_LAST)
        except AWAY as error:
            self.available = str(error).startswith("WRONGTYPE")
            if isinstance(error, SILENT):
                self._cooldown_until = time.monotonic() + SILENT_REST_S
            return None
        self.available = True
        return owner_in(head, key, self._server)

    async def acquire_lease(self, key: str, *, by_force: bool = False) -> Lease | None:
        """The right to fill `key`; None where somebody else has it, or Redis is away (`available` says which).

        By force it is taken from whoever has it: what they have read will not be kept.
        """
        token, server = secrets.token_hex(8), self._server  # as known before: a lease that comes back is not believed
        try:
            taken = await self._client.set(keys.lease(key), token, nx=not by_force, px=LEASE_MS)
        except AWAY:
            self.available = False
            return None
        return Lease(key, token, server) if taken else None

    async def fill(self, lease: Lease, answer: EncodedAnswer) -> bool:
        """Keep an answer, if the lease still stands and nothing newer is there. Refused, the lease is gone too."""
        lifetime_ms = int(
            self._lifetime_s * 1000 * (0.95 + secrets.randbelow(100) / 1000)
        )  # so that not all end at once
        try:
            filled = await self._fill(
                keys=[lease.key, keys.lease(lease.key)],
                args=[lease.token, pack(lease.key, lease.server, answer), lifetime_ms, answer.version, lease.server],
            )
        except AWAY:
            self.available = False
            return False
        if filled:
            self.fills += 1
            self._floors.settle(lease.key, answer.version)
        else:
            self.refused_fills += 1
        return bool(filled)

    async def release(self, lease: Lease) -> None:
        """Give a lease back unused, so that the next reader need not wait for it."""
        try:
            await self._release(keys=[keys.lease(lease.key)], args=[lease.token])
        except AWAY:
            self.available = False

    def version_floor(self, key: str) -> int:
        """The least version that may be told of a key. To be asked before the database is."""
        return self._floors.of(key)

    def record_answer(self, key: str, floor: int, answer: EncodedAnswer) -> None:
        """The database has said this, and Redis does not know it yet. `floor` is that of before it was asked."""
        self._floors.read(key, floor, answer.version)

    async def wait_for_fill(self, key: str, version_min: int = 0) -> EncodedAnswer | None:
        """Wait for the answer of whoever holds the lease; None as soon as nobody does."""
        deadline = time.monotonic() + LEASE_MS / 1000
        while time.monotonic() < deadline:
            answer, leased = await asyncio.shield(self._next_look(key))
            if answer is not None and answer.version >= version_min:
                return answer
            if not leased:
                return None
        return None

    def _next_look(self, key: str) -> asyncio.Task[tuple[EncodedAnswer | None, bool]]:
        """The next look at a key and its lease, one for all who wait for it: a crowd that looks one by one is slower
        than what it waits for. It begins after they came, so that nobody is told what was read before."""
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = asyncio.create_task(self._look(key))
        return look

    async def _look(self, key: str) -> tuple[EncodedAnswer | None, bool]:
        """What is kept, and whether somebody still holds the lease."""
        await asyncio.sleep(WAIT_STEP_S)
        del self._looks[key]
        answer = await self.get(key)
        if answer is not None or not self.available:
            return answer, False
        try:
            if await self._client.exists(keys.lease(key)):
                return None, True
        except AWAY:
            return None, False
        return await self.get(key), False  # the holder may have filled since we looked

    async def announcements(self) -> AsyncIterator[dict[str, Any] | None]:
        """Events as they change: what was announced; None each time announcements may have been missed.

        Copies are dropped before it is passed on. Ends with the caller's task. While Redis is away it keeps trying,
        every second.
        """
        beat_s = BEAT_S if self._local.wanted else SLOW_BEAT_S
        while True:
            try:
                heard = messages(self._client, keys.ANNOUNCEMENTS, beat_s=beat_s, patience_s=self._timeout_s)
                async with aclosing(heard):
                    async for message in heard:
                        if (told := self._heard(message)) is not _NOTHING:
                            yield told
            except AWAY:
                self._local.lost()
                yield None
                await asyncio.sleep(1.0)

    def _heard(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Drop the copies that a message of the subscription makes false, and say what it announced."""
        if message["type"] == "pong":  # what was announced before this ping was sent has come before its answer
            self._local.heard(float(message["data"] or 0))
            return _NOTHING
        # The client reconnects by itself; only that it subscribes anew says that it did.
        announced = None if message["type"] == "subscribe" else announcements.read(message["data"])
        if announced is None:
            self._local.lost()
        else:
            self._local.announced(keys.made_false_by(announcements.changed(announced)))
        return announced

    async def _greet(self, connection: Any) -> None:
        """On every new connection: which server is this? One that was started anew may hold old data."""
        # Without health checks: each would connect anew where a server accepts and says nothing, and greet it again.
        await connection.on_connect_check_health(check_health=False)
        await connection.send_command("INFO", "server", check_health=False)
        told = await connection.read_response()
        self._server = _server_of(told)


_NOTHING: Final[dict[str, Any]] = {}


def _server_of(info: object) -> str:
    """The run of the server out of its INFO: it changes with every start."""
    text = info.decode() if isinstance(info, bytes) else str(info)
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:").strip()
    return ""
