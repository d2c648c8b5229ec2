"""Rate limits in one process and across processes, and cross-origin requests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from served import OTHER_MERCHANT, Site, open_site
from starlette.requests import Request
from world import OWNER, SPRING, World

from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import Busy, OperatorError
from hannun.flows.limit_sharing import LimitSharing
from hannun.settings import Settings
from hannun.web.limits import RateLimit, address_of

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
SHOP = "https://shop.example.com"


def stop_clocks(site: Site) -> Site:
    for limit in ("request_limit", "refresh_limit", "share_limit", "sign_in_limit", "anonymous_limit"):
        getattr(site.services, limit)._clock = lambda: 0.0
    return site


def test_callers_without_a_valid_token_are_limited_by_address(site_with: Callable[..., Site]) -> None:
    site = stop_clocks(site_with(stranger_requests_a_minute=3))
    site.world.count(site.world.created())
    assert site.owner.get(ANALYTICS).status_code == 200
    bad = site.with_token("guessed")
    answers = [
        site.anonymous.get(ANALYTICS),
        bad.get(ANALYTICS),
        site.anonymous.get("/api/v1/session"),
        bad.get(ANALYTICS),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert answers[3].headers["retry-after"] == "20"
    assert answers[3].json()["code"] == "too-many-requests"
    assert bad.post("/api/v1/messages", json=[]).status_code == 429
    assert site.owner.get(ANALYTICS).status_code == 200  # a token that was verified before is not limited by address


def test_the_address_is_taken_from_a_trusted_proxys_header(site_with: Callable[..., Site]) -> None:
    for trusted, status in (("127.0.0.1", 401), ("203.0.113.9", 429), ("", 429)):
        site = stop_clocks(site_with(stranger_requests_a_minute=1, trusted_proxies=trusted))
        for address in ("198.51.100.1", "198.51.100.2"):
            answer = site.anonymous.get(ANALYTICS, headers={"X-Forwarded-For": address})
        assert answer.status_code == status, trusted


def test_a_limit_of_0_is_no_limit(site_with: Callable[..., Site]) -> None:
    site = stop_clocks(site_with(stranger_requests_a_minute=0, sign_ins_a_minute=0))
    assert {site.anonymous.get(ANALYTICS).status_code for _ in range(50)} == {401}
    assert {site.anonymous.post("/api/v1/session", json={"token": "x"}).status_code for _ in range(50)} == {401}


def test_sign_ins_are_limited_by_address_whether_they_succeed_or_not(site_with: Callable[..., Site]) -> None:
    site = stop_clocks(site_with(sign_ins_a_minute=3))
    tries = [
        site.anonymous.post("/api/v1/session", json={"token": "guessed"}),
        site.anonymous.post("/api/v1/session", json={"token": site.token(OWNER)}),
        site.anonymous.post(f"/api/v1/events/{SPRING}/session", json={"share": "guessed"}),
        site.anonymous.post(f"/api/v1/events/{SPRING}/session", json={"share": "guessed"}),
        site.anonymous.post("/api/v1/session", json={"token": site.token(OWNER)}),
    ]
    assert [answer.status_code for answer in tries] == [401, 204, 404, 429, 429]
    assert tries[4].headers["retry-after"] == "20"


def test_limits_work_without_redis(site_with: Callable[..., Site]) -> None:
    site = stop_clocks(site_with(requests_a_minute=2))
    site.world.count(site.world.created())
    site.services.cached_answers._cache._cooldown_until = float("inf")  # as after Redis did not answer
    assert [site.owner.get(ANALYTICS).status_code for _ in range(3)] == [200, 200, 429]


@pytest.fixture
def two(
    postgres: PostgresServer, valkey: ValkeyServer, database: str, tmp_path: Path
) -> Iterator[tuple[Site, Site, ValkeyServer]]:
    """Two services whose limits have stopped clocks, and a Valkey of their own."""
    with (
        ValkeyServer(tmp_path / "valkey") as own,
        World(postgres, own, database) as world,
        open_site(world, requests_a_minute=6) as one,
        Site(world, requests_a_minute=6) as other,
    ):
        world.count(world.created())
        world.wait_for("both to subscribe", lambda: one.redis.pubsub_numsub("hannun:taken")[0][1] == 2)
        yield stop_clocks(one), stop_clocks(other), own


def wait_for_usage_of(other: Site, site: Site) -> None:
    """Wait until the owner's usage at the other site is deducted here."""
    remaining = other.services.request_limit.remaining(OWNER)
    site.world.wait_for("the usage to be shared", lambda: site.services.request_limit.remaining(OWNER) == remaining)


def test_two_processes_together_allow_no_more_than_one_limit(two: tuple[Site, Site, ValkeyServer]) -> None:
    one, other, _ = two
    assert [one.owner.get(ANALYTICS).status_code for _ in range(4)] == [200] * 4
    wait_for_usage_of(one, other)
    assert [other.owner.get(ANALYTICS).status_code for _ in range(3)] == [200, 200, 429]
    wait_for_usage_of(other, one)
    refused = one.owner.get(ANALYTICS)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert other.other_merchant.get(ANALYTICS).status_code == 404  # each subject has its own bucket


def test_requests_above_a_shared_limit_are_made_up_for_by_waiting() -> None:
    here, there = (RateLimit(6, lambda: 0.0) for _ in range(2))
    for limit in (here, there):
        for _ in range(6):
            limit.take("me")
    for limit, other in ((here, there.drain_unshared_usage(9)), (there, here.drain_unshared_usage(9))):
        limit.deduct_remote_usage("me", other["me"])
        with pytest.raises(Busy) as refused:
            limit.take("me")
        assert refused.value.retry_after_s == 70


def test_while_redis_is_unavailable_each_process_limits_by_itself(two: tuple[Site, Site, ValkeyServer]) -> None:
    one, other, valkey = two
    valkey.stop()
    for site in (one, other):
        assert [site.owner.get(ANALYTICS).status_code for _ in range(7)] == [200] * 6 + [429]
    valkey.start()
    one.world.wait_for("both to subscribe again", lambda: one.redis.pubsub_numsub("hannun:taken")[0][1] == 2)
    assert other.other_merchant.get(ANALYTICS).status_code == 404
    one.world.wait_for("the usage to be shared", lambda: one.services.request_limit.remaining(OTHER_MERCHANT) == 5)


def test_small_usage_is_shared_once_it_has_added_up() -> None:
    limit = RateLimit(600, lambda: 0.0)
    for _ in range(5):
        limit.take("seldom")
    for _ in range(20):
        limit.take("often")
    assert limit.drain_unshared_usage(9) == {"often": 20}
    assert limit.drain_unshared_usage(9) == {}
    for name in ("seldom", *["now and then"] * 6):
        limit.take(name)
    assert {**limit.drain_unshared_usage(1), **limit.drain_unshared_usage(1)} == {"seldom": 6, "now and then": 6}


def test_malformed_usage_messages_are_ignored() -> None:
    limit = RateLimit(10, lambda: 0.0)

    async def received() -> AsyncIterator[bytes]:
        for each in (
            b"\xff",
            b"[]",
            b'{"by": "x", "taken": {"requests": {"me": -5}}}',
            b'{"by": "x", "taken": {"another": {"me": 5}}}',
            b'{"by": "x", "taken": {"requests": {"me": 3}}}',
        ):
            yield each

    async def publish(_: bytes) -> None: ...

    asyncio.run(LimitSharing({"requests": limit}, publish, received)._receive_usage())
    assert limit.remaining("me") == 7


def request_from(host: str) -> Request:
    return Request({"type": "http", "client": (host, 1)})


def test_an_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    assert address_of(request_from("203.0.113.9")) == address_of(request_from("::ffff:203.0.113.9")) == "203.0.113.9"
    assert address_of(request_from("2001:db8::1")) == address_of(request_from("2001:db8::ffff:1")) == "2001:db8::/64"
    assert address_of(request_from("2001:db8:0:1::1")) != address_of(request_from("2001:db8::1"))
    assert address_of(request_from("fe80::1%eth0")) == "fe80::/64"
    assert len(address_of(request_from("x" * 1_000))) == 64
    assert address_of(Request({"type": "http", "client": None})) == ""


def test_the_number_of_buckets_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hannun.web.limits.SUBJECTS_MAX", 3)
    limit = RateLimit(1, lambda: 0.0)
    for n in range(10):
        limit.take(f"caller {n}")
    assert len(limit._buckets) == 3


# -- other origins


def test_an_allowed_origin_may_call_and_read_the_headers_it_needs(site_with: Callable[..., Site]) -> None:
    site = site_with(cors_origins=f"{SHOP}, http://localhost:3000")
    site.world.count(site.world.created())
    asks_first = {
        "Origin": SHOP,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, if-none-match",
    }
    allowed = site.anonymous.options(ANALYTICS, headers=asks_first)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == SHOP
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    for origin in (SHOP, "http://localhost:3000"):
        for client, status in ((site.owner, 200), (site.other_merchant, 404), (site.anonymous, 401)):
            answer = client.get(ANALYTICS, headers={"Origin": origin})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == origin
            assert "Origin" in answer.headers["vary"]
            exposed = answer.headers["access-control-expose-headers"].lower()
            assert {"etag", "x-data-stale"} <= set(exposed.split(", "))
            assert "access-control-allow-credentials" not in answer.headers  # no cookie is used from there


OTHERS = ["https://evil.example.com", f"{SHOP}.evil.example.com", "http://shop.example.com", "null"]


@pytest.mark.parametrize("origin", OTHERS)
def test_no_other_origin_may_read_a_response(site_with: Callable[..., Site], origin: str) -> None:
    for site in (site_with(cors_origins=SHOP), site_with()):
        asks_first = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        assert "access-control-allow-origin" not in site.anonymous.options(ANALYTICS, headers=asks_first).headers
        assert "access-control-allow-origin" not in site.owner.get(ANALYTICS, headers={"Origin": origin}).headers


@pytest.mark.parametrize("origins", ["*", "https://shop.example.com/", "shop.example.com", "null", "https://a, *"])
def test_a_malformed_origin_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(OperatorError, match="CORS"):
        _ = Settings(cors_origins=origins).origins
