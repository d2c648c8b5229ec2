"""Says an answer in one go, where all that uvicorn has to do with it is to write it.

uvicorn takes an answer in parts, and checks and joins it header by header: a fifth of what a hot answer costs. A head
that is known to be in order needs none of that. Whatever is not this simple, and every other server, gets the answer
in the ordinary way: `said` says no, and has done nothing.
"""

import logging
from collections.abc import Sequence

from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Headers = Sequence[tuple[bytes, bytes]]


class DirectWriteTransport:
    """For one server: it remembers the headers that the server adds, which change once a second."""

    def __init__(self) -> None:
        self._theirs: Headers | None = None
        self._lines = b""

    def said(self, send: Send, status: int, head: bytes, body: bytes) -> bool:
        """Whether it was said. `head` are lines of headers, each with its end, that leave the connection open and name
        the length of the body, if the status has one."""
        cycle = getattr(send, "__self__", None)
        if type(cycle) is not RequestResponseCycle or not _only_writes(cycle):
            return False
        if cycle.default_headers is not self._theirs:
            self._theirs = cycle.default_headers
            self._lines = lines_of(cycle.default_headers)
        cycle.response_started = cycle.response_complete = True
        cycle.transport.writelines((STATUS_LINE[status], self._lines, head, b"\r\n", body))
        cycle.message_event.set()
        cycle.on_response()
        return True


def lines_of(headers: Headers) -> bytes:
    """Headers as they are written."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def _only_writes(cycle: RequestResponseCycle) -> bool:
    """The connection stays open, its client reads, waits for no word before its body, and nobody logs who asks."""
    return (
        cycle.keep_alive
        and not cycle.disconnected
        and not cycle.flow.write_paused
        and not cycle.response_started
        and not cycle.waiting_for_100_continue
        and not (cycle.access_log and cycle.access_logger.isEnabledFor(logging.INFO))
    )
