"""The route that lists the events of all merchants, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hannun.domain import response_schemas
from hannun.domain.facts import EventStatus
from hannun.domain.ids import canonical_id
from hannun.domain.questions import PAGE_DEFAULT
from hannun.domain.response_schemas import format_instant
from hannun.flows.event_list import EventListQuestion
from hannun.store.event_list import EventRow
from hannun.web.api import Calling, Cursor, PageLimit, TitleText
from hannun.web.contract import AUTHENTICATION_PROBLEMS, answers_with
from hannun.web.request_limits import Served
from hannun.web.uncached import uncached_json

router = APIRouter(prefix="/api/v1")

_LINKS = {
    "nextPage": ("all_events", {"cursor": "$response.body#/nextCursor"}),
    "newestEvent": ("event_dashboard", {"eventId": "$response.body#/events/0/eventId"}),
    "itsMerchant": ("user_dashboard", {"userId": "$response.body#/events/0/userId"}),
}


@router.get("/events")
@answers_with(
    response_schemas.EventList,
    problems=(
        *AUTHENTICATION_PROBLEMS,
        "bad-parameter",
        "unknown-merchant",
        "bad-cursor",
        "store-unavailable",
        "keys-missing",
    ),
    links=_LINKS,
)
async def all_events(
    services: Served,
    caller: Calling,
    user_id: Annotated[
        str | None,
        Query(alias="userId", min_length=1, max_length=36, pattern="^[^\\x00]*$", description="a merchant's"),
    ] = None,
    status: Annotated[EventStatus | None, Query(description="by default all")] = None,
    text: TitleText = None,
    cursor: Cursor = None,
    limit: PageLimit = PAGE_DEFAULT,
) -> Response:
    """The events of all merchants, newest first (role ADMIN)."""
    user_id = None if user_id is None else canonical_id(user_id)
    question = EventListQuestion(user_id, status, text, cursor, limit)
    events, next_cursor = await services.event_list.page(caller.principal, question)
    body = response_schemas.EventList([_listed(event) for event in events], next_cursor)
    return uncached_json(body)


def _listed(event: EventRow) -> response_schemas.EventOfList:
    return response_schemas.EventOfList(
        event.event_id,
        event.title,
        event.user_id,
        event.status,
        format_instant(event.created_at),
        format_instant(event.starts_at),
        format_instant(event.ends_at),
        event.participants,
    )
