"""The REST API: parse, call one flow, show. Shapes and definitions: `docs/api.md`."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from hannun.domain import response_schemas
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
    Metric,
    OfEvent,
    OfMerchant,
    Order,
    RoiQuestion,
    SortBy,
    SortOrder,
    TimelineQuestion,
    UserQuestion,
    listed,
    metrics_named,
)
from hannun.domain.ranges import DEFAULT_TZ, Range, day
from hannun.domain.tables import View
from hannun.errors import BadRequest, Forbidden
from hannun.flows.report import Source
from hannun.web.callers import EVENT_ID_MAX, Caller, Served, caller_of, only_known, signed_in
from hannun.web.contract import view
from hannun.web.exports import Asked as AskedAs
from hannun.web.exports import AskedFile, answered_as_file, pages_as_file
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
    """The range of a question, in its zone."""
    zone = _zone(tz)
    return Range(_moment("startDate", start, zone), _moment("endDate", end, zone), tz)


Asked = Annotated[Range, Depends(range_of)]
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
) -> OfMerchant:
    """A merchant's events, or those that a filter leaves."""
    return OfMerchant(user_id, status, text)


Merchant = Annotated[OfMerchant, Depends(merchant_of)]


async def merchant_on(merchant: Merchant, channels: Named = None) -> OfMerchant:
    """The same, of which each runs on one of these channels."""
    return replace(merchant, channels=listed("channels", channels))


MerchantOn = Annotated[OfMerchant, Depends(merchant_on)]


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
class Showing:
    """Shows an answer as it was asked for: as JSON, or as a file."""

    request: Request
    services: Services
    asker: Principal
    file: AskedAs | None

    async def __call__(self, view: View, answer: EncodedAnswer, source: Source) -> Response:
        if self.file is None:
            return _answered(self.request, answer, source)
        return await answered_as_file(self.request, self.services, self.asker, self.file, view, answer, source)

    async def all_pages(self, pages: AsyncGenerator[EncodedAnswer]) -> Response:
        assert self.file is not None
        return await pages_as_file(self.request, self.services, self.asker, self.file, pages)


async def showing(request: Request, services: Served, asker: Asking, file: AskedFile) -> Showing:
    return Showing(request, services, asker, file)


Show = Annotated[Showing, Depends(showing)]


@router.get("/events/{event_id}/analytics")
@view(response_schemas.Dashboard, of_event=True)
async def event_dashboard(
    show: Show, services: Served, asker: Asking, refresh: Refreshing, event_id: EventId, asked: Asked
) -> Response:
    """The dashboard of an event: summary, channels, ROI."""
    return await show(View.DASHBOARD, *await services.reports.dashboard(asker, event_id, asked, refresh=refresh))


@router.get("/events/{event_id}/analytics/channels")
@view(response_schemas.EventChannels, "too-many", of_event=True)
async def event_channels(
    show: Show,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    event_id: EventId,
    asked: Asked,
    order: Sorted,
    channels: Named = None,
) -> Response:
    """Each channel of an event, or those named."""
    question = ChannelsQuestion(OfEvent(event_id), asked, listed("channels", channels), order)
    return await show(View.CHANNELS, *await services.reports.channels(asker, question, refresh=refresh))


@router.get("/events/{event_id}/analytics/timeline")
@view(response_schemas.EventTimeline, "too-many", "too-many-points", "unknown-metric", of_event=True)
async def event_timeline(
    show: Show,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    event_id: EventId,
    asked: Asked,
    granularity: Grains = None,
    metrics: MetricNames = None,
) -> Response:
    """An event's participants, views, engagement and conversions over time, and where they are going."""
    question = TimelineQuestion(OfEvent(event_id), asked, granularity, metrics_named(metrics))
    return await show(View.TIMELINE, *await services.reports.timeline(asker, question, refresh=refresh))


@router.get("/events/{event_id}/analytics/roi")
@view(response_schemas.EventRoi, of_event=True)
async def event_roi(
    show: Show,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    event_id: EventId,
    asked: Asked,
    projection: Projecting = False,
) -> Response:
    """Whether an event was worth the money."""
    question = RoiQuestion(OfEvent(event_id), asked, projection)
    return await show(View.ROI, *await services.reports.roi(asker, question, refresh=refresh))


@router.get("/users/{user_id}/analytics")
@view(response_schemas.User, "too-many", "bad-cursor", follows=_PAGES)
async def user_dashboard(
    show: Show,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    merchant: MerchantOn,
    asked: Asked,
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
    if show.file is not None:
        return await show.all_pages(services.reports.pages(asker, merchant, asked))
    question = UserQuestion(merchant, asked, cursor, limit)
    return await show(View.ALL_DASHBOARD, *await services.reports.user(asker, question, refresh=refresh))


@router.get("/users/{user_id}/analytics/channels")
@view(response_schemas.UserChannels, "too-many")
async def user_channels(
    show: Show,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    merchant: Merchant,
    asked: Asked,
    order: Sorted,
    channels: Named = None,
) -> Response:
    """Each channel of a merchant's events together, or those named."""
    question = ChannelsQuestion(merchant, asked, listed("channels", channels), order)
    return await show(View.ALL_CHANNELS, *await services.reports.channels(asker, question, refresh=refresh))


@router.get("/users/{user_id}/analytics/timeline")
@view(response_schemas.UserTimeline, "too-many", "too-many-points", "unknown-metric")
async def user_timeline(
    show: Show,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    merchant: MerchantOn,
    asked: Asked,
    granularity: Grains = None,
    metrics: MetricNames = None,
) -> Response:
    """What happened over time in all of a merchant's events together."""
    question = TimelineQuestion(merchant, asked, granularity, metrics_named(metrics))
    return await show(View.ALL_TIMELINE, *await services.reports.timeline(asker, question, refresh=refresh))


@router.get("/users/{user_id}/analytics/roi")
@view(response_schemas.UserRoi, "too-many")
async def user_roi(
    show: Show,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    merchant: MerchantOn,
    asked: Asked,
    projection: Projecting = False,
) -> Response:
    """Whether a merchant's events together were worth the money."""
    question = RoiQuestion(merchant, asked, projection)
    return await show(View.ALL_ROI, *await services.reports.roi(asker, question, refresh=refresh))


def _answered(request: Request, answer: EncodedAnswer, source: Source) -> Response:
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


@cache
def _zones() -> frozenset[str]:
    """The zones by name. Not `localtime` and the like, which are files beside them and mean nothing to PostgreSQL."""
    return frozenset(available_timezones()) - {"Factory", "localtime"}


def _zone(name: str) -> ZoneInfo:
    try:
        if name in _zones():
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise BadRequest(
        "no zone is named {name!r}: give an IANA name, as in Asia/Seoul", code="unknown-zone", field="tz", name=name
    )


_FROM, _BEFORE = datetime(1970, 1, 1), datetime(9998, 1, 1)
"""What every zone and every driver on the road can express, as for messages."""


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(?P<offset>[Zz]|[+-]\d{2}(:?[0-5]\d)?)?", re.ASCII
)


def _moment(field: str, text: str | None, zone: ZoneInfo) -> datetime | None:
    """An instant with an offset, or a date in the zone; UTC without a zone, cut down to the minute."""
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            moment = day(text, zone)
        else:
            told = _INSTANT.fullmatch(text) or _INSTANT.fullmatch(text[:10] + text[10:].replace(" ", "+"))
            if told is None:  # a + in an address is a space
                raise ValueError("no instant")
            if told["offset"] is None:
                raise BadRequest(
                    "{field} has no offset from UTC: add one, as in +09:00 or Z", code="no-offset", field=field
                )
            moment = datetime.fromisoformat(told[0].upper().replace(",", ".")).astimezone(UTC).replace(tzinfo=None)
        moment = moment.replace(second=0, microsecond=0)
        if not _FROM <= moment < _BEFORE:
            raise BadRequest("{field} is before 1970 or after 9997", code="bad-date", field=field)
        return moment
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            "{field} is neither an ISO 8601 instant with an offset nor a date", code="bad-date", field=field
        ) from error
