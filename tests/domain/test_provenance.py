"""The kind of a figure is the weakest kind of what it is made of."""

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.channel_state import Freshness, KnownCounts, together
from hannun.domain.channel_totals import COUNTS
from hannun.domain.figures import Totals
from hannun.domain.metrics import ChannelCounts, Money
from hannun.domain.provenance import KINDS, ByPath, MeasuredCounts, roi_provenance, summary_provenance, weakest
from hannun.domain.response_schemas import Provenance, format_utc
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
NOW = datetime(2026, 11, 20, 10)
moments = st.integers(-100, 0).map(lambda minutes: NOW + timedelta(minutes=minutes))
figures_measured = st.builds(
    lambda as_of, good_for: Freshness(as_of, None if good_for is None else as_of + timedelta(minutes=good_for)),
    moments,
    st.one_of(st.none(), st.integers(1, 60)),
)
known_counts = st.dictionaries(st.sampled_from(COUNTS), figures_measured)
"""When counts were measured. Those that are not in it are unknown."""


def figures_of(answer: object, path: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of all figures of an answer."""
    for name, value in msgspec.to_builtins(answer).items():
        if isinstance(value, dict):
            yield from ((f"{path}{name}.{part}", each) for part, each in value.items())
        else:
            yield f"{path}{name}", value


def roi_figures(money: Money, counted: ChannelCounts) -> dict[str, Any]:
    return dict(figures_of(roi(money, counted, TARGET), "roi."))


def summary_figures(counted: ChannelCounts, known: KnownCounts) -> dict[str, Any]:
    return dict(figures_of(summary(Totals(counted, counted, 0), known, None, None), "summary."))


def kind_of(path: str, provenance: ByPath) -> str:
    return provenance[path if path in provenance else path.rpartition(".")[0]].kind


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [path for path, value in before.items() if after[path] != value]


@quick
@given(amounts(), counts, known_counts)
def test_a_figure_made_of_money_is_no_stronger_than_each_amount_in_it(
    money: Money, counted: ChannelCounts, known: KnownCounts
) -> None:
    provenance = roi_provenance("roi.", money, TARGET, MeasuredCounts(known, NOW), None)
    shown = roi_figures(money, counted)
    assert set(shown) == set(provenance)
    for name, kind in KINDS_OF_MONEY.items():
        amount = getattr(money, name)
        if amount is None:
            continue
        for path in changed(shown, roi_figures(replace(money, **{name: amount + 1_000}), counted)):
            assert weakest(kind_of(path, provenance), kind) == kind_of(path, provenance), (path, name)


@quick
@given(amounts(), counts, known_counts)
def test_a_figure_made_of_counts_is_no_stronger_than_each_count_in_it(
    money: Money, counted: ChannelCounts, known: KnownCounts
) -> None:
    counted = replace(counted, **{name: 0 for name in COUNTS if name not in known})  # as in the database
    counts = MeasuredCounts(known, NOW)
    provenance = summary_provenance(counts, None, compared=False) | roi_provenance("roi.", money, TARGET, counts, None)
    shown = summary_figures(counted, known) | roi_figures(money, counted)
    for name in ["participants", *known]:
        kind = known[name].state(NOW) if name in known else "measured"
        more = replace(counted, **{name: getattr(counted, name) + 1_000})
        for path in changed(shown, summary_figures(more, known) | roi_figures(money, more)):
            assert weakest(kind_of(path, provenance), kind) == kind_of(path, provenance), (path, name)


@quick
@given(counts, known_counts)
def test_a_figure_is_unknown_exactly_where_no_channel_has_measured_what_it_is_made_of(
    counted: ChannelCounts, known: KnownCounts
) -> None:
    counted = replace(counted, **{name: 0 for name in COUNTS if name not in known})
    provenance = summary_provenance(MeasuredCounts(known, NOW), None, compared=False)
    shown = summary_figures(counted, known)
    for path, value in shown.items():
        assert not value or kind_of(path, provenance) != "unknown", path
    for path, names in {
        "summary.totalViews": {"views"},
        "summary.totalReach": {"impressions"},
        "summary.totalClicks": {"clicks"},
        "summary.totalConversions": {"conversions"},
        "summary.socialInteractions": {"likes", "comments", "shares"},
    }.items():
        assert (provenance[path].kind == "unknown") == names.isdisjoint(known), path


@quick
@given(st.lists(known_counts, max_size=4))
def test_the_kind_of_a_total_is_the_weakest_of_the_channels_that_have_measured_it(channels: list[KnownCounts]) -> None:
    total = MeasuredCounts(together(channels), NOW)
    for name in COUNTS:
        parts = [known[name] for known in channels if name in known]
        kind = weakest(*(part.state(NOW) for part in parts)) if parts else "unknown"
        oldest_part = min((part.as_of for part in parts), default=None)
        assert total.origin("count", (name,)) == Provenance(kind, format_utc(oldest_part), "count")


def test_expected_revenue_in_the_place_of_recorded_revenue_makes_an_estimate() -> None:
    money = Money(Decimal(100), Decimal(10), Decimal(500), None, None)

    def kinds(money: Money) -> list[str]:
        provenance = roi_provenance("", money, TARGET, MeasuredCounts({}, NOW), None)
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
