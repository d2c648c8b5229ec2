"""Redis: answers, leases, invalidations, announcements. An outage is a miss, never an error of the asker.

    miss ─► take the lease (SET NX, random token) ─► read PostgreSQL ─► fill, if the lease still stands ─► answer
       └─► somebody has it: wait for their answer while the lease lives, then read PostgreSQL without filling

    a batch commits ─► delete answer and lease in one command ─► announce

What was read before a commit cannot be filled after its invalidation: the lease it would need is gone. A hit is a plain
GET; scripts run only on a miss. A value names the key it was made for, its version, its owner and the server it was
given to: under another key, or from a server that has come back with old data, it is a miss.

Reading is asynchronous (`AnswerCache`, in serve), invalidating synchronous (`Invalidator`, beside every writer).
"""

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from hannun.domain import keys
from hannun.domain.batch import ChangedEvent
from hannun.errors import OperatorError
from hannun.telemetry import metrics

LEASE_MS: Final = 3_000
"""How long a reader may take to fill. Longer than any question of ours takes; a dead reader blocks no longer."""
SILENT_REST_S: Final = 5.0
"""How long a Redis that accepted and did not answer in time is not asked: asking again costs its time-out again."""
REST_S: Final = 0.5
"""How long a Redis that failed is not asked by writers. What they owe meanwhile is paid by whoever finds it."""
WAIT_STEP_S: Final = 0.01

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
  if believed and (tonumber(meta['version']) or 0) > tonumber(ARGV[4]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
# Give the lease back, if it is still ours.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, and how long it may take. Seconds."""

    host: str = "localhost"
    port: int = 6379
    password: str = ""
    database: int = 0
    tls: bool = False
    timeout_s: float = 3.0
    connections_max: int = 20

    def options(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "port": self.port,
            "password": self.password or None,
            "db": self.database,
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": min(self.timeout_s, 1.0),
            "max_connections": self.connections_max,
            "protocol": 3,
            "health_check_interval": 15,
        }


class Meta(msgspec.Struct, frozen=True):
    """What a kept value says of itself. `until_ms` (since 1970): when it stops being true by itself; 0 never."""

    key: str
    version: str
    owner: str
    etag: str
    server: str
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as bytes of JSON, with what decides who may see it and whether it is still the same."""

    body: bytes
    version: int
    owner: str
    etag: str
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to fill a key, while nothing invalidates it."""

    key: str
    token: str
    server: str


_META_FIRST = b'{"_hannun":'
_meta_decoder = msgspec.json.Decoder(Meta)


def pack(key: str, server: str, answer: Answer) -> bytes:
    """The answer's JSON object with what it says of itself as its first field, so that any reader can read it."""
    meta = Meta(key, str(answer.version), answer.owner, answer.etag, server, answer.until_ms)
    packed = msgspec.json.encode(meta)
    # The size stands in front in a field of its own, so that a hit need not parse the payload.
    return b'{"_size":%6d,"_hannun":%b,%b' % (len(packed), packed, answer.body[1:])


_SIZE_AT: Final = len(b'{"_size":')
_META_AT: Final = len(b'{"_size":      ,"_hannun":')


def unpack(value: bytes, key: str, server: str, now_ms: int) -> Answer | None:
    """The answer in a kept value; None where it is not one, or is not to be believed."""
    try:
        meta, end = _told(value)
    except (ValueError, msgspec.MsgspecError):
        return None
    if meta.key != key or meta.server != server or (meta.until_ms and now_ms >= meta.until_ms):
        return None
    return Answer(b"{" + value[end + 1 :], int(meta.version), meta.owner, meta.etag, meta.until_ms)


def owner_in(head: bytes, key: str, server: str) -> str | None:
    """The owner that the head of a kept value names; None where it is not to be believed."""
    try:
        meta, _ = _told(head)
    except (ValueError, msgspec.MsgspecError):
        return None
    return meta.owner if meta.key == key and meta.server == server else None


def _told(value: bytes) -> tuple[Meta, int]:
    """What a kept value says of itself, and where that ends."""
    end = _META_AT + int(value[_SIZE_AT : _SIZE_AT + 6])
    return _meta_decoder.decode(value[_META_AT:end]), end


_HEAD: Final = 1_023
"""The last byte of a kept value's head: what it says of itself ends well before."""


_CUT = (redis.ConnectionError,)
"""What is worth trying once more: a connection that was cut. One that does not answer has cost enough."""
_SILENT = (redis.TimeoutError, asyncio.TimeoutError)
_AWAY = (redis.RedisError, OSError, asyncio.TimeoutError)


class AnswerCache:
    """Answers, for the readers of one process. Every method treats Redis' absence as a miss."""

    def __init__(self, address: RedisAddress, *, lifetime_s: float) -> None:
        self._lifetime_s = lifetime_s
        # Blocking: whoever finds all connections in use waits for one. Refused, they would all ask PostgreSQL instead.
        self._client = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool(
                timeout=address.timeout_s,
                connection_class=redis.asyncio.SSLConnection if address.tls else redis.asyncio.Connection,
                retry=AsyncRetry(NoBackoff(), 1, _CUT),
                redis_connect_func=self._greet,
                **address.options(),
            )
        )
        self._fill = self._client.register_script(_FILL)
        self._release = self._client.register_script(_RELEASE)
        self._server = ""
        self._rests_until = 0.0
        self.available = False
        """Whether Redis answered when it was last asked."""
        self.hits = self.misses = self.fills = self.refused_fills = 0

    async def open(self) -> None:
        """Look whether Redis is there. Not being there is degraded, not an error."""
        await self.check()

    async def close(self) -> None:
        await self._client.aclose()

    async def check(self) -> bool:
        """Whether Redis answers now."""
        try:
            await self._client.ping()
            self.available = True
        except _AWAY:
            self.available = False
        return self.available

    async def get(self, key: str) -> Answer | None:
        """The kept answer; None where there is none to be believed."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            value: Any = await self._client.get(key)
        except _AWAY as error:
            self.available = str(error).startswith("WRONGTYPE")  # somebody else's value under our key: a miss
            if isinstance(error, _SILENT):
                self._rests_until = time.monotonic() + SILENT_REST_S
            return None
        self.available = True
        answer = None if value is None else unpack(value, key, self._server, int(time.time() * 1000))
        if answer is None:
            self.misses += 1
        else:
            self.hits += 1
        return answer

    async def owner(self, key: str) -> str | None:
        """The owner that stands in the kept answer; None where there is none to be believed.

        Its head is read alone, so that how long it takes does not tell how much is kept.
        """
        if time.monotonic() < self._rests_until:
            return None
        try:
            head: Any = await self._client.getrange(key, 0, _HEAD)
        except _AWAY as error:
            self.available = str(error).startswith("WRONGTYPE")
            if isinstance(error, _SILENT):
                self._rests_until = time.monotonic() + SILENT_REST_S
            return None
        self.available = True
        return owner_in(head, key, self._server)

    async def lease(self, key: str) -> Lease | None:
        """The right to fill `key`; None where somebody else has it, or Redis is away (`available` says which)."""
        token = secrets.token_hex(8)
        try:
            taken = await self._client.set(keys.lease(key), token, nx=True, px=LEASE_MS)
        except _AWAY:
            self.available = False
            return None
        return Lease(key, token, self._server) if taken else None

    async def fill(self, lease: Lease, answer: Answer) -> bool:
        """Keep an answer, if the lease still stands and nothing newer is there. Refused, the lease is gone too."""
        lifetime_ms = int(
            self._lifetime_s * 1000 * (0.95 + secrets.randbelow(100) / 1000)
        )  # so that not all end at once
        try:
            filled = await self._fill(
                keys=[lease.key, keys.lease(lease.key)],
                args=[lease.token, pack(lease.key, lease.server, answer), lifetime_ms, answer.version, lease.server],
            )
        except _AWAY:
            self.available = False
            return False
        if filled:
            self.fills += 1
        else:
            self.refused_fills += 1
        return bool(filled)

    async def release(self, lease: Lease) -> None:
        """Give a lease back unused, so that the next reader need not wait for it."""
        try:
            await self._release(keys=[keys.lease(lease.key)], args=[lease.token])
        except _AWAY:
            self.available = False

    async def wait(self, key: str) -> Answer | None:
        """Wait for the answer of whoever holds the lease; None as soon as nobody does."""
        deadline = time.monotonic() + LEASE_MS / 1000
        while time.monotonic() < deadline:
            await asyncio.sleep(WAIT_STEP_S)
            answer = await self.get(key)
            if answer is not None or not self.available:
                return answer
            try:
                if not await self._client.exists(keys.lease(key)):
                    return await self.get(key)  # the holder may have filled since we looked
            except _AWAY:
                return None
        return None

    async def announcements(self) -> AsyncIterator[dict[str, Any] | None]:
        """Events as they change: what was announced; None each time announcements may have been missed.

        Ends with the caller's task. While Redis is away it keeps trying, every second.
        """
        while True:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(keys.ANNOUNCEMENTS)
                    while True:
                        message = await subscription.get_message(timeout=10.0)
                        if message is not None:
                            # The client reconnects by itself; only that it subscribes anew says that it did.
                            yield None if message["type"] == "subscribe" else _announced(message["data"])
            except _AWAY:
                yield None
                await asyncio.sleep(1.0)

    async def _greet(self, connection: Any) -> None:
        """On every new connection: which server is this? One that was started anew may hold old data."""
        # Without health checks: each would connect anew where a server accepts and says nothing, and greet it again.
        await connection.on_connect_check_health(check_health=False)
        await connection.send_command("INFO", "server", check_health=False)
        told = await connection.read_response()
        self._server = _server_of(told)


EVENTS_A_COMMAND = 50
"""About a thousand keys: Redis does nothing else meanwhile, for less than a millisecond."""


class Invalidator:
    """Removes what a commit has made false, and announces it. Synchronous; safe to share between threads."""

    def __init__(self, address: RedisAddress) -> None:
        self._client = redis.Redis.from_pool(
            redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]  # its parameters have no types
                timeout=address.timeout_s,
                connection_class=redis.SSLConnection if address.tls else redis.Connection,
                retry=Retry(NoBackoff(), 1, _CUT),
                **address.options(),
            )
        )
        self._lock = threading.Lock()
        self._rests_until = 0.0

    def close(self) -> None:
        self._client.close()

    def check(self) -> None:
        """
        Raises:
            OperatorError: Redis does not answer, and why.
        """
        where = self._client.connection_pool.connection_kwargs
        try:
            self._client.ping()
        except redis.AuthenticationError as error:
            raise OperatorError(
                f"Redis at {where['host']}:{where['port']} refuses us: {error}", hint="is REDIS_PASSWORD right?"
            ) from error
        except (redis.RedisError, OSError) as error:
            raise OperatorError(
                f"cannot reach Redis at {where['host']}:{where['port']}: {error}",
                hint="is it running, and are REDIS_HOST and REDIS_PORT right? `hannun up` starts an embedded one",
            ) from error

    def invalidate(self, events: Sequence[ChangedEvent], *, at_rest_too: bool = False) -> bool:
        """Remove every answer that these changes make false, with its lease, and announce them.

        Returns whether Redis has acknowledged all of it; if not, it is still owed. After a failure Redis is left
        alone for a moment, unless `at_rest_too`: a batch must not wait for a server that hangs, batch after batch.
        """
        if not at_rest_too and time.monotonic() < self._rests_until:
            return False
        try:
            with self._client.pipeline(transaction=False) as pipe:
                # A command costs us more than the keys in it, so an event's keys share one with those of other events.
                # Answer and lease stay in one command: a fill must not slip in between.
                for first in range(0, len(events), EVENTS_A_COMMAND):
                    some = events[first : first + EVENTS_A_COMMAND]
                    false = [key for event in some for key in keys.made_false_by(event)]
                    pipe.delete(*false, *map(keys.lease, false))
                for event in events:
                    pipe.publish(keys.ANNOUNCEMENTS, _announcement(event))
                pipe.execute()
        except (redis.RedisError, OSError) as error:
            self._rests_until = time.monotonic() + (SILENT_REST_S if isinstance(error, _SILENT) else REST_S)
            metrics.invalidations.labels("owed").inc(len(events))
            return False
        metrics.invalidations.labels("paid").inc(len(events))
        return True


def _announcement(event: ChangedEvent) -> bytes:
    return msgspec.json.encode({"eventId": event.event_id, "userId": event.user_id, "version": str(event.version)})


def _announced(data: bytes) -> dict[str, Any] | None:
    """What was announced; None where it cannot be read, which is as good as missed."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _server_of(info: object) -> str:
    """The run of the server out of its INFO: it changes with every start."""
    text = info.decode() if isinstance(info, bytes) else str(info)
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:").strip()
    return ""
