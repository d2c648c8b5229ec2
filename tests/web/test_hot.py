"""Dashboards that are kept are answered before the framework is reached; nobody can tell, but by how long it takes."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from served import STRANGER, Site
from world import OWNER, SPRING

from hannun.web.auth import COOKIE
from hannun.web.hot import Hot

EVENT = f"/api/v1/events/{SPRING}/analytics"
MERCHANT = f"/api/v1/users/{OWNER}/analytics"
THE_ROUTE = {"tz": "Asia/Seoul"}  # the same question, said so that only the route takes it


@pytest.fixture
def kept(site: Site) -> Site:
    """Both dashboards are kept, and everybody who may see them has been let in."""
    site.world.counts(site.world.created(), site.world.registered("p1"), site.world.registered("p2"))
    for path in (EVENT, MERCHANT):
        for who in (site.owner, site.admin):
            for asked in ({}, THE_ROUTE):
                assert who.get(path, params=asked).status_code == 200
    return site


def by_cookie(site: Site) -> httpx2.Client:
    client = site._client({})
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
        await Hot(app, site.services)(scope, nothing, nothing)

    site.inside(ask)
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
    owner, stranger = (kept.token(user) for user in (OWNER, STRANGER))
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
    monkeypatch.setattr(kept.services.limit, "_a_minute", 1)
    kept.services.limit._buckets.clear()
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
        told = kept.nobody.get("/metrics").text
        wanted = 'hannun_requests_total{route="/api/v1/events/{event_id}/analytics",status="200"}'
        return float(next(line.split()[-1] for line in told.splitlines() if line.startswith(wanted)))

    before = requests()
    assert json.loads(kept.owner.get(EVENT).content)["eventId"] == SPRING
    assert kept.owner.get(EVENT, params=THE_ROUTE).status_code == 200
    assert requests() == before + 2


def test_who_sends_a_message_reads_it_at_once(kept: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the copy in this process still holds: the announcement may be on its way, here for ever."""
    kept.owner.get(EVENT)
    monkeypatch.setattr(kept.services.reports._cache._copies, "announced", lambda _: None)
    for number in (3, 4, 5):
        kept.sends(kept.world.registered(f"p{number}"))
        assert json.loads(kept.owner.get(EVENT).content)["summary"]["totalParticipants"] == number
