"""The routes of the event streams that notify pages of changes."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from hannun.domain.answer import Topic
from hannun.errors import NotFound
from hannun.flows.report.registry import dashboard_question
from hannun.web.api import Calling, EventId, UserId
from hannun.web.callers import Caller
from hannun.web.contract import AUTHENTICATION_PROBLEMS, EVENT_PROBLEMS, answers_with
from hannun.web.event_stream import EventStream
from hannun.web.limits import StreamPlace
from hannun.web.open_streams import StreamConnection
from hannun.web.request_limits import Served
from hannun.web.services import Services


async def take_place(services: Served, caller: Calling) -> AsyncIterator[StreamPlace]:
    """Count the stream until it ends. FastAPI leaves the block when the stream has begun, or was not opened."""
    place = services.stream_limit.take(caller.subject)
    try:
        yield place
    finally:
        if not place.outlives_request:
            place.release()


Place = Annotated[StreamPlace, Depends(take_place)]


router = APIRouter(prefix="/api/v1", dependencies=[Depends(take_place)])


@router.get("/events/{event_id}/live")
@answers_with(None, problems=EVENT_PROBLEMS, media_type="text/event-stream")
async def watch_event(services: Served, caller: Calling, place: Place, event_id: EventId) -> Response:
    """Server-sent events: `opened` with the current ETag, then `changed` with the new one whenever answers change."""
    topic: Topic = ("event", event_id)
    await services.reports.answer(caller.principal, dashboard_question(topic))  # 404 for an ADMIN where there is none
    return _stream(services, topic, caller, place)


@router.get("/users/{user_id}/live")
@answers_with(None, problems=(*AUTHENTICATION_PROBLEMS, "not-found", "bad-parameter"), media_type="text/event-stream")
async def watch_user(services: Served, caller: Calling, place: Place, user_id: UserId) -> Response:
    """Server-sent events: `opened`, then `changed` whenever the answers of one of the merchant's events change."""
    if not caller.principal.may_see_merchant(user_id):
        raise NotFound("no such merchant")
    return _stream(services, ("user", user_id), caller, place)


def _stream(services: Services, topic: Topic, caller: Caller, place: StreamPlace) -> EventStream:
    ends_at = asyncio.get_running_loop().time() + caller.expires_in_s
    return EventStream(partial(StreamConnection, services.open_streams, topic, ends_at, caller.check, place), place)
