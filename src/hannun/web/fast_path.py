"""The two questions that nearly everybody asks, answered before the framework is reached.

    GET .../analytics, plain ─► token remembered? ─► let in before? ─► a kept answer of theirs? ─► bytes, or 304
                                      └───────────────────┴───────────────┴── anything else ─► the application

It says what the application's own route would say, byte for byte, or nothing: whatever is not this simple (a first
visit, another's event, a miss, a limit that is reached, a share link, another origin) goes on to the route, which
decides as if we had not looked. Nothing is looked up for who was not let in before, so there is nothing to be told by
the clock. Going through the framework costs several times what the answer does (`bench answers`).
"""

from functools import lru_cache
from typing import NamedTuple

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.errors import Busy
from hannun.flows.report.registry import dashboard_key
from hannun.telemetry import metrics
from hannun.web.api import VARY, same, version_in
from hannun.web.auth import COOKIE
from hannun.web.callers import EVENT_ID_MAX, SHARE_COOKIE
from hannun.web.direct_write import DirectWriteTransport, lines_of
from hannun.web.security import SECURITY
from hannun.web.services import Services

_BEFORE, _BEHIND = "/api/v1/", "/analytics"
_ROUTES = {"events": "/api/v1/events/{event_id}/analytics", "users": "/api/v1/users/{user_id}/analytics"}
_TOPICS = {"events": "event", "users": "user"}
_LENGTH_MAX = len(_BEFORE) + len("events/") + EVENT_ID_MAX + len(_BEHIND)
_ALWAYS = [
    (b"cache-control", b"private, no-cache"),
    (b"vary", VARY.encode()),
    (b"x-data-source", b"cache"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY.items()),
]
_STALE = (b"x-data-stale", b"true")
_JSON = (b"content-type", b"application/json")
_ALWAYS_LINES, _JSON_LINE = lines_of(_ALWAYS), lines_of([_JSON])


class _Asked(NamedTuple):
    """What a path asks for."""

    kind: str
    id_: str
    cache_key: str


class FastPath:
    """Answers dashboards that are kept; hands everything else to `app`."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._verifier = services.verifier
        self._access = services.access
        self._cached = services.cached_answers
        self._limit = services.limit
        self._at_once = DirectWriteTransport()
        self._counted = [
            {kind: metrics.requests.labels(route, status) for kind, route in _ROUTES.items()}
            for status in ("200", "304")
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        question = self._question(scope)
        if question is not None:
            (kind, _, key), asker, tags = question
            answer = self._cached.local(key)
            if answer is not None and tags in (None, answer.etag):
                unchanged = tags is not None
            else:
                seen = version_in(tags)
                if answer is None or answer.version < seen:
                    answer = await self._cached.from_redis(key, seen)
                unchanged = answer is not None and same(tags, answer.etag)
            if answer is not None and asker.may_see(answer.owner) and self._may_go_on(asker):
                self._counted[unchanged][kind].inc()
                if not self._said(send, answer, unchanged):
                    await _say(send, answer, unchanged)
                return
        await self._app(scope, receive, send)

    def _question(self, scope: Scope) -> tuple[_Asked, Principal, str | None] | None:
        """What is asked, by whom, and what they have already (If-None-Match); None where that is not for us to say."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            return None
        path: str = scope["path"]
        asked = _asked(path) if len(path) <= _LENGTH_MAX else None
        if asked is None:
            return None
        token = cookie = tags = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                token = token or _bearer(value)
            elif name == b"if-none-match":
                tags = value.decode("latin-1") if tags is None else tags
            elif name == b"cookie":
                cookie = cookie or value
            elif name == b"origin":
                return None
        if token is None and cookie is not None:
            token = _session(cookie)
        session = None if token is None else self._verifier.remembered(token)
        if session is None:
            return None
        asker = session.asker
        if asked.kind == "users":
            return (asked, asker, tags) if asker.may_see_merchant(asked.id_) else None
        return (asked, asker, tags) if self._access.is_in(asker, asked.id_) else None

    def _may_go_on(self, asker: Principal) -> bool:
        try:
            self._limit.take(asker.user_id)
        except Busy:
            return False
        return True

    def _said(self, send: Send, answer: EncodedAnswer, unchanged: bool) -> bool:
        if answer.stale or not answer.etag.isprintable():  # nobody but us writes them; who could, could write headers
            return False
        etag = answer.etag.encode()
        if unchanged:
            return self._at_once.said(send, 304, b"etag: %b\r\n%b" % (etag, _ALWAYS_LINES), b"")
        body = answer.body
        head = b"etag: %b\r\n%bcontent-length: %d\r\n%b" % (etag, _ALWAYS_LINES, len(body), _JSON_LINE)
        return self._at_once.said(send, 200, head, body)


async def _say(send: Send, answer: EncodedAnswer, unchanged: bool) -> None:
    headers = [(b"etag", answer.etag.encode()), *_ALWAYS]
    if answer.stale:
        headers.append(_STALE)
    if not unchanged:
        headers += ((b"content-length", b"%d" % len(answer.body)), _JSON)
    await send({"type": "http.response.start", "status": 304 if unchanged else 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if unchanged else answer.body})


@lru_cache(4_096)
def _asked(path: str) -> _Asked | None:
    """The dashboard that a path names, if it is one's."""
    if not (path.startswith(_BEFORE) and path.endswith(_BEHIND)):
        return None
    kind, _, id_ = path[len(_BEFORE) : -len(_BEHIND)].partition("/")
    return _Asked(kind, id_, dashboard_key((_TOPICS[kind], id_))) if kind in _TOPICS and "/" not in id_ else None


def _bearer(authorization: bytes) -> str | None:
    if authorization[:7] == b"Bearer ":
        return authorization[7:].decode("latin-1").strip() or None
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _session(cookie: bytes) -> str | None:
    """The page's session; none where a share link's cookie stands beside it, for which the route decides."""
    cookies = cookie_parser(cookie.decode("latin-1"))
    return None if SHARE_COOKIE in cookies else cookies.get(COOKIE)
