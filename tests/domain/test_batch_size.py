"""The size of batches follows the speed at which PostgreSQL writes them."""

from hypothesis import given
from hypothesis import strategies as st

from hannun.domain.batch_size import SIZE_MIN, WRITE_TARGET_S, next_batch_size


def sizes(seconds_each: float, size: int, size_max: int = 20_000, batches: int = 20) -> list[int]:
    """The size limits of successive batches, each full, where every message takes so many seconds to write."""
    found = []
    for _ in range(batches):
        size = next_batch_size(size, size, size * seconds_each, size_max)
        found.append(size)
    return found


def test_fast_writes_raise_the_batch_size_to_its_maximum() -> None:
    assert sizes(1e-6, 1_000)[-1] == 20_000


def test_slow_writes_shrink_batches_until_each_takes_the_target_time() -> None:
    assert abs(sizes(100e-6, 20_000)[-1] * 100e-6 - WRITE_TARGET_S) < 0.01


def test_very_slow_writes_do_not_shrink_batches_below_the_minimum() -> None:
    assert sizes(1.0, 20_000)[-1] == SIZE_MIN


def test_one_delayed_batch_at_most_halves_the_batch_size() -> None:
    assert next_batch_size(20_000, 20_000, 30.0, 20_000) >= 10_000


def test_a_batch_far_below_the_limit_does_not_change_the_batch_size() -> None:
    assert next_batch_size(20_000, 3, 5.0, 20_000) == 20_000


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0, 1e6), st.integers(1, 10**5))
def test_the_batch_size_always_stays_within_its_bounds(size: int, messages: int, took_s: float, size_max: int) -> None:
    assert min(SIZE_MIN, size_max) <= next_batch_size(size, messages, took_s, size_max) <= size_max
