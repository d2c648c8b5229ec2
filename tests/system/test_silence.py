"""PostgreSQL or Redis is silent, slow or half open: every request is answered soon all the same, and processes end.

A server that refuses or resets is easy: the client notices at once. These do neither.
"""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple

import httpx2
import pytest
from faults import PostgresRequests, Proxy, RedisRequests, frozen
from outside import CONNECTION_LOST, Event, Service, client, redis_environment, token, wait_for, with_port

from hannun.embedded import PostgresServer, ValkeyServer

ANSWER_S_MAX = 5.0
LIVE = "/health/live"
END_S_MAX = 20.0
QUICK = {
    "HANNUN_REQUEST_S": "2",
    "HANNUN_REDIS_READ_WAIT_S": "0.5",
    "HANNUN_STRANGER_REQUESTS_A_MINUTE": "0",
    "HANNUN_SIGN_INS_A_MINUTE": "0",
}
"""Half of the default for each request, so that a late answer on a loaded machine is not the machine's fault."""
FAULTS = ("frozen", "silent", "slow")
SHARE = {"until": "2030-01-01T00:00:00Z"}


class Sent(NamedTuple):
    """A request that was sent, and its answer."""

    name: str
    status: int
    headers: httpx2.Headers
    seconds: float


class Callers:
    """Sends requests as different callers, all at the same time."""

    def __init__(self, service: Service, event: Event) -> None:
        self._service = service
        self._event = event
        self._owner = token(event.owner, ["MERCHANT"])
        self._admin = token()

    def send_all(self, *more: tuple[str, str, object]) -> list[Sent]:
        """Send a request to every operation of the API, as an ADMIN and as a merchant whom the process does not know,
        and these ones (method, path, body)."""
        paths = self._service.http.get(f"{self._service.api}/openapi.json").json()["paths"]
        requests: list[tuple[str, str, object]] = [
            (method.upper(), self._path(template), self._body(template, method))
            for template, operations in paths.items()
            for method in operations
        ]
        assert len(requests) >= 20
        requests += [("GET", LIVE, None)] * 3
        refreshing = [("GET", f"{path}?refresh=true", None) for _, path, _ in requests if "/analytics" in path]
        both = [(who, *one) for who in (self._admin, self._owner) for one in [*requests, *refreshing, *more]]
        with ThreadPoolExecutor(len(both)) as threads:
            return list(threads.map(lambda one: self._send(*one), both))

    def _path(self, template: str) -> str:
        filled = template.replace("{eventId}", self._event.id).replace("{userId}", self._event.owner)
        return filled.replace("{shareId}", "a-link")

    def _body(self, template: str, method: str) -> object:
        if method != "post":
            return None
        if template.endswith("/messages"):
            return [self._event.registered()]
        return SHARE if template.endswith("/shares") else {"share": "wrong", "token": "wrong"}

    def _send(self, who: str, method: str, path: str, body: object) -> Sent:
        headers = {"Authorization": f"Bearer {who}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        began = time.monotonic()
        with (
            client() as http,
            http.stream(method, self._service.api + path, headers=headers, content=content) as response,
        ):
            return Sent(f"{method} {path}", response.status_code, response.headers, time.monotonic() - began)


def check(sent: Sequence[Sent]) -> None:
    """Every answer came in time. Those that could not be given say when to try again.

    What a request that needs no server takes beside the others is the machine's, and is added to the time.
    """
    machine_s = max(one.seconds for one in sent if one.name == f"GET {LIVE}")
    late = [(one.name, one.status, one.seconds) for one in sent if one.seconds > ANSWER_S_MAX + machine_s]
    assert not late
    broken = [(one.name, one.status) for one in sent if one.status >= 500 and one.status != 503]
    assert not broken
    assert all(int(one.headers["Retry-After"]) >= 1 for one in sent if one.status == 503)


def statuses(sent: Sequence[Sent], name: str) -> set[int]:
    return {one.status for one in sent if one.name == name}


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    with Proxy(postgres.port, PostgresRequests) as proxy:
        yield proxy


@pytest.fixture
def behind(service: Service, proxy: Proxy) -> dict[str, str]:
    """The environment of a process that reaches PostgreSQL through the proxy."""
    return {"DATABASE_URL": with_port(service.environment["DATABASE_URL"], proxy.port)}


def fault(name: str, proxy: Proxy, server: PostgresServer | ValkeyServer) -> AbstractContextManager[None]:
    match name:
        case "frozen":
            return frozen(server)
        case "silent":
            return proxy.silent()
    return proxy.slow(0.2)


@pytest.mark.parametrize("name", FAULTS)
def test_while_postgresql_does_not_answer_every_request_is_answered_in_time(
    service: Service, postgres: PostgresServer, proxy: Proxy, behind: dict[str, str], name: str
) -> None:
    serve = service.start_serve(**behind, **QUICK)
    event = Event()
    service.post([event.created()])
    event.expect([event.created()])
    analytics = f"/api/v1/events/{event.id}/analytics"
    cached = [f"{analytics}{view}" for view in ("", "/timeline", "/roi")]
    uncached = f"{analytics}/timeline?tz=UTC"
    assert [service.get(path).status_code for path in cached] == [200] * 3
    callers = Callers(service, event)
    body = [event.registered("Instagram")]
    with fault(name, proxy, postgres):
        for _ in range(2):  # on the connections that were open, and on new ones
            sent = callers.send_all(("GET", uncached, None), ("POST", "/api/v1/messages", body))
            check(sent)
            for path in cached:
                assert statuses(sent, f"GET {path}") == {200}, "cached, also for an owner who was not seen before"
                assert statuses(sent, f"GET {path}?refresh=true") == {503}
            assert statuses(sent, f"GET {uncached}") == {503}
            assert statuses(sent, "POST /api/v1/messages") == {503, 403}, "the merchant may not send"
        for path in cached:
            wait_for("the mark", lambda path=path: service.get(path).headers.get("X-Data-Stale") == "true")
        assert service.health()["status"] == "unavailable"
    wait_for("health", lambda: service.health()["status"] == "ready")
    service.post_until_accepted(body)
    event.expect(body)
    assert service.get(uncached).status_code == 200
    assert service.dashboard(event.id) is not None
    wait_for("the figures", lambda: service.dashboard(event.id) == service.figures(event.id))
    service.assert_no_drift()
    assert serve.is_running


@pytest.mark.parametrize("name", FAULTS)
def test_while_redis_does_not_answer_every_request_is_answered_in_time(
    service: Service, own_valkey: ValkeyServer, name: str
) -> None:
    with Proxy(own_valkey.port, RedisRequests) as proxy:
        service.start_serve(**redis_environment(own_valkey.url) | {"REDIS_PORT": str(proxy.port)}, **QUICK)
        event = Event()
        service.post([event.created()])
        callers = Callers(service, event)
        with fault(name, proxy, own_valkey):
            for _ in range(2):
                sent = callers.send_all()
                check(sent)
                assert not [one for one in sent if one.status == 503], "Redis is no reason to refuse anything"
        wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    service.assert_no_drift()


def test_serve_ends_on_sigterm_while_postgresql_is_silent(
    service: Service, proxy: Proxy, behind: dict[str, str]
) -> None:
    serve = service.start_serve(**behind, **QUICK)
    event = Event()
    proxy.hold("")
    proxy.wait_until_held()  # of a timed job
    with ThreadPoolExecutor(1) as thread:
        posting = thread.submit(service.post, [event.created()])
        began = time.monotonic()
        serve.terminate()
        assert time.monotonic() - began < END_S_MAX
        with suppress(*CONNECTION_LOST):  # where the signal came before the request
            assert posting.result().status_code == 503
    proxy.release()
    service.start_serve()
    service.post_until_accepted([event.created()])
    event.expect([event.created()])
    assert service.figures(event.id) == event.expected_figures


def test_schedule_ends_on_sigterm_while_postgresql_is_silent(
    service: Service, proxy: Proxy, behind: dict[str, str]
) -> None:
    schedule = service.start_schedule(**behind)
    proxy.hold("")
    proxy.wait_until_held()
    began = time.monotonic()
    assert schedule.terminate() == 0
    assert time.monotonic() - began < END_S_MAX
