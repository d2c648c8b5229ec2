"""`/metrics` of a process without the HTTP API, on 127.0.0.1, with the bounds that the API has."""

import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from anyio import Event, move_on_after
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hannun.errors import Busy, OperatorError
from hannun.processes.background import run_in_task
from hannun.telemetry import REGISTRY, log
from hannun.web.bounded_protocol import server_config
from hannun.web.connections import ConnectionLimits, ConnectionTable
from hannun.web.limits import RateLimit
from hannun.web.problems import problem_of, problem_of_status

LIMITS: Final = ConnectionLimits(count_max=64, address_count_max=0, head_bytes_max=8_192, body_s=10.0)
"""All connections come from this machine, so they are limited in all."""
STOP_S_MAX: Final = 3.0


@asynccontextmanager
async def metrics_endpoint(
    port: int | None, requests_a_minute: int, limits: ConnectionLimits = LIMITS
) -> AsyncIterator[int | None]:
    """Serve `/metrics` until the block ends; nothing where the port is None. Yields the port.

    Args:
        port: 0 takes any free port.
        requests_a_minute: of all clients together; 0 is no limit.

    Raises:
        OperatorError: the port is taken.
    """
    if port is None:
        yield None
        return
    with _listening_socket(port) as listener:
        server = _Server(server_config(_Metrics(requests_a_minute), ConnectionTable(limits)))
        ended = Event()

        async def serve() -> None:
            await server.serve(sockets=[listener])
            ended.set()

        async with run_in_task("serve /metrics", serve()):
            taken: int = listener.getsockname()[1]
            log.info("metrics are served", port=taken)
            try:
                yield taken
            finally:
                server.should_exit = True
                with move_on_after(STOP_S_MAX, shield=True):
                    await ended.wait()


def _listening_socket(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is given. Without it, a response may wait 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(LIMITS.count_max)
        return listener
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"cannot serve /metrics on 127.0.0.1:{port}: {error.strerror}",
            hint="each process needs a port of its own: HANNUN_METRICS_PORT of ingest, HANNUN_SCHEDULE_METRICS_PORT of "
            "schedule; 0 takes any free port",
        ) from error


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process has its own."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # no generator
        return contextlib.nullcontext()


class _Metrics:
    """The application: `/metrics`, and nothing else."""

    def __init__(self, requests_a_minute: int) -> None:
        self._limit = RateLimit(requests_a_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(Request(scope))(scope, receive, send)

    def _response(self, request: Request) -> Response:
        if request.url.path != "/metrics":
            return problem_of_status(404, request)
        if request.method not in ("GET", "HEAD"):
            return problem_of_status(405, request, {"Allow": "GET, HEAD"})
        try:
            self._limit.take("")
        except Busy as error:
            return problem_of(error, request)
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
