"""The page, its session, and what operators look at: health and metrics."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse

from hannun.domain import response_schemas
from hannun.errors import BadRequest, Unauthenticated
from hannun.telemetry import REGISTRY
from hannun.web.auth import COOKIE, Session, token_in
from hannun.web.callers import Served, on_our_own_page, only_known
from hannun.web.contract import CALLER, NOBODY, Body, answers_with
from hannun.web.limits import address_of
from hannun.web.messages import body_of
from hannun.web.services import Services

router = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/v1")
_SIGN_IN_BYTES_MAX = 16_384
_STATIC = Path(__file__).parent / "static"
_INDEX, _DOCS = _STATIC / "index.html", _STATIC / "docs.html"


@router.get("/")
@router.get("/events/{event_id}")
@router.get("/users/{user_id}")
async def page() -> Response:
    """The page; which view it shows is in its address."""
    return FileResponse(_INDEX, headers={"Cache-Control": "no-cache"})


@router.get("/docs")
async def docs() -> Response:
    """The contract to browse and to try."""
    return FileResponse(_DOCS, headers={"Cache-Control": "no-cache"})


class SignIn(msgspec.Struct):
    """A token, or the code of a ready sign-in."""

    token: str | None = None
    code: str | None = None


@api.post("/session", status_code=204)
@answers_with(
    None,
    204,
    refuses=(*CALLER, "forbidden", "bad-sign-in", "body-too-large"),
    headers=("Set-Cookie",),
    callers=(NOBODY,),
    takes=Body({"application/json": SignIn}),
)
async def sign_in(request: Request, services: Served) -> Response:
    """Exchange a token, or a ready sign-in's code, for the page's cookie."""
    only_known(request)
    on_our_own_page(request)
    services.sign_in_limit.take(address_of(request))
    try:
        asked = msgspec.json.decode(await body_of(request, _SIGN_IN_BYTES_MAX), type=SignIn)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest("a sign-in is a JSON object with a token or a code", code="bad-sign-in") from error
    token = asked.token if asked.code is None else services.sign_in_codes.get(asked.code)
    if not token:
        raise Unauthenticated("this sign-in is not known, or the service was started anew since it was made")
    session = await services.verifier.verify(token.strip())
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


@api.get("/session")
@answers_with(response_schemas.Session, refuses=CALLER)
async def who_am_i(request: Request, services: Served) -> Response:
    """Who is signed in, and until when."""
    session = await _session(request, services)
    expires_at = datetime.fromtimestamp(session.expires_at, UTC).isoformat().replace("+00:00", "Z")
    told = response_schemas.Session(session.asker.user_id, sorted(session.asker.roles), expires_at)
    return Response(response_schemas.encode(told), media_type="application/json", headers={"Cache-Control": "no-store"})


@api.delete("/session", status_code=204)
@answers_with(None, 204, refuses=("unknown-parameter",), headers=("Set-Cookie",), callers=(NOBODY,))
async def sign_out(request: Request) -> Response:
    """Forget the cookie."""
    only_known(request)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


async def _session(request: Request, services: Services) -> Session:
    try:
        token, _ = token_in(request.headers, request.cookies)
        session = await services.verifier.verify(token)
    except Unauthenticated:
        services.stranger_limit.take(address_of(request))
        raise
    only_known(request)
    return session


@router.get("/health/live")
async def live() -> Response:
    """The process runs."""
    return JSONResponse({"status": "live"})


@router.get("/health/ready")
async def ready(services: Served) -> Response:
    """Whether questions are answered: ready, degraded with reasons, or not."""
    health: Any = await run_in_threadpool(services.health)
    return JSONResponse(health, 503 if health["status"] == "unavailable" else 200)


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
