"""Reads every entry of Redis that belongs to the service, for a search."""

from collections.abc import Iterator
from typing import Any

import redis

from hannun.cache.address import RedisAddress
from hannun.cache.failures import translated

KEYS_AT_ONCE = 500
OURS = ("analytics:*", "hannun:*")
"""Patterns of all keys of the service, also of those without a life time."""


class KeyScan:
    """Reads entries on a connection of its own. For one thread."""

    def __init__(self, address: RedisAddress) -> None:
        self._client = redis.Redis.from_pool(
            redis.ConnectionPool(connection_class=address.connection, **address.options())
        )

    def close(self) -> None:
        self._client.close()

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Every key with its value, a few hundred at a time; of a value that is no string only the key.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        where = self._client.connection_pool.connection_kwargs
        with translated(where["host"], where["port"]):
            for pattern in OURS:
                cursor: Any = 0
                while True:
                    page: Any = self._client.scan(cursor, match=pattern, count=KEYS_AT_ONCE)
                    cursor, found = page
                    yield from zip((key.decode("utf-8", "replace") for key in found), self._values(found), strict=True)
                    if cursor == 0:
                        break

    def _values(self, found: list[bytes]) -> list[bytes]:
        if not found:
            return []
        with self._client.pipeline(transaction=False) as pipe:
            for key in found:
                pipe.get(key)
            values: list[Any] = pipe.execute(raise_on_error=False)
        return [value if isinstance(value, bytes) else b"" for value in values]
