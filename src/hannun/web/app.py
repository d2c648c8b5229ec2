"""The application: routes, errors, security headers. Built with its services already open."""

from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from hannun import errors
from hannun.telemetry import log, metrics
from hannun.web import api, messages, pages, watch
from hannun.web.problems import problem_of, problem_of_status
from hannun.web.services import Services

STATIC = Path(str(resources.files("hannun.web").joinpath("static")))
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def application(services: Services) -> FastAPI:
    """The HTTP door."""
    app = FastAPI(
        title="Hannun",
        version="1",
        description="How a promotional event is doing, on every channel, in numbers that can be proven.",
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
    )
    app.state.services = services
    app.include_router(api.router)
    app.include_router(messages.router)
    app.include_router(watch.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _handle_errors(app)
    app.middleware("http")(_secured)
    return app


def _handle_errors(app: FastAPI) -> None:
    async def ours(request: Request, error: Exception) -> Response:
        return problem_of(error, request)

    async def theirs(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem_of_status(error.status_code, request)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first: Any = error.errors()[0]
        field = str(first["loc"][-1])
        return problem_of(errors.BadQuestion(f"{field}: {first['msg']}", code="bad-parameter", field=field), request)

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("request failed", path=request.url.path, error=type(error).__name__, exc_info=error)
        return problem_of(error, request)

    app.add_exception_handler(errors.HannunError, ours)
    app.add_exception_handler(HTTPException, theirs)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unforeseen)


async def _secured(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call(request)
    if not request.url.path.startswith("/docs"):  # FastAPI's page loads its scripts from elsewhere
        for name, value in _SECURITY.items():
            response.headers.setdefault(name, value)
    metrics.requests.labels(_route_of(request), str(response.status_code)).inc()
    return response


def _route_of(request: Request) -> str:
    """The route's pattern, never the path: ids belong in no label."""
    route = request.scope.get("route")
    return str(getattr(route, "path", "other"))
