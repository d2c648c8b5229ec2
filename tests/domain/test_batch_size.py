"""The size of batches follows the speed at which PostgreSQL writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun.domain.batch_size import SIZE_MIN, WRITE_TARGET_OF_MANY_EVENTS_S, WRITE_TARGET_S, BatchSize


def sizes(
    seconds_each: float, size: int, size_max: int = 20_000, batches: int = 20, messages_of_each_event: int = 200
) -> list[int]:
    """The size limits of successive batches, each full, where every message takes so many seconds to write."""
    found = []
    limits = BatchSize(size, size_max)
    for _ in range(batches):
        full = limits.messages_max
        limits = limits.after(full, full // messages_of_each_event, full * seconds_each)
        found.append(limits.messages_max)
    return found


def test_fast_writes_raise_the_batch_size_to_its_maximum() -> None:
    assert sizes(1e-6, 1_000)[-1] == 20_000


@pytest.mark.parametrize(
    ("messages_of_each_event", "target_s"), [(100, WRITE_TARGET_S), (2, WRITE_TARGET_OF_MANY_EVENTS_S)]
)
def test_slow_writes_shrink_batches_until_each_takes_the_target_time(
    messages_of_each_event: int, target_s: float
) -> None:
    last = sizes(100e-6, 20_000, messages_of_each_event=messages_of_each_event)[-1]
    assert abs(last * 100e-6 - target_s) < 0.01


def test_very_slow_writes_do_not_shrink_batches_below_the_minimum() -> None:
    assert sizes(1.0, 20_000)[-1] == SIZE_MIN


def test_one_delayed_batch_at_most_halves_the_batch_size() -> None:
    assert BatchSize(20_000, 20_000).after(20_000, 100, 30.0).messages_max >= 10_000


def test_a_batch_far_below_the_limit_does_not_change_the_batch_size() -> None:
    assert BatchSize(20_000, 20_000).after(3, 3, 5.0) == BatchSize(20_000, 20_000)


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1e6), st.integers(1, 10**5))
def test_the_batch_size_always_stays_within_its_bounds(
    size: int, messages: int, events: int, took_s: float, size_max: int
) -> None:
    after = BatchSize(size, size_max).after(messages, events, took_s)
    assert min(SIZE_MIN, size_max) <= after.messages_max <= size_max
    assert 0 < after.enough <= after.messages_max
    assert after.messages_max <= after.polled_max


@pytest.mark.parametrize(("share", "few"), [(1.0, False), (0.5, True)])
def test_a_batch_of_some_partitions_is_judged_as_if_it_were_of_all(share: float, *, few: bool) -> None:
    assert BatchSize(20_000, 100_000).after(20_000, 800, 0.1, share).few_of_each_event is few


def test_more_than_a_batch_is_polled_only_where_it_holds_few_messages_of_each_event() -> None:
    size = BatchSize(20_000, 100_000)
    assert size.polled_max == size.enough == 20_000
    few = size.after(20_000, 20_000, 0.8)
    assert few.polled_max > 2 * few.messages_max and few.enough < few.messages_max


@given(st.integers(1_000, 100_000), st.sampled_from([0.05, 0.25, 1.0]))
def test_a_batch_that_was_enough_and_too_slow_makes_the_next_one_smaller(size: int, share: float) -> None:
    before = BatchSize(size, 100_000, few_of_each_event=True)
    after = before.after(before.enough, before.enough, WRITE_TARGET_OF_MANY_EVENTS_S * 5, share)
    assert after.messages_max < size or size == SIZE_MIN


def test_where_events_are_few_again_no_more_than_a_batch_is_polled() -> None:
    before = BatchSize(40_000, 100_000, few_of_each_event=True)
    assert not before.after(before.enough, 3, 0.1).few_of_each_event


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.booleans())
def test_what_is_polled_is_a_few_batches_and_bounded(size: int, limit: int, few: bool) -> None:
    of = BatchSize(min(size, limit), limit, few)
    assert of.polled_max <= min(3 * of.messages_max, 2 * limit)
