"""What the service uses of uvicorn without being documented. A failure here names what a new version has changed."""

import asyncio
import inspect
import logging

from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from hannun.web.uvicorn_internals import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

OVERRIDDEN = {
    "__init__": ["self", "config", "server_state", "app_state", "_loop"],
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "on_message_begin": ["self"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "on_response_complete": ["self"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
}
PROTOCOL_ATTRIBUTES = {
    "client", "connections", "cycle", "flow", "loop", "parser", "pipeline", "scope", "server_state",
    "transport", "_start_asgi_task",
}  # fmt: skip
CYCLE_ATTRIBUTES = {
    "access_log", "access_logger", "default_headers", "disconnected", "flow", "keep_alive", "message_event",
    "on_response", "response_complete", "response_started", "scope", "transport", "waiting_for_100_continue",
}  # fmt: skip


async def _app(scope: object, receive: object, send: object) -> None:
    pass


def new_protocol() -> HttpToolsProtocol:
    config = Config(_app, log_config=None)  # type: ignore[arg-type]  # never called
    config.load()
    return HttpToolsProtocol(config, ServerState(), {})


def test_the_methods_that_bounded_protocol_overrides_exist_with_these_parameters() -> None:
    found = {name: list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters) for name in OVERRIDDEN}
    assert found == OVERRIDDEN


async def missing_attributes() -> tuple[set[str], set[str]]:
    protocol = new_protocol()
    cycle = RequestResponseCycle(
        scope={"type": "http", "headers": []},
        transport=None,  # type: ignore[arg-type]  # nothing is written
        flow=None,  # type: ignore[arg-type]
        logger=logging.getLogger("uvicorn.error"),
        access_logger=logging.getLogger("uvicorn.access"),
        access_log=False,
        default_headers=[],
        message_event=None,  # type: ignore[arg-type]
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )
    return PROTOCOL_ATTRIBUTES - set(dir(protocol)), CYCLE_ATTRIBUTES - set(dir(cycle))


def test_the_attributes_of_a_connection_and_of_a_response_exist() -> None:
    assert asyncio.run(missing_attributes()) == (set(), set())


def test_the_state_of_writing_and_reading_is_an_attribute_of_the_flow() -> None:
    assert {"read_paused", "write_paused"} <= set(FlowControl(None).__dict__)  # type: ignore[arg-type]
    assert {"default_headers", "total_requests"} <= set(ServerState().__dict__)


def test_a_status_line_is_that_of_http() -> None:
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"


def test_the_proxies_of_uvicorn_can_be_searched_for_an_address() -> None:
    proxies = ProxyHeadersMiddleware(_app, "10.0.0.0/8, 192.0.2.1").trusted_hosts  # type: ignore[arg-type]
    assert [host in proxies for host in ("10.1.2.3", "192.0.2.1", "192.0.2.2")] == [True, True, False]
