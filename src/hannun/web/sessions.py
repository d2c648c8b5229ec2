"""The page's session: sign in, sign out, and who is signed in."""

import time
from datetime import UTC, datetime

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from hannun.domain import response_schemas
from hannun.domain.authorization import Principal
from hannun.errors import BadRequest, Forbidden, Unauthenticated
from hannun.web.auth import COOKIE
from hannun.web.bodies import read_struct
from hannun.web.callers import authenticate, guard_cookies, reject_unknown_parameters
from hannun.web.contract import ANONYMOUS, AUTHENTICATION_PROBLEMS, RequestBody, answers_with
from hannun.web.request_limits import Served, limit_anonymous, limit_sign_ins

router = APIRouter(prefix="/api/v1", dependencies=[Depends(guard_cookies)])


class SignIn(msgspec.Struct):
    """A token, or the code of a prepared sign-in."""

    token: str | None = None
    code: str | None = None


@router.post("/session", status_code=204, dependencies=[Depends(limit_sign_ins)])
@answers_with(
    None,
    204,
    problems=(*AUTHENTICATION_PROBLEMS, "bad-sign-in", "body-too-large", "unsupported-media-type"),
    headers=("Set-Cookie",),
    security=(ANONYMOUS,),
    request_body=RequestBody({"application/json": SignIn}),
)
async def sign_in(request: Request, services: Served) -> Response:
    """Exchange a token, or the code of a prepared sign-in, for the page's cookie."""
    reject_unknown_parameters(request)
    invalid = BadRequest("a sign-in is a JSON object with a token or a code", code="bad-sign-in")
    body = await read_struct(request, SignIn, invalid=invalid)
    token = body.token if body.code is None else services.sign_in_codes.get(body.code)
    if not token:
        raise Unauthenticated("this sign-in code is unknown, or the service was restarted since it was created")
    session = await services.verifier.verify(token.strip())
    _require_role(session.principal)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        token.strip(),
        max_age=max(0, int(session.expires_at - time.time())),
        httponly=True,
        samesite="strict",
        secure=services.secure_cookies,
        path="/",
    )
    return response


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


@router.delete("/session", status_code=204, dependencies=[Depends(limit_anonymous)])
@answers_with(
    None,
    204,
    problems=("unknown-parameter", "forbidden", "too-many-requests"),
    headers=("Set-Cookie",),
    security=(ANONYMOUS,),
)
async def sign_out(request: Request) -> Response:
    """Delete the page's cookie."""
    reject_unknown_parameters(request)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


def _require_role(principal: Principal) -> None:
    if not principal.roles:
        raise Forbidden("the token has no role that is known here")
