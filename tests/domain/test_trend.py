from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from hannun.domain.trend import POINTS_MIN, Trend, trend

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def trend_of(participants: Sequence[int], *, hourly: bool = True) -> Trend:
    step = timedelta(hours=1) if hourly else timedelta(days=1)
    starts = [MONDAY + step * count for count in range(len(participants))]
    return trend(participants, [at.hour for at in starts] if hourly else [], [at.isoweekday() for at in starts])


def test_a_straight_line_has_its_slope_and_no_error() -> None:
    found = trend_of([3 * count + 1 for count in range(10)])
    assert (found.direction, found.slope, found.slope_error) == ("up", 3.0, 0.0)
    assert trend_of([20 - 2 * count for count in range(10)]).direction == "down"


@pytest.mark.parametrize("participants", [[5] * 12, [1, 9, 1, 9, 1, 9, 1, 9, 1, 9]])
def test_constant_or_alternating_values_are_flat(participants: list[int]) -> None:
    assert trend_of(participants).direction == "flat"


def test_a_slope_within_its_error_is_flat() -> None:
    found = trend_of([0, 10, 1, 11, 2, 12, 3, 13])
    assert found.slope is not None and found.slope_error is not None
    assert 0 < found.slope <= 2 * found.slope_error
    assert found.direction == "flat"


@pytest.mark.parametrize("participants", [[], [5], list(range(POINTS_MIN - 1)), [0] * 30])
def test_too_few_buckets_or_no_participants_are_too_early(participants: list[int]) -> None:
    found = trend_of(participants)
    assert (found.direction, found.slope, found.slope_error) == ("early", None, None)


def test_enough_buckets_have_a_direction() -> None:
    assert trend_of(list(range(POINTS_MIN))).direction == "up"


def test_peaks_are_the_hours_with_most_participants_a_bucket() -> None:
    day = [0] * 24
    day[19], day[20], day[9], day[3] = 7, 9, 5, 1
    found = trend_of(day + [0] * 12)  # the morning hours occur twice, so their sums are halved
    assert found.peak_hours == [20, 19, 9]
    assert found.peak_weekdays == [1]


def test_daily_buckets_have_no_peak_hours_and_empty_ones_no_peaks() -> None:
    found = trend_of([1, 2, 3, 4, 5, 6, 70, 2], hourly=False)
    assert (found.peak_hours, found.peak_weekdays[0]) == ([], 7)
    assert (trend_of([0] * 10).peak_hours, trend_of([0] * 10).peak_weekdays) == ([], [])
