"""The projection to the end of an event, and its bounds."""

from decimal import Decimal
from random import Random

import pytest

from hannun.domain.metrics import Money
from hannun.domain.projection import DailyHistory, days_used, no_projection, projection


def history(participants: list[int], left: float, *, sales: list[int] | None = None, today: int = 0) -> DailyHistory:
    before = sum(participants)
    sold = [Decimal(amount) for amount in sales or [0] * len(participants)]
    return DailyHistory(participants, sold, left, before, before + today, sum(sold, Decimal(0)))


def money(recorded: int | None, invested: int | None = 100) -> Money:
    planned, sold = (None if amount is None else Decimal(amount) for amount in (invested, recorded))
    return Money(planned, None, Decimal(500), sold, None)


@pytest.mark.parametrize(
    ("complete", "used"), [(0, 0), (6, 0), (7, 7), (13, 7), (14, 14), (27, 21), (28, 28), (400, 28)]
)
def test_a_projection_uses_whole_weeks(complete: int, used: int) -> None:
    assert days_used(complete) == used


def test_equal_days_give_an_interval_of_zero_width() -> None:
    projected = projection(history([10] * 7, 5, sales=[20] * 7), money(140), None)
    assert projected.participants is not None and projected.revenue is not None and projected.roi is not None
    assert (projected.participants.low, projected.participants.value, projected.participants.high) == (120, 120, 120)
    assert (projected.revenue.low, projected.revenue.value, projected.revenue.high) == (240, 240, 240)
    assert projected.roi.value == 140
    assert projected.reasons == {}


def test_projected_participants_are_never_fewer_than_today() -> None:
    """Participants of today count, however few a day has."""
    projected = projection(history([0, 0, 0, 0, 0, 0, 1], 0.5, today=40), money(None), None)
    assert projected.participants is not None
    assert projected.participants.low == 41


def test_a_projected_loss_is_negative_and_without_investment_null() -> None:
    projected = projection(history([1] * 7, 1, sales=[1] * 7), money(7), None)
    assert projected.roi is not None and projected.roi.value == -92
    projected = projection(history([1] * 7, 1, sales=[1] * 7), money(7, invested=0), None)
    assert (projected.roi, projected.reasons) == (None, {"roi": "nothing-invested"})
    assert projected.revenue is not None
    projected = projection(history([1] * 7, 1, sales=[1] * 7), money(7, invested=None), None)
    assert (projected.roi, projected.reasons) == (None, {"roi": "nothing-invested"})


def test_a_missing_projection_has_a_reason() -> None:
    projected = no_projection("too-early", None)
    assert (projected.participants, projected.revenue, projected.roi) == (None, None, None)
    assert set(projected.reasons.values()) == {"too-early"}


@pytest.mark.parametrize(("used", "left"), [(7, 3), (7, 20), (28, 10)])
def test_about_95_of_100_histories_end_within_the_interval(used: int, left: int) -> None:
    random = Random(1)
    within = 0
    for _ in range(2_000):
        days = [max(0, round(random.gauss(1_000, 120))) for _ in range(used + left)]
        projected = projection(history(days[:used], left), money(None), None).participants
        assert projected is not None
        within += projected.low <= sum(days) <= projected.high
    assert 0.935 <= within / 2_000 <= 0.965
