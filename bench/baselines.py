"""The servers that `answers` compares `hannun serve` with: three minimal ones, and one as it is typically written.

hello             returns the bytes and does nothing else: the cost of uvicorn itself
minimal           looks up the token in a dict, sends GET over the service's connection pool, returns the bytes or 304
minimal-redis-py  the same with a GET of redis-py, as in its manual
typical-fastapi   FastAPI and redis-py as in their manuals: verify the token, GET, parse the JSON, return it

All use the settings of `hannun serve`: proxy headers are not read, and the garbage collector skips long-lived objects.

python -m bench.baselines NAME FD   with BASELINE_TOKEN, BASELINE_KEY, BASELINE_BODY, HANNUN_JWT_SECRET, REDIS_...
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
from hannun.cache.read_pool import ReadConnectionPool

Get = Callable[[str], Awaitable[Any]]


def hello(body: bytes) -> Any:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def minimal(get: Get, key: str, token: str) -> Any:
    subjects = {f"Bearer {token}".encode(): "bench"}
    prefix, suffix = "/api/v1/events/", "/analytics"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        assert path.startswith(prefix) and path.endswith(suffix)
        authorization = if_none_match = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"if-none-match":
                if_none_match = value
        assert authorization in subjects
        value = await get(key)
        etag, end = _read_meta(value)
        if if_none_match == etag:
            await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", etag)]})
            await send({"type": "http.response.body", "body": b""})
            return
        body = b"{" + value[end:]
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"etag", etag)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _read_meta(value: bytes) -> tuple[bytes, int]:
    """The ETag of a cache entry, and the offset of its body (the format of `hannun.cache.entry`)."""
    size = int(value[9:15])  # of the metadata, which begins at byte 26
    return _META.decode(value[26 : 26 + size]).etag.encode(), 26 + size + 1


_META = msgspec.json.Decoder(EntryMeta)


def typical_fastapi(client: redis.asyncio.Redis, key: str, secret: str) -> FastAPI:
    app = FastAPI()

    def user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
        try:
            return str(jwt.decode(credentials.credentials, secret, algorithms=["HS256"])["sub"])
        except jwt.InvalidTokenError as error:
            raise HTTPException(401) from error

    @app.get("/api/v1/events/{event_id}/analytics")
    async def dashboard(event_id: str, request: Request, subject: Annotated[str, Depends(user)]) -> dict[str, Any]:
        value = await client.get(key)
        if value is None:
            raise HTTPException(404)
        return dict(json.loads(value))

    return app


async def serve(name: str, fd: int) -> None:
    server = {
        "host": os.environ["REDIS_HOST"],
        "port": int(os.environ["REDIS_PORT"]),
        "password": os.environ["REDIS_PASSWORD"] or None,
        "protocol": 3,
    }
    client = redis.asyncio.Redis(**server)
    pool = ReadConnectionPool(
        lambda: redis.asyncio.Connection(**server, socket_timeout=None), count_max=10, timeout_s=5
    )
    key = os.environ["BASELINE_KEY"]
    apps = {
        "hello": lambda: hello(Path(os.environ["BASELINE_BODY"]).read_bytes()),
        "minimal": lambda: minimal(pool.get, key, os.environ["BASELINE_TOKEN"]),
        "minimal-redis-py": lambda: minimal(client.get, key, os.environ["BASELINE_TOKEN"]),
        "typical-fastapi": lambda: typical_fastapi(client, key, os.environ["HANNUN_JWT_SECRET"]),
    }
    config = uvicorn.Config(
        apps[name](),
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
