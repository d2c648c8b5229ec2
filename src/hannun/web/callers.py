"""Who calls: their token or cookie, their limit, and whether they may see the event that the path names.

All of that is decided before a route looks anything up, for every route that names an `event_id` and depends on
`caller_of`. So another's event cannot be told from none: not by a status, not by an ETag, not by how long it takes.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from hannun.domain.authorization import Principal
from hannun.errors import BadRequest, Forbidden, HannunError, IssuerUnavailable, NotFound, Unauthenticated
from hannun.web.auth import token_in
from hannun.web.limits import address_of
from hannun.web.services import Services, services_of

EVENT_ID_MAX = 36
SHARE_COOKIE = "hannun_share"
Served = Annotated[Services, Depends(services_of)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `expires_at` (seconds since 1970): until when at most; `holds`: whether they still may."""

    asker: Principal
    expires_at: float
    from_cookie: bool
    holds: Callable[[], Awaitable[bool]]

    @property
    def expires_in_s(self) -> float:
        return self.expires_at - time.time()


async def caller_of(request: Request, services: Served) -> Caller:
    """Who calls, with their rate limit taken, and let in to the event of the path, if it names one.

    A link opens its event to whoever may not see it by a token: to read it, and nothing else.

    Raises:
        Unauthenticated: no token holds.
        NotFound: there is no such event that they may see.
        Busy: they call too often.
    """
    event_id = event_in(request)
    try:
        caller = await signed_in(request, services)
        if event_id is not None:
            await services.access.admit(caller.asker, event_id)
        only_known(request)
        return caller
    except (Unauthenticated, NotFound):
        if event_id is None or secret_in(request) is None or request.method != "GET":
            raise
    caller = await opened_by(request, services, event_id)
    only_known(request)
    return caller


async def signed_in(request: Request, services: Services) -> Caller:
    """Who calls by a token of theirs, with their rate limit taken. Raises Unauthenticated and Busy."""
    try:
        token, from_cookie = token_in(request.headers, request.cookies)
        session = await services.verifier.verify(token)
    except Unauthenticated:
        if secret_in(request) is None:
            services.stranger_limit.take(address_of(request))
        raise
    services.limit.take(session.asker.user_id)

    async def holds() -> bool:
        try:
            await services.verifier.verify(token)
        except (Unauthenticated, IssuerUnavailable):
            return False
        return True

    return Caller(session.asker, session.expires_at, from_cookie, holds)


async def opened_by(request: Request, services: Services, event_id: str) -> Caller:
    """Who calls by a link's secret, with the link's rate limit taken.

    Raises:
        NotFound: it opens nothing of this event, or nothing any more.
    """
    secret = secret_in(request) or ""
    try:
        opening = await services.sharing.open(event_id, secret)
    except NotFound:
        services.stranger_limit.take(address_of(request))
        raise
    services.share_limit.take(opening.share_id)

    async def holds() -> bool:
        try:
            await services.sharing.open(event_id, secret)
        except HannunError:
            return False
        return True

    return Caller(opening.asker, opening.expires_at.replace(tzinfo=UTC).timestamp(), True, holds)


def only_known(request: Request) -> None:
    """A parameter that the route does not know is refused, and one that is there twice: a misspelt `startDate` would
    else be answered with all that ever was, and nobody would see that it is not the range that was meant.

    Raises:
        BadQuestion: there is such a one.
    """
    if not request.query_params:
        return
    known = _parameters_of(request.scope["route"])
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise BadRequest(
                "{field} is no parameter of this: {known}",
                code="unknown-parameter",
                field=name[:64],
                known=", ".join(sorted(known)) or "-",
            )
        if name in seen:
            raise BadRequest("{field} is given more than once", code="bad-parameter", field=name)
        seen.add(name)


def _parameters_of(route: APIRoute) -> frozenset[str]:
    """Which query parameters a route, or what it depends on, asks for."""

    def asked(dependant: Dependant) -> Iterator[str]:
        yield from (each.alias for each in dependant.query_params)
        for inner in dependant.dependencies:
            yield from asked(inner)

    return frozenset(asked(route.dependant))


def on_our_own_page(request: Request) -> None:
    """Nobody else's page may sign a browser in: who looks around afterwards would not know as whom.

    Raises:
        Forbidden: the browser says that another site asks. Who is no browser says nothing.
    """
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise Forbidden("another site's page cannot sign you in here")


def secret_in(request: Request) -> str | None:
    """The secret of a link that this browser was given a cookie for. Who brings a token speaks for themselves."""
    return None if "authorization" in request.headers else request.cookies.get(SHARE_COOKIE)


def event_in(request: Request) -> str | None:
    """The event that the path names; None where it names none.

    Raises:
        BadQuestion: no event can have that id.
    """
    event_id: str | None = request.path_params.get("event_id")
    if event_id is not None and ("\0" in event_id or not 0 < len(event_id) <= EVENT_ID_MAX):
        raise BadRequest(
            "{field}: 1 to {length_max} characters, and none of them NUL",
            code="bad-parameter",
            field="eventId",
            length_max=EVENT_ID_MAX,
        )
    return event_id
