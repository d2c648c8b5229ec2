"""The door for messages over HTTP."""

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response

from hannun.domain.access import Asker
from hannun.errors import BadQuestion, Busy
from hannun.web.api import sender_of
from hannun.web.callers import Served

router = APIRouter(prefix="/api/v1")
WAITING_MAX = 64
"""Bodies that wait for a thread; more are told to come back."""
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


@router.post("/messages")
async def send_messages(request: Request, services: Served, _: Annotated[Asker, Depends(sender_of)]) -> Response:
    """Count messages: a JSON object, a JSON array or NDJSON; each names its kind in `type`.

    Answered after the commit, message by message and in order. All of a body is taken or none of it, and sending it
    again is safe.
    """
    body = await body_of(request, services.body_bytes_max)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    lines = media_type in _LINES
    # In a thread, to its end: a client that hangs up must not leave half a batch behind it.
    if services.counting.statistics().tasks_waiting >= WAITING_MAX:
        raise Busy("too many bodies wait to be counted", retry_after_s=1.0)
    # On threads of its own: who waits for the database must not keep the page and the health check waiting.
    answer = await to_thread.run_sync(partial(services.intake.take, body, lines=lines), limiter=services.counting)
    return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})


async def body_of(request: Request, bytes_max: int) -> bytes:
    """The body, as long as it is within the limit.

    Raises:
        BadQuestion: it is longer (413); nothing more of it is read.
    """
    too_large = BadQuestion(f"a body of more than {bytes_max} bytes", code="body-too-large", status=413)
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > bytes_max:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise too_large
    return bytes(body)
