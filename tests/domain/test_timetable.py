"""When a periodic job is due."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun.domain.timetable import Timetable

EVERY_FIVE_MINUTES = Timetable("0 */5 * * * *")


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))
def test_each_moment_lies_between_its_latest_and_its_following_time(now: datetime) -> None:
    latest, following = EVERY_FIVE_MINUTES.latest(now), EVERY_FIVE_MINUTES.following(now)
    assert latest <= now < following
    assert following - latest == EVERY_FIVE_MINUTES.period == timedelta(minutes=5)


def test_at_a_due_time_it_is_due() -> None:
    noon = datetime(2026, 11, 27, 12)
    assert EVERY_FIVE_MINUTES.latest(noon) == noon
    assert EVERY_FIVE_MINUTES.latest(noon - timedelta(microseconds=1)) == noon - timedelta(minutes=5)


def test_the_period_of_an_uneven_timetable_is_its_longest() -> None:
    assert Timetable("0 0 9-18 * * *").period == timedelta(hours=15)
    assert Timetable("0 */5 8-20 * * *").period == timedelta(hours=11, minutes=5)
    assert Timetable("0 0 8 * * 1-5").period == timedelta(days=3)


@given(
    st.sampled_from(["0", "0,40"]),
    st.lists(st.integers(0, 59), min_size=1, max_size=4),
    st.lists(st.integers(0, 23), min_size=1, max_size=4),
)
def test_the_period_of_a_daily_timetable_is_that_of_the_same_times_on_all_seven_weekdays(
    seconds: str, minutes: list[int], hours: list[int]
) -> None:
    times = " ".join([seconds, *(",".join(map(str, numbers)) for numbers in (minutes, hours))])
    assert Timetable(f"{times} * * *").period == Timetable(f"{times} * * 0-6").period


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("*/5 * * * *", "six fields"),
        ("* * * * * *", "more often than every 10 seconds"),
        ("0 0 0 30 2 *", "no timetable"),
        ("x * * * * *", "no timetable"),
    ],
)
def test_what_is_no_timetable_is_refused_with_the_reason(expression: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        Timetable(expression)
