"""Reads every entry of Redis that belongs to the service, for a search."""

from collections.abc import Iterator
from typing import Any

import redis

from hannun.cache.address import RedisAddress
from hannun.cache.cluster import servers_of
from hannun.cache.failures import translated

KEYS_AT_ONCE = 500
OURS = ("analytics:*", "hannun:*")
"""Patterns of all keys of the service, also of those without a life time."""


class KeyScan:
    """Reads entries on connections of its own, from all nodes of a cluster. For one thread."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._clients: list[redis.Redis] = []

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Every key with its value, a few hundred at a time; of a value that is no string only the key.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        for server in servers_of(self._address):
            client = redis.Redis.from_pool(redis.ConnectionPool(connection_class=server.connection, **server.options()))
            self._clients.append(client)
            with translated(server.host, server.port):
                for pattern in OURS:
                    yield from self._entries(client, pattern)

    def _entries(self, client: redis.Redis, pattern: str) -> Iterator[tuple[str, bytes]]:
        cursor: Any = 0
        while True:
            page: Any = client.scan(cursor, match=pattern, count=KEYS_AT_ONCE)
            cursor, found = page
            yield from zip((key.decode("utf-8", "replace") for key in found), self._values(client, found), strict=True)
            if cursor == 0:
                return

    def _values(self, client: redis.Redis, found: list[bytes]) -> list[bytes]:
        if not found:
            return []
        with client.pipeline(transaction=False) as pipe:
            for key in found:
                pipe.get(key)
            values: list[Any] = pipe.execute(raise_on_error=False)
        return [value if isinstance(value, bytes) else b"" for value in values]
