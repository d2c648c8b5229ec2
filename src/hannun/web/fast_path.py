"""The fast path: answers what the pages read, which is most of all requests, before the framework is reached.

    dashboard, timeline, insights, ─► token verified before? ─► access granted before? ─► limit ─► bytes, or 304
    with the pages' parameters                 └──────────────────────────┴─────────────────┴─ else ─► the application

It answers exactly as the application's route would, byte for byte, or not at all. Every other case goes to the route,
which decides by itself: a first visit, an event of another merchant, a reached limit, a share link, another origin, any
other parameter. An error goes there too: the route raises what was raised here (`record_failed_read`), so that it is
logged, counted and answered in one place. Nothing is looked up for a caller who was not granted access before, so
response times reveal nothing. The framework costs several times what a cached answer costs (`bench answers`).
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from hannun import deadlines, tracing
from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.granularity import Granularity, WeekStart
from hannun.domain.ids import ID_LENGTH_MAX, canonical_id, is_id
from hannun.domain.questions import EventSubject, Filters, Question
from hannun.domain.ranges import DEFAULT_TZ, parse_range
from hannun.errors import BadRequest
from hannun.flows.report.cached_reader import Source
from hannun.flows.report.registry import EVENT_DASHBOARD, EVENT_INSIGHTS, EVENT_TIMELINE, MERCHANT_DASHBOARD, AnyView
from hannun.telemetry import metrics
from hannun.web.access import entry_of_read
from hannun.web.api import INSTANT_LENGTH_MAX, VARY, record_failed_read, version_seen
from hannun.web.auth import bearer_token
from hannun.web.compression import BODY_BYTES_MIN, ENCODINGS, Encoding, accepted_encoding, pack_off_loop
from hannun.web.direct_write import DirectWriteTransport, header_bytes
from hannun.web.etags import matches
from hannun.web.request_limits import record_subject_taken
from hannun.web.security import SECURITY_HEADERS
from hannun.web.services import Services


class _Route(NamedTuple):
    """A route of the application: its pattern, its view, and those of its parameters that the pages send."""

    pattern: str
    view: AnyView
    parameters: frozenset[str]


_PREFIX = "/api/v1/"
_RANGE = frozenset({"startDate", "endDate", "tz"})
_ROUTES = {
    (route.pattern.split("/")[3], route.pattern.partition("}/")[2]): route
    for route in (
        _Route("/api/v1/events/{event_id}/analytics", EVENT_DASHBOARD, _RANGE),
        _Route("/api/v1/events/{event_id}/analytics/timeline", EVENT_TIMELINE, _RANGE | {"granularity"}),
        _Route("/api/v1/events/{event_id}/analytics/insights", EVENT_INSIGHTS, frozenset({"tz"})),
        _Route("/api/v1/users/{user_id}/analytics", MERCHANT_DASHBOARD, frozenset({"tz"})),
    )
}
"""By what stands before and after the id in their paths."""
_PATH_LENGTH_MAX = max(len(route.pattern) for route in _ROUTES.values()) + ID_LENGTH_MAX
_QUERY_LENGTH_MAX = 4 * INSTANT_LENGTH_MAX
"""Longer paths and queries are not parsed, since what was parsed is remembered."""
_REQUESTS_REMEMBERED_MAX = 4_096
_COMMON_HEADERS = [
    (b"cache-control", b"private, no-cache"),
    (b"vary", VARY.encode()),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
]
_SOURCE_HEADERS: dict[Source, tuple[bytes, bytes]] = {
    "cache": (b"x-data-source", b"cache"),
    "live": (b"x-data-source", b"live"),
}
_STALE_HEADER = (b"x-data-stale", b"true")
_BODY_HEADERS: dict[Encoding | None, list[tuple[bytes, bytes]]] = {
    None: [(b"content-type", b"application/json")],
    **{
        encoding: [(b"content-type", b"application/json"), (b"content-encoding", encoding.encode())]
        for encoding in ENCODINGS
    },
}
_COMMON_BYTES = {source: header_bytes([*_COMMON_HEADERS, header]) for source, header in _SOURCE_HEADERS.items()}
_BODY_BYTES = {encoding: header_bytes(headers) for encoding, headers in _BODY_HEADERS.items()}


class _Target(NamedTuple):
    """What a path with its query requests. `cache_key` as in `View`."""

    route: _Route
    id_: str
    question: Question
    cache_key: str | None

    @property
    def is_of_event(self) -> bool:
        return self.route.view.subject is EventSubject


class _Request(NamedTuple):
    """A request of a caller who may see its target. `tags` is its If-None-Match."""

    target: _Target
    principal: Principal
    tags: str | None
    encoding: Encoding | None


class FastPath:
    """Answers what the pages read; hands every other request to `app`."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._verifier = services.verifier
        self._access_records = services.access_records
        self._authorizer = services.authorizer
        self._reports = services.reports
        self._cached = services.cached_answers
        self._packed = services.packed_answers
        self._limit = services.request_limit
        self._request_s = services.request_s
        self._week_start = services.week_start
        self._session_cookie, self._share_cookie = services.session_cookie, services.share_cookie
        self._transport = DirectWriteTransport()
        self._request_counters = [
            {route.pattern: metrics.requests.labels(route.pattern, status) for route in _ROUTES.values()}
            for status in ("200", "304")
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._recognize(scope)
        if request is None or not self._limit.try_take(request.principal.user_id):
            await self._app(scope, receive, send)
            return
        record_subject_taken(scope, request.principal.user_id)  # where the route answers, it takes no second time
        source: Source = "cache"
        answer = self._local(request)
        if answer is None:
            with deadlines.within(self._request_s):  # where the route answers, it has what is left of that
                answer, source = await self._read(scope, request)
                if answer is None:
                    await self._app(scope, receive, send)
                    return
        await self._respond(scope, send, request, answer, source)

    # -- recognizing

    def _recognize(self, scope: Scope) -> _Request | None:
        """A request that the fast path may answer; None for any other."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return None
        path: str = scope["path"]
        query: bytes = scope["query_string"]
        if len(path) > _PATH_LENGTH_MAX or len(query) > _QUERY_LENGTH_MAX:
            return None
        target = _target_of(path, query, self._week_start)
        if target is None:
            return None
        authorization = cookie = tags = encodings = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value if authorization is None else authorization
            elif name == b"if-none-match":
                tags = value.decode("latin-1") if tags is None else tags
            elif name == b"accept-encoding":
                encodings = value if encodings is None else b"%b, %b" % (encodings, value)
            elif name == b"cookie":
                cookie = value if cookie is None else b"%b; %b" % (cookie, value)
            elif name == b"origin":
                return None
        token = None if authorization is None else bearer_token(authorization.decode("latin-1"))
        if token is None and cookie is not None:
            token = self._session(cookie)
        session = None if token is None else self._verifier.cached_session(token)
        if session is None or not self._may_see(session.principal, target):
            return None
        encoding = None if encodings is None else accepted_encoding(encodings.decode("latin-1"))
        return _Request(target, session.principal, tags, encoding)

    def _session(self, cookie: bytes) -> str | None:
        """The session cookie of the page; None next to the cookie of a share link, which is left to the route."""
        cookies = cookie_parser(cookie.decode("latin-1"))
        return None if self._share_cookie in cookies else cookies.get(self._session_cookie)

    def _may_see(self, principal: Principal, target: _Target) -> bool:
        """Whether access was granted before. False means "not known", not "denied"."""
        if not principal.may_read:
            return False
        if target.is_of_event:
            return self._authorizer.is_authorized(principal, target.id_)
        return principal.may_see_merchant(target.id_)

    # -- reading

    def _local(self, request: _Request) -> EncodedAnswer | None:
        """The answer that this process holds."""
        target, principal, tags, _ = request
        if target.cache_key is None:
            return None
        answer = self._cached.local(target.cache_key)
        if answer is None or not principal.may_see(answer.owner):
            return None
        if tags is not None and tags != answer.etag and answer.version < _version_seen_by(request):
            return None
        return answer

    async def _read(self, scope: Scope, request: _Request) -> tuple[EncodedAnswer | None, Source]:
        """The answer from Redis or PostgreSQL; None where the route must answer."""
        target, principal, *_ = request
        seen = _version_seen_by(request)
        # A plain GET first: it costs two thirds of the script that `answer` runs, and mostly finds an answer.
        answer = None if target.cache_key is None else await self._cached.from_redis(target.cache_key, seen)
        if answer is not None and principal.may_see(answer.owner):
            return answer, "cache"
        if tracing.is_on():  # the queries that compute an answer are spans of the route's
            return None, "live"
        try:
            return await self._reports.answer(replace(principal, seen=seen), target.question)
        except Exception as error:
            record_failed_read(scope, error)
            return None, "live"

    # -- responding

    async def _respond(
        self, scope: Scope, send: Send, request: _Request, answer: EncodedAnswer, source: Source
    ) -> None:
        target, principal, tags, encoding = request
        unchanged = matches(tags, answer.etag)
        if principal.sees_all:
            self._record_read(principal, scope["path"], target)
        self._request_counters[unchanged][target.route.pattern].inc()
        body = None if unchanged else answer.body
        if body is None or len(body) <= BODY_BYTES_MIN:
            encoding = None
        elif encoding is not None:
            body = await self._pack(target.cache_key, encoding, answer.etag, body)
        if not self._write(send, answer, source, body, encoding, with_body=scope["method"] == "GET"):
            await _send(send, answer, source, body, encoding)

    def _record_read(self, principal: Principal, path: str, target: _Target) -> None:
        parameters = {"event_id" if target.is_of_event else "user_id": target.id_}
        entry = entry_of_read(principal, principal.user_id, path, parameters, {})
        if entry is not None:
            self._access_records.add(entry)

    async def _pack(self, key: str | None, encoding: Encoding, etag: str, body: bytes) -> bytes:
        """The compressed body, which is remembered where the answer is cached."""
        if key is None:
            return await pack_off_loop(encoding, body)
        return self._packed.get(key, encoding, etag) or await self._packed.pack(key, encoding, etag, body)

    def _write(
        self,
        send: Send,
        answer: EncodedAnswer,
        source: Source,
        body: bytes | None,
        encoding: Encoding | None,
        *,
        with_body: bool,
    ) -> bool:
        """Write the answer with this body, or 304 where that is None; False where that must be left to the server."""
        # only `etag_of` makes ETags; a forged one in Redis could inject headers
        if answer.stale or not answer.etag.isprintable():
            return False
        head = b"etag: %b\r\n%b" % (answer.etag.encode(), _COMMON_BYTES[source])
        if body is None:
            return self._transport.try_write(send, 304, head, b"")
        head += b"content-length: %d\r\n%b" % (len(body), _BODY_BYTES[encoding])
        return self._transport.try_write(send, 200, head, body if with_body else b"")


def _version_seen_by(request: _Request) -> int:
    """The version of the answer that the caller has already."""
    return version_seen(request.tags, of_event=request.target.is_of_event)


async def _send(
    send: Send, answer: EncodedAnswer, source: Source, body: bytes | None, encoding: Encoding | None
) -> None:
    headers = [(b"etag", answer.etag.encode()), *_COMMON_HEADERS, _SOURCE_HEADERS[source]]
    if answer.stale:
        headers.append(_STALE_HEADER)
    if body is not None:
        headers += ((b"content-length", b"%d" % len(body)), *_BODY_HEADERS[encoding])
    await send({"type": "http.response.start", "status": 304 if body is None else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body or b""})


@lru_cache(_REQUESTS_REMEMBERED_MAX)
def _target_of(path: str, query: bytes, week_start: WeekStart) -> _Target | None:
    """What a path with this query requests; None where that is left to the route.

    week_start: where weeks begin by default.
    """
    if not path.startswith(_PREFIX):
        return None
    before, _, rest = path.removeprefix(_PREFIX).partition("/")
    given, _, after = rest.partition("/")
    route = _ROUTES.get((before, after))
    if route is None or not is_id(given):
        return None
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)  # as Starlette parses it
    parameters = dict(pairs)
    if len(parameters) < len(pairs) or not route.parameters.issuperset(parameters):
        return None
    question = _question(route.view, canonical_id(given), week_start, **parameters)
    return None if question is None else _Target(route, canonical_id(given), question, route.view.cache_key(question))


def _question(
    view: AnyView,
    id_: str,
    week_start: WeekStart,
    *,
    startDate: str | None = None,
    endDate: str | None = None,
    tz: str = DEFAULT_TZ,
    granularity: str | None = None,
) -> Question | None:
    """The question of these parameters; None where the route refuses one of them."""
    if any(len(instant or "") > INSTANT_LENGTH_MAX for instant in (startDate, endDate)):
        return None
    try:
        filters = Filters(
            granularity=Granularity(granularity) if granularity is not None else None, week_start=week_start
        )
        question: Question = view.new_question(id_, parse_range(startDate, endDate, tz), filters)
    except (BadRequest, ValueError):
        return None
    return question
