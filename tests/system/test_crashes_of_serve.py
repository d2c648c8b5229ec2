"""`serve` is killed, or loses PostgreSQL or Redis, at every request of a POST; the client sends the same body again.

One round posts one body with messages of two events: one whose dashboard is cached, and one that is new. Whatever
happens at any request, either nothing of the body is counted or all of it. The invalidations are delivered even though
the writer is dead; how soon, `test_outages.py` measures. After the second POST everything is counted once.
"""

from collections.abc import Iterator

import pytest
from faults import Crash, Fault, PostgresRequests, Proxy, RedisRequests, Request, every_crash
from outside import CONNECTION_LOST, Event, Process, Service, cached_figures, wait_for, with_port

from hannun.embedded import PostgresServer, ValkeyServer

# A test runs up to 40 rounds, each of which starts a process or connects again: minutes on a loaded machine.
pytestmark = [pytest.mark.xdist_group("crashes of serve"), pytest.mark.timeout(600)]


class Rounds:
    """Runs one round after the other with a `serve` behind two proxies. `schedule` runs the timed jobs."""

    def __init__(self, service: Service, redis_url: str, postgres: Proxy, redis: Proxy) -> None:
        self._service = service
        self._redis_url = redis_url
        self.postgres = postgres
        self.redis = redis
        self._months = (f"{year}-{month:02}" for year in range(2015, 2026) for month in range(2, 13))
        # The job that delivers old outbox entries would disturb the count of requests. `schedule` runs it instead.
        postgres.hold("owed_at <")
        self._through_proxies = {
            "DATABASE_URL": with_port(service.environment["DATABASE_URL"], postgres.port),
            "REDIS_PORT": str(redis.port),
            # A POST delivers its invalidations before it is answered, and every GET reads Redis.
            "HANNUN_INVALIDATIONS_APART_S": "0",
            "HANNUN_COPIES_BYTES_MAX": "0",
            "HANNUN_REQUEST_S": "20",  # so that no POST is refused because the machine is loaded
        }
        service.start_schedule()
        self.serve = self._start_serve()

    def run(self, crash: Crash, proxy: Proxy) -> None:
        """Run a round with this crash, which this proxy injects."""
        service = self._service
        if not self.serve.is_running:  # an earlier test has failed
            self.serve = self._start_serve()
        known, new = Event(month="2024-05"), Event(month=next(self._months))
        before = known.first_batch()
        assert service.post(before).status_code == 200
        known.expect(before)
        assert service.dashboard(known.id) == known.expected_figures  # which caches it
        body = known.later_batch() + new.first_batch()

        with proxy.inject(crash, self.serve.pid):
            answered = self._post(body)
        if crash.happened.is_set() and crash.fault.startswith("kill"):
            self.serve.wait()
            restarting = self._launch_serve()
        else:
            restarting = None
            if not crash.happened.is_set():
                assert answered, f"there was no fault and no answer: {crash.trace}"

        counted = self._all_or_nothing(known, new, body, crash)
        assert not (answered and not counted), f"answered before the commit: {crash.description}"
        wait_for(
            f"the invalidations to be delivered, {crash.description}", lambda: service.pending_invalidations() == 0
        )
        assert cached_figures(self._redis_url, known.id) in (None, service.figures(known.id)), crash.description

        if restarting is not None:
            self.serve = restarting
            restarting.wait_for_log("serve runs")
        answer, _ = service.post_until_accepted(body)
        assert counted or answer["repeated"] == 1, (
            f"a part of the body was counted before: {answer}, {crash.description}"
        )
        known.expect(body[:11])
        new.expect(body[11:])
        for event in (known, new):
            assert service.figures(event.id) == event.expected_figures, crash.description
            assert service.dashboard(event.id) == event.expected_figures, crash.description
            assert cached_figures(self._redis_url, event.id) == event.expected_figures, crash.description
            assert service.dead_letter_count(event.id) == event.expected_dead_letters, crash.description

    def _post(self, body: object) -> bool:
        """Post the body. Returns whether the answer was that everything is counted."""
        try:
            response = self._service.post(body)
        except CONNECTION_LOST:
            return False
        if response.status_code != 200:
            assert response.status_code == 503, response.text
            assert response.headers["Retry-After"] == "1"
        return response.status_code == 200

    def _all_or_nothing(self, known: Event, new: Event, body: list[dict[str, object]], crash: Crash) -> bool:
        """Whether the body is counted. Asserts that it is not counted in part."""
        after = Event(known.id, month=known.month, expected_messages=known.expected_messages + body[:11])
        after_new = Event(new.id, month=new.month, expected_messages=body[11:])
        found = (self._service.figures(known.id), self._service.figures(new.id))
        assert found in ((known.expected_figures, None), (after.expected_figures, after_new.expected_figures)), (
            crash.description
        )
        return found[1] is not None

    def _launch_serve(self) -> Process:
        return self._service.launch_serve(**self._through_proxies)

    def _start_serve(self) -> Process:
        process = self._launch_serve()
        process.wait_for_log("serve runs")
        return process


@pytest.fixture(scope="module")
def rounds(postgres: PostgresServer, valkey: ValkeyServer, a_service: Service) -> Iterator[Rounds]:
    with Proxy(postgres.port, PostgresRequests) as postgres_proxy, Proxy(valkey.port, RedisRequests) as redis_proxy:
        yield Rounds(a_service, valkey.url, postgres_proxy, redis_proxy)
        a_service.assert_no_drift()


def is_counting(request: Request) -> bool:
    """Whether a request is one of the writer."""
    return request.application == "hannun-serve"


def is_commit(request: Request) -> bool:
    return is_counting(request) and request.text == "COMMIT"


def is_invalidating(request: Request) -> bool:
    """Whether a request deletes answers, or announces the changes of several events, by a script."""
    return request.text.startswith("DEL ") or (request.text.startswith("EVAL ") and "PUBLISH" in request.text)


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_postgresql_connection_cut_at_any_request_counts_all_or_nothing(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, matches=is_counting):
        rounds.run(crash, rounds.postgres)
    assert crash.nth > 30, "a batch sends more requests than that; the connections may not pass through the proxy"


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_redis_connection_cut_in_the_invalidation_leaves_no_old_answer(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, matches=is_invalidating):
        rounds.run(crash, rounds.redis)
    assert crash.nth == 3, "one DEL, and one EVAL that announces both events"


@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_serve_killed_at_any_commit_counts_all_or_nothing(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, matches=is_commit):
        rounds.run(crash, rounds.postgres)
    assert crash.nth == 4, (
        "commits of months, of surrogate keys and of the batch; the outbox entry is marked delivered later"
    )


def test_serve_killed_before_any_request_of_the_invalidation_leaves_no_old_answer(rounds: Rounds) -> None:
    for crash in every_crash("kill before", matches=is_invalidating):
        rounds.run(crash, rounds.redis)
    assert crash.nth == 3, "one DEL, and one EVAL that announces both events"


@pytest.mark.faults
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_serve_killed_at_any_request_of_a_batch_counts_all_or_nothing(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, matches=is_counting):
        rounds.run(crash, rounds.postgres)
    assert crash.nth > 30


@pytest.mark.faults
def test_serve_killed_after_any_request_of_the_invalidation_leaves_no_old_answer(rounds: Rounds) -> None:
    for crash in every_crash("kill after", matches=is_invalidating):
        rounds.run(crash, rounds.redis)
    assert crash.nth == 3, "one DEL, and one EVAL that announces both events"
