"""Share links: the routes of the event's owner, and the cookie that a link's secret is exchanged for.

/events/{eventId}#share=SECRET   the link: browsers send the part behind # to no server, so it appears in no log
  └► POST /api/v1/events/{eventId}/session {"share": SECRET} ─► a cookie for the paths of this event only,
                                                                of the API and of the page
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypedDict
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response
from msgspec import Meta

from hannun.domain import response_schemas
from hannun.domain.instants import NoOffset, no_offset, parse_instant_with_offset
from hannun.errors import BadRequest, NotFound
from hannun.flows.share_links import LABEL_LENGTH_MAX
from hannun.store.shares import Share
from hannun.web.api import Calling, EventId
from hannun.web.bodies import read_struct
from hannun.web.callers import (
    Caller,
    authenticate_by_share_link,
    guard_cookies,
    reject_unknown_parameters,
    share_secret_in,
)
from hannun.web.compression import never_compress
from hannun.web.contract import ANONYMOUS, BODY_PROBLEMS, EVENT_PROBLEMS, RequestBody, answers_with
from hannun.web.request_limits import Served, limit_anonymous, limit_sign_ins

router = APIRouter(prefix="/api/v1/events/{event_id}", dependencies=[Depends(guard_cookies)])


async def sharer_of(caller: Calling) -> Caller:
    """A caller who may share the event: one who sees it by a token, not by a share link."""
    if caller.principal.only_event is not None:
        raise NotFound("no such path for a link")
    return caller


Sharer = Annotated[Caller, Depends(sharer_of)]
ShareId = Annotated[str, Path(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$", description="the link's id")]


_HOUR = "([01][0-9]|2[0-3])"
INSTANT_PATTERN = (
    "^2[0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    f"[Tt ]{_HOUR}:[0-5][0-9]:[0-5][0-9]([.][0-9]{{1,9}})?([Zz]|[+-]{_HOUR}:[0-5][0-9])$"
)
"""Instants of the years 2000 to 2999 with an offset, for the contract: what is generated from it can be parsed."""


class WantedLink(msgspec.Struct):
    """A link to create: when it expires (up to 366 days ahead), and a label that says whom it is for."""

    until: Annotated[str, Meta(extra_json_schema={"pattern": INSTANT_PATTERN})]
    label: Annotated[str, Meta(extra_json_schema={"maxLength": LABEL_LENGTH_MAX, "pattern": "^[^\\x00]*$"})] = ""


class LinkSecret(msgspec.Struct):
    """The secret of a link: the part of its address behind `#share=`."""

    share: str


_LINK_PROBLEMS = (
    "unknown-parameter",
    "bad-parameter",
    "not-found",
    "too-many-requests",
    "store-unavailable",
    "keys-missing",
)
"""The problem codes of opening a link, which needs no token."""


_NEW_LINK_LINKS = {
    "revoke": ("revoke_share", {"eventId": "$request.path.eventId", "shareId": "$response.body#/shareId"}),
    "list": ("shares_of_event", {"eventId": "$request.path.eventId"}),
}


@router.post("/shares", status_code=201)
@answers_with(
    response_schemas.NewLink,
    201,
    problems=(
        *EVENT_PROBLEMS,
        "bad-body",
        "no-offset",
        "bad-date",
        *BODY_PROBLEMS,
        "too-many-shares",
        "unsupported-media-type",
    ),
    request_body=RequestBody({"application/json": WantedLink}),
    links=_NEW_LINK_LINKS,
)
async def make_share(request: Request, services: Served, sharer: Sharer, event_id: EventId) -> Response:
    """Create a link that grants read access to this event until a date: `{"until": instant with offset, "label"?}`.

    The response has the link's address with its secret, which cannot be read again.
    """
    example = '{"until": "2026-12-31T00:00:00+09:00", "label": "agency"}'
    wanted = await read_struct(request, WantedLink, invalid=_bad_body(example))
    until = parse_until(wanted.until)
    share, secret = await services.share_links.create(sharer.principal, event_id, until, wanted.label)
    address = f"/events/{encode_path_segment(event_id)}#share={secret}"
    never_compress(request)
    return _json_response(response_schemas.NewLink(**_link_fields(share), address=address), 201)


@router.get("/shares")
@answers_with(response_schemas.Links, problems=EVENT_PROBLEMS)
async def shares_of_event(services: Served, sharer: Sharer, event_id: EventId) -> Response:
    """The event's links: the active ones first, then the newest of the others. Without their secrets."""
    shares = await services.share_links.list_of_event(event_id)
    return _json_response(response_schemas.Links([response_schemas.Link(**_link_fields(share)) for share in shares]))


@router.delete("/shares/{share_id}", status_code=204)
@answers_with(None, 204, problems=EVENT_PROBLEMS, headers=())
async def revoke_share(services: Served, sharer: Sharer, event_id: EventId, share_id: ShareId) -> Response:
    """Revoke a link. It stops working within 2 s everywhere."""
    await services.share_links.revoke(sharer.principal, event_id, share_id)
    return Response(status_code=204)


@router.post("/session", status_code=204, dependencies=[Depends(limit_sign_ins)])
@answers_with(
    None,
    204,
    problems=(*_LINK_PROBLEMS, "bad-body", *BODY_PROBLEMS, "forbidden", "unsupported-media-type"),
    headers=("Cache-Control", "Set-Cookie"),
    security=(ANONYMOUS,),
    request_body=RequestBody({"application/json": LinkSecret}),
)
async def open_share(request: Request, services: Served, event_id: EventId) -> Response:
    """Exchange a link's secret for a cookie, which the browser sends to this event's paths only: in the API, and of its
    page, so that the page comes with its first numbers."""
    reject_unknown_parameters(request)
    body = await read_struct(request, LinkSecret, invalid=_bad_body('{"share": "..."}'))
    grant = await services.share_links.resolve(event_id, body.share)
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    left = grant.expires_at.replace(tzinfo=UTC) - datetime.now(UTC)
    for path in _cookie_paths(request):
        response.set_cookie(
            services.share_cookie,
            body.share,
            max_age=max(0, math.ceil(left / timedelta(seconds=1))),
            httponly=True,
            samesite="strict",
            secure=services.secure_cookies,
            path=path,
        )
    return response


@router.get("/session", dependencies=[Depends(limit_anonymous)])
@answers_with(response_schemas.LinkSession, problems=_LINK_PROBLEMS, security=(ANONYMOUS,))
async def opened_share(request: Request, services: Served, event_id: EventId) -> Response:
    """When this browser's access to the event by a link expires; null where it has none."""
    reject_unknown_parameters(request)
    if share_secret_in(request, services) is None:
        return _json_response(response_schemas.LinkSession(None))
    try:
        caller = await authenticate_by_share_link(request, services)
    except NotFound:
        return _json_response(response_schemas.LinkSession(None))
    return _json_response(_link_session(caller))


def link_session_answer(caller: Caller) -> bytes:
    """When the access of a caller by a link expires, as JSON."""
    return response_schemas.encode(_link_session(caller))


def _link_session(caller: Caller) -> response_schemas.LinkSession:
    return response_schemas.LinkSession(_instant(datetime.fromtimestamp(caller.expires_at, UTC)))


@router.delete("/session", status_code=204, dependencies=[Depends(limit_anonymous)])
@answers_with(
    None,
    204,
    problems=("unknown-parameter", "bad-parameter", "forbidden", "too-many-requests"),
    headers=("Set-Cookie",),
    security=(ANONYMOUS,),
)
async def close_share(request: Request, services: Served, event_id: EventId) -> Response:
    """Delete the cookie."""
    reject_unknown_parameters(request)
    response = Response(status_code=204)
    for path in _cookie_paths(request):
        response.delete_cookie(services.share_cookie, path=path, secure=services.secure_cookies)
    return response


def parse_until(text: str) -> datetime:
    """When a link is to expire.

    Raises:
        BadRequest: the text is no instant with an offset.
    """
    try:
        return parse_instant_with_offset(text)
    except NoOffset as error:
        raise no_offset("until") from error
    except ValueError as error:
        raise BadRequest("{field} is not an ISO 8601 instant with an offset", code="bad-date", field="until") from error


def _bad_body(form: str) -> BadRequest:
    return BadRequest("the body must be JSON like {form}", code="bad-body", form=form)


class _LinkFields(TypedDict):
    share_id: str
    label: str
    created_at: str
    created_by: str
    expires_at: str
    revoked_at: str | None


def _link_fields(share: Share) -> _LinkFields:
    return {
        "share_id": share.share_id,
        "label": share.label,
        "created_at": _instant(share.created_at),
        "created_by": share.created_by,
        "expires_at": _instant(share.expires_at),
        "revoked_at": None if share.revoked_at is None else _instant(share.revoked_at),
    }


def _instant(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _json_response(body: response_schemas.ApiStruct, status: int = 200) -> Response:
    return Response(response_schemas.encode(body), status, {"Cache-Control": "no-store"}, media_type="application/json")


def encode_path_segment(event_id: str) -> str:
    """An id as browsers encode it in a path (encodeURIComponent). Browsers compare a cookie's path byte by byte."""
    return quote(event_id, safe="!*'()")


def _cookie_paths(request: Request) -> tuple[str, str]:
    """The paths of this event, in the API and of its page, with the id as the browser spells it: browsers compare paths
    byte by byte."""
    page = f"/events/{encode_path_segment(request.path_params['event_id'])}"
    return f"/api/v1{page}", page
