"""The size of a batch follows the pace at which batches are written."""

from hypothesis import given
from hypothesis import strategies as st

from hannun.domain.batch_size import LEAST, WRITTEN_IN_S, next_batch_size


def sizes(seconds_each: float, size: int, most: int = 20_000, batches: int = 20) -> list[int]:
    found = []
    for _ in range(batches):
        size = next_batch_size(size, size, size * seconds_each, most)
        found.append(size)
    return found


def test_where_writing_is_fast_batches_become_as_large_as_they_may() -> None:
    assert sizes(1e-6, 1_000)[-1] == 20_000


def test_where_writing_is_slow_a_batch_comes_to_what_is_written_in_a_moment() -> None:
    assert abs(sizes(100e-6, 20_000)[-1] * 100e-6 - WRITTEN_IN_S) < 0.01


def test_where_it_is_very_slow_a_batch_is_still_worth_its_commit() -> None:
    assert sizes(1.0, 20_000)[-1] == LEAST


def test_a_batch_that_was_held_up_once_costs_half_of_the_size_at_most() -> None:
    assert next_batch_size(20_000, 20_000, 30.0, 20_000) >= 10_000


def test_when_little_comes_nothing_is_learned() -> None:
    assert next_batch_size(20_000, 3, 5.0, 20_000) == 20_000


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0, 1e6), st.integers(1, 10**5))
def test_the_bounds_hold_whatever_happens(size: int, messages: int, took_s: float, most: int) -> None:
    assert min(LEAST, most) <= next_batch_size(size, messages, took_s, most) <= most
