"""What answers are measured beside: the least that could be done for them, and the way that one would usually write it.

hello     the bytes, and nothing else: what uvicorn itself costs
bare      a remembered token, a GET over the same lines as ours, the bytes or 304
redis-py  the same with a GET as redis-py's manual has it
usual     FastAPI and redis-py as their manuals have it: verify the token, GET, read the JSON, return it

All run as lean as we do: no proxy's headers, nothing for the garbage collector to look at again and again.

python -m bench.bare hello|bare|redis-py|usual FD   with BARE_TOKEN, BARE_KEY, BARE_BODY, HANNUN_JWT_SECRET, REDIS_...
"""

import asyncio
import gc
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import jwt
import msgspec
import redis.asyncio
import uvicorn
import uvloop
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hannun.cache.entry import EntryMeta
from hannun.cache.get_pool import GetConnectionPool

Get = Callable[[str], Awaitable[Any]]


def hello(body: bytes) -> Any:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def bare(get: Get, key: str, token: str) -> Any:
    known = {f"Bearer {token}".encode(): "bench"}
    prefix, suffix = "/api/v1/events/", "/analytics"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        assert path.startswith(prefix) and path.endswith(suffix)
        authorization = tags = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"if-none-match":
                tags = value
        assert authorization in known
        value = await get(key)
        # The form of our values: what stands in front says how long it is.
        etag, end = _told(value)
        if tags == etag:
            await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", etag)]})
            await send({"type": "http.response.body", "body": b""})
            return
        body = b"{" + value[end:]
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"etag", etag)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _told(value: bytes) -> tuple[bytes, int]:
    size = int(value[9:15])
    return _meta.decode(value[26 : 26 + size]).etag.encode(), 26 + size + 1


_meta = msgspec.json.Decoder(EntryMeta)


def usual(client: redis.asyncio.Redis, key: str, secret: str) -> FastAPI:
    app = FastAPI()

    def user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
        try:
            return str(jwt.decode(credentials.credentials, secret, algorithms=["HS256"])["sub"])
        except jwt.InvalidTokenError as error:
            raise HTTPException(401) from error

    @app.get("/api/v1/events/{event_id}/analytics")
    async def dashboard(event_id: str, request: Request, who: Annotated[str, Depends(user)]) -> dict[str, Any]:
        value = await client.get(key)
        if value is None:
            raise HTTPException(404)
        return dict(json.loads(value))

    return app


async def serve(which: str, fd: int) -> None:
    server = {
        "host": os.environ["REDIS_HOST"],
        "port": int(os.environ["REDIS_PORT"]),
        "password": os.environ["REDIS_PASSWORD"] or None,
        "protocol": 3,
    }
    client = redis.asyncio.Redis(**server)
    lines = GetConnectionPool(
        lambda: redis.asyncio.Connection(**server, socket_timeout=None), count_max=10, timeout_s=5
    )
    key = os.environ["BARE_KEY"]
    apps = {
        "hello": lambda: hello(Path(os.environ["BARE_BODY"]).read_bytes()),
        "bare": lambda: bare(lines.get, key, os.environ["BARE_TOKEN"]),
        "redis-py": lambda: bare(client.get, key, os.environ["BARE_TOKEN"]),
        "usual": lambda: usual(client, key, os.environ["HANNUN_JWT_SECRET"]),
    }
    config = uvicorn.Config(
        apps[which](),
        loop="none",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    await uvicorn.Server(config).serve(sockets=[socket.socket(fileno=fd)])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], int(sys.argv[2])))
