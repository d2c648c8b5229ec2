"""The door for messages over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from hannun.errors import BadQuestion
from hannun.flows.report import Asker
from hannun.web.api import Served, sender_of

router = APIRouter(prefix="/api/v1")
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
    answer = await run_in_threadpool(services.intake.take, body, lines=lines)
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
