"""When look-ups miss too often: in the newest ten minutes, by themselves or against the time before."""

import pytest

from hannun.domain.lookups import LookupCounts, causes, is_trouble, windows

NOW = 10_000.0


def counts(minutes_ago: float, hits: int, misses: int, run: str = "a", **others: int) -> LookupCounts:
    return LookupCounts(NOW - 60 * minutes_ago, run, hits, misses, **others)


def test_the_newest_window_is_the_last_ten_minutes_and_the_other_the_time_before() -> None:
    recorded = [counts(1, 900, 50), counts(10.5, 500, 20), counts(60, 100, 10)]
    found = windows(counts(0, 1_000, 60), recorded, started_at_s=0)
    assert (found.newest.hits, found.newest.misses, found.newest.seconds) == (500, 40, 630)
    assert found.before is not None
    assert (found.before.hits, found.before.misses) == (400, 10)


def test_without_records_the_window_begins_with_the_server_and_records_of_another_run_say_nothing() -> None:
    found = windows(counts(0, 90, 10), [counts(20, 5_000, 5_000, run="before")], started_at_s=NOW - 300)
    assert (found.newest.hits, found.newest.misses, found.newest.seconds, found.before) == (90, 10, 300, None)


@pytest.mark.parametrize(
    ("newest", "before", "trouble"),
    [
        ((790, 210), (1_000, 0), True),
        ((810, 190), (850, 150), False),
        ((940, 60), (990, 10), True),
        ((940, 60), (960, 40), False),
        ((960, 40), (1_000, 0), False),
        ((0, 999), (1_000, 0), False),
    ],
)
def test_misses_are_trouble_above_a_fifth_or_three_times_those_of_before(
    newest: tuple[int, int], before: tuple[int, int], trouble: bool
) -> None:
    now = counts(0, before[0] + newest[0], before[1] + newest[1])
    found = windows(now, [counts(11, *before), counts(30, 0, 0)], started_at_s=0)
    assert is_trouble(found) == trouble


def test_each_cause_that_happens_a_tenth_as_often_as_misses_is_named() -> None:
    found = windows(counts(0, 0, 1_000, evicted=100, expired=100, invalidations=99), [], started_at_s=0).newest
    assert causes(found, lifetime_is_short=True) == ["evictions", "lifetime"]
    assert causes(found, lifetime_is_short=False) == ["evictions"]
