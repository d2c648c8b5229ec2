"""A channel on which processes tell each other small things. Said while Redis is away, or to nobody, it is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hannun.cache.address import AWAY, RedisAddress
from hannun.cache.subscription import messages

BEAT_S: Final = 5.0
"""How often the subscription is asked whether it is alive."""
AGAIN_S: Final = 1.0
"""How soon a subscription that was lost is tried again."""


class PubSubChannel:
    """One channel, in one event loop."""

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

    async def say(self, told: bytes) -> None:
        """Tell whoever listens, or nobody."""
        with suppress(*AWAY):
            await self._client.publish(self._channel, told)

    async def hear(self) -> AsyncIterator[bytes]:
        """What is told, until the caller's task ends. While Redis is away it keeps trying."""
        while True:
            try:
                heard = messages(self._client, self._channel, beat_s=BEAT_S, patience_s=self._timeout_s)
                async with aclosing(heard):
                    async for message in heard:
                        if message["type"] == "message":
                            yield message["data"]
            except AWAY:
                await asyncio.sleep(AGAIN_S)
