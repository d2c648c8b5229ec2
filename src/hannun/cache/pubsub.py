"""A pub/sub channel between processes. A message that is published while Redis is unavailable is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hannun.cache import subscription
from hannun.cache.address import RedisAddress
from hannun.cache.failures import UNAVAILABLE
from hannun.cache.subscription import PING_INTERVAL_S, RECONNECT_INTERVAL_S


class PubSubChannel:
    """One channel, for one event loop."""

    def __init__(self, address: RedisAddress, channel: str) -> None:
        self._channel = channel
        self._timeout_s = address.timeout_s
        self._client = redis.asyncio.Redis.from_pool(
            redis.asyncio.ConnectionPool(
                connection_class=address.asyncio_connection,
                retry=Retry(NoBackoff(), 0),
                **address.options() | {"max_connections": 2},
            )
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def publish(self, message: bytes) -> None:
        """Publish to all current subscribers, this process included. While Redis is unavailable, to none."""
        with suppress(*UNAVAILABLE):
            async with asyncio.timeout(self._timeout_s):
                await self._client.publish(self._channel, message)

    async def subscribe(self) -> AsyncIterator[bytes]:
        """The messages of the channel, until the caller's task ends. While Redis is unavailable it keeps trying."""
        while True:
            try:
                stream = subscription.receive(
                    self._client, self._channel, ping_interval_s=PING_INTERVAL_S, pong_timeout_s=self._timeout_s
                )
                async with aclosing(stream):
                    async for received in stream:
                        if received.kind == "message":
                            yield received.data
            except UNAVAILABLE:
                await asyncio.sleep(RECONNECT_INTERVAL_S)
