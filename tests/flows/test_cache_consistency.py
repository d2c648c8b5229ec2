"""The cache is compared with the database, and a wrong answer in it is found."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from hannun.domain.answer import EncodedAnswer, Topic
from hannun.domain.batch import ChangedEvent
from hannun.flows.cache_consistency import AFTER_S, STALENESS_S_MAX, ConsistencyChecker
from hannun.telemetry import REGISTRY

TOPIC = ("event", "spring")


class Sides:
    """The versions that the cache and the database hold at a time; time passes only while the checker sleeps."""

    def __init__(self, cached: Callable[[float], int | None], database: Callable[[float], int]) -> None:
        self.now = 0.0
        self.reads = 0
        self._cached, self._database = cached, database
        self.checker = ConsistencyChecker(
            self.announcements, self.read_cached, self.read_database, samples_a_second=1, sleep=self.sleep
        )

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def announcements(self) -> AsyncIterator[ChangedEvent | None]:
        for number in range(50):
            yield ChangedEvent(f"event-{number}", "somebody", 1, ())
            yield None
        while self.reads < 2 * len(AFTER_S):  # noqa: ASYNC110  a counter has no event
            await asyncio.sleep(0)

    async def read_cached(self, topic: Topic) -> EncodedAnswer | None:
        self.reads += 1
        return _answer(self._cached(self.now))

    async def read_database(self, topic: Topic) -> EncodedAnswer | None:
        return _answer(self._database(self.now))

    def compare(self) -> bool | None:
        return asyncio.run(self.checker.compare(TOPIC))

    def results_of(self, work: Callable[[], Awaitable[None]]) -> dict[tuple[str, str], float]:
        """How many comparisons `work` records, by seconds after the invalidation and result."""
        before = _recorded()
        asyncio.run(work())  # type: ignore[arg-type]
        return {
            labels: count - before.get(labels, 0)
            for labels, count in _recorded().items()
            if count != before.get(labels)
        }


def _answer(version: int | None) -> EncodedAnswer | None:
    return None if version is None else EncodedAnswer(b"{}", version, "owner", f'"{version}"')


def _recorded() -> dict[tuple[str, str], float]:
    return {
        (sample.labels["after"], sample.labels["result"]): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "hannun_consistency_checks_total"
    }


def test_a_cached_answer_equal_to_that_of_the_database_is_consistent() -> None:
    assert Sides(lambda now: 1, lambda now: 1).compare() is True


def test_without_a_cached_answer_there_is_no_result() -> None:
    assert Sides(lambda now: None, lambda now: 1).compare() is None


def test_a_change_on_its_way_is_consistent() -> None:
    assert Sides(lambda now: 1 if now < STALENESS_S_MAX else None, lambda now: 2).compare() is True
    assert Sides(lambda now: 1 if now < STALENESS_S_MAX else 2, lambda now: 3).compare() is True


def test_an_answer_that_stays_wrong_is_inconsistent() -> None:
    assert Sides(lambda now: 1, lambda now: 2).compare() is False


def test_each_topic_is_compared_three_times_and_recorded_by_the_delay() -> None:
    sides = Sides(lambda now: 1, lambda now: 1 if now < 10 else 2)
    found = sides.results_of(lambda: sides.checker.follow(TOPIC))
    assert found == {("1", "consistent"): 1, ("10", "inconsistent"): 1, ("60", "inconsistent"): 1}


def test_of_many_invalidations_only_a_sample_is_followed() -> None:
    sides = Sides(lambda now: None, lambda now: 1)
    found = sides.results_of(sides.checker.run)
    assert sides.reads == 2 * len(AFTER_S), "one event and its merchant"
    assert found == {(f"{after_s:g}", "absent"): 2 for after_s in AFTER_S}
