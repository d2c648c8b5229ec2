"""`serve` is killed, or loses a neighbour, at every step of a POST; the client sends the same body again.

One round: an event whose dashboard is in the cache, and one that nobody knows, change in one body. Whatever happens at
whichever step: either nothing of it is counted or all of it, the cache is told within two seconds even though the
writer is dead, and after the second POST everything has been counted once.
"""

import time
from collections.abc import Iterator

import pytest
from faults import Crash, Fault, PostgresRequests, Proxy, RedisRequests, Request, every_crash
from outside import CONNECTION_LOST, Event, Process, Service, cached_figures, wait_for, with_port

from hannun.embedded import PostgresServer, ValkeyServer

PAID_S_MAX = 2.0
"""How long an answer may stay false when the writer has died between its commit and the invalidation."""

pytestmark = pytest.mark.xdist_group("crashes of serve")


class Rounds:
    """A service behind two proxies, and one round after the other. Another process does the timed jobs."""

    def __init__(self, service: Service, redis_url: str, postgres: Proxy, redis: Proxy) -> None:
        self._service = service
        self._redis_url = redis_url
        self.postgres = postgres
        self.redis = redis
        self._months = (f"{year}-{month:02}" for year in range(2015, 2026) for month in range(2, 13))
        # The job for old debts in `serve` would disturb the count of steps; the one in `schedule` does it.
        postgres.hold("owed_at <")
        self._behind = {
            "DATABASE_URL": with_port(service.environment["DATABASE_URL"], postgres.port),
            "REDIS_PORT": str(redis.port),
            # What a POST owes is paid before it is answered, and every question is put to Redis.
            "HANNUN_INVALIDATIONS_APART_S": "0",
            "HANNUN_COPIES_BYTES_MAX": "0",
        }
        service.start_schedule()
        self.serve = self._serves()

    def goes(self, crash: Crash, proxy: Proxy) -> None:
        """A round with this crash, set on this proxy."""
        service = self._service
        if not self.serve.is_running:  # an earlier test has failed
            self.serve = self._serves()
        known, new = Event(month="2024-05"), Event(month=next(self._months))
        before = known.first_batch()
        assert service.post(before).status_code == 200
        known.expect(before)
        assert service.dashboard(known.id) == known.expected_figures  # and so it is in the cache
        body = known.later_batch() + new.first_batch()

        with proxy.inject(crash, self.serve.pid):
            answered = self._posts(body)
        died_at = time.monotonic()
        if crash.happened.is_set() and crash.fault.startswith("kill"):
            self.serve.wait()
            restarting = self._launches()
        else:
            restarting = None
            if not crash.happened.is_set():
                assert answered, f"no fault, and no answer: {crash.trace}"

        counted = self._all_or_nothing(known, new, body, crash)
        assert not (answered and not counted), f"answered before the commit: {crash.description}"
        wait_for(f"the cache to be told, {crash.description}", lambda: service.pending_invalidations() == 0)
        took_s = time.monotonic() - died_at
        assert took_s < PAID_S_MAX, f"the cache was told after {took_s:.1f} s, {crash.description}"
        assert cached_figures(self._redis_url, known.id) in (None, service.figures(known.id)), crash.description

        if restarting is not None:
            self.serve = restarting
            restarting.wait_for_log("serve runs")
        answer, _ = service.post_until_accepted(body)
        assert counted or answer["repeated"] == 1, f"a part of it was counted before: {answer}, {crash.description}"
        known.expect(body[:11])
        new.expect(body[11:])
        for event in (known, new):
            assert service.figures(event.id) == event.expected_figures, crash.description
            assert service.dashboard(event.id) == event.expected_figures, crash.description
            assert cached_figures(self._redis_url, event.id) == event.expected_figures, crash.description
            assert service.dead_letter_count(event.id) == event.expected_dead_letters, crash.description

    def _posts(self, body: object) -> bool:
        """Whether it was answered that all is counted."""
        try:
            response = self._service.post(body)
        except CONNECTION_LOST:
            return False
        if response.status_code != 200:
            assert response.status_code == 503, response.text
            assert response.headers["Retry-After"] == "1"
        return response.status_code == 200

    def _all_or_nothing(self, known: Event, new: Event, body: list[dict[str, object]], crash: Crash) -> bool:
        """Whether the body is counted. In part it never is."""
        after = Event(known.id, month=known.month, expected_messages=known.expected_messages + body[:11])
        after_new = Event(new.id, month=new.month, expected_messages=body[11:])
        found = (self._service.figures(known.id), self._service.figures(new.id))
        assert found in ((known.expected_figures, None), (after.expected_figures, after_new.expected_figures)), (
            crash.description
        )
        return found[1] is not None

    def _launches(self) -> Process:
        return self._service.launch_serve(**self._behind)

    def _serves(self) -> Process:
        process = self._launches()
        process.wait_for_log("serve runs")
        return process


@pytest.fixture(scope="module")
def rounds(postgres: PostgresServer, valkey: ValkeyServer, a_service: Service) -> Iterator[Rounds]:
    with Proxy(postgres.port, PostgresRequests) as before_postgres, Proxy(valkey.port, RedisRequests) as before_redis:
        yield Rounds(a_service, valkey.url, before_postgres, before_redis)
        a_service.assert_no_drift()


def is_counting(request: Request) -> bool:
    """A step of the writing side."""
    return request.application == "hannun-serve"


def is_commit(request: Request) -> bool:
    return is_counting(request) and request.text == "COMMIT"


def is_invalidating(request: Request) -> bool:
    return request.text.startswith(("DEL ", "PUBLISH "))


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_postgresql_connection_cut_at_any_request_counts_all_or_nothing(rounds: Rounds, fault: Fault) -> None:
    steps = 0
    for crash in every_crash(fault, matches=is_counting):
        rounds.goes(crash, rounds.postgres)
        steps = crash.nth
    assert steps > 30, "a batch has more steps than that: is the proxy still in between?"


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_redis_connection_cut_in_the_invalidation_leaves_no_old_answer(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, matches=is_invalidating):
        rounds.goes(crash, rounds.redis)
    assert crash.nth == 4, "one DEL, and a PUBLISH for each of two events"


@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_serve_killed_at_any_commit_counts_all_or_nothing(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, matches=is_commit):
        rounds.goes(crash, rounds.postgres)
    assert crash.nth == 4, "commits of months, numbers and the batch; the debt that is paid is settled later"


def test_serve_killed_before_any_request_of_the_invalidation_leaves_no_old_answer(rounds: Rounds) -> None:
    for crash in every_crash("kill before", matches=is_invalidating):
        rounds.goes(crash, rounds.redis)
    assert crash.nth == 4, "one DEL, and a PUBLISH for each of two events"


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_serve_killed_at_any_request_of_a_batch_counts_all_or_nothing(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, matches=is_counting):
        rounds.goes(crash, rounds.postgres)
    assert crash.nth > 30


@pytest.mark.faults
def test_serve_killed_after_any_request_of_the_invalidation_leaves_no_old_answer(rounds: Rounds) -> None:
    for crash in every_crash("kill after", matches=is_invalidating):
        rounds.goes(crash, rounds.redis)
    assert crash.nth == 4, "one DEL, and a PUBLISH for each of two events"
