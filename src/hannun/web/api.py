"""The REST API: parse, call one flow, show. Shapes and definitions: `docs/api.md`."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from hannun.cache import Answer
from hannun.domain.keys import Granularity
from hannun.domain.messages import EventStatus
from hannun.errors import BadQuestion, Forbidden
from hannun.flows.report import DEFAULT_TZ, PAGE_DEFAULT, PAGE_MAX, Asker, Source, TimelineQuestion, UserQuestion
from hannun.web.auth import token_in
from hannun.web.services import Services, services_of

router = APIRouter(prefix="/api/v1")

_NO_NUL = "^[^\\x00]*$"  # which PostgreSQL cannot be asked for
EventId = Annotated[
    str, Path(min_length=1, max_length=36, pattern=_NO_NUL, description="the event's id, normally a UUID")
]
UserId = Annotated[str, Path(min_length=1, max_length=36, pattern=_NO_NUL, description="the merchant's id")]
Refresh = Annotated[bool, Query(description="rebuild from the database")]
Served = Annotated[Services, Depends(services_of)]


async def asker_of(request: Request, services: Served) -> Asker:
    """Who asks, with their rate limit taken."""
    token, _ = token_in(request.headers, request.cookies)
    asker = services.verifier.verify(token).asker
    services.limit.take(asker.user_id)
    return replace(asker, seen=_version_in(request.headers.get("if-none-match")))


Asking = Annotated[Asker, Depends(asker_of)]


async def refresh_of(asker: Asking, services: Served, refresh: Refresh = False) -> bool:
    """Whether to rebuild the answer; that has a limit of its own, since it costs a look into the database."""
    if refresh:
        services.refresh_limit.take(asker.user_id)
    return refresh


Refreshing = Annotated[bool, Depends(refresh_of)]


async def sender_of(request: Request, services: Served) -> Asker:
    """Who sends messages: role SERVICE, and by a token of their own, so that no page can be made to send some."""
    token, from_cookie = token_in(request.headers, request.cookies)
    asker = services.verifier.verify(token).asker
    services.limit.take(asker.user_id)
    if from_cookie or "SERVICE" not in asker.roles:
        raise Forbidden("sending messages needs a bearer token with the role SERVICE")
    return asker


@router.get("/events/{event_id}/analytics")
async def event_dashboard(
    request: Request,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    event_id: EventId,
) -> Response:
    """The dashboard of an event: summary, channels, ROI."""
    _plain_only(request)
    return _answered(request, *await services.reports.dashboard(asker, event_id, refresh=refresh))


@router.get("/events/{event_id}/analytics/timeline")
async def event_timeline(
    request: Request,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    event_id: EventId,
    granularity: Granularity | None = None,
    start: Annotated[str | None, Query(alias="startDate")] = None,
    end: Annotated[str | None, Query(alias="endDate")] = None,
    tz: str = DEFAULT_TZ,
) -> Response:
    """An event's participants, views, engagement and conversions over time, and where they are going."""
    zone = _zone(tz)
    question = TimelineQuestion(
        event_id, granularity, tz, _moment("startDate", start, zone), _moment("endDate", end, zone)
    )
    if question.start is not None and question.end is not None and question.start >= question.end:
        raise BadQuestion("startDate is not before endDate", code="empty-range", field="startDate")
    return _answered(request, *await services.reports.timeline(asker, question, refresh=refresh))


@router.get("/users/{user_id}/analytics")
async def user_dashboard(
    request: Request,
    services: Served,
    asker: Asking,
    refresh: Refreshing,
    user_id: UserId,
    status: EventStatus | None = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
) -> Response:
    """All of a merchant's events together, and a page of them, newest first."""
    _plain_only(request)
    question = UserQuestion(user_id, status, cursor, limit)
    return _answered(request, *await services.reports.user(asker, question, refresh=refresh))


def _answered(request: Request, answer: Answer, source: Source) -> Response:
    headers = {
        "ETag": answer.etag,
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie, Accept-Encoding",
        "X-Data-Source": source,
    }
    if answer.stale:
        headers["X-Data-Stale"] = "true"
    if _same(request.headers.get("if-none-match"), answer.etag):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers, media_type="application/json")


def _version_in(if_none_match: str | None) -> int:
    """The newest version that a client says to have: the first part of our ETags. 0 where it says none."""
    versions = re.findall(r'"([0-9a-f]{1,14})-', if_none_match or "")
    return max((int(version, 16) for version in versions), default=0)


def _same(if_none_match: str | None, etag: str) -> bool:
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def _plain_only(request: Request) -> None:
    """Ranges come with the views of their own issue; until then a range is refused, and never silently ignored."""
    for name in ("startDate", "endDate", "tz"):
        if name in request.query_params and not (name == "tz" and request.query_params[name] == DEFAULT_TZ):
            raise BadQuestion(
                f"{name} is not served on this view yet; the timeline takes it", code="range-not-served", field=name
            )


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
    raise BadQuestion(f"no zone is named {name[:64]!r}", code="unknown-zone", field="tz")


_FROM, _BEFORE = datetime(1970, 1, 1), datetime(9998, 1, 1)
"""What every zone and every driver on the road can express, as for messages."""


def _moment(field: str, text: str | None, zone: ZoneInfo) -> datetime | None:
    """An instant with an offset, or a date in the zone; UTC without a zone, cut down to the minute."""
    if text is None:
        return None
    try:
        if len(text) == 10:
            moment = datetime.combine(date.fromisoformat(text), time(), zone)
        else:
            moment = datetime.fromisoformat(text.replace(" ", "+"))  # a + in an address is a space
            if moment.tzinfo is None:
                raise BadQuestion(f"{field} has no offset", code="no-offset", field=field)
        moment = moment.astimezone(UTC).replace(tzinfo=None, second=0, microsecond=0)
        if not _FROM <= moment < _BEFORE:
            raise BadQuestion(f"{field} is before 1970 or after 9997", code="bad-date", field=field)
        return moment
    except (ValueError, OverflowError) as error:
        raise BadQuestion(
            f"{field} is neither an ISO 8601 instant with an offset nor a date", code="bad-date", field=field
        ) from error
