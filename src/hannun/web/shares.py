"""Share links: their maker's side, and the cookie that a link's secret is exchanged for.

/events/{eventId}#share=SECRET   the link: what stands behind # is sent to no server, and stands in no log
  └► POST /api/v1/events/{eventId}/session {"share": SECRET} ─► a cookie for the paths of this event alone
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from hannun.errors import BadQuestion, NotFound
from hannun.flows.share import LABEL_LENGTH_MAX
from hannun.store.shares import Share
from hannun.web.api import Calling, EventId
from hannun.web.callers import SHARE_COOKIE, Caller, Served, event_in, on_our_own_page, opened_by, secret_in
from hannun.web.limits import address_of
from hannun.web.messages import body_of

router = APIRouter(prefix="/api/v1/events/{event_id}")
_BYTES_MAX = 16_384


async def sharer_of(caller: Calling) -> Caller:
    """Who may share the event: who sees it by a token of theirs, and not by a link."""
    if caller.asker.only_event is not None:
        raise NotFound("no such path for a link")
    return caller


Sharer = Annotated[Caller, Depends(sharer_of)]
ShareId = Annotated[str, Path(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$", description="the link's id")]


class _Wanted(msgspec.Struct):
    until: datetime
    label: str = ""


class _Exchange(msgspec.Struct):
    share: str


_TIME = {"type": "string", "format": "date-time"}
_SHARE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "shareId": {"type": "string"},
        "label": {"type": "string", "maxLength": LABEL_LENGTH_MAX},
        "createdAt": _TIME,
        "createdBy": {"type": "string"},
        "expiresAt": _TIME,
        "revokedAt": {"type": ["string", "null"], "format": "date-time"},
    },
    "required": ["shareId", "label", "createdAt", "createdBy", "expiresAt", "revokedAt"],
}
_MADE = {
    **_SHARE,
    "properties": {**_SHARE["properties"], "address": {"type": "string"}},
    "required": [*_SHARE["required"], "address"],
}
_LIST = {"type": "object", "properties": {"shares": {"type": "array", "items": _SHARE}}, "required": ["shares"]}
_WANTED = {
    "type": "object",
    "properties": {"until": _TIME, "label": {"type": "string", "maxLength": LABEL_LENGTH_MAX}},
    "required": ["until"],
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


@router.post(
    "/shares",
    status_code=201,
    responses={201: {"description": "The link, and this once its address", **_json(_MADE)}},
    openapi_extra={"requestBody": {"required": True, **_json(_WANTED)}},
)
async def make_share(request: Request, services: Served, sharer: Sharer, event_id: EventId) -> Response:
    """Make a link that opens this event read-only until a date: `{"until": instant with offset, "label"?}`.

    The answer holds the link's address, with its secret; it is shown this once.
    """
    wanted = await _body(request, _Wanted, 'a link is {"until": an instant with an offset, "label": text}')
    if wanted.until.tzinfo is None:
        raise BadQuestion("until has no offset", code="no-offset", field="until")
    share, secret = await services.sharing.make(sharer.asker, event_id, wanted.until, wanted.label)
    address = f"/events/{in_address(event_id)}#share={secret}"
    return _told({**_shown(share), "address": address}, 201)


@router.get("/shares", responses={200: {"description": "The links", **_json(_LIST)}})
async def shares_of_event(services: Served, sharer: Sharer, event_id: EventId) -> Response:
    """The event's links: those that open it first, then the newest of the others. Their secrets are not known."""
    return _told({"shares": [_shown(share) for share in await services.sharing.of_event(event_id)]})


@router.delete("/shares/{share_id}", status_code=204)
async def revoke_share(services: Served, sharer: Sharer, event_id: EventId, share_id: ShareId) -> Response:
    """Revoke a link: it opens nothing any more, within 2 s everywhere."""
    await services.sharing.revoke(event_id, share_id)
    return Response(status_code=204)


@router.post("/session", include_in_schema=False)
async def open_share(request: Request, services: Served, event_id: EventId) -> Response:
    """Exchange a link's secret for a cookie, which is sent to this event's paths alone."""
    on_our_own_page(request)
    services.sign_in_limit.take(address_of(request))
    asked = await _body(request, _Exchange, 'an exchange is {"share": the secret of a link}')
    opening = await services.sharing.open(event_in(request) or event_id, asked.share)
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    left = opening.expires_at.replace(tzinfo=UTC) - datetime.now(UTC)
    response.set_cookie(
        SHARE_COOKIE,
        asked.share,
        max_age=max(0, math.ceil(left / timedelta(seconds=1))),
        httponly=True,
        samesite="strict",
        secure=services.secure_cookies,
        path=_path_of(event_id),
    )
    return response


@router.get("/session", include_in_schema=False)
async def opened_share(request: Request, services: Served, event_id: EventId) -> Response:
    """Until when a link has opened this event to this browser; null where none has."""
    if secret_in(request) is None:
        return _told({"expiresAt": None})
    try:
        caller = await opened_by(request, services, event_id)
    except NotFound:
        return _told({"expiresAt": None})
    return _told({"expiresAt": _instant(datetime.fromtimestamp(caller.expires_at, UTC))})


@router.delete("/session", include_in_schema=False)
async def close_share(event_id: EventId) -> Response:
    """Forget the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(SHARE_COOKIE, path=_path_of(event_id))
    return response


async def _body(request: Request, type_: Any, form: str) -> Any:
    try:
        return msgspec.json.decode(await body_of(request, _BYTES_MAX), type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadQuestion(form, code="bad-body") from error


def _shown(share: Share) -> dict[str, object]:
    return {
        "shareId": share.share_id,
        "label": share.label,
        "createdAt": _instant(share.created_at),
        "createdBy": share.created_by,
        "expiresAt": _instant(share.expires_at),
        "revokedAt": None if share.revoked_at is None else _instant(share.revoked_at),
    }


def _instant(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _told(told: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(told), status, {"Cache-Control": "no-store"}, media_type="application/json")


def in_address(event_id: str) -> str:
    """An id in an address as browsers write it (encodeURIComponent): a cookie's path is compared letter by letter."""
    return quote(event_id, safe="!*'()")


def _path_of(event_id: str) -> str:
    return f"/api/v1/events/{in_address(event_id)}"
