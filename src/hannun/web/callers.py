"""Who calls: their token or cookie, their limit, and whether they may see the event that the path names.

All of that is decided before a route looks anything up, for every route that names an `event_id` and depends on
`caller_of`. So another's event cannot be told from none: not by a status, not by an ETag, not by how long it takes.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from hannun.domain.access import Asker
from hannun.errors import BadQuestion
from hannun.web.auth import token_in
from hannun.web.services import Services, services_of

EVENT_ID_MAX = 36
Served = Annotated[Services, Depends(services_of)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `expires_at` (seconds since 1970): until when at most; `holds`: whether they still may."""

    asker: Asker
    expires_at: float
    from_cookie: bool
    holds: Callable[[], Awaitable[bool]]

    @property
    def expires_in_s(self) -> float:
        return self.expires_at - time.time()


async def caller_of(request: Request, services: Served) -> Caller:
    """Who calls, with their rate limit taken, and let in to the event of the path, if it names one.

    Raises:
        Unauthenticated: no token holds.
        NotFound: there is no such event that they may see.
        Busy: they call too often.
    """
    caller = await signed_in(request, services)
    event_id = event_in(request)
    if event_id is not None:
        await services.access.admit(caller.asker, event_id)
    return caller


async def signed_in(request: Request, services: Services) -> Caller:
    """Who calls by a token of theirs, with their rate limit taken. Raises Unauthenticated and Busy."""
    token, from_cookie = token_in(request.headers, request.cookies)
    session = await services.verifier.verify(token)
    services.limit.take(session.asker.user_id)

    async def holds() -> bool:
        return services.verifier.remembered(token) is not None

    return Caller(session.asker, session.expires_at, from_cookie, holds)


def event_in(request: Request) -> str | None:
    """The event that the path names; None where it names none.

    Raises:
        BadQuestion: no event can have that id.
    """
    event_id: str | None = request.path_params.get("event_id")
    if event_id is not None and ("\0" in event_id or not 0 < len(event_id) <= EVENT_ID_MAX):
        raise BadQuestion(
            f"event_id: 1 to {EVENT_ID_MAX} characters, and none of them NUL", code="bad-parameter", field="event_id"
        )
    return event_id
