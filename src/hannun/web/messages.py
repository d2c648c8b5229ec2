"""The door for messages over HTTP."""

from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response

from hannun.domain import response_schemas
from hannun.domain.authorization import Principal
from hannun.errors import BadRequest, Busy
from hannun.web.api import sending_principal
from hannun.web.callers import Served
from hannun.web.contract import BEARER, CALLER, Body, answers_with

router = APIRouter(prefix="/api/v1")
WAITING_MAX = 64
"""Bodies that wait for a thread; more are told to come back."""
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


_ITEM: dict[str, Any] = {
    "type": "object",
    "description": "A message; `type` names its kind, and docs/messages.md what each kind has. One that cannot be used "
    "is a dead letter, and its reason stands in the answer.",
    "additionalProperties": True,
}
_TAKES = Body(
    {
        "application/json": {"anyOf": [_ITEM, {"type": "array", "items": {"anyOf": [_ITEM, {}]}}]},
        "application/x-ndjson": {"description": "One JSON object a line. A bad line is a dead letter of its own."},
    },
    "All of it is taken or none. Sending it again is safe.",
)


@router.post("/messages")
@answers_with(
    response_schemas.MessagesTaken,
    refuses=(*CALLER, "forbidden", "not-json", "body-too-large", "too-many-messages", "store-unavailable"),
    callers=(BEARER,),
    takes=_TAKES,
)
async def send_messages(
    request: Request, services: Served, _: Annotated[Principal, Depends(sending_principal)]
) -> Response:
    """Count messages: a JSON object, a JSON array or NDJSON; each names its kind in `type`.

    Answered after the commit, message by message and in order. All of a body is taken or none of it, and sending it
    again is safe.
    """
    body = await body_of(request, services.body_bytes_max)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    lines = media_type in _LINES
    # In a thread, to its end: a client that hangs up must not leave half a batch behind it.
    if services.counting.statistics().tasks_waiting >= WAITING_MAX:
        raise Busy("too many bodies wait to be counted: send it again later", retry_after_s=1.0)
    # On threads of its own: who waits for the database must not keep the page and the health check waiting.
    answer = await to_thread.run_sync(partial(services.intake.ingest, body, lines=lines), limiter=services.counting)
    return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})


async def body_of(request: Request, bytes_max: int) -> bytes:
    """The body, as long as it is within the limit.

    Raises:
        BadQuestion: it is longer (413); nothing more of it is read.
    """
    too_large = BadRequest(
        "the body has more than {bytes_max} bytes, the most that is taken: send it in parts",
        code="body-too-large",
        bytes_max=bytes_max,
    )
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > bytes_max:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise too_large
    return bytes(body)
