"""The cache is held against the database, and a lie in it is seen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from hannun.domain.answer import EncodedAnswer
from hannun.flows.cache_consistency import AFTER_S, PROMISED_S, Consistency, Topic
from hannun.telemetry import REGISTRY

TOPIC = ("event", "spring")


class Sides:
    """What the cache and the database say at a moment; time passes only in what sleeps."""

    def __init__(self, kept: Callable[[float], int | None], database: Callable[[float], int]) -> None:
        self.now = 0.0
        self.looks = 0
        self._sides = kept, database
        self.consistency = Consistency(self.announced, self.kept, self.rebuilt, samples_a_second=1, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def announced(self) -> AsyncIterator[dict[str, Any] | None]:
        for number in range(50):
            yield {"eventId": f"event-{number}", "userId": "somebody"}
            yield None
        while self.looks < 2 * len(AFTER_S):  # noqa: ASYNC110  a counter has no event
            await asyncio.sleep(0)

    async def kept(self, topic: Topic) -> EncodedAnswer | None:
        self.looks += 1
        return _answer(self._sides[0](self.now))

    async def rebuilt(self, topic: Topic) -> EncodedAnswer | None:
        return _answer(self._sides[1](self.now))

    def look(self) -> bool | None:
        return asyncio.run(self.consistency.look(TOPIC))

    def runs(self, work: Callable[[], Awaitable[None]]) -> dict[tuple[str, str], float]:
        """How many checks it adds, by seconds after and result."""
        before = _checks()
        asyncio.run(work())  # type: ignore[arg-type]
        return {
            labels: count - before.get(labels, 0) for labels, count in _checks().items() if count != before.get(labels)
        }


def _answer(version: int | None) -> EncodedAnswer | None:
    return None if version is None else EncodedAnswer(b"{}", version, "owner", f'"{version}"')


def _checks() -> dict[tuple[str, str], float]:
    return {
        (sample.labels["after"], sample.labels["result"]): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "hannun_consistency_checks_total"
    }


def test_an_answer_that_says_what_the_database_says_is_consistent() -> None:
    assert Sides(lambda now: 1, lambda now: 1).look() is True


def test_nothing_kept_is_neither() -> None:
    assert Sides(lambda now: None, lambda now: 1).look() is None


def test_a_change_on_its_way_is_no_lie() -> None:
    assert Sides(lambda now: 1 if now < PROMISED_S else None, lambda now: 2).look() is True
    assert Sides(lambda now: 1 if now < PROMISED_S else 2, lambda now: 3).look() is True


def test_an_answer_that_stays_wrong_is_a_lie() -> None:
    assert Sides(lambda now: 1, lambda now: 2).look() is False


def test_each_is_looked_at_three_times_and_told_by_its_age() -> None:
    sides = Sides(lambda now: 1, lambda now: 1 if now < 10 else 2)
    found = sides.runs(lambda: sides.consistency.follow(TOPIC))
    assert found == {("1", "consistent"): 1, ("10", "inconsistent"): 1, ("60", "inconsistent"): 1}


def test_of_many_invalidations_only_a_sample_is_followed() -> None:
    sides = Sides(lambda now: None, lambda now: 1)
    found = sides.runs(sides.consistency.run)
    assert sides.looks == 2 * len(AFTER_S), "one event and its merchant"
    assert found == {(f"{after_s:g}", "absent"): 2 for after_s in AFTER_S}
