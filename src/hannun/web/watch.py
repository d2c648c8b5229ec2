"""The streams that wake pages."""

from fastapi import APIRouter, Response

from hannun.errors import NotFound
from hannun.web.api import Calling, EventId, UserId
from hannun.web.callers import Served
from hannun.web.live import Stream

router = APIRouter(prefix="/api/v1")


@router.get("/events/{event_id}/live")
async def watch_event(services: Served, caller: Calling, event_id: EventId) -> Response:
    """Server-sent events: `changed` with the new ETag whenever the event's answers change."""
    await services.reports.dashboard(caller.asker, event_id)  # 404 where there is none, whoever asks
    return Stream(services.live, ("event", event_id), caller.expires_in_s)


@router.get("/users/{user_id}/live")
async def watch_user(services: Served, caller: Calling, user_id: UserId) -> Response:
    """Server-sent events: `changed` whenever one of the merchant's events does."""
    if not caller.asker.may_see_merchant(user_id):
        raise NotFound("no such merchant")
    return Stream(services.live, ("user", user_id), caller.expires_in_s)
