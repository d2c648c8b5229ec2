"""The streams that wake pages."""

import time

from fastapi import APIRouter, Request, Response

from hannun.errors import NotFound
from hannun.web.api import EventId, Served, UserId
from hannun.web.auth import Session, token_in
from hannun.web.live import Stream
from hannun.web.services import Services

router = APIRouter(prefix="/api/v1")


@router.get("/events/{event_id}/live")
async def watch_event(request: Request, services: Served, event_id: EventId) -> Response:
    """Server-sent events: `changed` with the new ETag whenever the event's answers change."""
    session = _session_of(request, services)
    await services.reports.dashboard(session.asker, event_id)  # 404 where it is not theirs
    return Stream(services.live, ("event", event_id), session.expires_at - time.time())


@router.get("/users/{user_id}/live")
async def watch_user(request: Request, services: Served, user_id: UserId) -> Response:
    """Server-sent events: `changed` whenever one of the merchant's events does."""
    session = _session_of(request, services)
    if not session.asker.may_see(user_id):
        raise NotFound("no such merchant")
    return Stream(services.live, ("user", user_id), session.expires_at - time.time())


def _session_of(request: Request, services: Services) -> Session:
    token, _ = token_in(request.headers, request.cookies)
    session = services.verifier.verify(token)
    services.limit.take(session.asker.user_id)
    return session
