"""Server-sent events: `changed` with the new ETag whenever the answer that a page shows changes.

`LiveUpdates` sends the events. The connection's own task only waits for the client to disconnect: a task that only
sends would never notice that. A comment every 15 s keeps proxies from closing an idle connection.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hannun import deadlines
from hannun.domain.answer import Topic
from hannun.flows.live_updates import LiveUpdates

HEARTBEAT_S = 15.0
CHECK_INTERVAL_S = 1.0
"""How often a stream checks its token or share link: a session may end, and a link be revoked, at any time."""

CHECK_S_MAX = 4.0
"""How long a check may wait for PostgreSQL; without its answer the stream ends, and the page connects again."""


class EventStream(Response):
    """The event stream of one page. It is a Response so that FastAPI passes it on unchanged; it sends itself.

    Args:
        expires_in_s: when the stream ends because the caller's token or share link expires.
        is_still_valid: whether the caller may still watch; called every `check_every_s`.
    """

    def __init__(
        self,
        live_updates: LiveUpdates,
        topic: Topic,
        expires_in_s: float,
        is_still_valid: Callable[[], Awaitable[bool]],
        check_every_s: float,
    ) -> None:
        super().__init__()
        self._live_updates = live_updates
        self._topic = topic
        self._expires_in_s = expires_in_s
        self._is_still_valid = is_still_valid
        self._check_every_s = check_every_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadlines.restart(math.inf)  # that of the request ends with its answer, which lasts
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"text/event-stream; charset=utf-8"),
                    (b"cache-control", b"no-store"),
                    (b"x-accel-buffering", b"no"),
                ],
            }
        )

        async def send_frame(frame: bytes) -> None:
            await send({"type": "http.response.body", "body": frame, "more_body": True})

        await send_frame(b"retry: 2000\n\n")
        unwatch = self._live_updates.watch(self._topic, send_frame)
        try:
            async with asyncio.timeout(self._expires_in_s):
                if await self._wait_for_disconnect(receive, send_frame):
                    return
        except TimeoutError:
            pass
        finally:
            unwatch()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait_for_disconnect(self, receive: Receive, send_frame: Callable[[bytes], Awaitable[None]]) -> bool:
        """Returns True when the client has disconnected, False when the server must end the stream."""
        receiving = asyncio.ensure_future(receive())
        ending = asyncio.ensure_future(self._live_updates.wait_until_ended())
        idle_s = 0.0
        try:
            while True:
                done, _ = await asyncio.wait(
                    {receiving, ending}, timeout=self._check_every_s, return_when=asyncio.FIRST_COMPLETED
                )
                if ending in done:
                    return False
                if done:
                    if receiving.result()["type"] == "http.disconnect":
                        return True
                    receiving = asyncio.ensure_future(receive())
                    continue
                with deadlines.within(CHECK_S_MAX):
                    if not await self._is_still_valid():
                        return False
                idle_s += self._check_every_s
                if idle_s >= HEARTBEAT_S:
                    idle_s = 0.0
                    await send_frame(b": still here\n\n")
        finally:
            receiving.cancel()
            ending.cancel()
