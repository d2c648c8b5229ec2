"""The process `serve`: the HTTP server, until a signal stops it."""

import asyncio
import math
import resource
import socket
import sys
from contextlib import suppress

import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hannun.processes.background import cancel_and_wait, freeze_garbage_collector, run_in_task
from hannun.processes.serve import open_serving
from hannun.processes.signals import stop_on_signal
from hannun.processes.tracing import tracing_to_collector
from hannun.settings import Settings
from hannun.telemetry import log, metrics
from hannun.web.app import application
from hannun.web.bounded_protocol import server_config
from hannun.web.connections import REFUSED_MAX, ConnectionLimits, ConnectionTable
from hannun.web.fast_path import FastPath
from hannun.web.open_streams import OpenStreams
from hannun.web.services import Services
from hannun.web.static_files import static_files

OTHER_FILES_MAX = REFUSED_MAX + 256
"""Open files that are no connections of callers: those that are being refused, PostgreSQL, Redis, files of exports."""


def run(settings: Settings, fd: int | None) -> None:
    """Serve on the settings' address, or on the open socket with file descriptor `fd`."""
    with (
        tracing_to_collector(settings, "hannun-serve"),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
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


def drain_s_max(request_s: float) -> int:
    """How many seconds requests in progress may take after SIGTERM: as long as a request may, and one more."""
    return math.ceil(request_s) + 1


def connection_limits(settings: Settings) -> ConnectionLimits:
    """The limits that the settings and the operating system set."""
    return ConnectionLimits(
        count_max=min(settings.connections_max, _connections_allowed()),
        address_count_max=settings.address_connections_max,
        trusted_proxies=settings.trusted_proxies,
        head_bytes_max=settings.request_head_bytes_max,
        head_s=settings.request_head_s,
        body_s=settings.request_body_s,
        idle_s=settings.keep_alive_s,
        unread_s=settings.unread_answer_s,
    )


def _connections_allowed() -> int:
    """How many connections the limit of open files allows, after it is raised as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(soft - OTHER_FILES_MAX, 1)


class _Server(uvicorn.Server):
    """uvicorn's server, which ends the event streams before it waits for the requests in progress."""

    def __init__(self, config: uvicorn.Config, open_streams: OpenStreams) -> None:
        super().__init__(config)
        self._open_streams = open_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._open_streams.end()
        await super().shutdown(sockets)


async def _run(settings: Settings, fd: int | None) -> None:
    async with open_serving(settings) as services:
        freeze_garbage_collector()
        limits = connection_limits(settings)
        if limits.count_max < settings.connections_max:
            log.warning(
                "fewer connections than HANNUN_CONNECTIONS_MAX: the limit of open files", count=limits.count_max
            )
        app = served(services, settings.trusted_proxies)
        drain_s = drain_s_max(settings.request_s)
        config = server_config(
            app,
            ConnectionTable(limits),
            host=settings.host,
            port=settings.port,
            drain_s=drain_s,
            behind_tls=settings.secure_cookies,
        )
        listener = None if fd is None else socket.socket(fileno=fd)
        server = _Server(config, services.open_streams)
        live = asyncio.create_task(services.live_updates.run())
        live.add_done_callback(
            lambda _: setattr(server, "should_exit", True)
        )  # without it, no page would learn of changes
        metrics.watchers.set_function(lambda: services.live_updates.watcher_count)
        try:
            # uvicorn raises the signal again when it has ended: without this handler the process would die of it there.
            with stop_on_signal(lambda: setattr(server, "should_exit", True)):
                port = settings.port if listener is None else listener.getsockname()[1]
                log.info("serve runs", host=settings.host, port=port)
                async with run_in_task("link the page's modules", asyncio.to_thread(static_files().linked)):
                    await server.serve(sockets=None if listener is None else [listener])
        finally:
            await cancel_and_wait(live)
            if live.done() and not live.cancelled():
                live.result()  # where it has failed, so does the process
    log.info("serve ended well")
