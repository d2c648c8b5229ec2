"""Who may see what: another's event cannot be told from none, by any road."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx2
import psycopg
import pytest
import redis.asyncio
from fastapi.routing import APIRoute
from served import STRANGER, Site
from world import OWNER, SPRING

from hannun.domain.authorization import Principal
from hannun.web.app import application
from hannun.web.callers import caller_of

SECRET_EVENT = "5b0c2f64-0000-4000-8000-000000000009"
NONE = "5b0c2f64-0000-4000-8000-00000000000f"
NOT_CREATED = "5b0c2f64-0000-4000-8000-000000000002"
ROADS = (
    "analytics",
    "analytics?refresh=true",
    "analytics?startDate=yesterday",
    "analytics/timeline",
    "analytics/timeline?granularity=daily",
    "analytics/timeline?granularity=daily&tz=UTC",
    "analytics/timeline?granularity=minute&startDate=1970-01-01&endDate=2026-01-01",
    "analytics/timeline?tz=nowhere",
    "live",
)


@contextmanager
def commands() -> Iterator[list[str]]:
    """What is sent to Redis and PostgreSQL within the block, the ids in it taken out."""
    sent: list[str] = []
    of_redis, of_postgres = redis.asyncio.Redis.execute_command, psycopg.AsyncConnection.execute

    def noted(text: str) -> None:
        sent.append(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text))

    async def to_redis(client: Any, *arguments: Any, **options: Any) -> Any:
        noted(f"redis {arguments[:4]}")
        return await of_redis(client, *arguments, **options)

    async def to_postgres(conn: Any, query: Any, parameters: Any = None, **options: Any) -> Any:
        answer = await of_postgres(conn, query, parameters, **options)
        noted(f"postgresql {query} {parameters} {answer.rowcount}")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis.asyncio.Redis, "execute_command", to_redis)
        patch.setattr(psycopg.AsyncConnection, "execute", to_postgres)
        yield sent


def told(answer: httpx2.Response) -> tuple[int, dict[str, Any], dict[str, str]]:
    """All of an answer but what the question itself said."""
    body = answer.json()
    asked = body.pop("instance")
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    headers["content-length"] = str(int(headers["content-length"]) - len(asked.encode()))
    return answer.status_code, body, headers


def counted(site: Site) -> None:
    site.world.count(
        site.world.created(),
        site.world.created(SECRET_EVENT),
        site.world.registered("p1"),
        site.world.registered("p2", NOT_CREATED),
    )


@pytest.mark.parametrize("road", ROADS)
def test_anothers_event_takes_the_steps_of_one_that_does_not_exist(site: Site, road: str) -> None:
    counted(site)
    for path in ("analytics", "analytics/timeline", "analytics/timeline?granularity=daily"):
        assert site.owner.get(f"/api/v1/events/{SPRING}/{path}").status_code == 200  # now they are in the cache
    site.stranger.get(f"/api/v1/users/{STRANGER}/analytics")  # connections are open, statements prepared
    seen = []
    for event in (SPRING, SECRET_EVENT, NONE, NOT_CREATED) * 2:
        with commands() as sent:
            answer = site.stranger.get(f"/api/v1/events/{event}/{road}")
        seen.append((told(answer), sent))
    assert all(each == seen[0] for each in seen), seen
    assert seen[0][0][0] == 404
    assert any("postgresql" in step for step in seen[0][1])  # the steps were seen


def test_an_etag_that_was_guessed_right_tells_nothing(site: Site) -> None:
    counted(site)
    path = f"/api/v1/events/{SPRING}/analytics"
    etag = site.owner.get(path).headers["etag"]
    for guessed in (etag, f"W/{etag}", "*"):
        for event in (SPRING, NONE):
            asked = site.stranger.get(f"/api/v1/events/{event}/analytics", headers={"If-None-Match": guessed})
            assert asked.status_code == 404
            assert not {"etag", "x-data-source"} & set(asked.headers)


def test_while_the_database_is_away_a_kept_answer_is_for_its_owner_and_nobody_learns_more(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(site)
    assert site.admin.get(f"/api/v1/events/{SPRING}/analytics").status_code == 200

    def away(_: Any) -> Any:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(type(site.services.authorizer._reader), "_get_live_connection", away)
    kept = site.owner.get(f"/api/v1/events/{SPRING}/analytics")
    assert (kept.status_code, kept.headers["x-data-source"]) == (200, "cache")
    refused = [told(site.stranger.get(f"/api/v1/events/{event}/analytics")) for event in (SPRING, SECRET_EVENT, NONE)]
    assert refused[0] == refused[1] == refused[2]
    assert refused[0][0] == 503


def test_an_event_cannot_be_taken_over_by_telling_of_it_again(site: Site) -> None:
    counted(site)
    site.sends(site.world.created(owner=STRANGER, at="2026-11-22T09:00:00+09:00"))
    path = f"/api/v1/events/{SPRING}/analytics"
    assert (site.owner.get(path).status_code, site.stranger.get(path).status_code) == (200, 404)


def test_who_was_let_in_sees_nothing_of_a_database_in_which_it_is_anothers(site: Site) -> None:
    counted(site)
    path = f"/api/v1/events/{SPRING}/analytics"
    assert site.owner.get(path).status_code == 200
    for table in ("hannun.events", "public.event_stats"):
        site.world.rows(f"UPDATE {table} SET user_id = %s WHERE event_id = %s", STRANGER, SPRING)
    site.redis.flushall()
    # Nobody has told of this change, so a copy in the process may be shown until it is a second old.
    site.world.wait_for("the copy to end", lambda: site.owner.get(path).status_code == 404)
    for _ in range(2):
        assert site.owner.get(path).status_code == site.owner.get(f"{path}/timeline").status_code == 404
        assert site.stranger.get(path).status_code == 200  # and it is in the cache


def test_a_hundred_pages_of_one_merchant_ask_whose_event_it_is_once(site: Site) -> None:
    counted(site)

    async def together() -> None:
        asker = Principal(OWNER, frozenset({"MERCHANT"}))
        await asyncio.gather(*(site.services.authorizer.authorize(asker, SPRING) for _ in range(100)))

    with commands() as sent:
        site.inside(together)
    assert len([step for step in sent if "hannun.events" in step]) == 1


def test_anothers_list_of_events_is_not_even_looked_for(site: Site) -> None:
    counted(site)
    site.owner.get(f"/api/v1/users/{OWNER}/analytics")
    for road in ("analytics", "analytics?status=ENDED&refresh=true", "live"):
        seen = []
        for user in (OWNER, "there-is-none"):
            with commands() as sent:
                seen.append(told(site.stranger.get(f"/api/v1/users/{user}/{road}")))
            assert sent == []
        assert seen[0] == seen[1]
        assert seen[0][0] == 404


@pytest.mark.parametrize("road", ["/api/v1/session", f"/api/v1/events/{SPRING}/session"])
def test_another_sites_page_cannot_sign_anybody_in(site: Site, road: str) -> None:
    body = {"token": site.token(STRANGER), "share": "guessed"}
    for site_of_page, refused in (("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)):
        answer = site.nobody.post(road, json=body, headers={"Sec-Fetch-Site": site_of_page})
        assert (answer.status_code == 403) == refused, site_of_page
        assert not refused or "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/events/{SPRING}/../{SPRING}/analytics",
        f"/api/v1//events/{SPRING}/analytics",
        f"/api/v1/events/{SPRING}/analytics/",
        f"/api/v1/events/%2e%2e/events/{SPRING}/analytics",
        f"/api/v1/users/{STRANGER}/../../events/{SPRING}/analytics",
        f"/api/v1/users/{STRANGER}%2F..%2F..%2Fevents%2F{SPRING}/analytics",
        f"/api/v1/events/{SPRING}%00/analytics",
        f"/api/v1/events/{SPRING}%20/analytics",
        f"/api/v1/events/%20{SPRING}/analytics",
        f"/api/v1/events/{SPRING.upper()}/analytics",
        f"/api/v1/events/{SPRING};/analytics",
        f"/api/v1/events/{SPRING}?/analytics",
        f"/API/V1/events/{SPRING}/analytics",
        f"/api/v1/events/{'x' * 37}/analytics",
        f"/api/v1/events/{SPRING}:daily/analytics",
        f"/static/..%2f..%2f..%2fapi/v1/events/{SPRING}/analytics",
    ],
)
def test_no_path_leads_around(site: Site, path: str) -> None:
    counted(site)
    site.owner.get(f"/api/v1/events/{SPRING}/analytics")
    answer = site.stranger.get(httpx2.URL(site.address + "/").copy_with(raw_path=path.encode()), follow_redirects=True)
    assert answer.status_code in (400, 404), answer.text
    assert "봄맞이" not in answer.text
    assert "etag" not in answer.headers


def test_ids_with_the_signs_of_keys_and_addresses_are_ids_like_others(site: Site) -> None:
    odd = ["a:daily", "a", "a:b", "*", "{a}", "a}b", "..", "a b", "a'b", 'a"b', "a\\b", "ㄱ:ㄴ", "a%3Ab", "%", "a+b"]
    site.world.count(*(site.world.created(event, eventTitle=f"이벤트 {event}") for event in odd))
    for _ in ("live", "cache"):
        for event in odd:
            path = f"/api/v1/events/{quoted(event)}/analytics"
            answer = site.owner.get(httpx2.URL(site.address + "/").copy_with(raw_path=path.encode()))
            assert (answer.status_code, answer.json()["eventId"]) == (200, event)
            assert answer.json()["eventTitle"] == f"이벤트 {event}"


def quoted(event: str) -> str:
    return quote(event, safe="").replace(".", "%2E")


def test_the_order_of_refusals_is_who_then_what_then_how(site_with: Callable[..., Site]) -> None:
    site = site_with(requests_a_minute=1)
    site.services.request_limit._clock = lambda: 0.0
    counted(site)
    bad = f"/api/v1/events/{SPRING}/analytics/timeline?tz=nowhere"
    assert site.nobody.get(bad).status_code == 401
    assert site.stranger.get(bad).status_code == 404
    assert site.owner.get(bad).status_code == 400
    assert site.owner.get(bad).status_code == site.stranger.get(bad).status_code == 429


def test_every_road_to_an_event_or_a_merchant_passes_the_decision(site: Site) -> None:
    without = {"/api/v1/messages", "/api/v1/session", "/api/v1/events/{event_id}/session"}  # these decide themselves
    roads = [route for route in routes_of(application(site.services)) if route.path.startswith("/api/v1/")]
    assert len(roads) > len(without)
    for route in roads:
        if route.path in without:
            continue
        assert "{event_id}" in route.path or "{user_id}" in route.path, route.path
        assert caller_of in set(dependencies_of(route.dependant)), route.path


def routes_of(app: Any) -> list[APIRoute]:
    """Every route of ours; FastAPI keeps those of a router in the router."""
    routers = [app, *(route.original_router for route in app.routes if hasattr(route, "original_router"))]
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def dependencies_of(dependant: Any) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from dependencies_of(inner)
