"""What a channel says is checked like any other input: whatever is accepted fits every column."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.channel_totals import COUNTS, ChannelTotals, Refusal, RefusedTotals, checked, engagement
from hannun.domain.field_values import COUNT_MAX

quick = settings(derandomize=True, deadline=None, max_examples=150, database=None)

json_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.integers(COUNT_MAX - 2, COUNT_MAX + 2),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.integers(-5, COUNT_MAX).map(str),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
)


@quick
@given(st.dictionaries(st.sampled_from([*ChannelTotals._fields, "participants"]), json_values))
def test_any_json_is_either_totals_that_fit_every_column_or_a_reason_of_the_list(raw: dict[str, Any]) -> None:
    found = checked(raw)
    if isinstance(found, RefusedTotals):
        assert found.reason in Refusal and len(str(found)) <= 80
        return
    assert any(number is not None for number in found)
    assert all(number is None or (type(number) is int and 0 <= number <= COUNT_MAX) for number in found)
    assert engagement(found._asdict()) <= COUNT_MAX
    assert (found.completed_calls or 0) <= (found.total_calls or 0) or found.total_calls is None


@pytest.mark.parametrize(
    ("said", "number"),
    [(0, 0), (7, 7), (7.0, 7), ("7", 7), ("7.0", 7), ("007", 7), (str(COUNT_MAX), COUNT_MAX), (-0.0, 0), ("-0", 0)],
)
def test_a_number_may_be_an_integer_a_whole_float_or_a_decimal_text(said: object, number: int) -> None:
    assert checked({"views": said}) == ChannelTotals(views=number)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (True, "wrong-type"),
        (False, "wrong-type"),
        (1.5, "wrong-type"),
        ("1.5", "wrong-type"),
        (float("nan"), "wrong-type"),
        (float("inf"), "wrong-type"),
        ("", "wrong-type"),
        ("1,234", "wrong-type"),
        ("1e3", "wrong-type"),
        (" 7", "wrong-type"),
        ("７", "wrong-type"),
        ("<html>", "wrong-type"),
        ([7], "wrong-type"),
        ({"value": 7}, "wrong-type"),
        (-1, "negative"),
        ("-1", "negative"),
        (-1.0, "negative"),
        (COUNT_MAX + 1, "too-large"),
        (2**63, "too-large"),
        (1e300, "too-large"),
        ("9" * 1_000_000, "too-large"),
    ],
)
def test_a_bad_count_refuses_the_poll_and_is_named(said: object, reason: str) -> None:
    assert checked({"likes": 4, "clicks": said}) == RefusedTotals(Refusal(reason), "clicks")


def test_a_count_that_is_not_named_is_unknown_and_not_0() -> None:
    assert checked({"views": 3, "likes": None}) == ChannelTotals(views=3)


@pytest.mark.parametrize("raw", [{}, {"likes": None}, {"participants": 12}])
def test_a_poll_that_names_no_count_is_refused_as_empty(raw: dict[str, Any]) -> None:
    assert checked(raw) == RefusedTotals(Refusal.EMPTY)


def test_more_completed_calls_than_calls_are_refused() -> None:
    assert checked({"total_calls": 5, "completed_calls": 5}) == ChannelTotals(total_calls=5, completed_calls=5)
    assert checked({"total_calls": 5, "completed_calls": 6}) == RefusedTotals(Refusal.MORE_COMPLETED, "completed_calls")


def test_an_engagement_that_no_minute_could_hold_is_refused() -> None:
    assert checked({"likes": COUNT_MAX, "comments": 1}) == RefusedTotals(Refusal.TOO_LARGE, "engagement")


@pytest.mark.parametrize(("said", "seconds"), [(12, 12), (12.5, 12), ("13.5", 14), (0.4, 0)])
def test_the_mean_may_have_a_fraction(said: object, seconds: int) -> None:
    assert checked({"average_duration": said}) == ChannelTotals(average_duration=seconds)


def test_every_count_is_a_field_of_the_totals() -> None:
    assert (*COUNTS, "average_duration") == ChannelTotals._fields
