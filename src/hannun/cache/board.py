"""A channel on which processes tell each other small things. Said while Redis is away, or to nobody, it is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hannun.cache import _AWAY, SLOW_BEAT_S, RedisAddress, _Pulse

AGAIN_S: Final = 1.0
"""How soon a subscription that was lost is tried again."""


class Board:
    """One channel, in one event loop."""

    def __init__(self, address: RedisAddress, channel: str) -> None:
        self._channel = channel
        self._timeout_s = address.timeout_s
        self._client = redis.asyncio.Redis.from_pool(
            redis.asyncio.ConnectionPool(
                connection_class=redis.asyncio.SSLConnection if address.tls else redis.asyncio.Connection,
                retry=Retry(NoBackoff(), 0),
                **address.options() | {"max_connections": 2},
            )
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def say(self, told: bytes) -> None:
        """Tell whoever listens, or nobody."""
        with suppress(*_AWAY):
            await self._client.publish(self._channel, told)

    async def hear(self) -> AsyncIterator[bytes]:
        """What is told, until the caller's task ends. While Redis is away it keeps trying."""
        while True:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(self._channel)
                    pulse = _Pulse(SLOW_BEAT_S, self._timeout_s)
                    while True:
                        message = await pulse.next_message(subscription)
                        if message is not None and message["type"] == "message":
                            yield message["data"]
            except _AWAY:
                await asyncio.sleep(AGAIN_S)
