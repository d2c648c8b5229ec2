"""PostgreSQL and Redis go away and come back while messages come in: nothing is lost, doubled, or answered falsely."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psycopg
import pytest
import redis
from accounts import account
from faults import Crash, PostgresRequests, Proxy, RedisRequests, Request
from outside import (
    CONNECTION_LOST,
    PASSWORD,
    Event,
    Message,
    Service,
    StartService,
    Topics,
    cached_figures,
    redis_environment,
    wait_for,
    with_port,
)

from hannun.embedded import PostgresServer, ValkeyServer

SOON_S = 5.0


@pytest.fixture(scope="module")
def frail_postgres(home: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that may be restarted; what it has committed stays."""
    with PostgresServer(home / "frail-postgres", settings={"fsync": "off"}) as server:
        with psycopg.connect(server.superuser_url, autocommit=True) as conn:
            conn.execute(f"CREATE ROLE hannun_owner LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        yield server


@pytest.fixture
def frail(start_service: StartService, frail_postgres: PostgresServer, valkey: ValkeyServer) -> Service:
    """A service on a PostgreSQL that may be restarted, in a database that `hannun migrate` has made ready."""
    name = f"test_{os.urandom(6).hex()}"
    with psycopg.connect(frail_postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} OWNER hannun_owner")
    service = start_service(
        DATABASE_URL=frail_postgres.url(name, "analytics_readwrite", PASSWORD), **redis_environment(valkey.url)
    )
    ran = service.run(
        "migrate",
        HANNUN_OWNER_DATABASE_URL=frail_postgres.url(name, "hannun_owner", PASSWORD),
        HANNUN_ANALYTICS_READWRITE_PASSWORD=PASSWORD,
    )
    assert ran.status == 0, ran.err
    return service


@pytest.fixture
def frail_valkey(home: Path) -> Iterator[ValkeyServer]:
    """A Valkey that may be killed."""
    with ValkeyServer(home / "frail-valkey") as server:
        yield server


class Stream:
    """A client that posts one body after the other, each until it is taken."""

    def __init__(self, service: Service, event: Event) -> None:
        self._service = service
        self._event = event
        self._enough = threading.Event()
        self._taken = 0
        self.refused: list[int] = []
        self._thread = threading.Thread(target=self._posts)

    def wait_for_more(self, bodies: int) -> None:
        wanted = self._taken + bodies
        wait_for(f"{bodies} more bodies", lambda: self._taken >= wanted or not self._thread.is_alive())
        assert self._thread.is_alive()

    @contextmanager
    def flows(self) -> Iterator["Stream"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._enough.set()
            self._thread.join()

    def _posts(self) -> None:
        body: list[Message] = [self._event.created()]
        while not self._enough.is_set():
            _, refused = self._service.post_until_accepted(body)
            self.refused += refused
            self._event.expect(body)
            self._taken += 1
            body = [self._event.registered("Instagram"), self._event.registered(), self._event.unusable()]


# -- PostgreSQL ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_postgresql_while_messages_are_posted_loses_and_doubles_nothing(
    frail: Service, frail_postgres: PostgresServer, mode: Literal["fast", "immediate"]
) -> None:
    processes = [frail.start_serve(), frail.start_schedule()]
    event = Event()
    with Stream(frail, event).flows() as stream:
        stream.wait_for_more(5)
        frail_postgres.restart(mode)
        stream.wait_for_more(5)
    assert set(stream.refused) <= {503}, "the door stayed open, and said when to come again"
    assert all(process.is_running for process in processes)
    assert frail.figures(event.id) == event.expected_figures
    assert frail.dead_letter_count(event.id) == event.expected_dead_letters
    wait_for("the debts to be paid", lambda: frail.pending_invalidations() == 0)
    assert frail.dashboard(event.id) == event.expected_figures
    frail.assert_no_drift()


def test_the_first_request_after_a_restart_of_postgresql_is_answered_within_5_s(
    frail: Service, frail_postgres: PostgresServer
) -> None:
    frail.start_serve()
    event = Event()
    frail.post([event.created()])
    question = f"/api/v1/events/{event.id}/analytics?refresh=true"
    assert frail.get(question).status_code == 200
    frail_postgres.restart()
    asked_at = time.monotonic()
    wait_for("an answer", lambda: frail.get(question).status_code == 200)
    assert time.monotonic() - asked_at < SOON_S, "no connection is worth waiting for when the server is there"


def test_while_postgresql_is_unavailable_cached_answers_are_served_as_stale_and_the_rest_is_503(
    frail: Service, frail_postgres: PostgresServer
) -> None:
    frail.start_serve(HANNUN_POOL_WAIT_S="0.5")
    event = Event()
    frail.post([event.created()])
    event.expect([event.created()])
    assert frail.dashboard(event.id) == event.expected_figures
    path = f"/api/v1/events/{event.id}/analytics"
    assert "X-Data-Stale" not in frail.get(path).headers
    frail_postgres.stop()
    try:
        assert frail.dashboard(event.id) == event.expected_figures
        wait_for("answers to say so", lambda: frail.get(path).headers.get("X-Data-Stale") == "true")
        for question in (f"{path}?refresh=true", f"{path}/timeline?tz=UTC", "/api/v1/users/nobody/analytics"):
            unanswered = frail.get(question)
            assert unanswered.status_code == 503, question
            assert int(unanswered.headers["Retry-After"]) >= 1
        assert frail.health()["status"] == "unavailable"
        refused = frail.post([event.registered()])
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert "password" not in refused.text and "127.0.0.1" not in refused.text
    finally:
        frail_postgres.start()
    body = [event.registered()]
    frail.post_until_accepted(body)
    event.expect(body)
    wait_for("the dashboard", lambda: frail.get(path).status_code == 200)
    assert frail.dashboard(event.id) == event.expected_figures
    wait_for("health", lambda: frail.health()["status"] == "ready")
    assert "X-Data-Stale" not in frail.get(path).headers


@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_a_restart_of_postgresql_during_a_batch_from_kafka_loses_and_doubles_nothing(
    frail: Service, frail_postgres: PostgresServer, topics: Topics
) -> None:
    """Each time with a batch that is written and not committed, and with messages behind it that are taken already."""
    event = Event()
    with Proxy(frail_postgres.port, PostgresRequests) as proxy:
        behind = {"DATABASE_URL": with_port(frail.environment["DATABASE_URL"], proxy.port)}
        ingest = frail.start_ingest(**topics.environment(), **behind, HANNUN_BATCH_MESSAGES_MAX="50")
        schedule = frail.start_schedule()
        topics.send([event.created()])
        event.expect([event.created()])
        wait_for("the first message", lambda: topics.are_counted(frail))
        modes: tuple[Literal["fast", "immediate"], ...] = ("fast", "immediate")
        for mode in modes:
            before, said_before = frail.figures(event.id), len(ingest.log)
            proxy.hold(r"INSERT INTO hannun\.owed_invalidations")  # the last statement before COMMIT
            more = [*(event.registered("Instagram") for _ in range(500)), event.unusable()]
            topics.send(more)
            event.expect(more)
            proxy.wait_until_held()
            assert frail.figures(event.id) == before, "the batch is in hand"
            frail_postgres.restart(mode)
            wait_for("it to notice", lambda start=said_before: "PostgreSQL is unavailable" in ingest.log[start:])
            proxy.release()
            wait_for("all to be counted", lambda: topics.are_counted(frail))
            assert frail.figures(event.id) == event.expected_figures
            assert frail.dead_letter_count(event.id) == event.expected_dead_letters
        assert ingest.is_running
        assert schedule.is_running
    wait_for("the debts to be paid", lambda: frail.pending_invalidations() == 0)
    frail.assert_no_drift()
    account(frail, topics)


# -- Redis ---------------------------------------------------------------------------------------------------------


def test_answers_are_right_while_redis_is_killed_and_after_it_returns_with_old_data(
    service: Service, frail_valkey: ValkeyServer
) -> None:
    serve = service.start_serve(**redis_environment(frail_valkey.url))
    event = Event()
    body = event.first_batch()
    service.post(body)
    event.expect(body)
    assert service.dashboard(event.id) == event.expected_figures
    with redis.Redis.from_url(frail_valkey.url, protocol=3) as conn:
        yesterdays = conn.get(f"analytics:dashboard:{event.id}")

    frail_valkey.kill()
    more = event.later_batch()
    assert service.post(more).status_code == 200
    event.expect(more)
    answer = service.get(f"/api/v1/events/{event.id}/analytics")
    assert answer.headers["X-Data-Source"] == "live"
    assert service.dashboard(event.id) == event.expected_figures
    assert service.health()["status"] == "degraded"
    assert service.pending_invalidations() == 1

    # It comes back with the data of before: nothing in it is to be believed.
    frail_valkey.start()
    with redis.Redis.from_url(frail_valkey.url, protocol=3) as conn:
        conn.set(f"analytics:dashboard:{event.id}", yesterdays)
        assert service.dashboard(event.id) == event.expected_figures
        wait_for("the debt to be paid", lambda: service.pending_invalidations() == 0)
        conn.set(f"analytics:dashboard:{event.id}", yesterdays)
    assert service.dashboard(event.id) == event.expected_figures
    assert service.health()["status"] == "ready"
    wait_for("the cache to be used again", lambda: cached_figures(frail_valkey.url, event.id) == event.expected_figures)
    assert serve.is_running


def test_a_table_locked_by_another_session_gives_503_and_a_log_line(service: Service, postgres: PostgresServer) -> None:
    url = service.environment["DATABASE_URL"]
    serve = service.start_serve(DATABASE_URL=f"{url}{'&' if '?' in url else '?'}options=-c%20lock_timeout%3D200ms")
    event = Event()
    with psycopg.connect(postgres.url(url.rpartition("/")[2])) as forgetful:
        forgetful.execute("LOCK TABLE hannun.events, public.event_stats")
        assert service.post([event.created()]).status_code == 503
        assert service.get(f"/api/v1/events/{event.id}/analytics").status_code == 503
    serve.wait_for_log("lock not available in time")
    service.post_until_accepted([event.created()])
    event.expect([event.created()])
    assert service.dashboard(event.id) == event.expected_figures


def test_answers_are_right_and_cached_again_after_redis_is_flushed(
    service: Service, frail_valkey: ValkeyServer
) -> None:
    service.start_serve(**redis_environment(frail_valkey.url))
    event = Event()
    for body in (event.first_batch(), event.later_batch()):
        service.post(body)
        event.expect(body)
        assert service.dashboard(event.id) == event.expected_figures
        with redis.Redis.from_url(frail_valkey.url, protocol=3) as conn:
            conn.flushall()
        assert service.dashboard(event.id) == event.expected_figures
        wait_for(
            "it to be kept again", lambda: service.dashboard(event.id) and cached_figures(frail_valkey.url, event.id)
        )
        assert cached_figures(frail_valkey.url, event.id) == event.expected_figures


def test_an_old_answer_is_not_served_when_redis_was_unreachable_at_the_commit(
    service: Service, frail_valkey: ValkeyServer
) -> None:
    event = Event()
    body, more = event.first_batch(), event.later_batch()
    with Proxy(frail_valkey.port, RedisRequests) as proxy:
        service.start_serve(**redis_environment(frail_valkey.url) | {"REDIS_PORT": str(proxy.port)})
        service.post(body)
        event.expect(body)
        assert service.dashboard(event.id) == event.expected_figures
        proxy.refuse()
        assert service.post(more).status_code == 200
        assert cached_figures(frail_valkey.url, event.id) == event.expected_figures, "which is the old answer by now"
        event.expect(more)
        assert service.dashboard(event.id) == event.expected_figures, "the database is asked"
        assert service.pending_invalidations() == 1
        proxy.allow()
        wait_for("the debt to be paid", lambda: service.pending_invalidations() == 0)
        assert service.dashboard(event.id) == event.expected_figures
        assert cached_figures(frail_valkey.url, event.id) in (None, event.expected_figures)


def test_answers_are_right_while_redis_hangs(service: Service, frail_valkey: ValkeyServer) -> None:
    service.start_serve(**redis_environment(frail_valkey.url), HANNUN_REDIS_TIMEOUT_S="0.2")
    event = Event()
    body, more = event.first_batch(), event.later_batch()
    service.post(body)
    event.expect(body)
    assert service.dashboard(event.id) == event.expected_figures
    assert frail_valkey.pid is not None
    os.kill(frail_valkey.pid, signal.SIGSTOP)
    try:
        assert service.post(more).status_code == 200
        event.expect(more)
        assert service.dashboard(event.id) == event.expected_figures
        assert service.health()["status"] == "degraded"
    finally:
        os.kill(frail_valkey.pid, signal.SIGCONT)
    wait_for("the debt to be paid", lambda: service.pending_invalidations() == 0)
    assert service.dashboard(event.id) == event.expected_figures


WORST_S = 2.0
"""How old an answer may be at the worst."""


def is_a_deletion(request: Request) -> bool:
    return request.text.startswith("DEL ") and "analytics:dashboard:" in request.text


def test_when_a_writer_dies_before_its_invalidation_answers_are_right_within_2_s(
    service: Service, start_service: StartService, frail_valkey: ValkeyServer
) -> None:
    here = redis_environment(frail_valkey.url)
    answering = start_service(DATABASE_URL=service.environment["DATABASE_URL"], **here)
    answering.start_serve()
    event = Event()
    body, more = event.first_batch(), event.later_batch()
    with Proxy(frail_valkey.port, RedisRequests) as proxy:
        at_once = {"HANNUN_INVALIDATIONS_APART_S": "0"}  # so that it dies before it has answered
        writing = service.start_serve(**here | at_once | {"REDIS_PORT": str(proxy.port)})
        service.post(body)
        event.expect(body)
        assert answering.dashboard(event.id) == event.expected_figures
        with proxy.inject(Crash("kill before", 1, is_a_deletion), writing.pid) as crash:
            with pytest.raises(CONNECTION_LOST):
                service.post(more)
            assert crash.happened.wait(SOON_S)
        died_at = time.monotonic()
        assert cached_figures(frail_valkey.url, event.id) in (event.expected_figures, None), (
            "the old answer, or it is paid already"
        )
        event.expect(more)
        wait_for("the answer to be true", lambda: answering.dashboard(event.id) == event.expected_figures, WORST_S)
        assert time.monotonic() - died_at < WORST_S
    wait_for("the debt to be settled", lambda: service.pending_invalidations() == 0)


def test_when_a_writer_cannot_reach_redis_another_process_invalidates_within_2_s(
    service: Service, start_service: StartService, frail_valkey: ValkeyServer
) -> None:
    here = redis_environment(frail_valkey.url)
    answering = start_service(DATABASE_URL=service.environment["DATABASE_URL"], **here)
    answering.start_serve()
    event = Event()
    body, more = event.first_batch(), event.later_batch()
    with Proxy(frail_valkey.port, RedisRequests) as proxy:
        service.start_serve(**here | {"REDIS_PORT": str(proxy.port)})
        service.post(body)
        event.expect(body)
        assert answering.dashboard(event.id) == event.expected_figures
        proxy.refuse()
        assert service.post(more).status_code == 200
        counted_at = time.monotonic()
        event.expect(more)
        assert service.dashboard(event.id) == event.expected_figures, "who has counted it answers nothing older"
        wait_for("the others to say so", lambda: answering.dashboard(event.id) == event.expected_figures, WORST_S)
        assert time.monotonic() - counted_at < WORST_S, "another process has paid the debt"
        wait_for("the debt to be settled", lambda: service.pending_invalidations() == 0)


def test_answers_are_right_while_redis_is_out_of_memory(service: Service, frail_valkey: ValkeyServer) -> None:
    service.start_serve(**redis_environment(frail_valkey.url))
    event = Event()
    body, more = event.first_batch(), event.later_batch()
    service.post(body)
    event.expect(body)
    assert service.dashboard(event.id) == event.expected_figures
    with redis.Redis.from_url(frail_valkey.url, protocol=3) as conn:
        before = conn.config_get("maxmemory")["maxmemory"]
        conn.config_set("maxmemory", "1mb")
        try:
            assert service.post(more).status_code == 200
            event.expect(more)
            for _ in range(3):
                assert service.dashboard(event.id) == event.expected_figures
            assert cached_figures(frail_valkey.url, event.id) is None, "what was false is gone, and nothing new fits"
            assert service.pending_invalidations() == 0 or wait_for(
                "the debt to be paid", lambda: service.pending_invalidations() == 0
            )
        finally:
            conn.config_set("maxmemory", before)
    wait_for(
        "answers to be kept again", lambda: service.dashboard(event.id) and cached_figures(frail_valkey.url, event.id)
    )
    assert service.dashboard(event.id) == event.expected_figures


def test_a_slow_redis_delays_neither_requests_nor_probes(service: Service, frail_valkey: ValkeyServer) -> None:
    service.start_serve(**redis_environment(frail_valkey.url))
    event = Event()
    service.post([event.created()])
    event.expect([event.created()])
    assert service.dashboard(event.id) == event.expected_figures
    assert frail_valkey.pid is not None
    os.kill(frail_valkey.pid, signal.SIGSTOP)
    try:
        for ask in (
            lambda: service.dashboard(event.id) == event.expected_figures,
            lambda: service.health()["status"] == "degraded",
        ):
            for _ in range(3):
                asked_at = time.monotonic()
                assert ask()
                assert time.monotonic() - asked_at < 1.5, "3 s is what it is given, not what people wait for"
    finally:
        os.kill(frail_valkey.pid, signal.SIGCONT)
