"""The kind of a figure is the weakest kind of what it is made of."""

from collections.abc import Iterator
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.figures import Totals
from hannun.domain.metrics import ChannelCounts, Money
from hannun.domain.provenance import KINDS, ByPath, roi_provenance, summary_provenance, weakest
from hannun.domain.view_parts import roi, summary

quick = settings(derandomize=True, deadline=None, max_examples=300, database=None)

KINDS_OF_MONEY = {
    "planned": "planned",
    "channel_costs": "measured",
    "expected": "planned",
    "recorded": "measured",
    "baseline": "planned",
    "assumed": "planned",
    "grown": "measured",
}
"""What each amount is: said by a plan, or by what has happened."""

TARGET = Decimal(30)
won = st.decimals(0, 10**9, places=2)
some_won = st.one_of(st.none(), won)


@st.composite
def amounts(draw: st.DrawFn) -> Money:
    """Money of one event, or of several: those without recorded sales, and those with a baseline, make sums of their
    own."""
    money = Money(*(draw(some_won) for _ in range(5)))
    if money.recorded is not None and draw(st.booleans()):
        money = replace(money, assumed=draw(st.decimals(1, 10**9, places=2)), grown=money.recorded)
    return money


counts = st.builds(ChannelCounts, *[st.integers(0, 10**6)] * len(fields(ChannelCounts)))
states = st.frozensets(st.sampled_from(["measured", "stale", "planned", "failed", "unknown"]))


def figures_of(answer: object, path: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of all figures of an answer."""
    for name, value in msgspec.to_builtins(answer).items():
        if isinstance(value, dict):
            yield from ((f"{path}{name}.{part}", each) for part, each in value.items())
        else:
            yield f"{path}{name}", value


def roi_figures(money: Money, counted: ChannelCounts) -> dict[str, Any]:
    return dict(figures_of(roi(money, counted, TARGET), "roi."))


def summary_figures(counted: ChannelCounts) -> dict[str, Any]:
    return dict(figures_of(summary(Totals(counted, counted, 0), None, None), "summary."))


def kind_of(path: str, provenance: ByPath) -> str:
    return provenance[path if path in provenance else path.rpartition(".")[0]].kind


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [path for path, value in before.items() if after[path] != value]


@quick
@given(amounts(), counts, states)
def test_a_figure_made_of_money_is_no_stronger_than_each_amount_in_it(
    money: Money, counted: ChannelCounts, of_channels: frozenset[str]
) -> None:
    provenance, shown = roi_provenance("roi.", money, TARGET, of_channels, None), roi_figures(money, counted)
    assert set(shown) == set(provenance)
    for name, kind in KINDS_OF_MONEY.items():
        amount = getattr(money, name)
        if amount is None:
            continue
        for path in changed(shown, roi_figures(replace(money, **{name: amount + 1_000}), counted)):
            assert weakest(kind_of(path, provenance), kind) == kind_of(path, provenance), (path, name)


@quick
@given(amounts(), counts, states)
def test_a_figure_made_of_counts_is_no_stronger_than_each_count_in_it(
    money: Money, counted: ChannelCounts, of_channels: frozenset[str]
) -> None:
    provenance = summary_provenance(of_channels, None, compared=False) | roi_provenance(
        "roi.", money, TARGET, of_channels, None
    )
    by_channels = provenance["summary.totalViews"].kind
    shown = summary_figures(counted) | roi_figures(money, counted)
    for field in fields(ChannelCounts):
        kind = "measured" if field.name == "participants" else by_channels
        more = replace(counted, **{field.name: getattr(counted, field.name) + 1_000})
        for path in changed(shown, summary_figures(more) | roi_figures(money, more)):
            assert weakest(kind_of(path, provenance), kind) == kind_of(path, provenance), (path, field.name)


def test_expected_revenue_in_the_place_of_recorded_revenue_makes_an_estimate() -> None:
    money = Money(Decimal(100), Decimal(10), Decimal(500), None, None)

    def kinds(money: Money) -> list[str]:
        provenance = roi_provenance("", money, TARGET, (), None)
        return [provenance[name].kind for name in ("investment.total", "revenue.total", "currentRoi")]

    assert kinds(money) == ["planned", "planned", "estimated"]
    assert kinds(replace(money, recorded=Decimal(0))) == ["planned", "measured", "planned"]
    assert kinds(replace(money, recorded=Decimal(7), assumed=Decimal(9))) == ["planned", "estimated", "estimated"]
    assert kinds(replace(money, recorded=Decimal(7), assumed=Decimal(0))) == ["planned", "measured", "planned"]


@given(st.lists(st.sampled_from(KINDS), min_size=1))
def test_the_weakest_kind_is_one_of_them_and_no_other_is_weaker(kinds: list[str]) -> None:
    assert weakest(*kinds) in kinds
    assert all(weakest(kind, weakest(*kinds)) == weakest(*kinds) for kind in kinds)
    assert (KINDS[0], KINDS[-1]) == ("measured", "unknown")
