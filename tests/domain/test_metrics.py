"""The metrics of the API, exact to the last decimal."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.metrics import ChannelCounts, Money, cost_per, json_number, percent, percent_change, sum_counts

quick = settings(derandomize=True, deadline=None, max_examples=200, database=None)


def money(planned: Any = 0, costs: Any = 0, expected: Any = 0, recorded: Any = None, baseline: Any = None) -> Money:
    def known(value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    return Money(known(planned), known(costs), known(expected), known(recorded), known(baseline))


@pytest.mark.parametrize(
    ("part", "whole", "rate"),
    [
        (1, 3, "33.33"),
        (2, 3, "66.67"),
        (1, 8, "12.50"),
        (1, 20_000, "0.00"),  # 0.005, to the even 0.00
        (3, 20_000, "0.02"),  # 0.015, to the even 0.02
        (-1, 20_000, "0.00"),
        (-3, 20_000, "-0.02"),
        (5, 5, "100.00"),
        (7, 5, "140.00"),
        (0, 5, "0.00"),
        (10**15, 1, "100000000000000000.00"),
    ],
)
def test_a_rate_is_percent_with_two_decimals_rounded_half_even(part: int, whole: int, rate: str) -> None:
    assert str(percent(part, whole)) == rate


@pytest.mark.parametrize("whole", [0, Decimal("0.00"), -1, Decimal("-0.01")])
def test_a_rate_without_a_base_is_none_and_not_zero(whole: Any) -> None:
    assert percent(0, whole) is None
    assert percent(5, whole) is None


@quick
@given(st.integers(-(10**18), 10**18), st.integers(1, 10**15))
def test_a_rate_is_at_most_half_a_hundredth_off(part: int, whole: int) -> None:
    rate = percent(part, whole)
    assert rate is not None and rate.as_tuple().exponent == -2
    assert abs(Fraction(rate) - Fraction(part * 100, whole)) <= Fraction(1, 200)


def test_rates_follow_the_definitions_of_the_api() -> None:
    counts = ChannelCounts(
        participants=3,
        impressions=200,
        views=40,
        clicks=8,
        conversions=2,
        likes=5,
        comments=4,
        shares=3,
        total_calls=6,
        completed_calls=4,
    )
    assert counts.engagement == 20
    assert counts.click_through_rate == Decimal("4.00")
    assert counts.engagement_rate == Decimal("10.00")
    assert counts.participation_rate == Decimal("7.50")
    assert counts.conversion_rate == Decimal("25.00")
    assert counts.call_completion_rate == Decimal("66.67")


def test_counts_without_a_base_have_no_rates() -> None:
    none = ChannelCounts(participants=3, conversions=1, likes=1, completed_calls=0)
    rates = (none.click_through_rate, none.engagement_rate, none.participation_rate, none.conversion_rate)
    assert (*rates, none.call_completion_rate) == (None,) * 5


def test_counts_add_up_figure_by_figure() -> None:
    one = ChannelCounts(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert sum_counts([one, one, ChannelCounts()]) == ChannelCounts(2, 4, 6, 8, 10, 12, 14, 16, 18, 20)
    assert sum_counts([]) == ChannelCounts()


def test_investment_is_the_planned_sum_and_the_costs_of_the_channels() -> None:
    assert money(planned="100.50", costs="0.25").investment == Decimal("100.75")


def test_revenue_is_the_recorded_sales_or_else_the_expected_revenue() -> None:
    assert (money(expected=500).revenue, money(expected=500).assumed_share) == (500, Decimal("100.00"))
    recorded = money(expected=500, recorded=200)
    assert (recorded.revenue, recorded.assumed_share) == (200, Decimal("0.00"))
    nothing_sold = money(expected=500, recorded=0)
    assert (nothing_sold.revenue, nothing_sold.assumed_share) == (0, None)


@pytest.mark.parametrize(
    ("amounts", "current", "estimated"),
    [
        (money(planned=100, expected=150), "50.00", "50.00"),
        (money(planned=100, expected=150, recorded=40), "-60.00", "50.00"),
        (money(planned=100, expected=0), "-100.00", "-100.00"),
        (money(planned=100, expected=150, recorded=-20), "-120.00", "50.00"),
        (money(planned=90, costs=10, expected=100), "0.00", "0.00"),
        (money(expected=150), None, None),
        (money(planned="0.01", expected="9999999999999.99"), "99999999999999800.00", "99999999999999800.00"),
    ],
)
def test_roi_is_the_gain_over_the_investment(amounts: Money, current: Any, estimated: Any) -> None:
    assert amounts.current_roi == (None if current is None else Decimal(current))
    assert amounts.estimated_roi == (None if estimated is None else Decimal(estimated))


@pytest.mark.parametrize(
    ("recorded", "baseline", "growth"),
    [(150, 100, "50.00"), (50, 100, "-50.00"), (None, 100, None), (150, None, None), (150, 0, None), (0, 8, "-100.00")],
)
def test_sales_growth_needs_sales_and_a_baseline(recorded: Any, baseline: Any, growth: Any) -> None:
    found = money(recorded=recorded, baseline=baseline).sales_growth_rate
    assert found == (None if growth is None else Decimal(growth))


@pytest.mark.parametrize(
    ("amounts", "participants", "needed"),
    [
        (money(planned=100, expected=100), 10, 10),
        (money(planned=100, expected=300), 10, 4),  # 3.33, rounded up
        (money(planned=100, expected=1), 10, 1_000),
        (money(planned=0, expected=1), 10, 0),
        (money(planned=100, expected=0), 10, None),
        (money(planned=100, expected=50, recorded=-1), 10, None),
        (money(planned=100, expected=100), 0, None),
    ],
)
def test_break_even_is_the_number_of_participants_that_earn_the_investment(
    amounts: Money, participants: int, needed: int | None
) -> None:
    assert amounts.break_even_participants(participants) == needed


def test_a_cost_per_participant_is_none_without_participants() -> None:
    assert cost_per(Decimal(100), 3) == Decimal("33.33")
    assert cost_per(Decimal("0.05"), 2) == Decimal("0.02")
    assert cost_per(Decimal("0.15"), 2) == Decimal("0.08")
    assert cost_per(Decimal(0), 3) == 0
    assert cost_per(Decimal(100), 0) is None


def test_a_change_from_zero_has_no_percentage() -> None:
    assert percent_change(15, 10) == Decimal("50.00")
    assert percent_change(5, 10) == Decimal("-50.00")
    assert percent_change(5, 0) is None


def test_a_whole_figure_is_an_integer_in_json() -> None:
    found = [
        json_number(Decimal("5.00")),
        json_number(Decimal("5.25")),
        json_number(Decimal("-0.01")),
        json_number(None),
    ]
    assert found == [5, 5.25, -0.01, None]
    assert [type(figure) for figure in found[:2]] == [int, float]
    assert json_number(Decimal("9999999999999.99")) == 9999999999999.99


def test_what_no_message_has_said_is_not_zero() -> None:
    nothing = money(planned=None, costs=None, expected=None)
    assert (nothing.investment, nothing.revenue, nothing.assumed_share) == (None, None, None)
    assert (nothing.current_roi, nothing.estimated_roi, nothing.break_even_participants(5)) == (None, None, None)
    assert cost_per(nothing.investment, 5) is None
    free = money(planned=0, costs=None, expected=0)
    assert (free.investment, free.revenue, free.current_roi) == (0, 0, None)


def test_an_investment_is_the_sum_of_what_was_said() -> None:
    assert money(planned=None, costs=40, expected=60).investment == 40
    assert money(planned=None, costs=40, expected=60).current_roi == Decimal("50.00")
    assert money(planned=40, costs=None).investment == 40
    sold = money(planned=40, expected=None, recorded=60)
    assert (sold.revenue, sold.current_roi, sold.estimated_roi) == (60, Decimal("50.00"), None)


def test_the_roi_of_several_events_adds_up_the_revenue_of_each() -> None:
    """One event recorded 100 for 50, the other expects 1,000 for 500: together 1,100 for 550."""
    money = Money(Decimal(550), Decimal(0), Decimal(1_200), Decimal(100), None, assumed=Decimal(1_000))
    assert money.revenue == 1_100
    assert money.current_roi == Decimal("100.00")
    assert money.assumed_share == Decimal("90.91")
