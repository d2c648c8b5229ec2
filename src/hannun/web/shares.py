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
from msgspec import Meta

from hannun.domain import response_schemas
from hannun.errors import BadRequest, NotFound
from hannun.flows.share_links import LABEL_LENGTH_MAX
from hannun.store.shares import Share
from hannun.web.api import Calling, EventId
from hannun.web.callers import SHARE_COOKIE, Caller, Served, event_in, on_our_own_page, only_known, opened_by, secret_in
from hannun.web.contract import NOBODY, OF_EVENT, Body, answers_with
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


_HOUR = "([01][0-9]|2[0-3])"
_AHEAD = (
    "^2[0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    f"[Tt ]{_HOUR}:[0-5][0-9]:[0-5][0-9]([.][0-9]{{1,9}})?([Zz]|[+-]{_HOUR}:[0-5][0-9])$"
)


class WantedLink(msgspec.Struct):
    """A link to make: until when it opens the event (up to 366 days ahead), and a word on whom it is for."""

    until: Annotated[datetime, Meta(extra_json_schema={"pattern": _AHEAD})]
    label: Annotated[str, Meta(extra_json_schema={"maxLength": LABEL_LENGTH_MAX, "pattern": "^[^\\x00]*$"})] = ""


class LinkSecret(msgspec.Struct):
    """The secret of a link: what stands behind `#share=` in its address."""

    share: str


_OPENING = ("unknown-parameter", "bad-parameter", "not-found", "too-many-requests", "store-unavailable")
"""How opening a link may be refused; nobody needs a token for it."""


_ITSELF = {"eventId": "$request.path.eventId", "shareId": "$response.body#/shareId"}


@router.post("/shares", status_code=201)
@answers_with(
    response_schemas.NewLink,
    201,
    refuses=(*OF_EVENT, "bad-body", "no-offset", "bad-date", "body-too-large", "too-many-shares"),
    takes=Body({"application/json": WantedLink}),
    follows={"revoke": ("revoke_share", _ITSELF), "list": ("shares_of_event", {"eventId": "$request.path.eventId"})},
)
async def make_share(request: Request, services: Served, sharer: Sharer, event_id: EventId) -> Response:
    """Make a link that opens this event read-only until a date: `{"until": instant with offset, "label"?}`.

    The answer holds the link's address, with its secret; it is shown this once.
    """
    wanted = await _body(request, WantedLink, '{"until": "2026-12-31T00:00:00+09:00", "label": "agency"}')
    if wanted.until.tzinfo is None:
        raise BadRequest("{field} has no offset from UTC: add one, as in +09:00 or Z", code="no-offset", field="until")
    share, secret = await services.sharing.make(sharer.asker, event_id, wanted.until, wanted.label)
    address = f"/events/{in_address(event_id)}#share={secret}"
    return _told(response_schemas.NewLink(**_shown(share), address=address), 201)


@router.get("/shares")
@answers_with(response_schemas.Links, refuses=OF_EVENT)
async def shares_of_event(services: Served, sharer: Sharer, event_id: EventId) -> Response:
    """The event's links: those that open it first, then the newest of the others. Their secrets are not known."""
    return _told(
        response_schemas.Links(
            [response_schemas.Link(**_shown(share)) for share in await services.sharing.of_event(event_id)]
        )
    )


@router.delete("/shares/{share_id}", status_code=204)
@answers_with(None, 204, refuses=OF_EVENT, headers=())
async def revoke_share(services: Served, sharer: Sharer, event_id: EventId, share_id: ShareId) -> Response:
    """Revoke a link: it opens nothing any more, within 2 s everywhere."""
    await services.sharing.revoke(event_id, share_id)
    return Response(status_code=204)


@router.post("/session", status_code=204)
@answers_with(
    None,
    204,
    refuses=(*_OPENING, "bad-body", "body-too-large", "forbidden"),
    headers=("Cache-Control", "Set-Cookie"),
    callers=(NOBODY,),
    takes=Body({"application/json": LinkSecret}),
)
async def open_share(request: Request, services: Served, event_id: EventId) -> Response:
    """Exchange a link's secret for a cookie, which is sent to this event's paths alone."""
    only_known(request)
    on_our_own_page(request)
    services.sign_in_limit.take(address_of(request))
    asked = await _body(request, LinkSecret, '{"share": "..."}')
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


@router.get("/session")
@answers_with(response_schemas.LinkSession, refuses=_OPENING, callers=(NOBODY,))
async def opened_share(request: Request, services: Served, event_id: EventId) -> Response:
    """Until when a link has opened this event to this browser; null where none has."""
    only_known(request)
    if secret_in(request) is None:
        return _told(response_schemas.LinkSession(None))
    try:
        caller = await opened_by(request, services, event_id)
    except NotFound:
        return _told(response_schemas.LinkSession(None))
    return _told(response_schemas.LinkSession(_instant(datetime.fromtimestamp(caller.expires_at, UTC))))


@router.delete("/session", status_code=204)
@answers_with(None, 204, refuses=("unknown-parameter", "bad-parameter"), headers=("Set-Cookie",), callers=(NOBODY,))
async def close_share(request: Request, event_id: EventId) -> Response:
    """Forget the cookie."""
    only_known(request)
    response = Response(status_code=204)
    response.delete_cookie(SHARE_COOKIE, path=_path_of(event_id))
    return response


async def _body(request: Request, type_: Any, form: str) -> Any:
    try:
        return msgspec.json.decode(await body_of(request, _BYTES_MAX), type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest("the body must be JSON like {form}", code="bad-body", form=form) from error


def _shown(share: Share) -> dict[str, Any]:
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


def _told(told: response_schemas.ApiStruct, status: int = 200) -> Response:
    return Response(response_schemas.encode(told), status, {"Cache-Control": "no-store"}, media_type="application/json")


def in_address(event_id: str) -> str:
    """An id in an address as browsers write it (encodeURIComponent): a cookie's path is compared letter by letter."""
    return quote(event_id, safe="!*'()")


def _path_of(event_id: str) -> str:
    return f"/api/v1/events/{in_address(event_id)}"
