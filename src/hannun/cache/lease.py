"""The lease on a cache key, and the Lua scripts that take and end it.

GET_OR_ACQUIRE_SCRIPT: an answer is cached ─► answer
     └► nobody holds the lease: SET lease PX ─► holder reads PostgreSQL ─► FILL_SCRIPT: lease still held? nothing newer
                 │                                    │                    cached? ─► SET answer
                 │                                    └► RELEASE_SCRIPT: nothing to store
                 └► an invalidation deletes the lease: the fill of what was read before it is refused
"""

from dataclasses import dataclass
from typing import Final

LEASE_MS: Final = 3_000
"""How long the holder may take to fill. No query takes that long; a holder that died blocks others no longer."""

GET_OR_ACQUIRE_SCRIPT: Final = """
local cached = redis.pcall('GET', KEYS[1])  -- a value of another type must not block the lease
if type(cached) == 'string' then return cached end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 0 end  -- the caller itself, where the client repeats a command
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
"""The cached answer. Where there is none: 1 with the lease taken, or 0 where another reader holds it.

KEYS: answer, lease. ARGV: token, LEASE_MS.
"""

FILL_SCRIPT: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[2])
local cached = redis.pcall('GET', KEYS[1])
if type(cached) == 'string' then
  local parsed, value = pcall(cjson.decode, cached)  -- a value in another format must not block the fill
  local meta = parsed and type(value) == 'table' and value['_hannun']
  local valid = type(meta) == 'table' and meta['server'] == ARGV[5]
  local has, new = valid and meta['version'], ARGV[4]  -- compared as digits: a number of Lua has 53 bits
  if type(has) == 'string' and (#has > #new or (#has == #new and has > new)) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
"""Store an answer if the caller still holds the lease and no newer answer is cached; the lease is gone afterwards.

KEYS: answer, lease. ARGV: token, value, lifetime in ms, version, run id of the server.
"""

RELEASE_SCRIPT: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end return 0"
)
"""Delete the lease if the caller still holds it. KEYS: lease. ARGV: token."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to fill a key until an invalidation or the expiry takes it away.

    `token` is random and identifies the holder. `server` is the run id of the server that was known when the lease was
    taken.
    """

    key: str
    token: str
    server: str
