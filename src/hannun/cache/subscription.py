"""A pub/sub subscription with regular pings: without them a lost connection looks like a quiet channel."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

import redis
import redis.asyncio
from redis.asyncio.client import PubSub

PING_INTERVAL_S: Final = 5.0
"""How often a subscription is pinged unless something depends on a quicker answer."""
RECONNECT_INTERVAL_S: Final = 1.0
"""How long to wait before subscribing again after the connection was lost."""


class Received(NamedTuple):
    """What a subscription received.

    `kind` is "message", "subscribe" (subscribed, for the first time or again after redis-py reconnected) or "pong".
    `data` is the message, or for a pong the monotonic time at which its ping was sent, as digits.
    """

    kind: str
    data: bytes


async def receive(
    client: redis.asyncio.Redis, channel: str, *, ping_interval_s: float, pong_timeout_s: float
) -> AsyncGenerator[Received, None]:
    """Everything received on a channel, until the connection is lost.

    Raises:
        redis.RedisError, OSError, TimeoutError: the connection is lost, or nothing was received for too long.
    """
    async with client.pubsub() as subscription:
        await subscription.subscribe(channel)
        keep_alive = _KeepAlive(ping_interval_s, pong_timeout_s)
        while True:
            received = await keep_alive.receive(subscription)
            if received is not None:
                yield received


class _KeepAlive:
    """Pings a subscription at intervals, and notices when nothing is received any more."""

    def __init__(self, ping_interval_s: float, pong_timeout_s: float) -> None:
        self._ping_interval_s = ping_interval_s
        self._pong_timeout_s = pong_timeout_s
        self._received_at = time.monotonic()
        self._ping_at = self._received_at

    async def receive(self, subscription: PubSub) -> Received | None:
        """What was received before the next ping is due, if anything. A ping carries the time at which it was sent.

        Raises:
            redis.TimeoutError: nothing was received for too long.
        """
        now = time.monotonic()
        if now - self._received_at > self._ping_interval_s + self._pong_timeout_s:
            raise redis.TimeoutError("nothing received on the subscription, not even the answer to a ping")
        if now >= self._ping_at:
            self._ping_at = now + self._ping_interval_s
            await subscription.ping(b"%.6f" % now)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # Before Python 3.12, asyncio.wait_for (in the client) forgets a cancellation that comes as it finishes.
                raise asyncio.CancelledError
        message = await subscription.get_message(timeout=max(self._ping_at - now, 0.001))
        if message is None:
            return None
        self._received_at = time.monotonic()
        data = message["data"]
        return Received(message["type"], data if isinstance(data, bytes) else b"")
