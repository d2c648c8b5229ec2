"""Probabilities of counts, beside exact fractions."""

import math
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain import chance


def exact(successes: int, trials: int, share: Fraction) -> Fraction:
    return sum(
        (math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(successes, trials + 1)),
        Fraction(0),
    )


@given(st.integers(1, 60), st.data(), st.fractions("1/100", "99/100", max_denominator=100))
def test_a_tail_above_the_mean_is_the_exact_one(trials: int, data: st.DataObject, share: Fraction) -> None:
    successes = data.draw(st.integers(0, trials))
    found = chance.at_least(successes, trials, float(share))
    if successes > trials * float(share):
        assert math.isclose(found, exact(successes, trials, share), rel_tol=1e-9)
    else:
        assert found == 1.0


@settings(max_examples=25)  # sums of large fractions
@given(st.integers(1_001, 1_100), st.data(), st.fractions("1/10", "9/10", max_denominator=10))
def test_the_bound_of_a_large_tail_is_never_below_it(trials: int, data: st.DataObject, share: Fraction) -> None:
    mean = math.ceil(trials * share)
    successes = data.draw(st.integers(mean, min(trials, mean + 150)))
    assert chance.at_least(successes, trials, float(share)) * (1 + 1e-9) >= float(exact(successes, trials, share))


def test_counts_differ_only_by_more_than_chance() -> None:
    assert not chance.differ(0, 0, 0.05)
    assert not chance.differ(5, 0, 0.05)  # 2 / 32
    assert chance.differ(0, 6, 0.05)  # 2 / 64
    assert not chance.differ(10_000, 10_150, 0.05)
    assert chance.differ(10_000, 10_800, 0.05)
