"""A pub/sub channel between processes. A message that is published while Redis is unavailable is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hannun.cache import subscription
from hannun.cache.address import RedisAddress
from hannun.cache.cluster import ClusterMap, Node
from hannun.cache.failures import UNAVAILABLE
from hannun.cache.subscription import PING_INTERVAL_S, RECONNECT_INTERVAL_S


class PubSubChannel:
    """One channel, for one event loop."""

    def __init__(self, address: RedisAddress, channel: str) -> None:
        self._channel = channel
        self._timeout_s = address.timeout_s
        self._client = _client(address)

    async def close(self) -> None:
        await self._client.aclose()

    async def publish(self, message: bytes) -> None:
        """Publish to all current subscribers, this process included. While Redis is unavailable, to none."""
        with suppress(*UNAVAILABLE):
            async with asyncio.timeout(self._timeout_s):
                await (await self._server()).publish(self._channel, message)

    async def subscribe(self) -> AsyncIterator[bytes]:
        """The messages of the channel, until the caller's task ends. While Redis is unavailable it keeps trying."""
        while True:
            try:
                stream = subscription.receive(
                    await self._server(), self._channel, ping_interval_s=PING_INTERVAL_S, pong_timeout_s=self._timeout_s
                )
                async with aclosing(stream):
                    async for received in stream:
                        if received.kind == "message":
                            yield received.data
            except UNAVAILABLE:
                await asyncio.sleep(RECONNECT_INTERVAL_S)

    async def _server(self) -> redis.asyncio.Redis:
        return self._client


class ClusterPubSubChannel(PubSubChannel):
    """One channel of a Redis Cluster. Any node takes a message, and passes it on to the subscribers of all nodes."""

    def __init__(self, address: RedisAddress, channel: str) -> None:
        super().__init__(address, channel)
        self._map = ClusterMap(address)
        self._clients: dict[Node, redis.asyncio.Redis] = {}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        await super().close()

    async def _server(self) -> redis.asyncio.Redis:
        node = (await asyncio.to_thread(self._map.topology)).announcer
        if node is None:
            raise redis.ConnectionError("no node of the Redis Cluster is online")
        if node not in self._clients:
            self._clients[node] = _client(self._map.address_of(node))
        return self._clients[node]


def _client(address: RedisAddress) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_pool(
        redis.asyncio.ConnectionPool(
            connection_class=address.asyncio_connection,
            retry=Retry(NoBackoff(), 0),
            **address.options() | {"max_connections": 2},
        )
    )
