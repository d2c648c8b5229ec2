"""Writes a response to uvicorn's transport in one call.

uvicorn takes a response in parts, and checks and joins it header by header: a fifth of the cost of a fast-path answer.
Headers that are known to be valid need none of that. In every other state of the connection, and on every other server,
`try_write` does nothing and returns False; the caller then sends the response as usual.
"""

import logging
from collections.abc import Sequence

from starlette.types import Send

from hannun.web.uvicorn_internals import STATUS_LINE, RequestResponseCycle

Headers = Sequence[tuple[bytes, bytes]]


class DirectWriteTransport:
    """For one server: it caches the headers that the server adds to each response, which change once a second."""

    def __init__(self) -> None:
        self._default_headers: Headers | None = None
        self._default_bytes = b""

    def try_write(self, send: Send, status: int, head: bytes, body: bytes) -> bool:
        """Write a response; False where this connection cannot take one now. `head` are lines of headers, each with its
        line end. They keep the connection open, and give the length of the body, if the status has a body."""
        cycle = getattr(send, "__self__", None)
        if type(cycle) is not RequestResponseCycle or not _needs_only_writing(cycle):
            return False
        if cycle.default_headers is not self._default_headers:
            self._default_headers = cycle.default_headers
            self._default_bytes = header_bytes(cycle.default_headers)
        cycle.response_started = cycle.response_complete = True
        cycle.transport.writelines((STATUS_LINE[status], self._default_bytes, head, b"\r\n", body))
        cycle.message_event.set()
        cycle.on_response()
        return True


def header_bytes(headers: Headers) -> bytes:
    """Headers as bytes of HTTP/1.1, each with its line end."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def _needs_only_writing(cycle: RequestResponseCycle) -> bool:
    """Whether nothing is left to do but to write: the connection stays open, its client reads and waits for no
    `100 Continue`, and no access log is written."""
    return (
        cycle.keep_alive
        and not cycle.disconnected
        and not cycle.flow.write_paused
        and not cycle.response_started
        and not cycle.waiting_for_100_continue
        and not (cycle.access_log and cycle.access_logger.isEnabledFor(logging.INFO))
    )
