"""Authorization: another merchant's event is indistinguishable from one that does not exist, on every route."""

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
from served import OTHER_MERCHANT, Site
from world import OWNER, SPRING

from hannun.domain.authorization import Principal
from hannun.web.app import application
from hannun.web.callers import caller_of

SECRET_EVENT = "5b0c2f64-0000-4000-8000-000000000009"
NONE = "5b0c2f64-0000-4000-8000-00000000000f"
NOT_CREATED = "5b0c2f64-0000-4000-8000-000000000002"
PATHS = (
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


BACKGROUND = {"read ended sessions", "check that Redis accepts invalidations"}


@contextmanager
def recorded_commands() -> Iterator[list[str]]:
    """The commands that requests send to Redis and PostgreSQL within the block, with ids masked.

    Without `PUBLISH`: no request publishes, but the sharing of the limits does so once a second. Without what the
    process does by itself twice a second: it reads the sessions that have ended, and checks that Redis can be written.
    """
    sent: list[str] = []
    of_redis, of_postgres = redis.asyncio.Redis.execute_command, psycopg.AsyncConnection.execute

    def record(text: str) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name() in BACKGROUND:
            return
        sent.append(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text))

    async def to_redis(client: Any, *arguments: Any, **options: Any) -> Any:
        if arguments[0] != "PUBLISH":
            record(f"redis {arguments[:4]}")
        return await of_redis(client, *arguments, **options)

    async def to_postgres(conn: Any, query: Any, parameters: Any = None, **options: Any) -> Any:
        answer = await of_postgres(conn, query, parameters, **options)
        record(f"postgresql {query} {parameters} {answer.rowcount}")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis.asyncio.Redis, "execute_command", to_redis)
        patch.setattr(psycopg.AsyncConnection, "execute", to_postgres)
        yield sent


def comparable(answer: httpx2.Response) -> tuple[int, dict[str, Any], dict[str, str]]:
    """A response without what depends on the request's path, to compare responses."""
    body = answer.json()
    asked = body.pop("instance")
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    headers["content-length"] = str(int(headers["content-length"]) - len(asked.encode()))
    return answer.status_code, body, headers


def count_events(site: Site) -> None:
    site.world.count(
        site.world.created(),
        site.world.created(SECRET_EVENT),
        site.world.registered("p1"),
        site.world.registered("p2", NOT_CREATED),
    )


@pytest.mark.parametrize("path", PATHS)
def test_another_merchants_event_takes_the_same_steps_as_one_that_does_not_exist(site: Site, path: str) -> None:
    count_events(site)
    for path in ("analytics", "analytics/timeline", "analytics/timeline?granularity=daily"):
        assert site.owner.get(f"/api/v1/events/{SPRING}/{path}").status_code == 200  # now they are in the cache
    site.other_merchant.get(f"/api/v1/users/{OTHER_MERCHANT}/analytics")  # opens connections, prepares statements
    results = []
    for event in (SPRING, SECRET_EVENT, NONE, NOT_CREATED) * 2:
        with recorded_commands() as sent:
            answer = site.other_merchant.get(f"/api/v1/events/{event}/{path}")
        results.append((comparable(answer), sent))
    assert all(each == results[0] for each in results), results
    assert results[0][0][0] == 404
    assert any("postgresql" in step for step in results[0][1])  # steps were recorded


def test_a_correctly_guessed_etag_reveals_nothing(site: Site) -> None:
    count_events(site)
    path = f"/api/v1/events/{SPRING}/analytics"
    etag = site.owner.get(path).headers["etag"]
    for guessed in (etag, etag.removeprefix("W/"), "*"):
        for event in (SPRING, NONE):
            asked = site.other_merchant.get(f"/api/v1/events/{event}/analytics", headers={"If-None-Match": guessed})
            assert asked.status_code == 404
            assert not {"etag", "x-data-source"} & set(asked.headers)


def test_while_postgresql_is_unavailable_only_the_owner_gets_the_cached_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_events(site)
    assert site.admin.get(f"/api/v1/events/{SPRING}/analytics").status_code == 200

    def away(_: Any) -> Any:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(type(site.services.authorizer._reader), "_get_live_connection", away)
    cached = site.owner.get(f"/api/v1/events/{SPRING}/analytics")
    assert (cached.status_code, cached.headers["x-data-source"]) == (200, "cache")
    refused = [
        comparable(site.other_merchant.get(f"/api/v1/events/{event}/analytics"))
        for event in (SPRING, SECRET_EVENT, NONE)
    ]
    assert refused[0] == refused[1] == refused[2]
    assert refused[0][0] == 503


def test_sending_an_event_again_does_not_change_its_owner(site: Site) -> None:
    count_events(site)
    site.send(site.world.created(owner=OTHER_MERCHANT, at="2026-11-22T09:00:00+09:00"))
    path = f"/api/v1/events/{SPRING}/analytics"
    assert (site.owner.get(path).status_code, site.other_merchant.get(path).status_code) == (200, 404)


def test_an_earlier_authorization_is_void_in_a_database_with_another_owner(site: Site) -> None:
    count_events(site)
    path = f"/api/v1/events/{SPRING}/analytics"
    assert site.owner.get(path).status_code == 200
    for table in ("hannun.events", "public.event_stats"):
        site.world.rows(f"UPDATE {table} SET user_id = %s WHERE event_id = %s", OTHER_MERCHANT, SPRING)
    site.redis.flushall()
    # This change was not announced, so the local cache entry may be served until it is 1 s old.
    site.world.wait_for("the local cache entry to expire", lambda: site.owner.get(path).status_code == 404)
    for _ in range(2):
        assert site.owner.get(path).status_code == site.owner.get(f"{path}/timeline").status_code == 404
        assert site.other_merchant.get(path).status_code == 200  # and it is in the cache


def test_a_hundred_requests_of_one_merchant_cost_one_ownership_query(site: Site) -> None:
    count_events(site)

    async def authorize_concurrently() -> None:
        principal = Principal(OWNER, frozenset({"MERCHANT"}))
        await asyncio.gather(*(site.services.authorizer.authorize(principal, SPRING) for _ in range(100)))

    with recorded_commands() as sent:
        site.run_in_loop(authorize_concurrently)
    assert len([step for step in sent if "hannun.events" in step]) == 1


def test_another_merchants_list_is_refused_without_a_query(site: Site) -> None:
    count_events(site)
    site.owner.get(f"/api/v1/users/{OWNER}/analytics")
    for path in ("analytics", "analytics?status=ENDED&refresh=true", "live"):
        results = []
        for user in (OWNER, "there-is-none"):
            with recorded_commands() as sent:
                results.append(comparable(site.other_merchant.get(f"/api/v1/users/{user}/{path}")))
            assert sent == []
        assert results[0] == results[1]
        assert results[0][0] == 404


@pytest.mark.parametrize("path", ["/api/v1/session", f"/api/v1/events/{SPRING}/session"])
def test_a_page_of_another_site_cannot_sign_a_browser_in(site: Site, path: str) -> None:
    body = {"token": site.token(OTHER_MERCHANT), "share": "guessed"}
    for site_of_page, refused in (("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)):
        answer = site.anonymous.post(path, json=body, headers={"Sec-Fetch-Site": site_of_page})
        assert (answer.status_code == 403) == refused, site_of_page
        assert not refused or "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/events/{SPRING}/../{SPRING}/analytics",
        f"/api/v1//events/{SPRING}/analytics",
        f"/api/v1/events/{SPRING}/analytics/",
        f"/api/v1/events/%2e%2e/events/{SPRING}/analytics",
        f"/api/v1/users/{OTHER_MERCHANT}/../../events/{SPRING}/analytics",
        f"/api/v1/users/{OTHER_MERCHANT}%2F..%2F..%2Fevents%2F{SPRING}/analytics",
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
def test_no_spelling_of_a_path_bypasses_authorization(site: Site, path: str) -> None:
    count_events(site)
    site.owner.get(f"/api/v1/events/{SPRING}/analytics")
    answer = site.other_merchant.get(
        httpx2.URL(site.address + "/").copy_with(raw_path=path.encode()), follow_redirects=True
    )
    assert answer.status_code in (400, 404), answer.text
    assert "봄맞이" not in answer.text
    assert "etag" not in answer.headers


def test_ids_may_contain_the_special_characters_of_keys_and_urls(site: Site) -> None:
    odd = ["a:daily", "a", "a:b", "*", "{a}", "a}b", "...", "a b", "a'b", 'a"b', "a\\b", "ㄱ:ㄴ", "a%3Ab", "%", "a+b"]
    site.world.count(*(site.world.created(event, eventTitle=f"이벤트 {event}") for event in odd))
    for _ in ("live", "cache"):
        for event in odd:
            path = f"/api/v1/events/{percent_encoded(event)}/analytics"
            answer = site.owner.get(httpx2.URL(site.address + "/").copy_with(raw_path=path.encode()))
            assert (answer.status_code, answer.json()["eventId"]) == (200, event)
            assert answer.json()["eventTitle"] == f"이벤트 {event}"


def percent_encoded(event: str) -> str:
    return quote(event, safe="").replace(".", "%2E")


def test_authentication_is_checked_before_authorization_and_parameters(site_with: Callable[..., Site]) -> None:
    site = site_with(requests_a_minute=1)
    site.services.request_limit._clock = lambda: 0.0
    count_events(site)
    bad = f"/api/v1/events/{SPRING}/analytics/timeline?tz=nowhere"
    assert site.anonymous.get(bad).status_code == 401
    assert site.other_merchant.get(bad).status_code == 404
    assert site.owner.get(bad).status_code == 400
    assert site.owner.get(bad).status_code == site.other_merchant.get(bad).status_code == 429


def test_every_route_with_an_event_or_a_merchant_depends_on_authorization(site: Site) -> None:
    without = {
        "/api/v1/events",  # for an ADMIN only
        "/api/v1/merchants",
        "/api/v1/operations/checks",  # the same, and so are the next ones
        "/api/v1/operations/overview",
        "/api/v1/operations/dead-letters",
        "/api/v1/operations/dead-letters/retry",
        "/api/v1/operations/dead-letters/drop",
        "/api/v1/messages",
        "/api/v1/session",
        "/api/v1/sign-in-codes",
        "/api/v1/events/{event_id}/session",
    }  # these authenticate by themselves
    routes = [route for route in routes_of(application(site.services)) if route.path.startswith("/api/v1/")]
    assert len(routes) > len(without)
    for route in routes:
        if route.path in without:
            continue
        assert "{event_id}" in route.path or "{user_id}" in route.path, route.path
        assert caller_of in set(dependencies_of(route.dependant)), route.path


def routes_of(app: Any) -> list[APIRoute]:
    """Every route of the application. FastAPI keeps the routes of an included router in that router."""
    routers = [app, *(route.original_router for route in app.routes if hasattr(route, "original_router"))]
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def dependencies_of(dependant: Any) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from dependencies_of(inner)
