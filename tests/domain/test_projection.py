"""A projection: what so many more days will bring, and how sure one can be."""

from decimal import Decimal
from random import Random

import pytest

from hannun.domain.metrics import Money
from hannun.domain.projection import DailyHistory, days_used, no_projection, projection


def course(participants: list[int], left: float, *, sales: list[int] | None = None, today: int = 0) -> DailyHistory:
    before = sum(participants)
    sold = [Decimal(amount) for amount in sales or [0] * len(participants)]
    return DailyHistory(participants, sold, left, before, before + today, sum(sold, Decimal(0)))


def money(recorded: int | None, invested: int = 100) -> Money:
    zero = Decimal(0)
    return Money(Decimal(invested), zero, Decimal(500), None if recorded is None else Decimal(recorded), None)


@pytest.mark.parametrize(
    ("complete", "used"), [(0, 0), (6, 0), (7, 7), (13, 7), (14, 14), (27, 21), (28, 28), (400, 28)]
)
def test_it_is_made_of_whole_weeks(complete: int, used: int) -> None:
    assert days_used(complete) == used


def test_what_never_varied_has_no_interval() -> None:
    told = projection(course([10] * 7, 5, sales=[20] * 7), money(140), None)
    assert told.participants is not None and told.revenue is not None and told.roi is not None
    assert (told.participants.low, told.participants.value, told.participants.high) == (120, 120, 120)
    assert (told.revenue.low, told.revenue.value, told.revenue.high) == (240, 240, 240)
    assert told.roi.value == 140
    assert told.reasons == {}


def test_nobody_leaves_again() -> None:
    """Whoever has come today is there, however few a day brings."""
    told = projection(course([0, 0, 0, 0, 0, 0, 1], 0.5, today=40), money(None), None)
    assert told.participants is not None
    assert told.participants.low == 41


def test_a_loss_is_negative_and_nothing_invested_is_null() -> None:
    told = projection(course([1] * 7, 1, sales=[1] * 7), money(7), None)
    assert told.roi is not None and told.roi.value == -92
    told = projection(course([1] * 7, 1, sales=[1] * 7), money(7, invested=0), None)
    assert (told.roi, told.reasons) == (None, {"roi": "nothing-invested"})
    assert told.revenue is not None


def test_without_any_it_says_why() -> None:
    told = no_projection("too-early", None)
    assert (told.participants, told.revenue, told.roi) == (None, None, None)
    assert set(told.reasons.values()) == {"too-early"}


@pytest.mark.parametrize(("used", "left"), [(7, 3), (7, 20), (28, 10)])
def test_about_95_of_100_courses_end_within_the_interval(used: int, left: int) -> None:
    random = Random(1)
    within = 0
    for _ in range(2_000):
        days = [max(0, round(random.gauss(1_000, 120))) for _ in range(used + left)]
        told = projection(course(days[:used], left), money(None), None).participants
        assert told is not None
        within += told.low <= sum(days) <= told.high
    assert 0.935 <= within / 2_000 <= 0.965
