"""The streams that wake pages."""

from fastapi import APIRouter, Response

from hannun.errors import NotFound
from hannun.flows.live_updates import Topic
from hannun.flows.report.registry import dashboard_question
from hannun.web.api import Calling, EventId, UserId
from hannun.web.callers import Caller, Served
from hannun.web.contract import CALLER, OF_EVENT, answers_with
from hannun.web.event_stream import HEARTBEAT_S, LOOKS_S, EventStream
from hannun.web.services import Services

router = APIRouter(prefix="/api/v1")


@router.get("/events/{event_id}/live")
@answers_with(None, refuses=OF_EVENT, media_type="text/event-stream")
async def watch_event(services: Served, caller: Calling, event_id: EventId) -> Response:
    """Server-sent events: `changed` with the new ETag whenever the event's answers change."""
    await services.reports.answer(
        caller.asker, dashboard_question(("event", event_id))
    )  # 404 where there is none, whoever asks
    return _stream(services, ("event", event_id), caller)


@router.get("/users/{user_id}/live")
@answers_with(None, refuses=(*CALLER, "not-found", "bad-parameter"), media_type="text/event-stream")
async def watch_user(services: Served, caller: Calling, user_id: UserId) -> Response:
    """Server-sent events: `changed` whenever one of the merchant's events does."""
    if not caller.asker.may_see_merchant(user_id):
        raise NotFound("no such merchant")
    return _stream(services, ("user", user_id), caller)


def _stream(services: Services, topic: Topic, caller: Caller) -> EventStream:
    every_s = HEARTBEAT_S if caller.asker.only_event is None else LOOKS_S
    return EventStream(services.live, topic, caller.expires_in_s, caller.holds, every_s)
