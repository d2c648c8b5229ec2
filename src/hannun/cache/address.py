"""Where Redis is, and with which options the client connects."""

from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from hannun.cache.asyncio_connection import AsyncioConnection, AsyncioTlsConnection
from hannun.cache.bounded_socket import BoundedConnection, BoundedTlsConnection


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, and how many seconds a command may take."""

    host: str = "localhost"
    port: int = 6379
    password: str = ""
    database: int = 0
    tls: bool = False
    timeout_s: float = 3.0
    connections_max: int = 20

    def options(self) -> dict[str, Any]:
        """Keyword arguments of redis-py's connections and pools."""
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
        """The connection class for threads. Its commands end with the deadline (`hannun.deadlines`)."""
        return BoundedTlsConnection if self.tls else BoundedConnection

    @property
    def asyncio_connection(self) -> type[redis.asyncio.Connection]:
        """The connection class for an event loop."""
        return AsyncioTlsConnection if self.tls else AsyncioConnection
