"""HTTP ingestion: the route that takes messages."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from hannun import deadlines
from hannun.domain import response_schemas
from hannun.domain.authorization import Principal
from hannun.errors import Busy
from hannun.web.api import sending_principal
from hannun.web.bodies import read_body
from hannun.web.callers import guard_cookies
from hannun.web.contract import AUTHENTICATION_PROBLEMS, BEARER, BODY_PROBLEMS, RequestBody, answers_with
from hannun.web.request_limits import Served
from hannun.web.uncached import uncached_json

router = APIRouter(prefix="/api/v1", dependencies=[Depends(guard_cookies)])
WAITING_MAX = 64
"""The most requests that wait for an ingestion thread; further ones get 429."""
_NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


_MESSAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A message. `type` names its kind; docs/messages.md lists the fields of each kind. A message that "
    "cannot be used becomes a dead letter, and the response has the reason.",
    "additionalProperties": True,
}
_REQUEST_BODY = RequestBody(
    {
        "application/json": {
            "anyOf": [_MESSAGE_SCHEMA, {"type": "array", "items": {"anyOf": [_MESSAGE_SCHEMA, {}]}}],
        },
        "application/x-ndjson": {"description": "One JSON object per line. A malformed line becomes a dead letter."},
    },
    "The whole body is counted, or nothing of it. Sending it again is safe.",
)


@router.post("/messages")
@answers_with(
    response_schemas.MessagesTaken,
    problems=(
        *AUTHENTICATION_PROBLEMS,
        "not-json",
        *BODY_PROBLEMS,
        "too-many-messages",
        "unsupported-media-type",
        "store-unavailable",
        "keys-missing",
    ),
    security=(BEARER,),
    request_body=_REQUEST_BODY,
)
async def send_messages(
    request: Request, services: Served, _: Annotated[Principal, Depends(sending_principal)]
) -> Response:
    """Count messages: a JSON object, a JSON array or NDJSON; each names its kind in `type`.

    The response comes after the commit and has a result for each message, in order. Either the whole body is counted or
    nothing of it, and sending it again is safe.
    """
    body = await read_body(request, services.body_bytes_max)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    lines = media_type in _NDJSON_TYPES
    if services.ingestion_threads.statistics().tasks_waiting >= WAITING_MAX:
        raise Busy("too many bodies wait to be counted: send it again later", retry_after_s=1.0)
    # In a thread, so that a client that disconnects cannot cancel half a batch. The threads are separate from the other
    # ones, so that requests that wait for the database do not block the page and the health check.
    response = await deadlines.run_in_thread(
        partial(services.ingestion.ingest, body, lines=lines), services.ingestion_threads
    )
    return uncached_json(response)
