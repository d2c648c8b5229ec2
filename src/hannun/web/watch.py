"""The routes of the event streams that notify pages of changes."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, Response

from hannun.domain.answer import Topic
from hannun.errors import NotFound
from hannun.flows.report.registry import dashboard_question
from hannun.web.api import Calling, EventId, UserId
from hannun.web.callers import Caller
from hannun.web.contract import AUTHENTICATION_PROBLEMS, EVENT_PROBLEMS, answers_with
from hannun.web.event_stream import CHECK_INTERVAL_S, EventStream
from hannun.web.request_limits import Served
from hannun.web.services import Services


async def reserve_stream(services: Served, caller: Calling) -> AsyncIterator[None]:
    """Count the stream until it ends. FastAPI leaves the block after the response, whatever becomes of it."""
    with services.stream_limit.reserve(caller.subject):
        yield


router = APIRouter(prefix="/api/v1", dependencies=[Depends(reserve_stream)])


@router.get("/events/{event_id}/live")
@answers_with(None, problems=EVENT_PROBLEMS, media_type="text/event-stream")
async def watch_event(services: Served, caller: Calling, event_id: EventId) -> Response:
    """Server-sent events: `changed` with the new ETag whenever the event's answers change."""
    topic: Topic = ("event", event_id)
    await services.reports.answer(caller.principal, dashboard_question(topic))  # 404 for an ADMIN where there is none
    return _stream(services, topic, caller)


@router.get("/users/{user_id}/live")
@answers_with(None, problems=(*AUTHENTICATION_PROBLEMS, "not-found", "bad-parameter"), media_type="text/event-stream")
async def watch_user(services: Served, caller: Calling, user_id: UserId) -> Response:
    """Server-sent events: `changed` whenever the answers of one of the merchant's events change."""
    if not caller.principal.may_see_merchant(user_id):
        raise NotFound("no such merchant")
    return _stream(services, ("user", user_id), caller)


def _stream(services: Services, topic: Topic, caller: Caller) -> EventStream:
    return EventStream(services.live_updates, topic, caller.expires_in_s, caller.is_still_valid, CHECK_INTERVAL_S)
