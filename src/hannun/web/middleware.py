"""Middleware of the application: what holds for every request, whichever route takes it. Plain ASGI.

HEAD as GET ─► response headers, count ─► compression ─► limit of pages ─► whole path ─► deadline ─► (other origins)
─► routes
"""

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hannun import deadlines, tracing
from hannun.errors import Busy
from hannun.telemetry import log, metrics
from hannun.web.error_pages import response_to_error, response_to_unknown_path
from hannun.web.request_limits import take_from_pages
from hannun.web.security import SECURITY_HEADERS
from hannun.web.services import Services

API = "/api/v1/"
CLIENT_LEFT_STATUS = 499
"""In the metrics, the status of a request whose client has left before its body was complete."""


class _HttpMiddleware:
    """Middleware of requests. What else a server sends, as at its start, passes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._handle(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError


class HeadAsGet(_HttpMiddleware):
    """Answers HEAD as GET; the server sends no body then. Live streams have no HEAD, because they never end."""

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD" and not is_live_stream(scope["path"]):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def is_live_stream(path: str) -> bool:
    """Whether the path is that of a live stream."""
    return path.startswith(API) and path.endswith("/live")


class ResponseHeaders(_HttpMiddleware):
    """Adds the security headers to every response, and counts requests.

    The response to an unexpected error has the headers too.
    """

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
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
        except ClientDisconnect:
            status = CLIENT_LEFT_STATUS
        except Exception as error:
            log.error("request failed", route=route_of(request), error=type(error).__name__, exc_info=error)
            if status:  # the response has begun: the server closes the connection
                raise
            await response_to_error(error, request)(scope, receive, send_with_headers)
        finally:
            metrics.requests.labels(route_of(request), str(status)).inc()


class RequestTrace(_HttpMiddleware):
    """Traces requests: their queries are spans under theirs. What the fast path answers has none, and no trace:
    while traces are on it answers from the cache only."""

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not tracing.is_on():
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        with tracing.request(scope["method"], request.headers.get("traceparent")) as span:
            if span is None:
                await self._app(scope, receive, send)
                return

            async def send_with_status(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, send_with_status)
            span.update_name(f"{scope['method']} {route_of(request)}")
            span.set_attribute("http.route", route_of(request))


class RequestDeadline(_HttpMiddleware):
    """Gives each request a deadline, by which all its waits on other systems end."""

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        services: Services = scope["app"].state.services
        with deadlines.within(services.request_s):
            await self._app(scope, receive, send)


def route_of(request: Request) -> str:
    """The route's pattern, not the path: a label must not contain ids."""
    route = request.scope.get("route")
    return str(getattr(route, "path", "other"))


class PageRequestLimit(_HttpMiddleware):
    """Limits requests outside the API by address. Routes of the API take from limits of their own."""

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _has_page_limit(scope):
            refused = _refuse_above_page_limit(Request(scope))
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _has_page_limit(scope: Scope) -> bool:
    """Whether a request takes from the limit of pages before it is routed."""
    return scope["method"] == "OPTIONS" or not scope["path"].startswith(API)


def refuse_without_limit(request: Request) -> Response | None:
    """The refusal of a request to the API that no route takes, and so no limit, where its address sends too many."""
    return None if _has_page_limit(request.scope) else _refuse_above_page_limit(request)


def _refuse_above_page_limit(request: Request) -> Response | None:
    try:
        take_from_pages(request, request.app.state.services)
    except Busy as busy:
        return response_to_error(busy, request)
    return None


class WholePath(_HttpMiddleware):
    """Refuses a path that ends with a line break or a slash, which no path of this service does.

    Patterns of routes end with `$`, which matches before a line break, too. Files are found with a slash behind them.
    """

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith(("\n", "/")) and scope["path"] != "/":
            request = Request(scope)
            await (refuse_without_limit(request) or response_to_unknown_path(request))(scope, receive, send)
            return
        await self._app(scope, receive, send)
