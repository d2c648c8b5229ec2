"""`serve` is killed, or loses a neighbour, at every step of a POST; the client sends the same body again.

One round: an event whose dashboard is in the cache, and one that nobody knows, change in one body. Whatever happens at
whichever step: either nothing of it is counted or all of it, the cache is told within two seconds even though the
writer is dead, and after the second POST everything has been counted once.
"""

import time
from collections.abc import Iterator

import pytest
from faults import Crash, Fault, PostgresFramer, Proxy, RedisFramer, Step, every_crash
from outside import GONE, Event, Process, Service, cached, through, wait_for

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
        postgres.holds_back("owed_at <")
        self._behind = {
            "DATABASE_URL": through(service.environment["DATABASE_URL"], postgres.port),
            "REDIS_PORT": str(redis.port),
            # What a POST owes is paid before it is answered, and every question is put to Redis.
            "HANNUN_INVALIDATIONS_APART_S": "0",
            "HANNUN_COPIES_BYTES_MAX": "0",
        }
        service.schedules()
        self.serve = self._serves()

    def goes(self, crash: Crash, proxy: Proxy) -> None:
        """A round with this crash, set on this proxy."""
        service = self._service
        if not self.serve.running:  # an earlier test has failed
            self.serve = self._serves()
        known, new = Event(month="2024-05"), Event(month=next(self._months))
        before = known.some_of_everything()
        assert service.posts(before).status_code == 200
        known.takes(before)
        assert service.dashboard(known.id) == known.figures  # and so it is in the cache
        body = known.more_of_everything() + new.some_of_everything()

        with proxy.set_for(crash, self.serve.pid):
            answered = self._posts(body)
        died_at = time.monotonic()
        if crash.happened.is_set() and crash.fault.startswith("kill"):
            self.serve.ends()
            restarting = self._launches()
        else:
            restarting = None
            if not crash.happened.is_set():
                assert answered, f"no fault, and no answer: {crash.trace}"

        counted = self._all_or_nothing(known, new, body, crash)
        assert not (answered and not counted), f"answered before the commit: {crash.where}"
        wait_for(f"the cache to be told, {crash.where}", lambda: service.owed() == 0)
        took_s = time.monotonic() - died_at
        assert took_s < PAID_S_MAX, f"the cache was told after {took_s:.1f} s, {crash.where}"
        assert cached(self._redis_url, known.id) in (None, service.figures(known.id)), crash.where

        if restarting is not None:
            self.serve = restarting
            restarting.says("serve runs")
        answer, _ = service.posts_until_taken(body)
        assert counted or answer["repeated"] == 1, f"a part of it was counted before: {answer}, {crash.where}"
        known.takes(body[:11])
        new.takes(body[11:])
        for event in (known, new):
            assert service.figures(event.id) == event.figures, crash.where
            assert service.dashboard(event.id) == event.figures, crash.where
            assert cached(self._redis_url, event.id) == event.figures, crash.where
            assert service.dead_letters(event.id) == event.dead_letters, crash.where

    def _posts(self, body: object) -> bool:
        """Whether it was answered that all is counted."""
        try:
            response = self._service.posts(body)
        except GONE:
            return False
        if response.status_code != 200:
            assert response.status_code == 503, response.text
            assert response.headers["Retry-After"] == "1"
        return response.status_code == 200

    def _all_or_nothing(self, known: Event, new: Event, body: list[dict[str, object]], crash: Crash) -> bool:
        """Whether the body is counted. In part it never is."""
        after = Event(known.id, month=known.month, taken=known.taken + body[:11])
        after_new = Event(new.id, month=new.month, taken=body[11:])
        found = (self._service.figures(known.id), self._service.figures(new.id))
        assert found in ((known.figures, None), (after.figures, after_new.figures)), crash.where
        return found[1] is not None

    def _launches(self) -> Process:
        return self._service.launches_serve(**self._behind)

    def _serves(self) -> Process:
        process = self._launches()
        process.says("serve runs")
        return process


@pytest.fixture(scope="module")
def rounds(postgres: PostgresServer, valkey: ValkeyServer, a_service: Service) -> Iterator[Rounds]:
    with Proxy(postgres.port, PostgresFramer) as before_postgres, Proxy(valkey.port, RedisFramer) as before_redis:
        yield Rounds(a_service, valkey.url, before_postgres, before_redis)
        a_service.is_proven()


def is_counting(step: Step) -> bool:
    """A step of the writing side."""
    return step.who == "hannun-serve"


def is_commit(step: Step) -> bool:
    return is_counting(step) and step.words == "COMMIT"


def is_invalidating(step: Step) -> bool:
    return step.words.startswith(("DEL ", "PUBLISH "))


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_connection_to_postgresql_that_breaks_at_any_step(rounds: Rounds, fault: Fault) -> None:
    steps = 0
    for crash in every_crash(fault, counts=is_counting):
        rounds.goes(crash, rounds.postgres)
        steps = crash.step
    assert steps > 30, "a batch has more steps than that: is the proxy still in between?"


@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_connection_to_redis_that_breaks_at_any_step_of_the_invalidation(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, counts=is_invalidating):
        rounds.goes(crash, rounds.redis)
    assert crash.step == 4, "one DEL, and a PUBLISH for each of two events"


@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_a_kill_around_any_commit(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, counts=is_commit):
        rounds.goes(crash, rounds.postgres)
    assert crash.step == 4, "commits of months, numbers and the batch; the debt that is paid is settled later"


def test_a_kill_at_any_step_of_the_invalidation(rounds: Rounds) -> None:
    for crash in every_crash("kill before", counts=is_invalidating):
        rounds.goes(crash, rounds.redis)
    assert crash.step == 4, "one DEL, and a PUBLISH for each of two events"


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_a_kill_at_any_step_of_a_batch(rounds: Rounds, fault: Fault) -> None:
    for crash in every_crash(fault, counts=is_counting):
        rounds.goes(crash, rounds.postgres)
    assert crash.step > 30


@pytest.mark.faults
def test_a_kill_after_any_step_of_the_invalidation(rounds: Rounds) -> None:
    for crash in every_crash("kill after", counts=is_invalidating):
        rounds.goes(crash, rounds.redis)
    assert crash.step == 4, "one DEL, and a PUBLISH for each of two events"
