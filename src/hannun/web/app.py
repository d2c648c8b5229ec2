"""The FastAPI application: routes, error handlers, security headers. Its services are open before it is built."""

import re
from functools import cache, partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import compile_path

from hannun import errors
from hannun.imports import as_if_missing
from hannun.telemetry import log
from hannun.web.compression import Compression
from hannun.web.error_pages import response_to_error, response_to_status
from hannun.web.middleware import (
    HeadAsGet,
    PageRequestLimit,
    RequestDeadline,
    RequestTrace,
    ResponseHeaders,
    WholePath,
    is_live_stream,
    refuse_without_limit,
    route_of,
)
from hannun.web.openapi import document_of
from hannun.web.problems import bad_parameter
from hannun.web.services import Services
from hannun.web.static_files import static_files

with as_if_missing("pydantic.v1"):  # FastAPI imports it in 20 ms, to find in each route that nothing comes from it
    from hannun.web import (
        api,
        checkups,
        dead_letters,
        events,
        merchants,
        messages,
        operations,
        operations_overview,
        pages,
        sessions,
        shares,
        totals,
        watch,
    )


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
    app.include_router(events.router)
    app.include_router(merchants.router)
    app.include_router(messages.router)
    app.include_router(watch.router)
    app.include_router(shares.router)
    app.include_router(totals.router)
    app.include_router(sessions.router)
    app.include_router(pages.router)
    app.include_router(operations.router)
    app.include_router(checkups.router)
    app.include_router(operations_overview.router)
    app.include_router(dead_letters.router)
    app.mount("/static", static_files(), name="static")
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
                "X-Data-Stale",
                "Retry-After",
                "WWW-Authenticate",
            ],
            max_age=600,
        )
    app.add_middleware(RequestDeadline)
    app.add_middleware(WholePath)
    app.add_middleware(PageRequestLimit)
    app.add_middleware(Compression)
    app.add_middleware(ResponseHeaders)
    app.add_middleware(RequestTrace)
    app.add_middleware(HeadAsGet)
    app.openapi = partial(_document, app)  # type: ignore[method-assign]  # FastAPI documents this way to replace it
    return app


def _allowed_methods(app: FastAPI, path: str, default: str) -> str:
    """The methods of a path in the OpenAPI document. Starlette's Allow header has those of the first route only."""
    methods = next((methods for pattern, methods in _documented_methods(app) if pattern.match(path)), default)
    return f"{methods}, HEAD" if "GET" in methods and "HEAD" not in methods and not is_live_stream(path) else methods


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
        response = response_to_error(error, request)
        if response.status_code == 500:
            log.error("request failed", route=route_of(request), error=str(error))
        elif isinstance(error, errors.KeysMissing):
            log.error("request refused", route=route_of(request), why=error.args[0], hint=error.hint)
        return response

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        refused = refuse_without_limit(request)
        if refused is not None:
            return refused
        headers = dict(error.headers or {})
        if error.status_code == 405 and "Allow" in headers:
            headers["Allow"] = _allowed_methods(app, request.url.path, headers["Allow"])
        return response_to_status(error.status_code, request, headers)

    async def on_validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return response_to_error(bad_parameter(error.errors()[0]), request)

    app.add_exception_handler(errors.HannunError, on_hannun_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation_error)
