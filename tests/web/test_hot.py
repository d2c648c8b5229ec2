"""Dashboards that are kept are answered before the framework is reached; nobody can tell, but by how long it takes."""

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
THE_ROUTE = {"tz": "Asia/Seoul"}  # the same question, said so that only the route takes it


@pytest.fixture
def kept(site: Site) -> Site:
    """Both dashboards are kept, and everybody who may see them has been let in."""
    site.world.count(site.world.created(), site.world.registered("p1"), site.world.registered("p2"))
    for path in (EVENT, MERCHANT):
        for who in (site.owner, site.admin):
            for asked in ({}, THE_ROUTE):
                assert who.get(path, params=asked).status_code == 200
    return site


def by_cookie(site: Site) -> httpx2.Client:
    client = site.client({})
    client.cookies.set(COOKIE, site.token(OWNER))
    return client


ASKERS: dict[str, Callable[[Site], httpx2.Client]] = {
    "the owner": lambda site: site.owner,
    "an ADMIN": lambda site: site.admin,
    "the owner's page": by_cookie,
}


def reached(site: Site, path: str, headers: dict[str, str], query: str = "", method: str = "GET") -> bool:
    """Whether the application is reached by a question."""
    calls: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])

    async def ask() -> None:
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

    site.run_in_loop(ask)
    return bool(calls)


@pytest.mark.parametrize("path", [EVENT, MERCHANT])
@pytest.mark.parametrize("asker", ASKERS)
def test_what_is_kept_is_told_byte_for_byte_as_the_route_tells_it(kept: Site, asker: str, path: str) -> None:
    client = ASKERS[asker](kept)
    client.get(path)
    etag = client.get(path).headers["etag"]
    for tags in (None, etag, f'W/{etag}, "other"', "*", '"other"'):
        headers = {} if tags is None else {"If-None-Match": tags}
        hot, told = client.get(path, headers=headers), client.get(path, params=THE_ROUTE, headers=headers)
        assert hot.status_code == told.status_code == (200 if tags in (None, '"other"') else 304)
        assert hot.content == told.content
        assert dict(hot.headers) | {"date": ""} == dict(told.headers) | {"date": ""}


def test_a_hit_does_not_reach_the_application(kept: Site) -> None:
    owner = {"Authorization": f"Bearer {kept.token(OWNER)}"}
    kept.with_token(owner["Authorization"].split()[1]).get(EVENT)  # so that the token is remembered
    for path in (EVENT, MERCHANT):
        assert not reached(kept, path, owner)
        assert not reached(kept, path, {"authorization": owner["Authorization"].replace("Bearer", "bearer")})


def test_whatever_is_not_that_simple_is_left_to_the_application(kept: Site) -> None:
    owner, stranger = (kept.token(user) for user in (OWNER, OTHER_MERCHANT))
    for token in (owner, stranger):
        kept.with_token(token).get(f"/api/v1/users/{OWNER}/analytics")
    mine = {"Authorization": f"Bearer {owner}"}
    assert not reached(kept, EVENT, mine)
    for headers in (
        {},
        {"Authorization": f"Bearer {kept.token(OWNER, lasts_s=60)}"},  # never seen
        {"Authorization": f"Bearer {stranger}"},
        {"Authorization": f"Basic {owner}"},
        {**mine, "Origin": "https://platform.example"},
        {"Cookie": f"{COOKIE}={owner}; hannun_share=secret"},
    ):
        assert reached(kept, EVENT, headers), headers
        assert reached(kept, MERCHANT, headers), headers
    for path in (EVENT + "/", EVENT + "/roi", f"/api/v1/events/{SPRING}/x/analytics", "/api/v1/events//analytics"):
        assert reached(kept, path, mine), path
    assert reached(kept, EVENT, mine, query="refresh=true")
    assert reached(kept, EVENT, mine, method="POST")


def test_a_limit_that_is_reached_is_said_as_always(kept: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept.services.request_limit, "_per_minute", 1)
    kept.services.request_limit._buckets.clear()
    assert kept.owner.get(EVENT).status_code == 200
    refused = kept.owner.get(EVENT)
    assert refused.status_code == 429
    assert "retry-after" in refused.headers


def test_who_sees_something_newer_gets_nothing_older(kept: Site) -> None:
    """What they have came from a process that knows more than Redis does yet."""
    owner = {"Authorization": f"Bearer {kept.token(OWNER)}"}
    kept.owner.get(EVENT)
    newer = f'"{2**51:x}-0"'
    assert reached(kept, EVENT, {**owner, "If-None-Match": newer})


def test_it_is_counted_like_any_other_request(kept: Site) -> None:
    def requests() -> float:
        told = kept.anonymous.get("/metrics").text
        wanted = 'hannun_requests_total{route="/api/v1/events/{event_id}/analytics",status="200"}'
        return float(next(line.split()[-1] for line in told.splitlines() if line.startswith(wanted)))

    before = requests()
    assert json.loads(kept.owner.get(EVENT).content)["eventId"] == SPRING
    assert kept.owner.get(EVENT, params=THE_ROUTE).status_code == 200
    assert requests() == before + 2


# -- written in one go


class Wire:
    """A connection, and the bytes that come over it."""

    def __init__(self, site: Site, token: str) -> None:
        self._token = token
        self._socket = socket.create_connection(("127.0.0.1", int(site.address.rpartition(":")[2])), timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def sends(self, *paths: str, version: str = "1.1", headers: str = "", method: str = "GET") -> None:
        """Ask these, one behind the other without waiting."""
        head = f" HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n{headers}\r\n"
        self._socket.sendall("".join(f"{method} {path}{head}" for path in paths).encode())

    def receives(self, answers: int) -> bytes:
        """So many answers, without their dates. What comes behind them is an error."""
        came, ends = bytearray(), 0
        for _ in range(answers):
            ends = self._answer_end(came, ends)
        assert len(came) == ends, bytes(came[ends:])
        return re.sub(rb"\r\ndate: [^\r]*", b"", came)

    def rest(self) -> bytes:
        """What comes until the server closes the connection."""
        came = b""
        while data := self._socket.recv(65_536):
            came += data
        return came

    def _answer_end(self, came: bytearray, begin: int) -> int:
        while (end := came.find(b"\r\n\r\n", begin)) < 0:
            self._more(came)
        length = re.search(rb"content-length: (\d+)", came[begin:end])
        end += 4 + (int(length[1]) if length else 0)
        while len(came) < end:
            self._more(came)
        return end

    def _more(self, came: bytearray) -> None:
        data = self._socket.recv(65_536)
        assert data, bytes(came[-2_000:])
        came += data


def in_the_ordinary_way(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], bytes]) -> bytes:
    with monkeypatch.context() as patch:
        patch.setattr(DirectWriteTransport, "try_write", lambda *_: False)
        return ask()


def test_what_is_written_in_one_go_is_what_the_server_would_write(kept: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = kept.token(OWNER)
    kept.with_token(token).get(MERCHANT)
    etag = kept.with_token(token).get(EVENT).headers["etag"]
    went: list[bool] = []
    said = DirectWriteTransport.try_write

    def told(*args: Any) -> bool:
        went.append(said(*args))
        return went[-1]

    monkeypatch.setattr(DirectWriteTransport, "try_write", told)
    has_it, has_another = f"If-None-Match: {etag}\r\n", 'If-None-Match: "other"\r\n'
    for path, headers in ((EVENT, ""), (MERCHANT, ""), (EVENT, has_it), (MERCHANT, has_another)):

        def ask(path: str = path, headers: str = headers) -> bytes:
            went.clear()
            with Wire(kept, token) as wire:
                wire.sends(path, path, path, headers=headers)
                return wire.receives(3)

        def at_once(ask: Callable[[], bytes] = ask) -> bytes | None:
            came = ask()
            return came if went == [True] * 3 else None  # a debt that is paid again makes the first one a miss

        came = kept.world.wait_for("three answers in one go", at_once)
        kept.world.wait_for("the same", lambda came=came, ask=ask: came == in_the_ordinary_way(monkeypatch, ask))


def test_a_client_that_wants_the_connection_closed_gets_it_closed(kept: Site) -> None:
    for asked in ({"version": "1.0"}, {"headers": "Connection: close\r\n"}):
        token = kept.token(OWNER)
        kept.with_token(token).get(EVENT)
        with Wire(kept, token) as wire:
            wire.sends(EVENT, **asked)
            assert b"connection: close" in wire.receives(1)
            assert wire.rest() == b""


def test_answers_come_in_the_order_of_the_questions_whoever_gives_them(kept: Site) -> None:
    """One that the application gives takes longer than the hot ones behind it."""
    token = kept.token(OWNER)
    kept.with_token(token).get(EVENT)
    with Wire(kept, token) as wire:
        wire.sends(f"{EVENT}/timeline?tz=Asia/Seoul", EVENT, "/api/v1/nowhere", EVENT)
        statuses = re.findall(rb"HTTP/1.1 (\d+)", wire.receives(4))
    assert statuses == [b"200", b"200", b"404", b"200"]


def test_a_client_that_reads_nothing_is_written_no_more_until_it_reads_on(kept: Site) -> None:
    token, count = kept.token(OWNER), 3_000
    kept.with_token(token).get(EVENT)
    with Wire(kept, token) as wire:
        sending = threading.Thread(target=wire.sends, args=[EVENT] * count)
        sending.start()
        kept.world.wait_for("the server to wait for the reader", kept.has_paused_writes)
        before = kept.request_count()
        for _ in range(50):  # the others are served meanwhile
            assert kept.owner.get("/health/live").status_code == 200
        assert kept.request_count() < before + 50 + 20
        assert wire.receives(count).count(b"HTTP/1.1 200 OK") == count
        sending.join()


def test_an_answer_has_the_date_of_its_own_second(kept: Site) -> None:
    state = kept._http.state

    def has_it() -> bool:
        state.default_headers = [(b"date", b"the next day")]  # until the server's clock ticks
        return kept.owner.get(EVENT).headers["date"] == "the next day"

    assert kept.owner.get(EVENT).headers["date"] != "the next day"
    kept.world.wait_for("an answer with the new date", has_it)


def test_a_kept_etag_cannot_smuggle_a_header_in(kept: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but us writes what is kept; who could all the same gets no further than the server's own check."""
    token = kept.token(OWNER)
    kept.with_token(token).get(EVENT)
    cache = kept.services.cached_answers._cache
    honest = cache.get_local

    def forged(*args: Any) -> EncodedAnswer | None:
        answer = honest(*args)
        return None if answer is None else msgspec.structs.replace(answer, etag='"1-2"\r\nset-cookie: x=y')

    kept.owner.get(EVENT)
    monkeypatch.setattr(cache, "get_local", forged)
    with Wire(kept, token) as wire:
        wire.sends(EVENT)
        assert b"set-cookie" not in wire.rest()


# -- what is sent is read


def test_who_sends_a_message_reads_it_at_once(kept: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the copy in this process still holds: the announcement may be on its way, here for ever."""
    kept.owner.get(EVENT)
    monkeypatch.setattr(kept.services.cached_answers._cache._local, "invalidate", lambda _: None)
    for number in (3, 4, 5):
        kept.send(kept.world.registered(f"p{number}"))
        assert json.loads(kept.owner.get(EVENT).content)["summary"]["totalParticipants"] == number
