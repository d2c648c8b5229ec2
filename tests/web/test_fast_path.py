"""The fast path: what pages read is answered before the framework, with the bytes of the route."""

import json
import re
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

import httpx2
import msgspec
import pytest
from served import OTHER_MERCHANT, Site
from world import OWNER, SPRING

from hannun.domain.answer import EncodedAnswer
from hannun.web.auth import COOKIE
from hannun.web.direct_write import DirectWriteTransport
from hannun.web.fast_path import FastPath

EVENT = f"/api/v1/events/{SPRING}/analytics"
MERCHANT = f"/api/v1/users/{OWNER}/analytics"
THE_ROUTE = {"format": "json"}  # the same question, with a parameter that only the route accepts


@pytest.fixture
def cached(site: Site) -> Site:
    """Both dashboards are cached, and every caller with access has been granted it once."""
    site.world.count(site.world.created(), site.world.registered("p1"), site.world.registered("p2"))
    for path in (EVENT, MERCHANT):
        for who in (site.owner, site.admin):
            for params in ({}, THE_ROUTE):
                assert who.get(path, params=params).status_code == 200
    return site


def by_cookie(site: Site) -> httpx2.Client:
    client = site.client({})
    client.cookies.set(COOKIE, site.token(OWNER))
    return client


CALLERS: dict[str, Callable[[Site], httpx2.Client]] = {
    "the owner": lambda site: site.owner,
    "an ADMIN": lambda site: site.admin,
    "the owner's page": by_cookie,
}


def reached(site: Site, path: str, headers: dict[str, str], query: str = "", method: str = "GET") -> bool:
    """Whether a request reaches the application."""
    calls: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])

    async def send_request() -> None:
        async def nothing(_: Any = None) -> Any:
            return None

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        await FastPath(app, site.services)(scope, nothing, nothing)

    site.run_in_loop(send_request)
    return bool(calls)


@pytest.mark.parametrize("path", [EVENT, MERCHANT])
@pytest.mark.parametrize("caller", CALLERS)
def test_the_fast_path_sends_the_bytes_of_the_route(cached: Site, caller: str, path: str) -> None:
    client = CALLERS[caller](cached)
    client.get(path)
    etag = client.get(path).headers["etag"]
    for if_none_match in (None, etag, f'{etag.removeprefix("W/")}, "other"', "*", '"other"'):
        headers = {} if if_none_match is None else {"If-None-Match": if_none_match}
        fast, routed = client.get(path, headers=headers), client.get(path, params=THE_ROUTE, headers=headers)
        assert fast.status_code == routed.status_code == (200 if if_none_match in (None, '"other"') else 304)
        assert fast.content == routed.content
        assert dict(fast.headers) | {"date": ""} == dict(routed.headers) | {"date": ""}


def test_a_hit_does_not_reach_the_application(cached: Site) -> None:
    owner = {"Authorization": f"Bearer {cached.token(OWNER)}"}
    cached.with_token(owner["Authorization"].split()[1]).get(EVENT)  # so that the verified token is cached
    for path in (EVENT, MERCHANT):
        assert not reached(cached, path, owner)
        assert not reached(cached, path, {"authorization": owner["Authorization"].replace("Bearer", "bearer")})


def test_every_other_request_reaches_the_application(cached: Site) -> None:
    owner, other_merchant = (cached.token(user) for user in (OWNER, OTHER_MERCHANT))
    for token in (owner, other_merchant):
        cached.with_token(token).get(f"/api/v1/users/{OWNER}/analytics")
    mine = {"Authorization": f"Bearer {owner}"}
    assert not reached(cached, EVENT, mine)
    for headers in (
        {},
        {"Authorization": f"Bearer {cached.token(OWNER, lasts_s=60)}"},  # not verified before
        {"Authorization": f"Bearer {other_merchant}"},
        {"Authorization": f"Basic {owner}"},
        {**mine, "Origin": "https://platform.example"},
        {"Cookie": f"{COOKIE}={owner}; hannun_share=secret"},
    ):
        assert reached(cached, EVENT, headers), headers
        assert reached(cached, MERCHANT, headers), headers
    for path in (
        EVENT + "/",
        EVENT + "/roi",
        EVENT + "/timeline/",
        f"/api/v1/events/{SPRING}/x/analytics",
        "/api/v1/events//analytics",
    ):
        assert reached(cached, path, mine), path
    assert reached(cached, EVENT, mine, query="refresh=true")
    assert reached(cached, EVENT, mine, method="POST")


def test_a_reached_rate_limit_is_refused_on_the_fast_path_too(cached: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached.services.request_limit, "_per_minute", 1)
    cached.services.request_limit._buckets.clear()
    assert cached.owner.get(EVENT).status_code == 200
    refused = cached.owner.get(EVENT)
    assert refused.status_code == 429
    assert "retry-after" in refused.headers


def test_the_fast_path_counts_requests_in_the_same_metric(cached: Site) -> None:
    def requests() -> float:
        exposition = cached.anonymous.get("/metrics").text
        sample = 'hannun_requests_total{route="/api/v1/events/{event_id}/analytics",status="200"}'
        return float(next(line.split()[-1] for line in exposition.splitlines() if line.startswith(sample)))

    before = requests()
    assert json.loads(cached.owner.get(EVENT).content)["eventId"] == SPRING
    assert cached.owner.get(EVENT, params=THE_ROUTE).status_code == 200
    assert requests() == before + 2


# -- direct write


class Wire:
    """A raw connection."""

    def __init__(self, site: Site, token: str) -> None:
        self._token = token
        self._socket = socket.create_connection(("127.0.0.1", int(site.address.rpartition(":")[2])), timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def sends(self, *paths: str, version: str = "1.1", headers: str = "", method: str = "GET") -> None:
        """Send these requests in a pipeline, without waiting."""
        head = f" HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n{headers}\r\n"
        self._socket.sendall("".join(f"{method} {path}{head}" for path in paths).encode())

    def receives(self, responses: int) -> bytes:
        """So many responses, without their date headers. Bytes after them are an error."""
        received, ends = bytearray(), 0
        for _ in range(responses):
            ends = self._response_end(received, ends)
        assert len(received) == ends, bytes(received[ends:])
        return re.sub(rb"\r\ndate: [^\r]*", b"", received)

    def rest(self) -> bytes:
        """The bytes until the server closes the connection."""
        received = b""
        while data := self._socket.recv(65_536):
            received += data
        return received

    def _response_end(self, received: bytearray, begin: int) -> int:
        while (end := received.find(b"\r\n\r\n", begin)) < 0:
            self._receive_more(received)
        length = re.search(rb"content-length: (\d+)", received[begin:end])
        end += 4 + (int(length[1]) if length else 0)
        while len(received) < end:
            self._receive_more(received)
        return end

    def _receive_more(self, received: bytearray) -> None:
        data = self._socket.recv(65_536)
        assert data, bytes(received[-2_000:])
        received += data


def by_uvicorn(monkeypatch: pytest.MonkeyPatch, exchange: Callable[[], bytes]) -> bytes:
    with monkeypatch.context() as patch:
        patch.setattr(DirectWriteTransport, "try_write", lambda *_: False)
        return exchange()


def test_a_direct_write_sends_the_bytes_that_uvicorn_would(cached: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = cached.token(OWNER)
    cached.with_token(token).get(MERCHANT)
    etag = cached.with_token(token).get(EVENT).headers["etag"]
    written: list[bool] = []
    try_write = DirectWriteTransport.try_write

    def record(*args: Any) -> bool:
        written.append(try_write(*args))
        return written[-1]

    monkeypatch.setattr(DirectWriteTransport, "try_write", record)
    has_answer, has_another = f"If-None-Match: {etag}\r\n", 'If-None-Match: "other"\r\n'
    for path, headers in ((EVENT, ""), (MERCHANT, ""), (EVENT, has_answer), (MERCHANT, has_another)):

        def exchange(path: str = path, headers: str = headers) -> bytes:
            written.clear()
            with Wire(cached, token) as wire:
                wire.sends(path, path, path, headers=headers)
                return wire.receives(3)

        def all_direct(exchange: Callable[[], bytes] = exchange) -> bytes | None:
            received = exchange()
            return received if written == [True] * 3 else None  # a repeated invalidation makes the first one a miss

        received = cached.world.wait_for("three direct writes", all_direct)
        cached.world.wait_for(
            "uvicorn to send the same",
            lambda received=received, exchange=exchange: received == by_uvicorn(monkeypatch, exchange),
        )


def test_the_connection_is_closed_when_the_client_asks_for_that(cached: Site) -> None:
    for request in ({"version": "1.0"}, {"headers": "Connection: close\r\n"}):
        token = cached.token(OWNER)
        cached.with_token(token).get(EVENT)
        with Wire(cached, token) as wire:
            wire.sends(EVENT, **request)
            assert b"connection: close" in wire.receives(1)
            assert wire.rest() == b""


def test_pipelined_responses_come_in_the_order_of_the_requests(cached: Site) -> None:
    """The answer of the application takes longer than those of the fast path after it."""
    token = cached.token(OWNER)
    cached.with_token(token).get(EVENT)
    with Wire(cached, token) as wire:
        wire.sends(f"{EVENT}/timeline?tz=Asia/Seoul", EVENT, "/api/v1/nowhere", EVENT)
        statuses = re.findall(rb"HTTP/1.1 (\d+)", wire.receives(4))
    assert statuses == [b"200", b"200", b"404", b"200"]


def test_writing_pauses_while_a_client_does_not_read(cached: Site) -> None:
    token, count = cached.token(OWNER), 3_000
    cached.with_token(token).get(EVENT)
    with Wire(cached, token) as wire:
        sending = threading.Thread(target=wire.sends, args=[EVENT] * count)
        sending.start()
        cached.world.wait_for("the server to wait for the reader", cached.has_paused_writes)
        before = cached.request_count()
        for _ in range(50):  # other clients are served meanwhile
            assert cached.owner.get("/health/live").status_code == 200
        assert cached.request_count() < before + 50 + 20
        assert wire.receives(count).count(b"HTTP/1.1 200 OK") == count
        sending.join()


def test_a_direct_write_has_the_current_date_header(cached: Site) -> None:
    state = cached._http.state

    def has_new_date() -> bool:
        state.default_headers = [(b"date", b"the next day")]  # until the server's clock ticks
        return cached.owner.get(EVENT).headers["date"] == "the next day"

    assert cached.owner.get(EVENT).headers["date"] != "the next day"
    cached.world.wait_for("an answer with the new date", has_new_date)


def test_a_forged_etag_in_the_cache_cannot_inject_a_header(cached: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the service writes to the cache. A forged entry still meets the header check of the server."""
    token = cached.token(OWNER)
    cached.with_token(token).get(EVENT)
    cache = cached.services.cached_answers._cache
    get_local = cache.get_local

    def forged(*args: Any) -> EncodedAnswer | None:
        answer = get_local(*args)
        return None if answer is None else msgspec.structs.replace(answer, etag='"1-2"\r\nset-cookie: x=y')

    cached.owner.get(EVENT)
    monkeypatch.setattr(cache, "get_local", forged)
    with Wire(cached, token) as wire:
        wire.sends(EVENT)
        assert b"set-cookie" not in wire.rest()


# -- read your own writes


def test_a_message_is_visible_as_soon_as_it_is_acknowledged(cached: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the local cache entry is old: here its announcement never arrives."""
    cached.owner.get(EVENT)
    monkeypatch.setattr(cached.services.cached_answers._cache._local, "invalidate", lambda _: None)
    for number in (3, 4, 5):
        cached.send(cached.world.registered(f"p{number}"))
        assert json.loads(cached.owner.get(EVENT).content)["summary"]["totalParticipants"] == number
