"""Connections for an event loop that fail as redis-py promises, also on uvloop.

Where the server has just closed a connection, uvloop refuses to write to it with a RuntimeError. redis-py lets that
through, so callers that survive a lost connection would not survive this.
"""

from collections.abc import Iterable

import redis
import redis.asyncio

_CLOSED = "the handler is closed"


class AsyncioConnection(redis.asyncio.Connection):
    """A connection over TCP."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            if _CLOSED not in str(error):
                raise
            raise redis.ConnectionError("the server has closed the connection") from error


class AsyncioTlsConnection(AsyncioConnection, redis.asyncio.SSLConnection):
    """A connection over TLS."""
