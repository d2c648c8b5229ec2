"""The page's session: sign in, sign out, and who is signed in."""

import time
from datetime import UTC, datetime

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from hannun.domain import response_schemas
from hannun.domain.authorization import Principal
from hannun.errors import BadRequest, Forbidden, Unauthenticated
from hannun.tokens import SESSION_LASTS_S
from hannun.web.auth import COOKIE, Session
from hannun.web.bodies import read_struct
from hannun.web.callers import authenticate, guard_cookies, reject_unknown_parameters, verify_within_limits
from hannun.web.contract import ANONYMOUS, AUTHENTICATION_PROBLEMS, BODY_PROBLEMS, RequestBody, answers_with
from hannun.web.request_limits import Served, limit_sign_ins, take_from_address
from hannun.web.services import Services

router = APIRouter(prefix="/api/v1", dependencies=[Depends(guard_cookies)])


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

    The cookie lasts 12 hours at most, and no longer than the token.
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
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        token,
        max_age=max(0, int(min(SESSION_LASTS_S, session.expires_at - time.time()))),
        httponly=True,
        samesite="strict",
        secure=services.secure_cookies,
        path="/",
    )
    return response


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


@router.get("/session")
@answers_with(response_schemas.Session, problems=AUTHENTICATION_PROBLEMS)
async def who_am_i(request: Request, services: Served) -> Response:
    """Who is signed in, and until when."""
    caller = await authenticate(request, services)
    _require_role(caller.principal)
    reject_unknown_parameters(request)
    expires_at = datetime.fromtimestamp(caller.expires_at, UTC).isoformat().replace("+00:00", "Z")
    body = response_schemas.Session(caller.principal.user_id, sorted(caller.principal.roles), expires_at)
    return Response(response_schemas.encode(body), media_type="application/json", headers={"Cache-Control": "no-store"})


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
    response.delete_cookie(COOKIE, path="/")
    return response


async def _end_session(request: Request, services: Services) -> None:
    token = request.cookies.get(COOKIE)
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
