"""The fast path: answers the two dashboards, which are most of all requests, before the framework is reached.

    GET .../analytics ─► token verified before? ─► access granted before? ─► limit ─► cached? ─► bytes, or 304
    without parameters             └──────────────────────┴────────────────────┴─────────┴─ else ─► the application

It answers exactly as the application's route would, byte for byte, or not at all. Every other case goes to the route,
which decides by itself: a first visit, an event of another merchant, a miss, a reached limit, a share link, another
origin. Nothing is looked up for a caller who was not granted access before, so response times reveal nothing. The
framework costs several times what such an answer costs (`bench answers`).
"""

from functools import lru_cache
from typing import NamedTuple

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.ids import ID_LENGTH_MAX, canonical_id
from hannun.flows.report.registry import dashboard_key
from hannun.telemetry import metrics
from hannun.web.access import entry_of_read
from hannun.web.api import VARY
from hannun.web.compression import BODY_BYTES_MIN, ENCODINGS, Encoding, accepted_encoding
from hannun.web.direct_write import DirectWriteTransport, header_bytes
from hannun.web.etags import matches, version_in
from hannun.web.request_limits import record_subject_taken
from hannun.web.security import SECURITY_HEADERS
from hannun.web.services import Services

_PREFIX, _SUFFIX = "/api/v1/", "/analytics"
_ROUTES = {"events": "/api/v1/events/{event_id}/analytics", "users": "/api/v1/users/{user_id}/analytics"}
_TOPICS = {"events": "event", "users": "user"}
_LENGTH_MAX = len(_PREFIX) + len("events/") + ID_LENGTH_MAX + len(_SUFFIX)
_COMMON_HEADERS = [
    (b"cache-control", b"private, no-cache"),
    (b"vary", VARY.encode()),
    (b"x-data-source", b"cache"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
]
_STALE_HEADER = (b"x-data-stale", b"true")
_BODY_HEADERS: dict[Encoding | None, list[tuple[bytes, bytes]]] = {
    None: [(b"content-type", b"application/json")],
    **{
        encoding: [(b"content-type", b"application/json"), (b"content-encoding", encoding.encode())]
        for encoding in ENCODINGS
    },
}
_COMMON_BYTES = header_bytes(_COMMON_HEADERS)
_BODY_BYTES = {encoding: header_bytes(headers) for encoding, headers in _BODY_HEADERS.items()}


class _Dashboard(NamedTuple):
    """The dashboard that a path names."""

    kind: str
    id_: str
    cache_key: str


class FastPath:
    """Answers cached dashboards; hands every other request to `app`."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._verifier = services.verifier
        self._access_records = services.access_records
        self._authorizer = services.authorizer
        self._cached = services.cached_answers
        self._packed = services.packed_answers
        self._limit = services.request_limit
        self._session_cookie, self._share_cookie = services.session_cookie, services.share_cookie
        self._transport = DirectWriteTransport()
        self._request_counters = [
            {kind: metrics.requests.labels(route, status) for kind, route in _ROUTES.items()}
            for status in ("200", "304")
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._recognize(scope)
        if request is not None and self._limit.try_take(request[1].user_id):
            (kind, _, key), principal, tags, encoding = request
            record_subject_taken(scope, principal.user_id)  # where the route answers, it takes no second time
            answer = self._cached.local(key)
            if answer is not None and tags in (None, answer.etag):
                unchanged = tags is not None
            else:
                version_min = version_in(tags)
                if answer is None or answer.version < version_min:
                    answer = await self._cached.from_redis(key, version_min)
                unchanged = answer is not None and matches(tags, answer.etag)
            if answer is not None and principal.may_see(answer.owner):
                if principal.sees_all:
                    self._record_read(principal, scope["path"], request[0])
                self._request_counters[unchanged][kind].inc()
                body: bytes | None = None if unchanged else answer.body
                if body is not None and encoding is not None and len(body) > BODY_BYTES_MIN:
                    packed = self._packed.get(key, encoding, answer.etag)
                    body = packed or await self._packed.pack(key, encoding, answer.etag, body)
                else:
                    encoding = None
                if not self._write(send, answer, body, encoding, with_body=scope["method"] == "GET"):
                    await _send(send, answer, body, encoding)
                return
        await self._app(scope, receive, send)

    def _recognize(self, scope: Scope) -> tuple[_Dashboard, Principal, str | None, Encoding | None] | None:
        """(dashboard, caller, If-None-Match, encoding) of a request that the fast path may answer, else None."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or scope["query_string"]:
            return None
        path: str = scope["path"]
        dashboard = _dashboard_in(path) if len(path) <= _LENGTH_MAX else None
        if dashboard is None:
            return None
        token = cookie = tags = encodings = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                token = token or _bearer(value)
            elif name == b"if-none-match":
                tags = value.decode("latin-1") if tags is None else tags
            elif name == b"accept-encoding":
                encodings = value if encodings is None else b"%b, %b" % (encodings, value)
            elif name == b"cookie":
                cookie = cookie or value
            elif name == b"origin":
                return None
        if token is None and cookie is not None:
            token = self._session(cookie)
        session = None if token is None else self._verifier.cached_session(token)
        if session is None:
            return None
        principal = session.principal
        if not principal.may_read:
            return None
        if dashboard.kind == "users":
            may_see = principal.may_see_merchant(dashboard.id_)
        else:
            may_see = self._authorizer.is_authorized(principal, dashboard.id_)
        encoding = None if encodings is None else accepted_encoding(encodings.decode("latin-1"))
        return (dashboard, principal, tags, encoding) if may_see else None

    def _session(self, cookie: bytes) -> str | None:
        """The session cookie of the page; None next to the cookie of a share link, which is left to the route."""
        cookies = cookie_parser(cookie.decode("latin-1"))
        return None if self._share_cookie in cookies else cookies.get(self._session_cookie)

    def _record_read(self, principal: Principal, path: str, dashboard: _Dashboard) -> None:
        parameters = {"event_id" if dashboard.kind == "events" else "user_id": dashboard.id_}
        entry = entry_of_read(principal, principal.user_id, path, parameters, {})
        if entry is not None:
            self._access_records.add(entry)

    def _write(
        self, send: Send, answer: EncodedAnswer, body: bytes | None, encoding: Encoding | None, *, with_body: bool
    ) -> bool:
        """Write the answer with this body, or 304 where that is None; False where that must be left to the server."""
        # only `etag_of` makes ETags; a forged one in Redis could inject headers
        if answer.stale or not answer.etag.isprintable():
            return False
        etag = answer.etag.encode()
        if body is None:
            return self._transport.try_write(send, 304, b"etag: %b\r\n%b" % (etag, _COMMON_BYTES), b"")
        head = b"etag: %b\r\n%bcontent-length: %d\r\n%b" % (etag, _COMMON_BYTES, len(body), _BODY_BYTES[encoding])
        return self._transport.try_write(send, 200, head, body if with_body else b"")


async def _send(send: Send, answer: EncodedAnswer, body: bytes | None, encoding: Encoding | None) -> None:
    headers = [(b"etag", answer.etag.encode()), *_COMMON_HEADERS]
    if answer.stale:
        headers.append(_STALE_HEADER)
    if body is not None:
        headers += ((b"content-length", b"%d" % len(body)), *_BODY_HEADERS[encoding])
    await send({"type": "http.response.start", "status": 304 if body is None else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body or b""})


@lru_cache(4_096)
def _dashboard_in(path: str) -> _Dashboard | None:
    """The dashboard that a path names; None for any other path."""
    if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)):
        return None
    kind, _, given = path[len(_PREFIX) : -len(_SUFFIX)].partition("/")
    if kind not in _TOPICS or "/" in given:
        return None
    id_ = canonical_id(given)
    return _Dashboard(kind, id_, dashboard_key((_TOPICS[kind], id_)))


def _bearer(authorization: bytes) -> str | None:
    if authorization[:7] == b"Bearer ":
        return authorization[7:].decode("latin-1").strip() or None
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
