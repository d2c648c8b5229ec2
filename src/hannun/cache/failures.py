"""The ways in which Redis fails: exceptions of the client, grouped by what the adapter does about them."""

import asyncio
from typing import Final

import redis

DISCONNECTED: Final = (redis.ConnectionError,)
"""The connection was closed. One retry is worth it; after a time-out it is not, since that has already cost enough."""
TIMED_OUT: Final = (redis.TimeoutError, asyncio.TimeoutError)
UNAVAILABLE_NOW: Final = (redis.ConnectionError, redis.TimeoutError)
"""No server, a lost connection, a server that is loading or has too many clients; a refused login too."""
UNAVAILABLE: Final = (redis.RedisError, OSError, asyncio.TimeoutError)

TIMEOUT_COOLDOWN_S: Final = 5.0
"""How long no command is sent after a time-out: each further command would cost the time-out again."""
