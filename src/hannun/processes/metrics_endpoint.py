"""`/metrics` and `/health/live` of a process without the HTTP API, with the bounds that the API has."""

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
from hannun.web.operations import live_response
from hannun.web.problems import problem_of, problem_of_status

LIMITS: Final = ConnectionLimits(count_max=64, address_count_max=0, head_bytes_max=8_192, body_s=10.0)
"""A Prometheus and a kubelet need few connections, so they are limited in all, and not for each address."""
STOP_S_MAX: Final = 3.0


@asynccontextmanager
async def metrics_endpoint(
    port: int | None, requests_a_minute: int, limits: ConnectionLimits = LIMITS, *, host: str = "127.0.0.1"
) -> AsyncIterator[int | None]:
    """Serve `/metrics` and `/health/live` until the block ends; nothing where the port is None. Yields the port.

    Args:
        port: 0 takes any free port.
        requests_a_minute: of all clients together, for each of both paths; 0 is no limit.
        host: the address to listen on; 0.0.0.0 is every address of IPv4, :: of IPv6.

    Raises:
        OperatorError: the address cannot be listened on.
    """
    if port is None:
        yield None
        return
    with _listening_socket(host, port) as listener:
        server = _Server(server_config(_Metrics(requests_a_minute), ConnectionTable(limits)))
        ended = Event()

        async def serve() -> None:
            await server.serve(sockets=[listener])
            ended.set()

        async with run_in_task("serve /metrics", serve()):
            taken: int = listener.getsockname()[1]
            log.info("metrics are served", host=host, port=taken)
            try:
                yield taken
            finally:
                server.should_exit = True
                with move_on_after(STOP_S_MAX, shield=True):
                    await ended.wait()


def _listening_socket(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is given. Without it, a response may wait 40 ms for an ACK.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(LIMITS.count_max)
        return listener
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"cannot serve /metrics on {host}:{port}: {error.strerror}",
            hint="HANNUN_METRICS_HOST must be an address of this machine, and each process needs a port of its own: "
            "HANNUN_METRICS_PORT of ingest, HANNUN_SCHEDULE_METRICS_PORT of schedule; 0 takes any free port",
        ) from error


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process has its own."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # no generator
        return contextlib.nullcontext()


class _Metrics:
    """The application: `/metrics`, `/health/live`, and nothing else."""

    def __init__(self, requests_a_minute: int) -> None:
        # Each path has a limit of its own: whoever scrapes too often must not have the process restarted.
        self._responses = {
            "/metrics": (RateLimit(requests_a_minute), _metrics),
            "/health/live": (RateLimit(requests_a_minute), live_response),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(Request(scope))(scope, receive, send)

    def _response(self, request: Request) -> Response:
        found = self._responses.get(request.url.path)
        if found is None:
            return problem_of_status(404, request)
        if request.method not in ("GET", "HEAD"):
            return problem_of_status(405, request, {"Allow": "GET, HEAD"})
        limit, response = found
        try:
            limit.take("")
        except Busy as error:
            return problem_of(error, request)
        return response()


def _metrics() -> Response:
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
