"""The routes for operators: health probes and metrics."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse

from hannun.telemetry import REGISTRY
from hannun.web.error_pages import response_to_unknown_path
from hannun.web.request_limits import Served

router = APIRouter(include_in_schema=False)

_ADDED_BY_PROXIES = {"forwarded", "x-forwarded-for", "x-forwarded-host"}
"""Headers of which a proxy adds one to each request. A client can add them as well, and gains nothing by it."""


def live_response() -> Response:
    """Liveness: the process runs, and answers. Nothing else is asked: a restart mends no other system."""
    return JSONResponse({"status": "live"})


@router.get("/health/live")
async def live() -> Response:
    return live_response()


@router.get("/health/ready")
async def ready(services: Served) -> Response:
    """Readiness: ready, degraded with reasons, or unavailable (503)."""
    report = await services.health_report()
    return JSONResponse(report, 503 if report["status"] == "unavailable" else 200)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The metrics, for a Prometheus that connects directly. Who comes through a proxy finds no such path."""
    if not _ADDED_BY_PROXIES.isdisjoint(request.headers.keys()):
        return response_to_unknown_path(request)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
