"""The REST API: parse, call one flow, show. Shapes and definitions: `docs/api.md`."""

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.facts import EventStatus
from hannun.domain.granularity import Granularity
from hannun.domain.questions import (
    NAMES_MAX,
    PAGE_DEFAULT,
    PAGE_MAX,
    TEXT_LENGTH_MAX,
    ChannelsQuestion,
    EventDashboardQuestion,
    EventSubject,
    MerchantDashboardQuestion,
    MerchantSubject,
    Metric,
    Order,
    Question,
    RoiQuestion,
    SortBy,
    SortOrder,
    TimelineQuestion,
    parse_list,
    parse_metrics,
)
from hannun.domain.ranges import DEFAULT_TZ, Range, parse_range
from hannun.errors import Forbidden
from hannun.flows.report import registry
from hannun.flows.report.cached_reader import Source
from hannun.flows.report.registry import view_of
from hannun.web.callers import EVENT_ID_MAX, Caller, Served, caller_of, only_known, signed_in
from hannun.web.contract import answers_with_view
from hannun.web.exports import FileRequest, RequestedFile, answer_as_file, pages_as_file
from hannun.web.services import Services

router = APIRouter(prefix="/api/v1")

VARY = "Authorization, Cookie, Accept-Encoding"
_NO_NUL = "^[^\\x00]*$"  # which PostgreSQL cannot be asked for
EventId = Annotated[
    str, Path(min_length=1, max_length=EVENT_ID_MAX, pattern=_NO_NUL, description="the event's id, normally a UUID")
]
UserId = Annotated[str, Path(min_length=1, max_length=36, pattern=_NO_NUL, description="the merchant's id")]


def _true_or_false(text: object) -> object:
    """Exactly these, as the contract says; not also 1, yes and on."""
    if isinstance(text, str) and text not in ("true", "false"):
        raise PydanticCustomError("bool_parsing", "neither true nor false")
    return text


Flag = Annotated[bool, BeforeValidator(_true_or_false)]
Refresh = Annotated[Flag, Query(description="rebuild from the database")]
Calling = Annotated[Caller, Depends(caller_of)]


async def asker_of(request: Request, caller: Calling) -> Principal:
    """Who asks, let in to the event of the path, with what they have seen already."""
    return replace(caller.asker, seen=version_in(request.headers.get("if-none-match")))


Asking = Annotated[Principal, Depends(asker_of)]


async def refresh_of(asker: Asking, services: Served, refresh: Refresh = False) -> bool:
    """Whether to rebuild the answer; that has a limit of its own, since it costs a look into the database."""
    if refresh:
        if asker.only_event is not None:
            raise Forbidden("a share link shows what is there, and rebuilds nothing")
        services.refresh_limit.take(asker.user_id)
    return refresh


Refreshing = Annotated[bool, Depends(refresh_of)]


async def sender_of(request: Request, services: Served) -> Principal:
    """Who sends messages: role SERVICE, and by a token of their own, so that no page can be made to send some."""
    caller = await signed_in(request, services)
    only_known(request)
    if caller.from_cookie or "SERVICE" not in caller.asker.roles:
        raise Forbidden("sending messages needs a bearer token with the role SERVICE")
    return caller.asker


_YEARS = "^(19[7-9][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-7])-"
_MOMENT: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "format": "date-time", "pattern": _YEARS},
        {"type": "string", "format": "date", "pattern": _YEARS},
    ]
}


async def range_of(
    start: Annotated[
        str | None,
        Query(
            alias="startDate",
            max_length=40,
            description="an instant with its offset, or a date in `tz`; cut down to the minute",
            json_schema_extra=_MOMENT,
        ),
    ] = None,
    end: Annotated[
        str | None,
        Query(
            alias="endDate",
            max_length=40,
            description="the same; it is not in the range, and startDate lies before it",
            json_schema_extra=_MOMENT,
        ),
    ] = None,
    tz: Annotated[
        str,
        Query(
            max_length=64,
            description="an IANA zone: where days and weeks begin",
            json_schema_extra={"format": "iana-time-zone"},
        ),
    ] = DEFAULT_TZ,
) -> Range:
    return parse_range(start, end, tz)


AskedRange = Annotated[Range, Depends(range_of)]
_NAME = "[^,\\x00]*[^,\\s\\x00][^,\\x00]*"
Named = Annotated[
    str | None,
    Query(
        max_length=1_200,
        pattern=_NO_NUL,
        description=f"channels, by any spelling, with commas between; at most {NAMES_MAX}",
        json_schema_extra={"pattern": f"^{_NAME}(,{_NAME}){{0,{NAMES_MAX - 1}}}$"},
    ),
]
Grains = Annotated[
    Granularity | None, Query(description="how long a bucket is; without one hourly up to 7 days, else daily")
]
_METRIC = f"({'|'.join(Metric)})"
MetricNames = Annotated[
    str | None,
    Query(
        max_length=200,
        description="metrics, with commas between; all without",
        json_schema_extra={"pattern": f"^{_METRIC}(,{_METRIC}){{0,{NAMES_MAX - 1}}}$"},
    ),
]


async def merchant_of(
    user_id: UserId,
    status: Annotated[EventStatus | None, Query(description="all but ARCHIVED without")] = None,
    text: Annotated[
        str | None,
        Query(alias="q", min_length=1, max_length=TEXT_LENGTH_MAX, pattern=_NO_NUL, description="stands in the title"),
    ] = None,
) -> MerchantSubject:
    """A merchant's events, or those that a filter leaves."""
    return MerchantSubject(user_id, status, text)


Merchant = Annotated[MerchantSubject, Depends(merchant_of)]


async def merchant_on(merchant: Merchant, channels: Named = None) -> MerchantSubject:
    """The same, of which each runs on one of these channels."""
    return replace(merchant, channels=parse_list("channels", channels))


MerchantOn = Annotated[MerchantSubject, Depends(merchant_on)]


async def order_of(
    by: Annotated[SortBy, Query(alias="sortBy", description="a figure or a name of a channel")] = SortBy.PARTICIPANTS,
    order: Annotated[
        SortOrder, Query(alias="sortOrder", description="what has no value comes last in both")
    ] = SortOrder.DESC,
) -> Order:
    return Order(by, order is SortOrder.DESC)


Sorted = Annotated[Order, Depends(order_of)]
Projecting = Annotated[Flag, Query(alias="includeProjection", description="where the event will end, if it goes on so")]


_PAGES = {
    "nextPage": ("user_dashboard", {"userId": "$response.body#/userId", "cursor": "$response.body#/nextCursor"}),
    "newestEvent": ("event_dashboard", {"eventId": "$response.body#/events/0/eventId"}),
    "itsChannels": ("event_channels", {"eventId": "$response.body#/events/0/eventId"}),
    "itsTimeline": ("event_timeline", {"eventId": "$response.body#/events/0/eventId"}),
    "itsRoi": ("event_roi", {"eventId": "$response.body#/events/0/eventId"}),
}


@dataclass(frozen=True, slots=True)
class Responder:
    """Answers a question in the form that the request asks for: JSON, or a file."""

    request: Request
    services: Services
    principal: Principal
    file: FileRequest | None
    refresh: bool

    async def __call__(self, question: Question) -> Response:
        view, reports = view_of(question), self.services.reports
        if self.file is not None and view.load_pages is not None:
            pages = reports.pages(self.principal, question)
            return await pages_as_file(self.request, self.services, self.principal, self.file, view, pages)
        answer, source = await reports.answer(self.principal, question, refresh=self.refresh)
        if self.file is None:
            return _json_response(self.request, answer, source)
        return await answer_as_file(self.request, self.services, self.principal, self.file, question, answer, source)


async def responder(
    request: Request, services: Served, principal: Asking, file: RequestedFile, refresh: Refreshing
) -> Responder:
    return Responder(request, services, principal, file, refresh)


Respond = Annotated[Responder, Depends(responder)]


@router.get("/events/{event_id}/analytics")
@answers_with_view(registry.EVENT_DASHBOARD)
async def event_dashboard(respond: Respond, event_id: EventId, range_: AskedRange) -> Response:
    """The dashboard of an event: summary, channels, ROI."""
    return await respond(EventDashboardQuestion(EventSubject(event_id), range_))


@router.get("/events/{event_id}/analytics/channels")
@answers_with_view(registry.EVENT_CHANNELS, "too-many")
async def event_channels(
    respond: Respond, event_id: EventId, range_: AskedRange, order: Sorted, channels: Named = None
) -> Response:
    """Each channel of an event, or those named."""
    return await respond(ChannelsQuestion(EventSubject(event_id), range_, parse_list("channels", channels), order))


@router.get("/events/{event_id}/analytics/timeline")
@answers_with_view(registry.EVENT_TIMELINE, "too-many", "too-many-points", "unknown-metric")
async def event_timeline(
    respond: Respond, event_id: EventId, range_: AskedRange, granularity: Grains = None, metrics: MetricNames = None
) -> Response:
    """An event's participants, views, engagement and conversions over time, and where they are going."""
    return await respond(TimelineQuestion(EventSubject(event_id), range_, granularity, parse_metrics(metrics)))


@router.get("/events/{event_id}/analytics/roi")
@answers_with_view(registry.EVENT_ROI)
async def event_roi(
    respond: Respond, event_id: EventId, range_: AskedRange, projection: Projecting = False
) -> Response:
    """Whether an event was worth the money."""
    return await respond(RoiQuestion(EventSubject(event_id), range_, projection))


@router.get("/users/{user_id}/analytics")
@answers_with_view(registry.MERCHANT_DASHBOARD, "too-many", "bad-cursor", follows=_PAGES)
async def user_dashboard(
    respond: Respond,
    merchant: MerchantOn,
    range_: AskedRange,
    cursor: Annotated[
        str | None,
        Query(
            max_length=200,
            description="where the page begins: `nextCursor` of the one before, as it came",
            json_schema_extra={"format": "cursor"},
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX, description="the most events of a page")] = PAGE_DEFAULT,
) -> Response:
    """All of a merchant's events together, and a page of them, newest first."""
    return await respond(MerchantDashboardQuestion(merchant, range_, cursor, limit))


@router.get("/users/{user_id}/analytics/channels")
@answers_with_view(registry.MERCHANT_CHANNELS, "too-many")
async def user_channels(
    respond: Respond, merchant: Merchant, range_: AskedRange, order: Sorted, channels: Named = None
) -> Response:
    """Each channel of a merchant's events together, or those named."""
    return await respond(ChannelsQuestion(merchant, range_, parse_list("channels", channels), order))


@router.get("/users/{user_id}/analytics/timeline")
@answers_with_view(registry.MERCHANT_TIMELINE, "too-many", "too-many-points", "unknown-metric")
async def user_timeline(
    respond: Respond, merchant: MerchantOn, range_: AskedRange, granularity: Grains = None, metrics: MetricNames = None
) -> Response:
    """What happened over time in all of a merchant's events together."""
    return await respond(TimelineQuestion(merchant, range_, granularity, parse_metrics(metrics)))


@router.get("/users/{user_id}/analytics/roi")
@answers_with_view(registry.MERCHANT_ROI, "too-many")
async def user_roi(
    respond: Respond, merchant: MerchantOn, range_: AskedRange, projection: Projecting = False
) -> Response:
    """Whether a merchant's events together were worth the money."""
    return await respond(RoiQuestion(merchant, range_, projection))


def _json_response(request: Request, answer: EncodedAnswer, source: Source) -> Response:
    headers = {
        "ETag": answer.etag,
        "Cache-Control": "private, no-cache",
        "Vary": VARY,
        "X-Data-Source": source,
    }
    if answer.stale:
        headers["X-Data-Stale"] = "true"
    if same(request.headers.get("if-none-match"), answer.etag):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers, media_type="application/json")


_VERSIONS = re.compile(r'"([0-9a-f]{1,32})-')


def version_in(if_none_match: str | None) -> int:
    """The newest version that a client says to have: the first part of our ETags. 0 where it says none."""
    if if_none_match is None:
        return 0
    return max((int(version, 16) for version in _VERSIONS.findall(if_none_match)), default=0)


def same(if_none_match: str | None, etag: str) -> bool:
    """Whether a client has this answer already."""
    if if_none_match is None or if_none_match == etag:
        return if_none_match is not None
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags
