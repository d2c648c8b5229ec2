"""PostgreSQL and Redis fail and return while messages arrive. Nothing is lost or doubled; no answer is wrong."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import psycopg
import pytest
import redis
from accounts import account
from faults import Crash, PostgresRequests, Proxy, RedisRequests, Request
from outside import (
    CONNECTION_LOST,
    DEADLINE_S,
    PASSWORD,
    BackgroundLoop,
    Event,
    Message,
    Service,
    StartService,
    Topics,
    cached_figures,
    redis_environment,
    token,
    wait_for,
    with_port,
)

from hannun.embedded import PostgresServer, ValkeyServer

SOON_S = 5.0
ATTEMPTS = 3
on_own_postgres = pytest.mark.xdist_group("kafka")
"""In one group with the test that also needs Kafka, so that only one test worker starts this PostgreSQL."""


def quickest(measure: Callable[[], float], limit_s: float) -> float:
    """The shortest of several durations in seconds: a loaded machine delays some, and not all. The first one below the
    limit is enough."""
    shortest_s = measure()
    for _ in range(ATTEMPTS - 1):
        if shortest_s < limit_s:
            break
        shortest_s = min(shortest_s, measure())
    return shortest_s


@pytest.fixture(scope="module")
def own_postgres(home: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL of this module's own, which tests may restart. Committed data survives a restart."""
    with PostgresServer(home / "own-postgres", settings={"fsync": "off"}) as server:
        with psycopg.connect(server.superuser_url, autocommit=True) as conn:
            conn.execute(f"CREATE ROLE hannun_owner LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        yield server


@pytest.fixture(scope="module")
def migrated_template(own_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database on that server that `hannun migrate` has prepared."""
    with psycopg.connect(own_postgres.superuser_url, autocommit=True) as conn:
        conn.execute("CREATE DATABASE migrated OWNER hannun_owner")
    url = own_postgres.url("migrated", "hannun_owner", PASSWORD)
    with Service(tmp_path_factory.mktemp("migrate"), DATABASE_URL=url) as service:
        ran = service.run("migrate", HANNUN_OWNER_DATABASE_URL=url, HANNUN_ANALYTICS_READWRITE_PASSWORD=PASSWORD)
    assert ran.status == 0, ran.err
    return "migrated"


@pytest.fixture
def service_on_own_postgres(
    start_service: StartService, own_postgres: PostgresServer, migrated_template: str, valkey: ValkeyServer
) -> Service:
    """A service on a PostgreSQL that the test may restart."""
    name = f"test_{os.urandom(6).hex()}"
    with psycopg.connect(own_postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template} OWNER hannun_owner")
    return start_service(
        DATABASE_URL=own_postgres.url(name, "analytics_readwrite", PASSWORD), **redis_environment(valkey.url)
    )


class PostingClient(BackgroundLoop):
    """A client that posts one body after the other while the block runs, each until it is accepted."""

    def __init__(self, service: Service, event: Event) -> None:
        super().__init__(self._post_next)
        self._service = service
        self._event = event
        self._next: list[Message] = [event.created()]
        self._accepted_count = 0
        self.refused: list[int] = []
        """The statuses of refused requests; 0 where the connection broke."""

    def wait_for_more(self, bodies: int) -> None:
        """Wait until this many more bodies are accepted."""
        wanted = self._accepted_count + bodies
        self.wait_until(f"{bodies} more bodies to be accepted", lambda: self._accepted_count >= wanted)

    def _post_next(self) -> None:
        _, refused = self._service.post_until_accepted(self._next)
        self.refused += refused
        self._event.expect(self._next)
        self._accepted_count += 1
        self._next = [self._event.registered("Instagram"), self._event.registered(), self._event.unusable()]


# -- PostgreSQL ----------------------------------------------------------------------------------------------------


@on_own_postgres
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_postgresql_while_messages_are_posted_loses_and_doubles_nothing(
    service_on_own_postgres: Service, own_postgres: PostgresServer, mode: Literal["fast", "immediate"]
) -> None:
    service = service_on_own_postgres
    processes = [service.start_serve(), service.start_schedule()]
    event = Event()
    with PostingClient(service, event) as client:
        client.wait_for_more(5)
        own_postgres.restart(mode)
        client.wait_for_more(5)
    assert set(client.refused) <= {503}, "no connection broke; refused bodies got 503 with Retry-After"
    assert all(process.is_running for process in processes)
    assert service.figures(event.id) == event.expected_figures
    assert service.dead_letter_count(event.id) == event.expected_dead_letters
    wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    assert service.dashboard(event.id) == event.expected_figures
    service.assert_no_drift()


@on_own_postgres
def test_the_first_request_after_a_restart_of_postgresql_is_answered_within_5_s(
    service_on_own_postgres: Service, own_postgres: PostgresServer
) -> None:
    service = service_on_own_postgres
    service.start_serve()
    event = Event()
    service.post([event.created()])
    path = f"/api/v1/events/{event.id}/analytics?refresh=true"
    assert service.get(path).status_code == 200

    def seconds_to_an_answer() -> float:
        own_postgres.restart()
        requested_at = time.monotonic()
        wait_for("an answer", lambda: service.get(path).status_code == 200)
        return time.monotonic() - requested_at

    assert quickest(seconds_to_an_answer, SOON_S) < SOON_S, (
        "a dead connection in the pool must not delay a request when the server is back"
    )


@on_own_postgres
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_after_a_restart_of_postgresql_no_request_is_refused_once_readiness_says_ready(
    service_on_own_postgres: Service, own_postgres: PostgresServer, mode: Literal["fast", "immediate"]
) -> None:
    """All connections of writers and readers were open before, and none is when the next requests come."""
    service = service_on_own_postgres
    processes = [service.start_serve(HANNUN_POOL_SIZE_KEPT="10"), service.start_schedule()]
    event = Event()
    service.post([event.created()])
    requests = EveryKindOfRequest(service, event)
    requests.send(8)
    for _ in range(2):
        own_postgres.restart(mode)
        wait_for("health", lambda: service.health()["status"] == "ready")
        requests.send(4)
    assert all(process.is_running for process in processes)
    assert not any("a job failed" in line for line in processes[0].log.splitlines() if "lost" in line)
    service.assert_no_drift()


class EveryKindOfRequest:
    """Sends requests of every kind that needs PostgreSQL, several of each at the same time, which must all succeed."""

    def __init__(self, service: Service, event: Event) -> None:
        analytics = f"{service.api}/api/v1/events/{event.id}"
        self._service = service
        self._event = event
        self._requests: list[tuple[str, str, Callable[[], object]]] = [
            ("POST", f"{service.api}/api/v1/messages", lambda: [event.registered("Instagram")]),
            ("GET", f"{analytics}/analytics?refresh=true", lambda: None),
            ("GET", f"{analytics}/analytics/timeline?tz=UTC", lambda: None),
            ("GET", f"{service.api}/api/v1/users/{event.owner}/analytics/channels", lambda: None),
            ("POST", f"{analytics}/shares", lambda: {"until": (datetime.now(UTC) + timedelta(days=7)).isoformat()}),
            ("GET", f"{analytics}/shares", lambda: None),
            ("GET", f"{service.api}/health/ready", lambda: None),
        ]

    def send(self, count: int) -> None:
        """Send each request so many times. Of each, one caller was never seen before, whose ownership is looked up."""
        with ThreadPoolExecutor(len(self._requests) * count) as threads:
            sent = [threads.submit(self._send, *request) for request in self._requests * count]
        assert not [refused for answer in sent if (refused := answer.result()) is not None]

    def _send(self, method: str, address: str, body: Callable[[], object]) -> tuple[str, str, int] | None:
        headers = {"Authorization": f"Bearer {token()}"}
        answer = self._service.http.request(method, address, json=body(), headers=headers)
        return None if answer.is_success else (method, address, answer.status_code)


@on_own_postgres
def test_while_postgresql_is_unavailable_cached_answers_are_served_as_stale_and_the_rest_is_503(
    service_on_own_postgres: Service, own_postgres: PostgresServer
) -> None:
    service = service_on_own_postgres
    service.start_serve(HANNUN_POOL_WAIT_S="0.5")
    event = Event()
    service.post([event.created()])
    event.expect([event.created()])
    assert service.dashboard(event.id) == event.expected_figures
    path = f"/api/v1/events/{event.id}/analytics"
    assert "X-Data-Stale" not in service.get(path).headers
    own_postgres.stop()
    try:
        assert service.dashboard(event.id) == event.expected_figures
        wait_for("answers to be marked stale", lambda: service.get(path).headers.get("X-Data-Stale") == "true")
        for other_path in (f"{path}?refresh=true", f"{path}/timeline?tz=UTC", "/api/v1/users/nobody/analytics"):
            refused = service.get(other_path)
            assert refused.status_code == 503, other_path
            assert int(refused.headers["Retry-After"]) >= 1
        assert service.health()["status"] == "unavailable"
        refused = service.post([event.registered()])
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert "password" not in refused.text and "127.0.0.1" not in refused.text
    finally:
        own_postgres.start()
    body = [event.registered()]
    service.post_until_accepted(body)
    event.expect(body)
    wait_for("the dashboard", lambda: service.get(path).status_code == 200)
    assert service.dashboard(event.id) == event.expected_figures
    wait_for("health", lambda: service.health()["status"] == "ready")
    assert "X-Data-Stale" not in service.get(path).headers


@pytest.mark.kafka
@on_own_postgres
def test_a_restart_of_postgresql_during_a_batch_from_kafka_loses_and_doubles_nothing(
    service_on_own_postgres: Service, own_postgres: PostgresServer, topics: Topics
) -> None:
    """Each restart finds a batch that is written and not committed, and later messages that are already fetched."""
    service = service_on_own_postgres
    event = Event()
    with Proxy(own_postgres.port, PostgresRequests) as proxy:
        behind = {"DATABASE_URL": with_port(service.environment["DATABASE_URL"], proxy.port)}
        ingest = service.start_ingest(**topics.environment(), **behind, HANNUN_BATCH_MESSAGES_MAX="50")
        schedule = service.start_schedule()
        topics.send([event.created()])
        event.expect([event.created()])
        wait_for("the first message", lambda: topics.are_counted(service))
        modes: tuple[Literal["fast", "immediate"], ...] = ("fast", "immediate")
        for mode in modes:
            before, logged_before = service.figures(event.id), len(ingest.log)
            proxy.hold(r"INSERT INTO hannun\.owed_invalidations")  # the last statement before COMMIT
            more = [*(event.registered("Instagram") for _ in range(500)), event.unusable()]
            topics.send(more)
            event.expect(more)
            proxy.wait_until_held()
            assert service.figures(event.id) == before, "the batch is not committed yet"
            own_postgres.restart(mode)
            wait_for("ingest to notice", lambda start=logged_before: "PostgreSQL is unavailable" in ingest.log[start:])
            proxy.release()
            wait_for("all to be counted", lambda: topics.are_counted(service))
            assert service.figures(event.id) == event.expected_figures
            assert service.dead_letter_count(event.id) == event.expected_dead_letters
        assert ingest.is_running
        assert schedule.is_running
    wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    service.assert_no_drift()
    account(service, topics)


# -- Redis ---------------------------------------------------------------------------------------------------------


def test_answers_are_right_while_redis_is_killed_and_after_it_returns_with_old_data(
    service: Service, own_valkey: ValkeyServer
) -> None:
    serve = service.start_serve(**redis_environment(own_valkey.url))
    event = Event()
    body = event.first_batch()
    service.post(body)
    event.expect(body)
    assert service.dashboard(event.id) == event.expected_figures
    with redis.Redis.from_url(own_valkey.url, protocol=3) as conn:
        old_answer = conn.get(f"analytics:dashboard:{event.id}")
    wait_for("the first to be marked delivered", lambda: service.pending_invalidations() == 0)

    own_valkey.kill()
    more = event.later_batch()
    assert service.post(more).status_code == 200
    event.expect(more)
    answer = service.get(f"/api/v1/events/{event.id}/analytics")
    assert answer.headers["X-Data-Source"] == "live"
    assert service.dashboard(event.id) == event.expected_figures
    assert service.health()["status"] == "degraded"
    assert service.pending_invalidations() == 1

    # It returns with old data, none of which may be served.
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url, protocol=3) as conn:
        conn.set(f"analytics:dashboard:{event.id}", old_answer)
        assert service.dashboard(event.id) == event.expected_figures
        wait_for("the invalidation to be delivered", lambda: service.pending_invalidations() == 0)
        conn.set(f"analytics:dashboard:{event.id}", old_answer)
    assert service.dashboard(event.id) == event.expected_figures
    assert service.health()["status"] == "ready"
    wait_for("answers to be cached again", lambda: cached_figures(own_valkey.url, event.id) == event.expected_figures)
    assert serve.is_running


def test_a_table_locked_by_another_session_gives_503_and_a_log_line(service: Service, postgres: PostgresServer) -> None:
    url = service.environment["DATABASE_URL"]
    serve = service.start_serve(DATABASE_URL=f"{url}{'&' if '?' in url else '?'}options=-c%20lock_timeout%3D200ms")
    event = Event()
    with psycopg.connect(postgres.url(url.rpartition("/")[2])) as other:
        other.execute("LOCK TABLE hannun.events, public.event_stats")
        assert service.post([event.created()]).status_code == 503
        assert service.get(f"/api/v1/events/{event.id}/analytics").status_code == 503
    serve.wait_for_log("lock not available in time")
    service.post_until_accepted([event.created()])
    event.expect([event.created()])
    assert service.dashboard(event.id) == event.expected_figures


def wait_for_cached_answer(service: Service, valkey: ValkeyServer, event: Event) -> None:
    """Ask for the event's dashboard until Redis holds it."""
    wait_for("the answer to be cached", lambda: service.dashboard(event.id) and cached_figures(valkey.url, event.id))


def test_answers_are_right_and_cached_again_after_redis_is_flushed(service: Service, own_valkey: ValkeyServer) -> None:
    service.start_serve(**redis_environment(own_valkey.url))
    event = Event()
    for body in (event.first_batch(), event.later_batch()):
        service.post(body)
        event.expect(body)
        assert service.dashboard(event.id) == event.expected_figures
        with redis.Redis.from_url(own_valkey.url, protocol=3) as conn:
            conn.flushall()
        assert service.dashboard(event.id) == event.expected_figures
        wait_for_cached_answer(service, own_valkey, event)
        assert cached_figures(own_valkey.url, event.id) == event.expected_figures


def test_an_old_answer_is_not_served_when_redis_was_unreachable_at_the_commit(
    service: Service, own_valkey: ValkeyServer
) -> None:
    event = Event()
    body, more = event.first_batch(), event.later_batch()
    with Proxy(own_valkey.port, RedisRequests) as proxy:
        service.start_serve(**redis_environment(own_valkey.url) | {"REDIS_PORT": str(proxy.port)})
        service.post(body)
        event.expect(body)
        assert service.dashboard(event.id) == event.expected_figures
        wait_for("the first to be marked delivered", lambda: service.pending_invalidations() == 0)
        proxy.refuse()
        assert service.post(more).status_code == 200
        assert cached_figures(own_valkey.url, event.id) == event.expected_figures, "Redis still holds the old answer"
        event.expect(more)
        assert service.dashboard(event.id) == event.expected_figures, "the answer comes from the database"
        assert service.pending_invalidations() == 1
        proxy.allow()
        wait_for("the invalidation to be delivered", lambda: service.pending_invalidations() == 0)
        assert service.dashboard(event.id) == event.expected_figures
        assert cached_figures(own_valkey.url, event.id) in (None, event.expected_figures)


def test_answers_are_right_while_redis_hangs(service: Service, own_valkey: ValkeyServer) -> None:
    service.start_serve(**redis_environment(own_valkey.url), HANNUN_REDIS_TIMEOUT_S="0.2")
    event = Event()
    body, more = event.first_batch(), event.later_batch()
    service.post(body)
    event.expect(body)
    assert service.dashboard(event.id) == event.expected_figures
    assert own_valkey.pid is not None
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        assert service.post(more).status_code == 200
        event.expect(more)
        assert service.dashboard(event.id) == event.expected_figures
        assert service.health()["status"] == "degraded"
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)
    wait_for("the invalidation to be delivered", lambda: service.pending_invalidations() == 0)
    assert service.dashboard(event.id) == event.expected_figures


STALE_S_MAX = 2.0
"""How old an answer may be at worst."""


def is_a_deletion(request: Request) -> bool:
    return request.text.startswith("DEL ") and "analytics:dashboard:" in request.text


def test_when_a_writer_dies_before_its_invalidation_answers_are_right_within_2_s(
    service: Service, start_service: StartService, own_valkey: ValkeyServer
) -> None:
    redis_settings = redis_environment(own_valkey.url)
    answering = start_service(DATABASE_URL=service.environment["DATABASE_URL"], **redis_settings)
    answering.start_serve()

    def seconds_of_old_answers() -> float:
        event = Event()
        body, more = event.first_batch(), event.later_batch()
        with Proxy(own_valkey.port, RedisRequests) as proxy:
            # The writer invalidates before it answers, so it dies before its answer.
            immediate = {"HANNUN_INVALIDATIONS_APART_S": "0"}
            writing = service.start_serve(**redis_settings | immediate | {"REDIS_PORT": str(proxy.port)})
            service.post(body)
            event.expect(body)
            assert answering.dashboard(event.id) == event.expected_figures
            with proxy.inject(Crash("kill before", 1, is_a_deletion), writing.pid) as crash:
                with pytest.raises(CONNECTION_LOST):
                    service.post(more)
                assert crash.happened.wait(DEADLINE_S)
            died_at = time.monotonic()
            assert cached_figures(own_valkey.url, event.id) in (event.expected_figures, None), (
                "the old answer, or none if another process has invalidated it already"
            )
            event.expect(more)
            wait_for("the answer to be right", lambda: answering.dashboard(event.id) == event.expected_figures)
            right_at = time.monotonic()
        wait_for("the invalidation to be marked delivered", lambda: service.pending_invalidations() == 0)
        return right_at - died_at

    assert quickest(seconds_of_old_answers, STALE_S_MAX) < STALE_S_MAX


def test_when_a_writer_cannot_reach_redis_another_process_invalidates_within_2_s(
    service: Service, start_service: StartService, own_valkey: ValkeyServer
) -> None:
    redis_settings = redis_environment(own_valkey.url)
    answering = start_service(DATABASE_URL=service.environment["DATABASE_URL"], **redis_settings)
    answering.start_serve()
    with Proxy(own_valkey.port, RedisRequests) as proxy:
        service.start_serve(**redis_settings | {"REDIS_PORT": str(proxy.port)})

        def seconds_of_old_answers() -> float:
            event = Event()
            body, more = event.first_batch(), event.later_batch()
            proxy.allow()
            service.post(body)
            event.expect(body)
            wait_for("the first answer", lambda: answering.dashboard(event.id) == event.expected_figures)
            proxy.refuse()
            assert service.post(more).status_code == 200
            counted_at = time.monotonic()
            event.expect(more)
            assert service.dashboard(event.id) == event.expected_figures, "the writer never answers with older figures"
            wait_for(
                "the other process to answer with the new figures",
                lambda: answering.dashboard(event.id) == event.expected_figures,
            )
            right_at = time.monotonic()
            wait_for("the invalidation to be marked delivered", lambda: service.pending_invalidations() == 0)
            return right_at - counted_at

        assert quickest(seconds_of_old_answers, STALE_S_MAX) < STALE_S_MAX, "another process delivers the invalidation"


def test_answers_are_right_while_redis_is_out_of_memory(service: Service, own_valkey: ValkeyServer) -> None:
    service.start_serve(**redis_environment(own_valkey.url))
    event = Event()
    body, more = event.first_batch(), event.later_batch()
    service.post(body)
    event.expect(body)
    assert service.dashboard(event.id) == event.expected_figures
    with redis.Redis.from_url(own_valkey.url, protocol=3) as conn:
        before = conn.config_get("maxmemory")["maxmemory"]
        conn.config_set("maxmemory", "1mb")
        try:
            assert service.post(more).status_code == 200
            event.expect(more)
            for _ in range(3):
                assert service.dashboard(event.id) == event.expected_figures
            assert cached_figures(own_valkey.url, event.id) is None, "the old answer is gone, and no new one fits"
            assert service.pending_invalidations() == 0 or wait_for(
                "the invalidation to be delivered", lambda: service.pending_invalidations() == 0
            )
        finally:
            conn.config_set("maxmemory", before)
    wait_for_cached_answer(service, own_valkey, event)
    assert service.dashboard(event.id) == event.expected_figures


def test_a_slow_redis_delays_neither_requests_nor_probes(service: Service, own_valkey: ValkeyServer) -> None:
    patient = {"HANNUN_REDIS_TIMEOUT_S": "60"}  # so that a loaded machine takes less long than a wait for Redis
    service.start_serve(**redis_environment(own_valkey.url), **patient)
    event = Event()
    service.post([event.created()])
    event.expect([event.created()])
    assert service.dashboard(event.id) == event.expected_figures
    assert own_valkey.pid is not None
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        for answers_rightly in (
            lambda: service.dashboard(event.id) == event.expected_figures,
            lambda: service.health()["status"] == "degraded",
        ):
            for _ in range(3):
                requested_at = time.monotonic()
                assert answers_rightly()
                assert time.monotonic() - requested_at < 20, "Redis' time-out is 60 s; callers must not wait that long"
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)
