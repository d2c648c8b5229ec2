"""The routes for operators: health probes and metrics."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse

from hannun.telemetry import REGISTRY
from hannun.web.request_limits import Served

router = APIRouter(include_in_schema=False)


@router.get("/health/live")
async def live() -> Response:
    """Liveness: the process runs."""
    return JSONResponse({"status": "live"})


@router.get("/health/ready")
async def ready(services: Served) -> Response:
    """Readiness: ready, degraded with reasons, or unavailable (503)."""
    report = await services.health_report()
    return JSONResponse(report, 503 if report["status"] == "unavailable" else 200)


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
