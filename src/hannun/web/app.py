"""The application: routes, errors, security headers. Built with its services already open."""

from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import compile_path
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hannun import errors
from hannun.telemetry import log, metrics
from hannun.web import api, messages, pages, shares, watch
from hannun.web.openapi import document_of
from hannun.web.problems import invalid, problem_of, problem_of_status
from hannun.web.security import SECURITY
from hannun.web.services import Services

STATIC = Path(str(resources.files("hannun.web").joinpath("static")))


def application(services: Services) -> FastAPI:
    """The HTTP door."""
    app = FastAPI(
        title="Hannun",
        version="1",
        description="How a promotional event is doing, on every channel, in numbers that can be proven.",
        openapi_url="/openapi.json",
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.include_router(api.router)
    app.include_router(messages.router)
    app.include_router(watch.router)
    app.include_router(shares.router)
    app.include_router(pages.api)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _handle_errors(app)
    if services.cors_origins:
        # Without cookies: a front end of another origin brings a token, and nobody's cookie can be used from there.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=services.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-None-Match"],
            expose_headers=[
                "ETag",
                "Content-Disposition",
                "X-Row-Count",
                "X-Data-Source",
                "Retry-After",
                "WWW-Authenticate",
            ],
            max_age=600,
        )
    app.add_middleware(_Secured)
    app.openapi = partial(_document, app)  # type: ignore[method-assign]  # FastAPI's own way to say it
    return app


def _allowed(app: FastAPI, path: str) -> str:
    """What methods a path of the document takes. Of routes that share one, Starlette names the first one's alone."""
    for told, operations in app.openapi()["paths"].items():
        if compile_path(told)[0].match(path):
            return ", ".join(sorted(method.upper() for method in operations))
    return ""


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = document_of(app)
    return app.openapi_schema


def _handle_errors(app: FastAPI) -> None:
    async def ours(request: Request, error: Exception) -> Response:
        answer = problem_of(error, request)
        if answer.status_code == 500:
            log.error("request failed", route=_route_of(request), error=str(error))
        return answer

    async def theirs(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405 and "Allow" in headers:
            headers["Allow"] = _allowed(app, request.url.path) or headers["Allow"]
        return problem_of_status(error.status_code, request, headers)

    async def unread(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_of(invalid(error.errors()[0]), request)

    app.add_exception_handler(errors.HannunError, ours)
    app.add_exception_handler(HTTPException, theirs)
    app.add_exception_handler(RequestValidationError, unread)


class _Secured:
    """What every answer carries, also that of an error nobody foresaw; and the count of requests.

    Plain ASGI: a stream passes through it as it is, and the client's leaving too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        status = 0

        async def secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, secured)
        except Exception as error:
            log.error("request failed", path=request.url.path, error=type(error).__name__, exc_info=error)
            if status:  # too late for another answer: the server ends the connection
                raise
            await problem_of(error, request)(scope, receive, secured)
        finally:
            metrics.requests.labels(_route_of(request), str(status)).inc()


def _route_of(request: Request) -> str:
    """The route's pattern, never the path: ids belong in no label."""
    route = request.scope.get("route")
    return str(getattr(route, "path", "other"))
