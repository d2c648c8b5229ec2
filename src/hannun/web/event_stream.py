"""The response that begins a stream of server-sent events: `changed` whenever the answer that a page shows changes."""

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hannun.web.bounded_protocol import CONNECTION
from hannun.web.limits import StreamPlace
from hannun.web.open_streams import StreamConnection


class EventStream(Response):
    """The event stream of one page. It is a Response so that FastAPI passes it on unchanged; it sends itself.

    It sends the head and the first frame, and ends. Then a `StreamConnection` takes the connection over, and the place
    of the caller stays taken until it is closed. The head says that the connection takes no further request.
    """

    def __init__(self, new_stream: Callable[[], StreamConnection], place: StreamPlace) -> None:
        super().__init__()
        self._new_stream = new_stream
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"text/event-stream; charset=utf-8"),
                    (b"cache-control", b"no-store"),
                    (b"x-accel-buffering", b"no"),
                    (b"connection", b"close"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        connection = scope[CONNECTION]()
        if connection is not None:
            self._place.outlives_request = connection.hand_over(self._new_stream())
