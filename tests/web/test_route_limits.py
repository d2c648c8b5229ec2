"""Every route has a limit, which comes before its cost: a refused request sends nothing to PostgreSQL or Redis."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from served import Site
from starlette.routing import Mount
from test_authorization import recorded_commands
from world import OWNER, SPRING

from hannun.cache.answer_cache import AnswerCache
from hannun.cache.read_pool import ReadConnectionPool
from hannun.errors import Busy
from hannun.flows.health_checks import Health
from hannun.flows.report.answers import Reports
from hannun.store.database import Database
from hannun.web.app import application
from hannun.web.limits import RateLimit, StreamLimit

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
MINE = f"/api/v1/users/{OWNER}/analytics"
LIVE = f"/api/v1/events/{SPRING}/live"
SESSION = "/api/v1/session"
LIMITS = (
    "request_limit",
    "refresh_limit",
    "share_limit",
    "sign_in_limit",
    "anonymous_limit",
    "page_limit",
)

TOKEN = {"known token": "request_limit", "unknown token": "anonymous_limit", "nobody": "anonymous_limit"}
EVENT = {**TOKEN, "guessed link": "anonymous_limit"}
SHARED_EVENT = {**EVENT, "link": "share_limit"}
PAGE = {"known token": "page_limit", "nobody": "page_limit"}
SIGN_IN = {"known token": "sign_in_limit", "nobody": "sign_in_limit"}
NO_TOKEN = {"unknown token": "anonymous_limit", "nobody": "anonymous_limit"}

ROUTES: dict[str, dict[str, str]] = {
    **dict.fromkeys(
        (
            "GET /api/v1/events/{event_id}/analytics",
            "GET /api/v1/events/{event_id}/analytics/channels",
            "GET /api/v1/events/{event_id}/analytics/timeline",
            "GET /api/v1/events/{event_id}/analytics/insights",
            "GET /api/v1/events/{event_id}/analytics/roi",
            "GET /api/v1/events/{event_id}/live",
        ),
        SHARED_EVENT,
    ),
    **dict.fromkeys(
        (
            "GET /api/v1/events",
            "GET /api/v1/users/{user_id}/analytics",
            "GET /api/v1/users/{user_id}/analytics/channels",
            "GET /api/v1/users/{user_id}/analytics/timeline",
            "GET /api/v1/users/{user_id}/analytics/roi",
            "GET /api/v1/users/{user_id}/live",
            "POST /api/v1/events/{event_id}/shares",
            "DELETE /api/v1/events/{event_id}/shares/{share_id}",
            "POST /api/v1/events/{event_id}/channels/{channel_name}/totals",
            "GET /api/v1/session",
        ),
        EVENT,
    ),
    "GET /api/v1/events/{event_id}/shares": SHARED_EVENT,
    "GET /api/v1/events": TOKEN,
    "GET /api/v1/operations/checks": TOKEN,
    "GET /api/v1/merchants": TOKEN,
    "GET /api/v1/operations/overview": TOKEN,
    "GET /api/v1/operations/dead-letters": TOKEN,
    "POST /api/v1/operations/dead-letters/retry": TOKEN,
    "POST /api/v1/operations/dead-letters/drop": TOKEN,
    "POST /api/v1/sign-in-codes": TOKEN,
    "POST /api/v1/messages": TOKEN,
    "POST /api/v1/session": SIGN_IN,
    "DELETE /api/v1/session": NO_TOKEN,
    "POST /api/v1/events/{event_id}/session": SIGN_IN,
    "GET /api/v1/events/{event_id}/session": {
        "nobody": "anonymous_limit",
        "guessed link": "anonymous_limit",
        "link": "share_limit",
    },
    "DELETE /api/v1/events/{event_id}/session": NO_TOKEN,
    "GET /": PAGE,
    "GET /events/{event_id}": PAGE,
    "GET /users/{user_id}": PAGE,
    "GET /ops": PAGE,
    "GET /docs": PAGE,
    "GET /openapi.json": PAGE,
    "GET /static": PAGE,
    "GET /health/live": PAGE,
    "GET /health/ready": PAGE,
    "GET /metrics": PAGE,
}
"""The limit of each route, by who sends the request."""

WITHOUT_ROUTE: dict[str, dict[str, str]] = {
    "GET /nowhere": PAGE,
    "GET /static/nowhere.js": PAGE,
    "GET /api/v1/nowhere": PAGE,
    "GET /api/v1/events/{event_id}/analytics/": PAGE,
    "PUT /api/v1/session": PAGE,
    "DELETE /": PAGE,
    "OPTIONS /api/v1/events/{event_id}/analytics": PAGE,
    "GET /docs%0A": PAGE,
    # Refused before anything else: the event id or a parameter is malformed, or a page of another origin has sent it.
    "GET /api/v1/events/%00/analytics": EVENT,
    "GET /api/v1/events/%00/live": EVENT,
    "GET /api/v1/events/%00/session": {"nobody": "anonymous_limit", "guessed link": "anonymous_limit"},
    "DELETE /api/v1/events/%00/session": NO_TOKEN,
    "POST /api/v1/events/%00/session": SIGN_IN,
    "GET /api/v1/users/%00/analytics": TOKEN,
    "GET /api/v1/users/{user_id}/analytics?limit=none": TOKEN,
    "GET /api/v1/session?unknown=1": TOKEN,
    "POST /api/v1/session?unknown=1": SIGN_IN,
    "DELETE /api/v1/session?unknown=1": NO_TOKEN,
    "GET /api/v1/events/{event_id}/analytics%0A": PAGE,
    "HEAD /": PAGE,
    "HEAD /api/v1/nowhere": PAGE,
    "HEAD /api/v1/events/{event_id}/analytics": SHARED_EVENT,
    "HEAD /api/v1/events/{event_id}/live": PAGE,
}


def routes_in(app: FastAPI) -> Iterator[str]:
    """Method and path of every route, also of mounted applications and of what FastAPI adds by itself."""
    routers = [app, *(route.original_router for route in app.routes if hasattr(route, "original_router"))]
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, Mount):
            yield f"GET {route.path}"
        elif not hasattr(route, "original_router"):
            yield from (f"{method} {route.path}" for method in route.methods - {"HEAD"})


@contextmanager
def commands_sent() -> Iterator[list[str]]:
    """What requests send to PostgreSQL and Redis within the block, also in threads and past redis-py."""
    with recorded_commands() as sent, pytest.MonkeyPatch.context() as patch:
        get, transaction, report = ReadConnectionPool.get, Database.transaction, Health.report

        async def get_recorded(pool: Any, key: str) -> Any:
            sent.append(f"redis GET {key}")
            return await get(pool, key)

        def transaction_recorded(database: Any) -> Any:
            if threading.current_thread().name.startswith(
                "AnyIO"
            ):  # of a request; timed jobs have threads of their own
                sent.append("postgresql transaction")
            return transaction(database)

        def report_recorded(health: Any) -> Any:
            sent.append("health report")
            return report(health)

        patch.setattr(ReadConnectionPool, "get", get_recorded)
        patch.setattr(Database, "transaction", transaction_recorded)
        patch.setattr(Health, "report", report_recorded)
        yield sent


@pytest.fixture
def limited(site_with: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose limits stand still and limit nothing yet; cached answers are in Redis only."""
    site = site_with()
    monkeypatch.setattr(AnswerCache, "get_local", lambda *_: None)
    site.world.count(site.world.created(), site.world.registered("p1"))
    for name in LIMITS:
        limit_of(site, name)._clock = lambda: 0.0
    set_limits(site)
    return site


def limit_of(site: Site, name: str) -> RateLimit:
    limit: RateLimit = getattr(site.services, name)
    return limit


def set_limits(site: Site, **per_minute: int) -> None:
    """Fill all buckets, with these limits; all others limit nothing."""

    async def in_loop() -> None:
        for name in LIMITS:
            limit = limit_of(site, name)
            limit._per_minute = per_minute.get(name, 0)
            limit._buckets.clear()

    site.run_in_loop(in_loop)


def secret_of_a_link(site: Site) -> str:
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    address = site.owner.post(f"/api/v1/events/{SPRING}/shares", json={"until": until}).json()["address"]
    return str(address.partition("#share=")[2])


def callers_of(site: Site) -> dict[str, httpx2.Client]:
    return {
        "known token": site.signed_in(OWNER, "MERCHANT", "ADMIN"),
        "unknown token": site.with_token("guessed"),
        "nobody": site.anonymous,
        "guessed link": site.client({"Cookie": "hannun_share=guessed"}),
        "link": site.client({"Cookie": f"hannun_share={secret_of_a_link(site)}"}),
    }


def send(client: httpx2.Client, route: str) -> httpx2.Response:
    """Send a request of this route. Of a live stream, only the head is awaited."""
    method, path = route.split(" ")
    path = (
        path.replace("{event_id}", SPRING)
        .replace("{user_id}", OWNER)
        .replace("{share_id}", "a-link")
        .replace("{channel_name}", "NAVER")
    )
    assert "{" not in path, "a parameter for which this test has no value"
    path = "/static/favicon.svg" if path == "/static" else path
    with client.stream(method, path, json={"token": "guessed"} if method == "POST" else None) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer
        answer.read()
        return answer


def test_every_route_has_a_limit_in_this_table(site: Site) -> None:
    assert set(routes_in(application(site.services))) == set(ROUTES)
    assert all(ROUTES.values())


def test_every_route_takes_its_limit_before_it_costs_anything(limited: Site) -> None:
    callers = callers_of(limited)
    for client in callers.values():  # so that known tokens are verified, known links looked up, and answers cached
        for path in (SESSION, ANALYTICS, MINE, f"/api/v1/events/{SPRING}/session"):
            client.get(path)
    for route, limits in (ROUTES | WITHOUT_ROUTE).items():
        for caller, limit in limits.items():
            set_limits(limited, **{limit: 1})
            assert send(callers[caller], route).status_code != 429, (route, caller)
            with commands_sent() as sent:
                refused = send(callers[caller], route)
            assert (refused.status_code, sent) == (429, []), (route, caller)
            assert refused.headers["retry-after"] == "60", (route, caller)
            assert route.startswith("HEAD") or refused.json()["code"] == "too-many-requests", (route, caller)


def test_what_a_page_of_another_origin_sends_takes_from_the_address(limited: Site) -> None:
    for method in ("POST", "DELETE"):
        set_limits(limited, anonymous_limit=2)
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Content-Type": "text/plain"}):
            limited.anonymous.request(method, SESSION, headers=headers)
        refused = limited.anonymous.request(method, SESSION, headers={"Sec-Fetch-Site": "cross-site"})
        assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests"), method


def test_a_refused_address_costs_nobody_else_anything(limited: Site) -> None:
    callers = callers_of(limited)
    for caller in ("known token", "link"):
        callers[caller].get(ANALYTICS)
    set_limits(limited, anonymous_limit=1)
    assert [callers["unknown token"].get(ANALYTICS).status_code for _ in range(2)] == [401, 429]
    assert callers["known token"].get(ANALYTICS).status_code == 200
    for path in (ANALYTICS, ANALYTICS.replace(SPRING, SPRING.upper())):
        assert callers["link"].get(path).status_code == 200
    assert limited.with_token(limited.token(OWNER, lasts_s=50)).get(ANALYTICS).status_code == 429, (
        "its token was never verified"
    )


def test_whoever_turns_out_to_be_known_takes_nothing_from_their_address(limited: Site) -> None:
    links = [secret_of_a_link(limited) for _ in range(3)]
    set_limits(limited, anonymous_limit=1)
    for n in range(3):
        client = limited.with_token(limited.token(OWNER, lasts_s=100 + n))
        assert client.get(ANALYTICS).status_code == 200
        assert client.get(SESSION).status_code == 200
        session = f"hannun_session=expired; hannun_share={links[n]}"  # the page of a link, after a session has ended
        for _ in range(2):
            assert limited.client({"Cookie": session}).get(ANALYTICS).status_code == 200
    assert limited.services.anonymous_limit.remaining("127.0.0.1") == 1
    assert limited.services.anonymous_limit.drain_unshared_usage(9) == {}


def test_refused_files_and_refreshes_cost_nothing(limited: Site) -> None:
    limited.owner.get(ANALYTICS)
    set_limits(limited, refresh_limit=1)
    refresh, file = f"{ANALYTICS}?refresh=true", f"{ANALYTICS}/roi?format=csv&startDate=2026-11-01"
    assert limited.owner.get(refresh).status_code == 200
    limited.services.exports._concurrent_max = 0
    for path in (refresh, file):
        with commands_sent() as sent:
            assert (limited.owner.get(path).status_code, sent) == (429, []), path


# -- what a client says to have


def tag(version: int) -> dict[str, str]:
    return {"If-None-Match": f'"{version:x}-000000000000"'}


def later(**by: float) -> int:
    return int((datetime.now(UTC) + timedelta(**by)).timestamp() * 1_000_000)


@contextmanager
def computed() -> Iterator[list[object]]:
    """The questions that are computed from PostgreSQL within the block."""
    questions: list[object] = []
    compute = Reports._compute

    async def record(reports: Any, view: Any, question: Any) -> Any:
        questions.append(question)
        return await compute(reports, view, question)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reports, "_compute", record)
        yield questions


@pytest.mark.parametrize("path", [ANALYTICS, f"{ANALYTICS}/roi", MINE])
def test_a_forged_version_rebuilds_an_answer_only_within_the_limit_of_refreshes(limited: Site, path: str) -> None:
    limited.owner.get(path)
    set_limits(limited, refresh_limit=3)
    version = later(hours=1) if path != MINE else 2**120
    with computed() as questions:
        answers = [limited.owner.get(path, headers=tag(version)) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 10
    assert [answer.headers["x-data-source"] for answer in answers] == ["live"] * 3 + ["cache"] * 7
    assert len(questions) == 3


def test_a_version_of_the_future_is_ignored(limited: Site) -> None:
    limited.owner.get(ANALYTICS)
    set_limits(limited, refresh_limit=3)
    for version in (later(hours=25), 16**32 - 1):
        with computed() as questions:
            assert limited.owner.get(ANALYTICS, headers=tag(version)).headers["x-data-source"] == "cache"
        assert questions == []
    assert limited.services.refresh_limit.remaining(OWNER) == 3


def test_forged_versions_at_once_share_one_computation(limited: Site) -> None:
    """Also where nothing is cached yet: those who wait for the answer of another request find one that is too old."""
    set_limits(limited, refresh_limit=1)
    limited.owner.get(SESSION)

    async def ask_at_once() -> None:
        async with httpx2.AsyncClient(
            base_url=limited.address, headers=limited.owner.headers, trust_env=False
        ) as client:
            answers = await asyncio.gather(*(client.get(ANALYTICS, headers=tag(later(hours=1))) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}

    with computed() as questions:
        asyncio.run(ask_at_once())
    assert len(questions) <= 2


def test_the_holders_of_a_link_rebuild_nothing_at_the_owners_cost(limited: Site) -> None:
    link = callers_of(limited)["link"]
    link.get(ANALYTICS)
    set_limits(limited, refresh_limit=1)
    sources = [link.get(ANALYTICS, headers=tag(later(hours=1))).headers["x-data-source"] for _ in range(3)]
    assert sources == ["live", "cache", "cache"]
    assert limited.owner.get(f"{ANALYTICS}?refresh=true").status_code == 200


# -- live streams


def open_streams(stack: ExitStack, client: httpx2.Client, count: int, path: str = LIVE) -> list[int]:
    return [stack.enter_context(client.stream("GET", path)).status_code for _ in range(count)]


def test_live_streams_are_limited_for_each_caller(site_with: Callable[..., Site]) -> None:
    site = site_with(live_streams_per_caller_max=2)
    site.world.count(site.world.created())
    link = site.client({"Cookie": f"hannun_share={secret_of_a_link(site)}"})
    link.get(ANALYTICS)
    with ExitStack() as stack:
        assert open_streams(stack, site.owner, 2) == [200, 200]
        with commands_sent() as sent:
            refused = site.owner.get(f"/api/v1/users/{OWNER}/live")
        assert (refused.status_code, refused.json()["code"], sent) == (429, "too-many-requests", [])
        assert refused.headers["retry-after"] == "5"
        assert open_streams(stack, site.admin, 1) == [200]
        assert open_streams(stack, link, 3) == [200, 200, 429], "a link has places of its own"
    site.world.wait_for("all streams to end", lambda: site.watcher_count == 0)
    with ExitStack() as stack:
        site.world.wait_for("the places to be free", lambda: open_streams(stack, site.owner, 1) == [200])


def test_live_streams_are_limited_in_all(site_with: Callable[..., Site]) -> None:
    site = site_with(live_streams_max=2)
    site.world.count(site.world.created())
    with ExitStack() as stack:
        assert open_streams(stack, site.owner, 2) == [200, 200]
        assert site.admin.get(LIVE).status_code == 429


def test_a_stream_that_is_refused_for_another_reason_leaves_its_place(site_with: Callable[..., Site]) -> None:
    site = site_with(live_streams_per_caller_max=1)
    for _ in range(3):
        assert site.admin.get(LIVE).status_code == 404


def test_a_place_is_free_after_its_release() -> None:
    streams = StreamLimit(1, 1)
    for _ in range(3):
        place = streams.take("me")
        with pytest.raises(Busy):
            streams.take("another")
        place.release()


# -- buckets


def test_a_token_that_is_given_back_can_be_taken_again() -> None:
    limit = RateLimit(2, lambda: 0.0)
    for _ in range(5):
        limit.take("me")
        limit.give_back("me")
    limit.give_back("me")
    limit.give_back("nobody")
    assert (limit.remaining("me"), limit.remaining("nobody")) == (2, 2), "never more than a minute's"
    assert limit.drain_unshared_usage(9) == {}
    limit.take("me")
    assert limit.drain_unshared_usage(9) == {"me": 1}
    limit.give_back("me")
    assert limit.drain_unshared_usage(9) == {}, "the other processes have deducted it already"


def test_probes_do_not_share_the_bucket_of_visitors(limited: Site) -> None:
    set_limits(limited, page_limit=1)
    assert [limited.anonymous.get("/").status_code for _ in range(2)] == [200, 429]
    assert [limited.anonymous.get("/health/live").status_code for _ in range(2)] == [200, 429]
