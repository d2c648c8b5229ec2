"""The page's session: sign in, sign out, and who is signed in."""

import time
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from msgspec import Meta

from hannun.domain import response_schemas
from hannun.domain.authorization import Principal
from hannun.domain.ids import ID_LENGTH_MAX, canonical_id
from hannun.errors import BadRequest, Forbidden, IssuerUnavailable, Unauthenticated
from hannun.flows.sessions import CODE_LASTS_S
from hannun.tokens import SESSION_LASTS_S
from hannun.web.api import sending_principal
from hannun.web.auth import Session
from hannun.web.bodies import read_struct
from hannun.web.callers import Caller, authenticate, guard_cookies, reject_unknown_parameters, verify_within_limits
from hannun.web.compression import never_compress
from hannun.web.contract import ANONYMOUS, AUTHENTICATION_PROBLEMS, BODY_PROBLEMS, RequestBody, answers_with
from hannun.web.request_limits import Served, limit_sign_ins, take_from_address
from hannun.web.services import Services
from hannun.web.uncached import uncached_json

SignInRole = Literal["MERCHANT", "ADMIN"]
router = APIRouter(prefix="/api/v1", dependencies=[Depends(guard_cookies)])


_RETURN_PATH = "^/(?![/\\\\])[^\\s#\\\\\\x00-\\x1f\\x7f]{0,2000}$"
"""A path of the page with its query. No other origin can be named: browsers read `//` and `/\\` as a host."""


class WantedCode(msgspec.Struct):
    """A user whom the platform has signed in, and the path of the page to which the browser returns."""

    user_id: Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX, pattern="^[^\\x00]+$")] = msgspec.field(
        name="userId"
    )
    roles: Annotated[list[SignInRole], Meta(min_length=1, max_length=2)] = msgspec.field(
        default_factory=lambda: ["MERCHANT"]
    )
    return_to: Annotated[str, Meta(pattern=_RETURN_PATH)] = msgspec.field(default="/", name="returnTo")


class SignIn(msgspec.Struct):
    """A token, or a one-time code."""

    token: str | None = None
    code: str | None = None


@router.post("/session", status_code=204, dependencies=[Depends(limit_sign_ins)])
@answers_with(
    None,
    204,
    problems=(
        *AUTHENTICATION_PROBLEMS,
        "bad-sign-in",
        *BODY_PROBLEMS,
        "unsupported-media-type",
        "store-unavailable",
    ),
    headers=("Set-Cookie",),
    security=(ANONYMOUS,),
    request_body=RequestBody({"application/json": SignIn}),
)
async def sign_in(request: Request, services: Served) -> Response:
    """Exchange a token, or a one-time code, for the page's cookie. A code is used up by that.

    The cookie lasts 12 hours at most, and no longer than the token. The session of a cookie that it replaces ends.
    """
    reject_unknown_parameters(request)
    invalid = BadRequest("a sign-in is a JSON object with a token or a code", code="bad-sign-in")
    body = await read_struct(request, SignIn, invalid=invalid)
    if body.code is not None:
        token = services.issue_token(*await services.sessions.use_code(body.code), SESSION_LASTS_S)
        session = await services.verifier.verify(token)
    else:
        token, session = await _session_of(services, (body.token or "").strip())
    _require_role(session.principal)
    await _end_replaced_session(request, services, session)
    response = Response(status_code=204)
    response.set_cookie(
        services.session_cookie,
        token,
        max_age=max(0, int(min(SESSION_LASTS_S, session.expires_at - time.time()))),
        httponly=True,
        samesite="strict",
        secure=services.secure_cookies,
        path="/",
    )
    return response


async def _end_replaced_session(request: Request, services: Services, new: Session) -> None:
    """End the session of the cookie that a sign-in replaces, for whoever has copied it."""
    try:
        replaced = await services.verifier.verify(request.cookies.get(services.session_cookie, ""))
    except (Unauthenticated, IssuerUnavailable):
        return
    if replaced.token_hash != new.token_hash:
        await services.sessions.end(replaced.token_hash, replaced.expires_at)


async def _session_of(services: Services, token: str) -> tuple[str, Session]:
    """The token of a new session, and what it says.

    Where the shared secret has signed the caller's token, it is another one, so that a sign-out ends the session and
    not the caller's token. A token that a published key has signed is the session's own: it ends with that key.
    """
    given = await services.verifier.verify(token)
    if given.key_fingerprint is not None:
        return token, given
    lasts_s = min(SESSION_LASTS_S, given.expires_at - time.time())
    own_token = services.issue_token(given.principal.user_id, sorted(given.principal.roles), lasts_s)
    own = await services.verifier.verify(own_token)
    # The operator's mapping may have no name for a role. Then the caller's token is the session's.
    return (own_token, own) if own.principal == given.principal else (token, given)


@router.post("/sign-in-codes", status_code=201)
@answers_with(
    response_schemas.SignInCode,
    201,
    problems=(*AUTHENTICATION_PROBLEMS, "bad-body", *BODY_PROBLEMS, "store-unavailable"),
    request_body=RequestBody({"application/json": WantedCode}),
)
async def make_sign_in_code(
    request: Request, services: Served, principal: Annotated[Principal, Depends(sending_principal)]
) -> Response:
    """A one-time code for a user whom the platform has signed in (role SERVICE or ADMIN, by a bearer token).

    The platform sends the user's browser to `address`, on this service's origin: the page exchanges the code for its
    cookie. The code lasts ten minutes and signs one browser in.
    """
    form = '{"userId": "...", "roles"?: ["MERCHANT"], "returnTo"?: "/events/..."}'
    wanted = await read_struct(
        request, WantedCode, invalid=BadRequest("the body must be JSON like {form}", code="bad-body", form=form)
    )
    code = await services.sessions.create_code(principal, canonical_id(wanted.user_id), sorted(set(wanted.roles)))
    never_compress(request)
    body = response_schemas.SignInCode(code, f"{wanted.return_to}#code={code}", int(CODE_LASTS_S))
    return uncached_json(body, 201)


@router.get("/session")
@answers_with(response_schemas.Session, problems=AUTHENTICATION_PROBLEMS)
async def who_am_i(request: Request, services: Served) -> Response:
    """Who is signed in, and until when."""
    caller = await authenticate(request, services)
    _require_role(caller.principal)
    reject_unknown_parameters(request)
    return uncached_json(session_answer(caller))


def session_answer(caller: Caller) -> bytes:
    """Who is signed in, and until when, as JSON."""
    expires_at = datetime.fromtimestamp(caller.expires_at, UTC).isoformat().replace("+00:00", "Z")
    principal = caller.principal
    return response_schemas.encode(response_schemas.Session(principal.user_id, sorted(principal.roles), expires_at))


@router.delete("/session", status_code=204)
@answers_with(
    None,
    204,
    problems=("unknown-parameter", "forbidden", "too-many-requests", "store-unavailable", "issuer-unavailable"),
    headers=("Set-Cookie",),
    security=(ANONYMOUS,),
)
async def sign_out(request: Request, services: Served) -> Response:
    """End the session of the page's cookie: its token is refused everywhere within a second. Deletes the cookie.

    While PostgreSQL is unavailable the session cannot end: 503, and the cookie stays. Other sessions go on.
    """
    await _end_session(request, services)
    response = Response(status_code=204)
    response.delete_cookie(services.session_cookie, path="/", secure=services.secure_cookies)
    return response


async def _end_session(request: Request, services: Services) -> None:
    token = request.cookies.get(services.session_cookie)
    try:
        if token is None:
            take_from_address(request, services)
        else:
            session = await verify_within_limits(request, services, token)
    except Unauthenticated:
        token = None  # it has ended already
    reject_unknown_parameters(request)
    if token is not None:
        await services.sessions.end(session.token_hash, session.expires_at)


def _require_role(principal: Principal) -> None:
    if not principal.roles:
        raise Forbidden("the token has no role that is known here")
