"""The caller of a request: rate limit, authentication, and authorization for the event in the path.

All three happen before a route reads any data, for every route that has an `event_id` in its path and depends on
`caller_of`. So another merchant's event and an event that does not exist are indistinguishable: by status, by ETag and
by response time.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from hannun.domain.authorization import Principal
from hannun.domain.ids import ID_LENGTH_MAX, canonical_id, is_id
from hannun.errors import BadRequest, Forbidden, HannunError, NotFound, Unauthenticated
from hannun.flows.share_links import ShareLinks
from hannun.web.access import entry_of_read
from hannun.web.auth import Session, Verifier, bearer_token_in, token_in
from hannun.web.request_limits import Served, give_back_to_address, take_from_address, take_from_subject
from hannun.web.services import Services

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request.

    Args:
        subject: whose limits the request counts against: the user's id, or the share link's.
        expires_at: when the token or share link expires at the latest, in seconds since 1970.
        from_cookie: whether the credentials came in a cookie.
        check: whether the token or share link is valid later. A session may end, a token's key may leave the issuer's
            set, and a share link may be revoked.
    """

    principal: Principal
    subject: str
    expires_at: float
    from_cookie: bool
    check: "TokenCheck | LinkCheck"

    @property
    def expires_in_s(self) -> float:
        return self.expires_at - time.time()


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """Whether a token that was verified is still valid. The process knows that itself."""

    verifier: Verifier
    session: Session

    def known(self) -> bool:
        """Also False while the issuer's keys are too old: only a new request has them read."""
        return self.verifier.is_valid(self.session)

    async def find_out(self) -> bool:
        return self.known()


@dataclass(frozen=True, slots=True)
class LinkCheck:
    """Whether a share link still grants access. Equal for all who use the link."""

    share_links: ShareLinks
    event_id: str
    secret: str

    def known(self) -> None:
        """It takes a query."""

    async def find_out(self) -> bool:
        try:
            await self.share_links.resolve(self.event_id, self.secret)
        except HannunError:
            return False
        return True


def need_admin(caller: Caller) -> None:
    """Let only an administrator go on.

    Raises:
        Forbidden: the caller has not the role ADMIN.
    """
    if "ADMIN" not in caller.principal.roles:
        raise Forbidden("this needs the role ADMIN")


async def caller_of(request: Request, services: Served) -> Caller:
    """The caller, authenticated, within the rate limit, and authorized for the event in the path, if there is one.

    A share link grants read access (GET) to its event where the caller's token does not.

    Raises:
        Unauthenticated: there is no valid token.
        Forbidden: the token has no role that may read, whether the event exists or not.
        NotFound: there is no such event that this caller may see.
        Busy: the rate limit is reached.
    """
    caller = await authorized_caller(request, services)
    reject_unknown_parameters(request)
    record_read(request, services, caller)
    return caller


async def authorized_caller(request: Request, services: Services) -> Caller:
    """As `caller_of`, for a path whose query is none of the API's; the caller of this function records the read."""
    try:
        caller = await authenticate(request, services)
        if not caller.principal.may_read:
            raise Forbidden("this needs the role MERCHANT or ADMIN")
        event_id = event_id_in(request)
        if event_id is not None:
            await services.authorizer.authorize(caller.principal, event_id)
        return caller
    except (Unauthenticated, Forbidden, NotFound):
        if not _may_use_share_link(request, services):
            raise
    return await authenticate_by_share_link(request, services)


def record_read(request: Request, services: Services, caller: Caller) -> None:
    """Record a request that reads the data of others, or takes a file away."""
    if request.method in ("GET", "HEAD"):
        path = request.scope["path"]
        entry = entry_of_read(caller.principal, caller.subject, path, request.path_params, request.query_params)
        if entry is not None:
            services.access_records.add(entry)


async def authenticate(request: Request, services: Services) -> Caller:
    """The caller by their token, within the rate limit. Raises Unauthenticated and Busy."""
    try:
        token, from_cookie = token_in(request.headers, request.cookies, services.session_cookie)
    except Unauthenticated:
        if not _may_use_share_link(request, services):  # else its limit decides, or its secret takes from the address
            take_from_address(request, services)
        raise
    session = await verify_within_limits(request, services, token)
    check = TokenCheck(services.verifier, session)
    return Caller(session.principal, session.principal.user_id, session.expires_at, from_cookie, check)


async def verify_within_limits(request: Request, services: Services, token: str) -> Session:
    """The session of a token. Raises Unauthenticated, IssuerUnavailable and Busy."""
    session = services.verifier.cached_session(token)
    if session is None:
        take_from_address(request, services)
        session = await services.verifier.verify(token)
        give_back_to_address(request, services)
    take_from_subject(request, services, session.principal.user_id)
    return session


async def authenticate_by_share_link(request: Request, services: Services) -> Caller:
    """The caller by the secret of a share link to the event in the path, within the link's own rate limit.

    Raises:
        BadRequest: no event can have the id in the path.
        NotFound: the secret grants nothing of this event, or no longer does.
        Busy: the limit of the link is reached, or that of an address that sends wrong secrets.
    """
    secret = share_secret_in(request, services) or ""
    known_id = services.share_links.known_share_id(canonical_id(request.path_params["event_id"]), secret)
    if known_id is None:
        take_from_address(request, services)
    else:
        give_back_to_address(request, services)
        services.share_limit.take(known_id)
    event_id = event_id_in(request) or ""
    grant = await services.share_links.resolve(event_id, secret)
    if known_id is None:
        give_back_to_address(request, services)
        services.share_limit.take(grant.share_id)
    expires_at = grant.expires_at.replace(tzinfo=UTC).timestamp()
    check = LinkCheck(services.share_links, event_id, secret)
    return Caller(grant.principal, grant.share_id, expires_at, True, check)


def reject_unknown_parameters(request: Request) -> None:
    """Reject a query parameter that the route does not define, and one that is given twice.

    Otherwise a request with a misspelt `startDate` would be answered for all time, and nobody would notice.

    Raises:
        BadRequest: there is such a parameter.
    """
    if not request.query_params:
        return
    known = _parameters_of(request.scope["route"])
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise BadRequest(
                "{field} is not a parameter here; known: {known}",
                code="unknown-parameter",
                field=name[:64],
                known=", ".join(sorted(known)) or "-",
            )
        if name in seen:
            raise BadRequest("{field} is given more than once", code="bad-parameter", field=name)
        seen.add(name)


def _parameters_of(route: APIRoute) -> frozenset[str]:
    """The query parameters of a route and of its dependencies."""

    def names(dependant: Dependant) -> Iterator[str]:
        yield from (parameter.alias for parameter in dependant.query_params)
        for dependency in dependant.dependencies:
            yield from names(dependency)

    return frozenset(names(route.dependant))


async def guard_cookies(request: Request, services: Served) -> None:
    """Reject a request that changes something, where a page of another origin may have sent it with the user's cookie.

    Every router with such a route depends on it. A caller with a bearer token knows that token, and is exempt, but not
    at the routes that set and delete cookies, since those act on the browser itself. SameSite does not suffice: a page
    on another port of the same host is of the same site.

    Raises:
        Forbidden: the page is of another origin.
        BadRequest: the body has a type that a page may send to any origin without asking (415).
        Busy: the address has sent too many such requests.
    """
    refusal = _refusal_by_cookie(request, services)
    if refusal is not None:
        take_from_address(request, services)
        raise refusal


def _refusal_by_cookie(request: Request, services: Services) -> Forbidden | BadRequest | None:
    if request.method in _SAFE_METHODS:
        return None
    sets_cookies = request.url.path.endswith("/session")
    if bearer_token_in(request.headers) is not None and not sets_cookies:
        return None
    if not _is_same_origin(request, services):
        return Forbidden("a page of another origin cannot do this with the cookies of this one")
    has_cookie = services.session_cookie in request.cookies or services.share_cookie in request.cookies
    if request.method != "DELETE" and (sets_cookies or has_cookie):
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return BadRequest("the body must be sent as application/json", code="unsupported-media-type")
    return None


def _is_same_origin(request: Request, services: Services) -> bool:
    """Whether the browser reports a page of this origin. Programs report nothing.

    Browsers send Sec-Fetch-Site to trustworthy addresses only: over plain HTTP to another machine, Origin decides.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "none"):
        return site == "same-origin"
    if origin is None:
        return True
    host = request.headers.get("host", "").lower()
    ours = {f"{request.url.scheme}://{host}", *services.own_origins}
    if services.secure_cookies:  # TLS ends at a proxy, which may not report it
        ours.add(f"https://{host}")
    return origin in ours


def share_secret_in(request: Request, services: Services) -> str | None:
    """The share link's secret in the request's cookie; None where the request has an Authorization header."""
    return None if "authorization" in request.headers else request.cookies.get(services.share_cookie)


def _may_use_share_link(request: Request, services: Services) -> bool:
    """Whether the request may be answered by the secret of a share link: one that reads something of an event."""
    reads_event = request.method == "GET" and "event_id" in request.path_params
    return reads_event and share_secret_in(request, services) is not None


def event_id_in(request: Request) -> str | None:
    """The event id in the path, in its canonical form; None where the path has none.

    Raises:
        BadRequest: no event can have that id.
    """
    event_id: str | None = request.path_params.get("event_id")
    if event_id is None:
        return None
    if not is_id(event_id):
        raise BadRequest(
            "{field}: 1 to {length_max} characters, and none of them NUL",
            code="bad-parameter",
            field="eventId",
            length_max=ID_LENGTH_MAX,
        )
    return canonical_id(event_id)
