"""The service behind a real socket, in this process, on the database and the Valkey of a test's world."""

import asyncio
import atexit
import concurrent.futures
import json
import math
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import psycopg
import redis
import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from world import OWNER, World

from hannun.domain.audit_chain import operator
from hannun.domain.batch import ReceivedMessage
from hannun.flows.sessions import create_code
from hannun.processes.http_server import behind_fast_path, connection_limits
from hannun.processes.serve import open_serving
from hannun.settings import Settings
from hannun.tokens import sign_token
from hannun.web.app import application
from hannun.web.bounded_protocol import server_config
from hannun.web.connections import ConnectionLimits, ConnectionTable
from hannun.web.services import Services

SECRET = secrets.token_urlsafe(48)
OTHER_MERCHANT = "0d1e8a52-0000-4000-8000-00000000000b"
T = TypeVar("T")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # shared: creating one takes longer than a request


class HttpServer:
    """A uvicorn server, its event loop in a thread of its own. Sites use it one after the other.

    A new server for each test would cost 0.4 s: uvicorn waits in steps of 0.1 s, and FastAPI prepares its routes with
    the first request.
    """

    def __init__(self, *, behind_tls: bool = False) -> None:
        # asyncio sets TCP_NODELAY only where the protocol is given. Without it, each response waits 40 ms for an ACK.
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(100)
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.loop = uvloop.new_event_loop()
        self.reusable = not behind_tls
        self._applications: dict[tuple[str, ...], FastAPI] = {}
        self._app: ASGIApp | None = None
        self._application: ASGIApp | None = None
        self._table = ConnectionTable(ConnectionLimits())
        self._server = uvicorn.Server(server_config(self._handle, self._table, behind_tls=behind_tls))
        self.state = self._server.server_state
        serving = self._server.serve(sockets=[self.listener])
        self._thread = threading.Thread(target=self.loop.run_until_complete, args=[serving], daemon=True)
        self._thread.start()

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None, "a request arrived when no site was open"
        await self._app(scope, receive, send)

    def open_site(self, services: Services, settings: Settings) -> None:
        """Answer requests with these services from here on."""
        origins = tuple(services.cors_origins)
        app = self._applications.get(origins)
        if app is None:
            app = self._applications[origins] = application(services)
        app.state.services = services
        self._application = app
        self._app = behind_fast_path(app, services, settings.trusted_proxies)
        self._table.set_limits(connection_limits(settings))

    @contextmanager
    def without_fast_path(self) -> Iterator[None]:
        """Let the application answer each request of the block."""
        app, self._app = self._app, self._application
        try:
            yield
        finally:
            self._app = app

    async def close_site(self) -> None:
        """End all connections, as uvicorn does when it shuts down: requests in progress have one second."""
        for connection in list(self.state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while self.state.connections or self.state.tasks:  # noqa: ASYNC110  # uvicorn has no event for it
                    await asyncio.sleep(0.002)
        for task in list(self.state.tasks):
            task.cancel()
        self.reusable &= not (self.state.connections or self.state.tasks)
        self._app = None

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(setattr, self._server, "should_exit", True)
        self._thread.join()
        _NEVER_CLOSED.append(self.loop)  # uvloop waits in close(), without end, for handles that are still open


_NEVER_CLOSED: list[asyncio.AbstractEventLoop] = []
_IDLE: list[HttpServer] = []


@atexit.register
def _stop_idle_servers() -> None:
    while _IDLE:
        _IDLE.pop().stop()


class Site:
    """The service and HTTP clients for it. `services` is for what HTTP does not show."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        self._settings = Settings(
            **{
                "DATABASE_URL": world.url,
                "REDIS_HOST": world.redis.host,
                "REDIS_PORT": world.redis.port,
                "REDIS_PASSWORD": world.redis.password,
                "jwt_secret": SECRET,
                "pool_size_kept": 1,
                "pool_wait_s": 5.0,
                # Longer than this process stands still now and then: a read that waits longer is answered uncached.
                "redis_read_wait_s": 2.5,
                "requests_a_minute": 100_000,
                **settings,
            }
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        behind_tls = self._settings.secure_cookies
        self._http = _IDLE.pop() if _IDLE and not behind_tls else HttpServer(behind_tls=behind_tls)
        self.address = self._http.address
        ready: concurrent.futures.Future[Services] = concurrent.futures.Future()
        self._close = asyncio.Event()
        self._serving = asyncio.run_coroutine_threadsafe(self._serve(ready), self._http.loop)
        try:
            self.services = ready.result(60)
        except BaseException:
            self._leave_server()
            raise
        self._redis = redis.Redis(
            host=self.world.redis.host, port=self.world.redis.port, password=self.world.redis.password
        )
        self._stack.callback(self._redis.close)
        self.world.wait_for("the service to listen to announcements", self.is_subscribed)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()
        self._http.loop.call_soon_threadsafe(self._close.set)
        try:
            self._serving.result(60)
        finally:
            self._leave_server()

    def _leave_server(self) -> None:
        if self._http.reusable:
            _IDLE.append(self._http)
        else:
            self._http.stop()

    def shrink_send_buffer(self) -> None:
        """Limit how much the kernel buffers for a client that reads nothing; by default that is megabytes."""
        self._http.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        self._http.reusable = False

    async def _serve(self, ready: concurrent.futures.Future[Services]) -> None:
        async with AsyncExitStack() as stack:
            try:
                services = await stack.enter_async_context(open_serving(self._settings))
                self._http.open_site(services, self._settings)
            except BaseException as error:
                ready.set_exception(error)
                return
            live = asyncio.create_task(services.live_updates.run())
            ready.set_result(services)
            await self._close.wait()
            await self._http.close_site()
            live.cancel()
            with suppress(asyncio.CancelledError):
                await live

    def is_subscribed(self) -> bool:
        """Whether the service has subscribed to announcements."""
        return bool(self._redis.pubsub_numsub("hannun:changed")[0][1])

    def has_paused_writes(self) -> bool:
        """Whether the server has paused writing to a client that does not read."""
        return any(connection.write_deadline != math.inf for connection in list(self._http.state.connections))

    def request_count(self) -> int:
        """How many requests this site's server has received, also for earlier sites."""
        return self._http.state.total_requests

    # -- clients

    @cached_property
    def owner(self) -> httpx2.Client:
        return self.signed_in(OWNER)

    @cached_property
    def other_merchant(self) -> httpx2.Client:
        return self.signed_in(OTHER_MERCHANT)

    @cached_property
    def admin(self) -> httpx2.Client:
        return self.signed_in("the-operator", "ADMIN")

    @cached_property
    def service(self) -> httpx2.Client:
        return self.signed_in("the-platform", "SERVICE")

    @cached_property
    def anonymous(self) -> httpx2.Client:
        return self.client({})

    def token(self, user: str, *roles: str, lasts_s: float = 3600) -> str:
        return token_for(user, *roles, lasts_s=lasts_s)

    def with_token(self, token: str) -> httpx2.Client:
        """A client that sends this token."""
        return self.client({"Authorization": f"Bearer {token}"})

    def client(self, headers: dict[str, str]) -> httpx2.Client:
        client = httpx2.Client(base_url=self.address, headers=headers, timeout=60, verify=NO_TLS, trust_env=False)
        return self._stack.enter_context(client)

    def signed_in(self, user: str, *roles: str) -> httpx2.Client:
        """A client with a token of this user."""
        return self.with_token(self.token(user, *roles))

    def sign_in_code(self, user: str) -> str:
        """A new one-time code that signs this merchant in."""
        with psycopg.connect(self.world.url) as conn:
            return create_code(conn, user, ["MERCHANT"], operator("test"))

    # -- verbs

    def send(self, *messages: ReceivedMessage) -> Any:
        """POST messages as a JSON array, and wait until the cache follows. Returns the response's JSON."""
        answer = self.service.post("/api/v1/messages", json=[as_json(message) for message in messages])
        assert answer.status_code == 200, answer.text
        self.wait_until_invalidated()
        return answer.json()

    def wait_until_invalidated(self) -> None:
        """Wait until the invalidations of all counted batches are delivered.

        The relay delivers those of one event at most once in 50 ms. A later delivery would delete what a test has just
        cached.
        """
        pending = "SELECT FROM hannun.owed_invalidations LIMIT 1"
        self.world.wait_for("the invalidations to be delivered", lambda: not self.world.rows(pending))

    def set_now(self, moment: str) -> None:
        """Set the clock that answers depend on."""
        self.services.reports._now = lambda: datetime.fromisoformat(moment)

    def without_fast_path(self) -> AbstractContextManager[None]:
        """A block in which the framework answers each request."""
        return self._http.without_fast_path()

    def run_in_loop(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function in the service's event loop."""
        return asyncio.run_coroutine_threadsafe(work(), self._http.loop).result(60)

    # -- values

    @property
    def watcher_count(self) -> int:
        """How many event streams are open."""

        async def count() -> int:
            return self.services.live_updates.watcher_count

        return self.run_in_loop(count)

    @property
    def redis(self) -> redis.Redis:
        """A plain Redis client, as other teams use."""
        return self._redis


def token_for(user: str, *roles: str, lasts_s: float = 3600) -> str:
    """A token with the role MERCHANT, or with these roles."""
    return sign_token(SECRET, user, list(roles) or ["MERCHANT"], lasts_s)


def in_days(days: float) -> str:
    """The instant so many days from now, in ISO 8601: when a share link ends, which must be in the future."""
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def as_json(message: ReceivedMessage) -> dict[str, Any]:
    """The message as HTTP ingestion takes it."""
    return {"type": message.kind, **json.loads(message.raw)}


@contextmanager
def open_site(world: World, **settings: Any) -> Iterator[Site]:
    """A site on this world, with an empty cache."""
    address = world.redis
    with redis.Redis(host=address.host, port=address.port, password=address.password) as client:
        client.flushall()
    with Site(world, **settings) as site:
        yield site
