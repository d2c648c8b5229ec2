"""Where Redis is, and in which ways it fails us."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import redis
import redis.asyncio

CUT: Final = (redis.ConnectionError,)
"""What is worth trying once more: a connection that was cut. One that does not answer has cost enough."""
SILENT: Final = (redis.TimeoutError, asyncio.TimeoutError)
AWAY: Final = (redis.RedisError, OSError, asyncio.TimeoutError)

SILENT_REST_S: Final = 5.0
"""How long a Redis that accepted and did not answer in time is not asked: asking again costs its time-out again."""


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

    @property
    def connection(self) -> type[redis.Connection]:
        """What connects a thread to it."""
        return redis.SSLConnection if self.tls else redis.Connection

    @property
    def asyncio_connection(self) -> type[redis.asyncio.Connection]:
        """What connects an event loop to it."""
        return redis.asyncio.SSLConnection if self.tls else redis.asyncio.Connection
