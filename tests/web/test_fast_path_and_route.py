"""The fast path and the route are held against each other: the same request gets the same response from both.

Each request is sent twice, from the same state of the caches: to the service, and to the service without its fast path.
Status, headers (without the date) and body must be equal, and so must be what is counted, limited and recorded.
"""

import http.client
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import pytest
import structlog
from faults import PostgresRequests, Proxy, RedisRequests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from served import OTHER_MERCHANT, SECRET, Site, in_days, open_site
from world import OWNER, SPRING, World

from hannun.domain.audit_chain import NewEntry
from hannun.domain.questions import Question
from hannun.telemetry import metrics
from hannun.tokens import sign_token
from hannun.web.auth import COOKIE, SHARE_COOKIE

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
SUMMER = "5b0c2f64-0000-4000-8000-00000000000a"
UNLIMITED = dict.fromkeys(
    (
        "requests_a_minute",
        "refreshes_a_minute",
        "share_requests_a_minute",
        "stranger_requests_a_minute",
        "page_requests_a_minute",
    ),
    10**9,
)
"""So high that no process tells others of its usage, and the tests can read it."""
LIMITS = ("request_limit", "refresh_limit", "share_limit", "anonymous_limit", "page_limit")
Cached = Literal["in the process", "in Redis", "nowhere"]


@dataclass(frozen=True)
class Sent:
    """A request. `tags` makes its If-None-Match of the ETag of the current answer."""

    path: str = ANALYTICS
    query: str = ""
    method: str = "GET"
    caller: str = "the owner"
    tags: Callable[[str], str] | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass
class Outcome:
    """A response, and what the service has counted, limited and recorded meanwhile."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    counted: Counter[tuple[str, ...]] = field(default_factory=Counter)
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    recorded: list[NewEntry] = field(default_factory=list)
    logged: list[Mapping[str, Any]] = field(default_factory=list)


class Both:
    """Sends requests to a site with its fast path and without."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._recorded: list[NewEntry] = []
        self._reached = 0
        site.set_now((datetime.now(UTC) + timedelta(days=2)).isoformat())
        self._credentials = self._issue_credentials()
        site.services.access_records.add = self._recorded.append  # type: ignore[method-assign]
        application = site._http._application
        assert application is not None

        async def counting(scope: Any, receive: Any, send: Any) -> None:
            self._reached += 1
            await application(scope, receive, send)

        site._http._app._app = counting  # type: ignore[union-attr]

    def _issue_credentials(self) -> dict[str, list[tuple[str, str]]]:
        site = self.site
        made = site.owner.post(f"/api/v1/events/{SPRING}/shares", json={"until": in_days(7), "label": "agency"}).json()
        secret = made["address"].partition("#share=")[2]
        tokens = {
            "the owner": site.token(OWNER),
            "another merchant": site.token(OTHER_MERCHANT),
            "an ADMIN": site.token("the-operator", "ADMIN"),
            "the platform": site.token("the-platform", "SERVICE"),
            "of an ended session": sign_token(SECRET, OWNER, ["MERCHANT"], 3_601.0),
            "of an expired token": sign_token(SECRET, OWNER, ["MERCHANT"], -3_600.0),
            "of another issuer": sign_token("x" * 48, OWNER, ["MERCHANT"], 3_603.0),
        }
        for token in tokens.values():
            site.with_token(token).get(ANALYTICS)  # a valid one is verified from here on
        sessions = site.services.verifier._sessions
        sessions[tokens["of an expired token"]] = replace(sessions[tokens["the owner"]], expires_at=1.0)
        browser = site.client({"Cookie": f"{COOKIE}={tokens['of an ended session']}"})
        assert browser.delete("/api/v1/session").status_code == 204
        mine = tokens["the owner"]
        return {
            **{name: [("Authorization", f"Bearer {token}")] for name, token in tokens.items()},
            "nobody": [],
            "the owner, in small letters": [("authorization", f"bearer  {mine} ")],
            "the owner, by another scheme": [("Authorization", f"Basic {mine}")],
            "two callers": [("Authorization", f"Bearer {mine}"), ("Authorization", "Bearer x")],
            "two callers, the second one known": [("Authorization", "Basic x"), ("Authorization", f"Bearer {mine}")],
            "the owner's page": [("Cookie", f"{COOKIE}={mine}; theme=dark")],
            "the owner's page, with a token that is none": [
                ("Authorization", "Bearer x"),
                ("Cookie", f"{COOKIE}={mine}"),
            ],
            "a guest": [("Cookie", f"{SHARE_COOKIE}={secret}")],
            "a guest of a link that is none": [("Cookie", f"{SHARE_COOKIE}=x")],
            "the owner's page, with two headers of cookies": [
                ("Cookie", f"{COOKIE}=x; theme=dark"),
                ("Cookie", f"{COOKIE}={mine}"),
            ],
            "a guest, with two headers of cookies": [
                ("Cookie", f"{COOKIE}={mine}"),
                ("Cookie", f"{SHARE_COOKIE}={secret}"),
            ],
            "nobody, with an empty cookie": [("Authorization", "Bearer "), ("Cookie", "")],
            "the owner's page as a guest": [("Cookie", f"{COOKIE}={mine}; {SHARE_COOKIE}={secret}")],
        }

    def forget(self) -> None:
        """Let no cache hold an answer."""
        for pattern in ("analytics:*", "hannun:lease:*"):
            for key in self.site.redis.scan_iter(pattern):
                self.site.redis.delete(key)
        self.forget_local()

    def forget_local(self) -> None:
        async def clear() -> None:
            local = self.site.services.cached_answers._cache._local
            local._entries.clear()
            local.bytes = 0

        self.site.run_in_loop(clear)

    def etag(self, sent: Sent) -> str:
        """The ETag of the current answer; that of no answer where the request has none."""
        with self.site.without_fast_path():
            found = self._request(replace(sent, method="GET", caller="an ADMIN", headers=(), tags=None), "")
        return dict(found.headers).get("etag", '"0-0"')

    def send(self, sent: Sent, cached: Cached) -> tuple[Outcome, Outcome, bool]:
        """What the service and the route answer, and whether the fast path did."""
        etag = self.etag(sent)
        return self._compare(sent, etag, lambda: self._reset(sent, cached))

    def compare_now(self, sent: Sent) -> tuple[Outcome, Outcome, bool]:
        """As `send`, from what is cached now."""
        return self._compare(sent, "", lambda: None)

    def _compare(self, sent: Sent, etag: str, reset: Callable[[], None]) -> tuple[Outcome, Outcome, bool]:
        reset()
        before = self._reached
        fast = self._observe(sent, etag)
        is_fast = self._reached == before
        reset()
        with self.site.without_fast_path():
            routed = self._observe(sent, etag)
        return fast, routed, is_fast

    def _reset(self, sent: Sent, cached: Cached) -> None:
        self.forget()
        if cached != "nowhere":
            self.etag(sent)
        if cached == "in Redis":
            self.forget_local()

    def _observe(self, sent: Sent, etag: str) -> Outcome:
        counted, taken = _counted(), self._taken()
        self._recorded.clear()
        with structlog.testing.capture_logs() as logged:
            outcome = self._request(sent, etag)
        outcome.counted, outcome.taken = _counted() - counted, self._taken() - taken
        outcome.recorded = list(self._recorded)
        outcome.logged = [{**entry, "exc_info": repr(entry.get("exc_info"))} for entry in logged if "route" in entry]
        return outcome

    def _taken(self) -> Counter[tuple[str, str]]:
        taken: Counter[tuple[str, str]] = Counter()
        for limit in LIMITS:
            for subject, (_, _, usage) in getattr(self.site.services, limit)._buckets.items():
                taken[limit, subject] = usage
        return taken

    def _request(self, sent: Sent, etag: str) -> Outcome:
        where = urlsplit(self.site.address)
        assert where.hostname is not None
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
        try:
            connection.putrequest(sent.method, sent.target, skip_accept_encoding=True)
            for name, value in (*self._credentials[sent.caller], *sent.headers):
                connection.putheader(name, value)
            if sent.tags is not None:
                connection.putheader("If-None-Match", sent.tags(etag))
            connection.endheaders()
            answer = connection.getresponse()
            headers = sorted((name.lower(), value) for name, value in answer.getheaders() if name.lower() != "date")
            return Outcome(answer.status, headers, answer.read())
        finally:
            connection.close()
            # the route counts a request after it has sent the response
            self.site.world.wait_for("the request to end", lambda: not self.site._http.state.tasks)


def _counted() -> Counter[tuple[str, ...]]:
    return Counter(
        {
            tuple(sample.labels.values()): int(sample.value)
            for metric in metrics.requests.collect()
            for sample in metric.samples
            if sample.name == "hannun_requests_total"
        }
    )


def filled(world: World) -> World:
    world.count(
        world.created(),
        world.created(SUMMER, owner=OTHER_MERCHANT),
        *(world.registered(f"p{number}", channel="NAVER") for number in range(5)),
    )
    return world


@pytest.fixture
def both(world: World) -> Iterator[Both]:
    with open_site(filled(world), **UNLIMITED) as site:
        yield Both(site)


# -- any request

KNOWN_PATHS = [
    f"/api/v1/{path}"
    for path in (
        f"events/{SPRING}/analytics",
        f"events/{SPRING}/analytics/timeline",
        f"events/{SPRING}/analytics/insights",
        f"users/{OWNER}/analytics",
    )
]
ODD_IDS = (
    SPRING.upper(),
    quote(SPRING, safe="").replace("5", "%35"),
    SUMMER,
    "none",
    "%00",
    "x%00",
    "x" * 36,
    "x" * 37,
)
ODD_IDS += ("y" * 45, "a%2Fb", "%ff", "%2e%2e", "", "%0A", "%E2%82%AC", f"{SPRING}%0A", f"{SPRING}%20")
odd_paths = st.builds(
    "/api/v1/{}/{}/{}".format,
    st.sampled_from(("events", "users", "Events", "")),
    st.sampled_from((*ODD_IDS, SPRING, OWNER)),
    st.sampled_from(("analytics", "analytics/timeline", "analytics/insights", "analytics/roi", "analytics/", "x")),
)
INSTANTS = ("2026-11-01", "2026-11-30", "2026-11-22T00:00:00Z", "2026-11-22T09:00:00+09:00", "2026-11-22T00:00:30.5Z")
VALUES = {
    "tz": ("Asia/Seoul", "UTC", "America/New_York", "Pacific/Apia", "Nowhere", "", "Factory", "x" * 65, "\ud800", "한"),
    "startDate": (
        *INSTANTS,
        "2020-01-01",
        "yesterday",
        "",
        "1969-12-31",
        f"2026-11-22T00:00:00.{'0' * 99}Z",
        "0001-01-01",
    ),
    "endDate": (*INSTANTS, "9998-01-01", "2026-11-22T00:00:00", " 2026-11-01", "x" * 101),
    "granularity": ("minute", "hourly", "daily", "weekly", "monthly", "yearly", "", "DAILY", "daily\0"),
    "weekStart": ("monday", "sunday"),
    "format": ("json", "xml"),
    "refresh": ("true", "false", "1"),
    "channels": ("NAVER", "none"),
    "metrics": ("views",),
    "cursor": ("x",),
    "limit": ("1",),
    "bogus": ("1",),
    "": ("", "x"),
}
SENT_BY_PAGES = ("tz", "startDate", "endDate", "granularity")


def encoded(name: str, value: str, how: str) -> str:
    if how == "name only":
        return name
    safe = {"as pages": "", "raw": "/:+%", "slashes": "/:"}[how]
    return f"{quote(name)}={quote(value, safe=safe, errors='replace')}"


paths = st.integers(0, 4).flatmap(lambda one_of: st.sampled_from(KNOWN_PATHS) if one_of else odd_paths)
pairs = st.sampled_from(SENT_BY_PAGES) | st.sampled_from(sorted(VALUES))
queries = st.lists(
    pairs.flatmap(
        lambda name: st.builds(
            encoded,
            st.just(name),
            st.sampled_from(VALUES[name]),
            st.sampled_from(("as pages", "as pages", "raw", "slashes", "name only")),
        )
    ),
    max_size=3,
).map("&".join) | st.sampled_from(("", "&", "=", "tz=%zz", "tz=UTC;x", "tz=UTC&", "?", "a" * 2_000))
if_none_matches: st.SearchStrategy[Callable[[str], str] | None] = st.sampled_from(
    (
        None,
        lambda etag: etag,
        lambda etag: etag.removeprefix("W/"),
        lambda etag: f'"other", {etag}',
        lambda _: "*",
        lambda _: '"other"',
        lambda _: "",
        lambda _: "\xff",
        lambda _: f'W/"{int(datetime.now(UTC).timestamp() * 1e6) + 3_600_000_000:x}-0"',  # an hour ahead
        lambda _: f'"{"f" * 32}-0"',
    )
)
other_headers = st.lists(
    st.sampled_from(
        (
            ("Accept-Encoding", "br"),
            ("Accept-Encoding", "gzip;q=0.5, zstd"),
            ("Accept-Encoding", "identity"),
            ("Accept-Encoding", "*" * 600),
            ("Accept", "text/html"),
            ("Accept-Language", "en"),
            ("Origin", "https://platform.example"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("If-None-Match", '"a second one"'),
        )
    ),
    max_size=2,
    unique=True,
).map(tuple)
CALLERS = (
    "another merchant",
    "the platform",
    "of an ended session",
    "of an expired token",
    "of another issuer",
    "nobody",
    "the owner, in small letters",
    "the owner, by another scheme",
    "two callers",
    "two callers, the second one known",
    "the owner's page, with a token that is none",
    "a guest",
    "a guest of a link that is none",
    "the owner's page as a guest",
    "the owner's page, with two headers of cookies",
    "a guest, with two headers of cookies",
    "nobody, with an empty cookie",
)
callers = st.sampled_from(("the owner", "an ADMIN", "the owner's page")) | st.sampled_from(CALLERS)
methods = st.sampled_from((*["GET"] * 12, *["HEAD"] * 4, "OPTIONS", "POST", "DELETE", "TRACE"))
requests = st.builds(Sent, paths, queries, methods, callers, if_none_matches, other_headers)
plain_requests = st.builds(
    Sent,
    st.sampled_from(KNOWN_PATHS),
    st.just(""),
    st.just("GET"),
    st.just("the owner"),
    if_none_matches,
    other_headers,
)


def test_any_request_gets_the_same_from_the_fast_path_and_from_the_route(both: Both) -> None:
    answered: Counter[tuple[bool, int]] = Counter()

    @settings(
        max_examples=600,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests | plain_requests, st.sampled_from(("in the process", "in Redis", "nowhere")))
    def compare(sent: Sent, cached: Cached) -> None:
        fast, routed, is_fast = both.send(sent, cached)
        assert fast == routed
        answered[is_fast, fast.status] += 1

    compare()
    assert min(answered[True, 200], answered[True, 304], answered[False, 200], answered[False, 400]) > 10, answered
    assert {status for is_fast, status in answered if is_fast} == {200, 304}
    assert {401, 403, 404, 405} <= {status for is_fast, status in answered if not is_fast}, answered


READ_BY_PAGES = [
    ("", ""),
    ("", "tz=America%2FNew_York&startDate=2026-11-01&endDate=2026-11-30"),
    ("", "tz=Asia%2FSeoul&startDate=2026-11-28&endDate=2026-11-29"),
    ("/timeline", "tz=Asia%2FSeoul&granularity=hourly&startDate=2026-11-22T00%3A00%3A00Z"),
    ("/timeline", "tz=Asia%2FSeoul&granularity=daily"),
    ("/timeline", "tz=UTC&granularity=weekly&startDate=2026-11-01&endDate=2026-11-30"),
    ("/insights", "tz=Asia%2FSeoul"),
    ("/insights", "tz=UTC"),
]


@pytest.mark.parametrize("cached", ["in the process", "in Redis", "nowhere"])
def test_what_pages_read_takes_the_fast_path_cached_or_computed(both: Both, cached: Cached) -> None:
    merchant = Sent(f"/api/v1/users/{OWNER}/analytics")
    for sent in (merchant, *(Sent(f"{ANALYTICS}{view}", query) for view, query in READ_BY_PAGES)):
        for caller in ("the owner", "the owner's page", "an ADMIN"):
            for encoding in ("identity", "br", "gzip"):
                headers = (("Accept-Encoding", encoding),)
                fast, routed, is_fast = both.send(replace(sent, caller=caller, headers=headers), cached)
                assert fast == routed
                assert is_fast and fast.status == 200


@pytest.mark.parametrize(
    ("view", "query", "status"),
    [
        ("", "tz=Nowhere", 400),
        ("", "startDate=yesterday", 400),
        ("", "startDate=2026-11-02&endDate=2026-11-01", 400),
        ("", "startDate=2026-11-02&startDate=2026-11-02", 400),
        ("", f"startDate=2026-11-02T00:00:00.{'0' * 99}Z", 400),  # an instant, and longer than any
        ("", "granularity=daily", 400),
        ("", "channels=NAVER", 400),
        ("", "format=json", 200),
        ("", "refresh=true", 200),
        ("/timeline", "granularity=yearly", 400),
        ("/timeline", "granularity=minute&startDate=2020-01-01", 400),
        ("/timeline", "metrics=views", 200),
        ("/timeline", "weekStart=sunday", 200),
        ("/insights", "startDate=2026-11-01", 400),
        ("/insights", "weekStart=sunday", 200),
        ("/roi", "", 200),
    ],
)
def test_what_no_page_sends_and_what_is_wrong_is_left_to_the_route(
    both: Both, view: str, query: str, status: int
) -> None:
    fast, routed, is_fast = both.send(Sent(f"{ANALYTICS}{view}", query), "nowhere")
    assert fast == routed
    assert (fast.status, is_fast) == (status, False)


@pytest.mark.parametrize("seen", ["an hour ahead", "a day and more ahead"])
@pytest.mark.parametrize("cached", ["in the process", "in Redis", "nowhere"])
def test_a_caller_with_a_newer_version_gets_no_cached_answer_unless_it_is_forged(
    both: Both, cached: Cached, seen: str
) -> None:
    ahead = timedelta(hours=1) if seen == "an hour ahead" else timedelta(days=2)
    version = int((datetime.now(UTC) + ahead).timestamp() * 1e6)
    fast, routed, is_fast = both.send(Sent(tags=lambda _: f'W/"{version:x}-0"'), cached)
    assert fast == routed
    computed = seen == "an hour ahead" or cached == "nowhere"
    assert (dict(fast.headers)["x-data-source"], is_fast) == ("live" if computed else "cache", True)
    assert (("refresh_limit", OWNER) in fast.taken) == (computed and cached != "nowhere")


@pytest.mark.parametrize("caller", ["another merchant", "the platform", "of an ended session", "nobody", "a guest"])
def test_nothing_is_looked_up_for_a_caller_who_was_not_granted_access(
    both: Both, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a response would tell that the event exists. (The route looks up what a guest may see.)"""
    looked_up: list[str] = []
    cached_answers = both.site.services.cached_answers
    local = cached_answers.local

    def record(key: str, version_min: int = 0) -> Any:
        looked_up.append(key)
        return local(key, version_min)

    monkeypatch.setattr(cached_answers, "local", record)
    for sent in (Sent(caller=caller), Sent(f"{ANALYTICS}/insights", caller=caller)):
        fast, routed, is_fast = both.send(sent, "in Redis")
        assert fast == routed
        assert not is_fast
        looked_up.clear()
        both.compare_now(sent)
        assert len(looked_up) == (2 if caller == "a guest" else 0), "one by the route for each of the two"


@pytest.mark.parametrize("odd_id", ["x" * 37, "x%00"])
def test_nothing_is_looked_up_for_an_id_that_no_event_can_have(
    both: Both, odd_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(both.site.services.cached_answers, "local", lambda key, _=0: looked_up.append(key))
    fast, routed, is_fast = both.send(Sent(f"/api/v1/events/{odd_id}/analytics", caller="an ADMIN"), "nowhere")
    assert fast == routed
    assert (fast.status, is_fast, looked_up) == (400, False, [])


# -- errors


def test_an_error_is_the_routes_and_nothing_is_read_a_second_time(both: Both) -> None:
    reads: list[Question] = []
    answer = both.site.services.reports.answer

    async def count(principal: Any, question: Question, **more: Any) -> Any:
        reads.append(question)
        return await answer(principal, question, **more)

    both.site.services.reports.answer = count  # type: ignore[method-assign]
    too_many_points = "granularity=minute&startDate=2020-01-01"
    for sent, status in (
        (Sent(f"{ANALYTICS}/timeline", too_many_points), 400),
        (Sent("/api/v1/events/none/analytics", caller="an ADMIN"), 404),
    ):
        both.etag(sent)
        reads.clear()
        fast, routed, is_fast = both.send(sent, "nowhere")
        assert fast == routed
        assert (fast.status, is_fast) == (status, False)
        assert fast.taken[("request_limit", "the-operator" if status == 404 else OWNER)] == 1
        assert len(reads) == 3, "one for the ETag, one for each of the two"


def test_an_unexpected_error_is_logged_and_answered_by_the_route(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(both.site.services.reports._database, "read", fail)
    fast, routed, _ = both.send(Sent(), "nowhere")
    assert fast == routed
    assert fast.status == 500
    assert fast.counted == Counter({("/api/v1/events/{event_id}/analytics", "500"): 1})
    assert [entry["event"] for entry in fast.logged] == ["request failed"]


@pytest.mark.parametrize("cached", ["in the process", "in Redis", "nowhere"])
def test_an_event_that_belongs_to_somebody_else_by_now_is_not_found(both: Both, cached: Cached) -> None:
    """The database was replaced by one in which another merchant has it: the owner in the answer decides."""
    both.site.services.authorizer._authorized[OWNER, SUMMER] = None
    fast, routed, _ = both.send(Sent(f"/api/v1/events/{SUMMER}/analytics"), cached)
    assert fast == routed
    assert fast.status == 404


@pytest.fixture
def disturbed(world: World) -> Iterator[tuple[Both, Proxy, Proxy]]:
    """A site with proxies before PostgreSQL and Redis."""
    with (
        Proxy(world.postgres.port, PostgresRequests) as postgres,
        Proxy(world.redis.port, RedisRequests) as valkey,
        open_site(
            filled(world),
            DATABASE_URL=world.url.replace(f":{world.postgres.port}/", f":{postgres.port}/"),
            REDIS_PORT=valkey.port,
            request_s=1.0,
            **UNLIMITED,
        ) as site,
    ):
        yield Both(site), postgres, valkey


FAULTY = [Sent(), Sent(f"{ANALYTICS}/timeline", "granularity=daily&tz=UTC"), Sent(f"/api/v1/users/{OWNER}/analytics")]


def test_without_redis_both_compute_the_answer(disturbed: tuple[Both, Proxy, Proxy]) -> None:
    both, _, valkey = disturbed
    both.etag(Sent())
    valkey.refuse()
    for sent in FAULTY:
        fast, routed, is_fast = both.send(sent, "nowhere")
        assert fast == routed
        assert is_fast and (fast.status, dict(fast.headers)["x-data-source"]) == (200, "live")


@pytest.mark.parametrize("fault", ["PostgreSQL is away", "PostgreSQL is silent until the deadline"])
def test_without_postgresql_both_answer_what_is_cached_and_else_503(
    disturbed: tuple[Both, Proxy, Proxy], fault: str
) -> None:
    both, postgres, _ = disturbed
    before = {sent: both.send(sent, "in Redis")[0] for sent in FAULTY}
    both.forget()
    for sent in FAULTY:
        both.etag(sent)
    both.forget_local()
    if fault == "PostgreSQL is away":
        postgres.refuse()
        both.site.world.wait_for("its absence to be known", both.site.services.cached_answers._database_away)
    else:
        postgres.hold("hannun")
    try:
        for sent in (FAULTY[0], FAULTY[2]):
            fast, routed, is_fast = both.compare_now(sent)
            assert fast == routed
            assert is_fast and fast.body == before[sent].body
        both.forget()
        for sent in FAULTY:
            fast, routed, is_fast = both.compare_now(sent)
            assert fast == routed
            assert (fast.status, is_fast) == (503, False)
    finally:
        postgres.release()
