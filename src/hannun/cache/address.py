"""Where Redis is, and with which options the client connects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio
from redis.credentials import CredentialProvider

from hannun.cache.asyncio_connection import AsyncioConnection, AsyncioTlsConnection
from hannun.cache.bounded_socket import BoundedConnection, BoundedTlsConnection


class PresentPassword(CredentialProvider):
    """Gives each new connection the password of that moment."""

    def __init__(self, password: Callable[[], str]) -> None:
        self._password = password

    def get_credentials(self) -> tuple[str]:
        return (self._password(),)

    async def get_credentials_async(self) -> tuple[str]:
        return self.get_credentials()


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, and how many seconds a command may take.

    Args:
        password: "" is none.
        present_password: returns the password of that moment for each new connection; None where it never changes.
        cluster: it is a node of a Redis Cluster, which names the others.
    """

    host: str = "localhost"
    port: int = 6379
    password: str = ""
    database: int = 0
    tls: bool = False
    timeout_s: float = 3.0
    connections_max: int = 20
    present_password: Callable[[], str] | None = None
    cluster: bool = False

    def options(self) -> dict[str, Any]:
        """Keyword arguments of redis-py's connections and pools."""
        return {
            "host": self.host,
            "port": self.port,
            **self._credentials(),
            "db": self.database,
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": min(self.timeout_s, 1.0),
            "max_connections": self.connections_max,
            "protocol": 3,
            "health_check_interval": 15,
        }

    def _credentials(self) -> dict[str, Any]:
        if self.present_password is not None:
            return {"credential_provider": PresentPassword(self.present_password)}
        return {"password": self.password or None}

    @property
    def connection(self) -> type[redis.Connection]:
        """The connection class for threads. Its commands end with the deadline (`hannun.deadlines`)."""
        return BoundedTlsConnection if self.tls else BoundedConnection

    @property
    def asyncio_connection(self) -> type[redis.asyncio.Connection]:
        """The connection class for an event loop."""
        return AsyncioTlsConnection if self.tls else AsyncioConnection
