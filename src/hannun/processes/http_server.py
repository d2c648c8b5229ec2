"""The process `serve`: the HTTP server, until a signal stops it."""

import asyncio
import socket
from contextlib import suppress

import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hannun.processes.background import freeze_garbage_collector
from hannun.processes.serve import open_serving
from hannun.settings import Settings
from hannun.telemetry import log, metrics
from hannun.web.app import application
from hannun.web.fast_path import FastPath
from hannun.web.services import Services

DRAIN_S_MAX = 3
"""How long requests in progress may take after SIGTERM. Event streams of pages end at once."""


def run(settings: Settings, fd: int | None) -> None:
    """Serve on the settings' address, or on the open socket with file descriptor `fd`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, fd))


def served(services: Services, trusted_proxies: str) -> ASGIApp:
    """The whole HTTP interface: the fast path, and behind it the application."""
    return behind_fast_path(application(services), services, trusted_proxies)


def behind_fast_path(app: ASGIApp, services: Services, trusted_proxies: str) -> ASGIApp:
    """An application behind the fast path and, where proxies are trusted, the address that they report.

    Only the application depends on the client's address, so the fast path comes before the proxy's headers are read.
    """
    if trusted_proxies:
        app = ProxyHeadersMiddleware(app, trusted_proxies)  # type: ignore[arg-type,assignment]
    return FastPath(app, services)


async def _run(settings: Settings, fd: int | None) -> None:
    async with open_serving(settings) as services:
        freeze_garbage_collector()
        config = uvicorn.Config(
            served(services, settings.trusted_proxies),
            host=settings.host,
            port=settings.port,
            loop="none",
            http="httptools",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_S_MAX,
        )
        listener = None if fd is None else socket.socket(fileno=fd)
        server = uvicorn.Server(config)
        live = asyncio.create_task(services.live_updates.run())
        live.add_done_callback(
            lambda _: setattr(server, "should_exit", True)
        )  # without it, no page would learn of changes
        metrics.watchers.set_function(lambda: services.live_updates.watcher_count)
        log.info(
            "serve runs", host=settings.host, port=settings.port if listener is None else listener.getsockname()[1]
        )
        try:
            await server.serve(sockets=None if listener is None else [listener])
        finally:
            live.cancel()
            with suppress(asyncio.CancelledError):
                await live
    log.info("serve ended well")
