"""Server-sent events: `changed` with the new ETag, whenever what a page looks at changes.

The hub sends; the connection's own task only waits for the client to leave, which a task that only sends would never
notice. A comment every 15 s keeps proxies from closing a quiet line.
"""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hannun.flows.live_updates import LiveUpdates, Topic

HEARTBEAT_S = 15.0
LOOKS_S = 1.0
"""How often it is looked whether a link, which may be revoked at any time, still opens."""


class EventStream(Response):
    """One page's stream. A Response, so that FastAPI hands it on as it is; it sends itself."""

    def __init__(
        self, live: LiveUpdates, topic: Topic, expires_in_s: float, holds: Callable[[], Awaitable[bool]], every_s: float
    ) -> None:
        """`holds` is asked `every_s` whether the page may still watch."""
        super().__init__()
        self._holds = holds
        self._every_s = every_s
        self._live = live
        self._topic = topic
        self._expires_in_s = expires_in_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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

        async def tell(frame: bytes) -> None:
            await send({"type": "http.response.body", "body": frame, "more_body": True})

        await tell(b"retry: 2000\n\n")
        leave = self._live.watch(self._topic, tell)
        try:
            async with asyncio.timeout(self._expires_in_s):  # a session that ends takes its streams with it
                if await self._until_left(receive, tell):
                    return
        except TimeoutError:
            pass
        finally:
            leave()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_left(self, receive: Receive, tell: Callable[[bytes], Awaitable[None]]) -> bool:
        """Whether the page has left; else it may watch no longer."""
        waiting = asyncio.ensure_future(receive())
        quiet_s = 0.0
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=self._every_s)
                if done:
                    if waiting.result()["type"] == "http.disconnect":
                        return True
                    waiting = asyncio.ensure_future(receive())
                    continue
                if not await self._holds():
                    return False
                quiet_s += self._every_s
                if quiet_s >= HEARTBEAT_S:
                    quiet_s = 0.0
                    await tell(b": still here\n\n")
        finally:
            waiting.cancel()
