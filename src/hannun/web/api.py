"""The routes of the views: each reads a question from the request, and a `Responder` answers it. See `docs/api.md`."""

import time
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.types import Scope

from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.facts import EventStatus
from hannun.domain.granularity import Granularity, WeekStart
from hannun.domain.ids import ID_LENGTH_MAX, canonical_id
from hannun.domain.questions import (
    NAMES_MAX,
    PAGE_DEFAULT,
    PAGE_MAX,
    TEXT_LENGTH_MAX,
    ChannelsQuestion,
    EventDashboardQuestion,
    EventSubject,
    InsightsQuestion,
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
from hannun.flows.event_documents import Document
from hannun.flows.report import registry
from hannun.flows.report.cached_reader import Source
from hannun.flows.report.registry import view_of
from hannun.web.callers import (
    Caller,
    authenticate,
    caller_of,
    event_id_in,
    reject_unknown_parameters,
)
from hannun.web.contract import answers_with_view
from hannun.web.documents import DocumentRequest, RequestedForm, answer_as_document
from hannun.web.etags import matches, version_in
from hannun.web.exports import FileRequest, RequestedFile, answer_as_file, check_export, pages_as_file
from hannun.web.request_limits import Served
from hannun.web.services import Services

router = APIRouter(prefix="/api/v1")

_AHEAD_US_MAX = 86_400_000_000
"""How far ahead of this clock the version of an event may be, in microseconds: clocks of processes differ."""
VARY = "Authorization, Cookie, Accept-Encoding"
_NO_NUL = "^[^\\x00]*$"  # PostgreSQL accepts no NUL in a text
EventId = Annotated[
    str,
    Path(min_length=1, max_length=ID_LENGTH_MAX, pattern=_NO_NUL, description="the event's id, normally a UUID"),
    AfterValidator(canonical_id),
]
UserId = Annotated[
    str,
    Path(min_length=1, max_length=ID_LENGTH_MAX, pattern=_NO_NUL, description="the merchant's id"),
    AfterValidator(canonical_id),
]


def _true_or_false(text: object) -> object:
    """Accept exactly these, as the contract says. Pydantic would also accept 1, yes and on."""
    if isinstance(text, str) and text not in ("true", "false"):
        raise PydanticCustomError("bool_parsing", "neither true nor false")
    return text


Flag = Annotated[bool, BeforeValidator(_true_or_false)]
Refresh = Annotated[Flag, Query(description="compute the answer from the database, and replace the cached one")]
Calling = Annotated[Caller, Depends(caller_of)]


async def principal_of(request: Request, caller: Calling) -> Principal:
    """The caller, authorized for the event of the path, with the version of the answer that the caller has already."""
    of_event = event_id_in(request) is not None
    return replace(caller.principal, seen=version_seen(request.headers.get("if-none-match"), of_event=of_event))


def version_seen(if_none_match: str | None, *, of_event: bool) -> int:
    """The version that a caller says they have of the answer about an event, or about a merchant."""
    seen = version_in(if_none_match)
    if of_event and seen > time.time_ns() // 1_000 + _AHEAD_US_MAX:
        return 0  # forged: an event's version is the time of its newest change; a merchant's is a sum of versions
    return seen


CallingPrincipal = Annotated[Principal, Depends(principal_of)]


async def refresh_of(principal: CallingPrincipal, services: Served, refresh: Refresh = False) -> bool:
    """Whether to compute the answer anew. That has a rate limit of its own, because it reads PostgreSQL."""
    if refresh:
        if principal.only_event is not None:
            raise Forbidden("a share link cannot rebuild an answer: leave out refresh")
        services.refresh_limit.take(principal.user_id)
    return refresh


RequestedRefresh = Annotated[bool, Depends(refresh_of)]


async def sending_principal(request: Request, services: Served) -> Principal:
    """A caller who may send messages: role SERVICE or ADMIN, by a bearer token.

    A cookie is refused, because the page of another site could make a browser send messages with it.
    """
    caller = await authenticate(request, services)
    reject_unknown_parameters(request)
    if caller.from_cookie or not caller.principal.may_send:
        raise Forbidden("sending messages needs a bearer token with the role SERVICE or ADMIN")
    return caller.principal


_YEARS = "^(19[7-9][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-7])-"
INSTANT_LENGTH_MAX = 100
"""Characters: an instant with nanoseconds, an offset and the longest zone in brackets."""
_INSTANT_OR_DATE: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "format": "date-time", "pattern": _YEARS},
        {"type": "string", "format": "date", "pattern": _YEARS},
    ]
}


Zone = Annotated[
    str,
    Query(
        max_length=64,
        description="an IANA zone, in which days and weeks start",
        json_schema_extra={"format": "iana-time-zone"},
    ),
]


async def range_of(
    start: Annotated[
        str | None,
        Query(
            alias="startDate",
            max_length=INSTANT_LENGTH_MAX,
            description="an instant with an offset, or a date in `tz`; cut to the minute",
            json_schema_extra=_INSTANT_OR_DATE,
        ),
    ] = None,
    end: Annotated[
        str | None,
        Query(
            alias="endDate",
            max_length=INSTANT_LENGTH_MAX,
            description="likewise; the range ends before it, and startDate lies before it",
            json_schema_extra=_INSTANT_OR_DATE,
        ),
    ] = None,
    tz: Zone = DEFAULT_TZ,
) -> Range:
    return parse_range(start, end, tz)


async def zone_of(tz: Zone = DEFAULT_TZ) -> str:
    return parse_range(None, None, tz).tz


RequestedZone = Annotated[str, Depends(zone_of)]
RequestedRange = Annotated[Range, Depends(range_of)]
_NAME = "[^,\\x00]*[^,\\s\\x00][^,\\x00]*"
ChannelNames = Annotated[
    str | None,
    Query(
        max_length=1_200,
        pattern=_NO_NUL,
        description=f"names of channels in any spelling, comma-separated; at most {NAMES_MAX}",
        json_schema_extra={"pattern": f"^{_NAME}(,{_NAME}){{0,{NAMES_MAX - 1}}}$"},
    ),
]
Granularities = Annotated[
    Granularity | None, Query(description="the length of a bucket; by default hourly up to 7 days, else daily")
]


async def week_start_of(
    services: Served,
    week_start: Annotated[
        WeekStart | None,
        Query(alias="weekStart", description="the first day of weekly buckets; by default a setting of the service"),
    ] = None,
) -> WeekStart:
    return week_start or services.week_start


RequestedWeekStart = Annotated[WeekStart, Depends(week_start_of)]
_METRIC = f"({'|'.join(Metric)})"
MetricNames = Annotated[
    str | None,
    Query(
        max_length=200,
        description="metrics, comma-separated; by default all",
        json_schema_extra={"pattern": f"^{_METRIC}(,{_METRIC}){{0,{NAMES_MAX - 1}}}$"},
    ),
]


TitleText = Annotated[
    str | None,
    Query(
        alias="q",
        min_length=1,
        max_length=TEXT_LENGTH_MAX,
        pattern=_NO_NUL,
        description="a text that occurs in the title",
    ),
]
Cursor = Annotated[
    str | None,
    Query(
        max_length=200,
        description="the start of the page: `nextCursor` of the previous page, unchanged",
        json_schema_extra={"format": "cursor"},
    ),
]
PageLimit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="the most events on a page")]


async def merchant_of(
    user_id: UserId,
    status: Annotated[EventStatus | None, Query(description="by default all but ARCHIVED")] = None,
    text: TitleText = None,
) -> MerchantSubject:
    """A merchant's events, or those that the filters leave."""
    return MerchantSubject(user_id, status, text)


Merchant = Annotated[MerchantSubject, Depends(merchant_of)]


async def merchant_with_channels(merchant: Merchant, channels: ChannelNames = None) -> MerchantSubject:
    """A merchant's events, of which each runs on one of these channels."""
    return replace(merchant, channels=parse_list("channels", channels))


MerchantWithChannels = Annotated[MerchantSubject, Depends(merchant_with_channels)]


async def order_of(
    by: Annotated[
        SortBy, Query(alias="sortBy", description="the figure or name by which channels are sorted")
    ] = SortBy.PARTICIPANTS,
    order: Annotated[
        SortOrder, Query(alias="sortOrder", description="channels without a value come last in both orders")
    ] = SortOrder.DESC,
) -> Order:
    return Order(by, order is SortOrder.DESC)


ChannelOrder = Annotated[Order, Depends(order_of)]
IncludeProjection = Annotated[
    Flag, Query(alias="includeProjection", description="also project the figures at the end of the event")
]


_NEXT_LINKS = {
    "nextPage": ("user_dashboard", {"userId": "$response.body#/userId", "cursor": "$response.body#/nextCursor"}),
    "newestEvent": ("event_dashboard", {"eventId": "$response.body#/events/0/eventId"}),
    "itsChannels": ("event_channels", {"eventId": "$response.body#/events/0/eventId"}),
    "itsTimeline": ("event_timeline", {"eventId": "$response.body#/events/0/eventId"}),
    "itsRoi": ("event_roi", {"eventId": "$response.body#/events/0/eventId"}),
}


_FAILED_READ = "hannun.failed_read"


def record_failed_read(scope: Scope, error: Exception) -> None:
    """The fast path has read the answer to this request and failed: the route raises that error, and reads nothing."""
    scope[_FAILED_READ] = error


@dataclass(frozen=True, slots=True)
class Responder:
    """Answers a question in the form that the request asks for: JSON, or a file."""

    request: Request
    services: Services
    principal: Principal
    file: FileRequest | None
    refresh: bool

    async def __call__(self, question: Question) -> Response:
        if (error := self.request.scope.get(_FAILED_READ)) is not None:
            raise error
        view, services = view_of(question), self.services
        reports = services.reports if self.file is None else services.file_reports
        if self.file is not None:
            check_export(services, self.principal, self.file, view)
        if self.file is not None and view.load_pages is not None:
            pages = services.file_reports.pages(self.principal, question)
            return await pages_as_file(self.request, services, self.principal, self.file, view, pages)
        answer, source = await reports.answer(self.principal, question, refresh=self.refresh)
        if self.file is None:
            return _json_response(self.request, answer, source)
        return await answer_as_file(self.request, services, self.principal, self.file, question, answer, source)


async def responder(
    request: Request, services: Served, principal: CallingPrincipal, file: RequestedFile, refresh: RequestedRefresh
) -> Responder:
    return Responder(request, services, principal, file, refresh)


Respond = Annotated[Responder, Depends(responder)]


@dataclass(frozen=True, slots=True)
class DashboardResponder:
    """Answers a question for an event's dashboard in the form that the request asks for: also as a document."""

    request: Request
    services: Services
    principal: Principal
    form: FileRequest | DocumentRequest | None
    refresh: bool

    async def __call__(self, question: EventDashboardQuestion) -> Response:
        request, services, principal = self.request, self.services, self.principal
        if isinstance(self.form, DocumentRequest):
            return await answer_as_document(request, services, principal, self.form, question, refresh=self.refresh)
        return await Responder(request, services, principal, self.form, self.refresh)(question)


async def dashboard_responder(
    request: Request, services: Served, principal: CallingPrincipal, form: RequestedForm, refresh: RequestedRefresh
) -> DashboardResponder:
    return DashboardResponder(request, services, principal, form, refresh)


RespondWithDashboard = Annotated[DashboardResponder, Depends(dashboard_responder)]


async def json_responder(
    request: Request, services: Served, principal: CallingPrincipal, refresh: RequestedRefresh
) -> Responder:
    return Responder(request, services, principal, None, refresh)


RespondInJson = Annotated[Responder, Depends(json_responder)]


@router.get("/events/{event_id}/analytics")
@answers_with_view(registry.EVENT_DASHBOARD, documents=tuple(each.media_type for each in Document))
async def event_dashboard(respond: RespondWithDashboard, event_id: EventId, range_: RequestedRange) -> Response:
    """The dashboard of an event: summary, channels, ROI."""
    return await respond(EventDashboardQuestion(EventSubject(event_id), range_))


@router.get("/events/{event_id}/analytics/channels")
@answers_with_view(registry.EVENT_CHANNELS, "too-many", "unknown-channel")
async def event_channels(
    respond: Respond, event_id: EventId, range_: RequestedRange, order: ChannelOrder, channels: ChannelNames = None
) -> Response:
    """The channels of an event, or the named ones."""
    return await respond(ChannelsQuestion(EventSubject(event_id), range_, parse_list("channels", channels), order))


@router.get("/events/{event_id}/analytics/timeline")
@answers_with_view(registry.EVENT_TIMELINE, "too-many", "too-many-points", "unknown-metric")
async def event_timeline(
    respond: Respond,
    event_id: EventId,
    range_: RequestedRange,
    week_start: RequestedWeekStart,
    granularity: Granularities = None,
    metrics: MetricNames = None,
) -> Response:
    """An event's participants, views, engagement and conversions over time, and the trend."""
    return await respond(
        TimelineQuestion(EventSubject(event_id), range_, granularity, parse_metrics(metrics), week_start)
    )


@router.get("/events/{event_id}/analytics/roi")
@answers_with_view(registry.EVENT_ROI)
async def event_roi(
    respond: Respond, event_id: EventId, range_: RequestedRange, projection: IncludeProjection = False
) -> Response:
    """The return on investment of an event."""
    return await respond(RoiQuestion(EventSubject(event_id), range_, projection))


@router.get("/events/{event_id}/analytics/insights")
@answers_with_view(registry.EVENT_INSIGHTS)
async def event_insights(
    respond: RespondInJson, event_id: EventId, tz: RequestedZone, week_start: RequestedWeekStart
) -> Response:
    """What the figures of an event mean: comparisons, a sentence, advice, a heat map, and what happened when."""
    return await respond(InsightsQuestion(EventSubject(event_id), tz, week_start))


@router.get("/users/{user_id}/analytics")
@answers_with_view(registry.MERCHANT_DASHBOARD, "too-many", "unknown-channel", "bad-cursor", links=_NEXT_LINKS)
async def user_dashboard(
    respond: Respond,
    merchant: MerchantWithChannels,
    range_: RequestedRange,
    cursor: Cursor = None,
    limit: PageLimit = PAGE_DEFAULT,
) -> Response:
    """A merchant's events together, and a page of them, newest first."""
    return await respond(MerchantDashboardQuestion(merchant, range_, cursor, limit))


@router.get("/users/{user_id}/analytics/channels")
@answers_with_view(registry.MERCHANT_CHANNELS, "too-many", "unknown-channel")
async def user_channels(
    respond: Respond, merchant: Merchant, range_: RequestedRange, order: ChannelOrder, channels: ChannelNames = None
) -> Response:
    """The channels of a merchant's events together, or the named ones."""
    return await respond(ChannelsQuestion(merchant, range_, parse_list("channels", channels), order))


@router.get("/users/{user_id}/analytics/timeline")
@answers_with_view(registry.MERCHANT_TIMELINE, "too-many", "too-many-points", "unknown-metric", "unknown-channel")
async def user_timeline(
    respond: Respond,
    merchant: MerchantWithChannels,
    range_: RequestedRange,
    week_start: RequestedWeekStart,
    granularity: Granularities = None,
    metrics: MetricNames = None,
) -> Response:
    """The timeline of a merchant's events together."""
    return await respond(TimelineQuestion(merchant, range_, granularity, parse_metrics(metrics), week_start))


@router.get("/users/{user_id}/analytics/roi")
@answers_with_view(registry.MERCHANT_ROI, "too-many", "unknown-channel")
async def user_roi(
    respond: Respond, merchant: MerchantWithChannels, range_: RequestedRange, projection: IncludeProjection = False
) -> Response:
    """The return on investment of a merchant's events together."""
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
    if matches(request.headers.get("if-none-match"), answer.etag):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers, media_type="application/json")
