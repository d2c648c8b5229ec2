"""The FastAPI application: routes, error handlers, security headers. Its services are open before it is built."""

import re
from functools import cache, partial
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
from hannun.web import api, messages, operations, pages, sessions, shares, watch
from hannun.web.openapi import document_of
from hannun.web.problems import bad_parameter, problem_of, problem_of_status
from hannun.web.request_limits import take_from_pages
from hannun.web.security import SECURITY_HEADERS
from hannun.web.services import Services

API = "/api/v1/"
STATIC = Path(str(resources.files("hannun.web").joinpath("static")))


def application(services: Services) -> FastAPI:
    """The HTTP interface without the fast path."""
    app = FastAPI(
        title="Hannun",
        version="1",
        description="How a promotional event is doing, on every channel, in numbers that can be proven.",
        openapi_url="/openapi.json",
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the address of a redirect would be taken from the Host header
    )
    app.state.services = services
    app.include_router(api.router)
    app.include_router(messages.router)
    app.include_router(watch.router)
    app.include_router(shares.router)
    app.include_router(sessions.router)
    app.include_router(pages.router)
    app.include_router(operations.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _handle_errors(app)
    if services.cors_origins:
        # Without credentials: a front end of another origin sends a token, and no user's cookie can be used from there.
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
    app.add_middleware(_PageLimit)
    app.add_middleware(_ResponseHeaders)
    app.openapi = partial(_document, app)  # type: ignore[method-assign]  # FastAPI documents this way to replace it
    return app


def _allowed_methods(app: FastAPI, path: str) -> str:
    """The methods of a path in the OpenAPI document. Starlette's Allow header has those of the first route only."""
    return next((methods for pattern, methods in _documented_methods(app) if pattern.match(path)), "")


@cache
def _documented_methods(app: FastAPI) -> list[tuple[re.Pattern[str], str]]:
    return [
        (compile_path(path)[0], ", ".join(sorted(method.upper() for method in methods)))
        for path, methods in app.openapi()["paths"].items()
    ]


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = document_of(app)
    return app.openapi_schema


def _handle_errors(app: FastAPI) -> None:
    async def on_hannun_error(request: Request, error: Exception) -> Response:
        response = problem_of(error, request)
        if response.status_code == 500:
            log.error("request failed", route=_route_of(request), error=str(error))
        return response

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if not _has_page_limit(request.scope):  # no route of the API was reached, and so no other limit
            try:
                take_from_pages(request, app.state.services)
            except errors.Busy as busy:
                return problem_of(busy, request)
        headers = dict(error.headers or {})
        if error.status_code == 405 and "Allow" in headers:
            headers["Allow"] = _allowed_methods(app, request.url.path) or headers["Allow"]
        return problem_of_status(error.status_code, request, headers)

    async def on_validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_of(bad_parameter(error.errors()[0]), request)

    app.add_exception_handler(errors.HannunError, on_hannun_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation_error)


def _has_page_limit(scope: Scope) -> bool:
    """Whether a request takes from the limit of pages before it is routed: every request but those to the API."""
    return scope["method"] == "OPTIONS" or not scope["path"].startswith(API)


class _PageLimit:
    """Middleware that limits requests outside the API by address. Routes of the API take from limits of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _has_page_limit(scope):
            request = Request(scope)
            try:
                take_from_pages(request, request.app.state.services)
            except errors.Busy as error:
                await problem_of(error, request)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _ResponseHeaders:
    """Middleware that adds the security headers to every response, and counts requests.

    The response to an unexpected error has the headers too. Plain ASGI, so that event streams and the client's
    disconnect pass through unchanged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            log.error("request failed", path=request.url.path, error=type(error).__name__, exc_info=error)
            if status:  # the response has begun: the server closes the connection
                raise
            await problem_of(error, request)(scope, receive, send_with_headers)
        finally:
            metrics.requests.labels(_route_of(request), str(status)).inc()


def _route_of(request: Request) -> str:
    """The route's pattern, not the path: a label must not contain ids."""
    route = request.scope.get("route")
    return str(getattr(route, "path", "other"))
