"""The two questions that nearly everybody asks, answered before the framework is reached.

    GET .../analytics, plain ─► token remembered? ─► let in before? ─► a kept answer of theirs? ─► bytes, or 304
                                      └───────────────────┴───────────────┴── anything else ─► the application

It says what the application's own route would say, byte for byte, or nothing: whatever is not this simple (a first
visit, another's event, a miss, a limit that is reached, a share link, another origin) goes on to the route, which
decides as if we had not looked. Nothing is looked up for who was not let in before, so there is nothing to be told by
the clock. Going through the framework costs several times what the answer does (`bench answers`).
"""

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from hannun.cache import Answer
from hannun.domain.access import Asker
from hannun.errors import Busy
from hannun.telemetry import metrics
from hannun.web.api import VARY, same, version_in
from hannun.web.auth import COOKIE
from hannun.web.callers import EVENT_ID_MAX, SHARE_COOKIE
from hannun.web.security import SECURITY
from hannun.web.services import Services

_BEFORE, _BEHIND = "/api/v1/", "/analytics"
_ROUTES = {"events": "/api/v1/events/{event_id}/analytics", "users": "/api/v1/users/{user_id}/analytics"}
_TOPICS = {"events": "event", "users": "user"}
_ALWAYS = [
    (b"cache-control", b"private, no-cache"),
    (b"vary", VARY.encode()),
    (b"x-data-source", b"cache"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY.items()),
]
_STALE = (b"x-data-stale", b"true")
_JSON = (b"content-type", b"application/json")


class Hot:
    """Answers dashboards that are kept; hands everything else to `app`."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._counted = {
            (kind, status): metrics.requests.labels(route, status)
            for kind, route in _ROUTES.items()
            for status in ("200", "304")
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            path: str = scope["path"]
            if path.startswith(_BEFORE) and path.endswith(_BEHIND):
                kind, _, id_ = path[len(_BEFORE) : -len(_BEHIND)].partition("/")
                if kind in _ROUTES and "/" not in id_ and await self._answered(kind, id_, scope, send):
                    return
        await self._app(scope, receive, send)

    async def _answered(self, kind: str, id_: str, scope: Scope, send: Send) -> bool:
        bearer = cookie = tags = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                bearer = bearer or _bearer(value)
            elif name == b"if-none-match":
                tags = value.decode("latin-1") if tags is None else tags
            elif name == b"cookie":
                cookie = cookie or value
            elif name == b"origin":
                return False
        token = bearer or (None if cookie is None else _session(cookie))
        session = None if token is None else self._services.verifier.remembered(token)
        if session is None or not self._may_look(session.asker, kind, id_):
            return False
        answer = await self._services.reports.hit((_TOPICS[kind], id_), version_in(tags))
        if answer is None or not session.asker.may_see(answer.owner):
            return False
        try:
            self._services.limit.take(session.asker.user_id)
        except Busy:
            return False
        await self._send(kind, answer, send, unchanged=same(tags, answer.etag))
        return True

    def _may_look(self, asker: Asker, kind: str, id_: str) -> bool:
        if kind == "users":
            return asker.may_see_merchant(id_)
        return len(id_) <= EVENT_ID_MAX and self._services.access.is_in(asker, id_)

    async def _send(self, kind: str, answer: Answer, send: Send, *, unchanged: bool) -> None:
        headers = [(b"etag", answer.etag.encode()), *_ALWAYS]
        if answer.stale:
            headers.append(_STALE)
        body = b"" if unchanged else answer.body
        if not unchanged:
            headers += [(b"content-length", b"%d" % len(body)), _JSON]
        self._counted[kind, "304" if unchanged else "200"].inc()
        await send({"type": "http.response.start", "status": 304 if unchanged else 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _bearer(authorization: bytes) -> str | None:
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _session(cookie: bytes) -> str | None:
    """The page's session; none where a share link's cookie stands beside it, for which the route decides."""
    cookies = cookie_parser(cookie.decode("latin-1"))
    return None if SHARE_COOKIE in cookies else cookies.get(COOKIE)
