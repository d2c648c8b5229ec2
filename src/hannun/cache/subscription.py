"""A subscription that is asked again and again whether it is alive: one that was lost looks like one that is quiet."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import redis
import redis.asyncio


async def messages(
    client: redis.asyncio.Redis, channel: str, *, beat_s: float, patience_s: float
) -> AsyncGenerator[dict[str, Any], None]:
    """What comes over a channel, until it is lost: the client's own messages, with its `subscribe` each time it has
    connected anew and a `pong` for each ping, whose `data` is when that was sent.

    Args:
        beat_s: how often it is asked whether it is alive.
        patience_s: how long it may take to answer.

    Raises:
        redis.RedisError, OSError, TimeoutError: it is lost, or nothing has come for too long.
    """
    async with client.pubsub() as subscription:
        await subscription.subscribe(channel)
        pulse = _Pulse(beat_s, patience_s)
        while True:
            message = await pulse.next_message(subscription)
            if message is not None:
                yield message


class _Pulse:
    """Asks a subscription again and again whether it is alive."""

    def __init__(self, every_s: float, patience_s: float) -> None:
        self._every_s = every_s
        self._patience_s = patience_s
        self._heard_at = time.monotonic()
        self._beat_at = self._heard_at

    async def next_message(self, subscription: Any) -> dict[str, Any] | None:
        """What came, if anything did until the next beat. A ping says when it was sent.

        Raises:
            redis.TimeoutError: nothing has come for too long.
        """
        now = time.monotonic()
        if now - self._heard_at > self._every_s + self._patience_s:
            raise redis.TimeoutError("the subscription has gone quiet")
        if now >= self._beat_at:
            self._beat_at = now + self._every_s
            await subscription.ping(b"%.6f" % now)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # Before Python 3.12, asyncio.wait_for (in the client) forgets a cancellation that comes as it finishes.
                raise asyncio.CancelledError
        message: dict[str, Any] | None = await subscription.get_message(timeout=max(self._beat_at - now, 0.001))
        if message is not None:
            self._heard_at = time.monotonic()
        return message
