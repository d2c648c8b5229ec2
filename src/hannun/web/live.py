"""Server-sent events: `changed` with the new ETag, whenever what a page looks at changes.

The hub sends; the connection's own task only waits for the client to leave, which a task that only sends would never
notice. A comment every 15 s keeps proxies from closing a quiet line.
"""

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hannun.flows.live import Live, Topic

HEARTBEAT_S = 15.0


class Stream(Response):
    """One page's stream. A Response, so that FastAPI hands it on as it is; it sends itself."""

    def __init__(self, live: Live, topic: Topic, expires_in_s: float) -> None:
        super().__init__()
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
                await self._until_left(receive, tell)
        except TimeoutError:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leave()

    @staticmethod
    async def _until_left(receive: Receive, tell: object) -> None:
        waiting = asyncio.ensure_future(receive())
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=HEARTBEAT_S)
                if done:
                    if waiting.result()["type"] == "http.disconnect":
                        return
                    waiting = asyncio.ensure_future(receive())
                else:
                    await tell(b": still here\n\n")  # type: ignore[operator]
        finally:
            waiting.cancel()
