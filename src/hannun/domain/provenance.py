"""Provenance of an answer's figures: each figure's kind and unit, and as of when it holds.

The keys are paths of figures in the answer. A figure without an entry of its own has the one of the nearest part above
it. `as_of` is an instant as text, None where it is unknown.

The kind of a figure is the weakest kind of what it is made of.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from hannun.domain.channel_state import (
    CLICK_THROUGH_RATE,
    CONVERSION_RATE,
    ENGAGEMENT_RATE,
    PARTICIPATION_RATE,
    Freshness,
    KnownCounts,
    Needs,
    conversion_needs,
    freshness,
    oldest,
    together,
)
from hannun.domain.channel_totals import ENGAGEMENT
from hannun.domain.detached_months import DetachedSpan
from hannun.domain.figures import ListedEvent
from hannun.domain.metrics import Money
from hannun.domain.questions import Metric
from hannun.domain.response_schemas import Projection, Provenance, format_utc

ByPath = dict[str, Provenance]
NOT_KEPT = "not-kept"

KINDS = ("measured", "stale", "planned", "estimated", "unknown")
"""The kinds of figures, from the strongest to the weakest."""

_COUNTED_BY = {
    "totalViews": ("views",),
    "totalReach": ("impressions",),
    "totalClicks": ("clicks",),
    "totalConversions": ("conversions",),
    "socialInteractions": ("likes", "comments", "shares"),
    "views": ("views",),
    "impressions": ("impressions",),
    "clicks": ("clicks",),
    "conversions": ("conversions",),
    "engagement": ENGAGEMENT,
}
"""The measured counts that a count of an answer is."""
_SUMMARY_COUNTS = ("totalViews", "totalReach", "totalClicks", "totalConversions", "socialInteractions")
_CHANNEL_COUNTS = ("views", "impressions", "clicks", "conversions")


_RATES = {
    "clickThroughRate": CLICK_THROUGH_RATE,
    "engagementRate": ENGAGEMENT_RATE,
    "participationRate": PARTICIPATION_RATE,
}


class MeasuredCounts(NamedTuple):
    """What channels have measured, seen at `now` (UTC without a zone)."""

    known: KnownCounts
    now: datetime

    def origin(self, unit: str, *needs: Sequence[str]) -> Provenance:
        """The provenance of a figure that is computed from these sums of counts."""
        return _origin(freshness(self.known, needs), self.now, unit)


def _origin(found: Freshness | None, now: datetime, unit: str) -> Provenance:
    if found is None:
        return Provenance("unknown", None, unit)
    return Provenance(found.state(now), format_utc(found.as_of), unit)


def measured(as_of: str | None, unit: str) -> Provenance:
    return Provenance("measured", as_of, unit)


def weakest(*kinds: str) -> str:
    """The kind of a figure that is made of figures of these kinds."""
    return max(kinds, key=KINDS.index)


def summary_provenance(counts: MeasuredCounts, as_of: str | None, *, compared: bool) -> ByPath:
    """Of a summary; `counts` are those of its channels together. `compared`: whether it has a period before."""
    found = {
        "summary.totalParticipants": measured(as_of, "count"),
        "summary.unattributedParticipants": measured(as_of, "count"),
        **{f"summary.{name}": counts.origin("count", _COUNTED_BY[name]) for name in _SUMMARY_COUNTS},
        **{f"summary.{name}": counts.origin("percent", *needs) for name, needs in _RATES.items()},
        "summary.conversionRate": counts.origin("percent", *CONVERSION_RATE),
    }
    if compared:
        for part, unit in (("previous", "count"), ("delta", "percent")):
            found[f"summary.{part}.totalParticipants"] = measured(as_of, unit)
            for name in ("totalViews", "totalConversions"):
                found[f"summary.{part}.{name}"] = counts.origin(unit, _COUNTED_BY[name])
    return found


ChannelPart = tuple[str, KnownCounts, object]
"""Of an entry of a list of channels: its type, its measured counts, and its cost, which may be None."""


def channels_provenance(path: str, channels: Iterable[ChannelPart], now: datetime, as_of: str | None) -> ByPath:
    """Of the entries of the channel list at `path`. Each entry also has a state of its own."""
    channels = list(channels)
    cost = Provenance("measured" if any(each is not None for _, _, each in channels) else "unknown", as_of, "KRW")
    counts = MeasuredCounts(together(known for _, known, _ in channels), now)

    def rate(needs: Needs | None) -> Provenance:
        found = (freshness(known, needs or conversion_needs(type_)) for type_, known, _ in channels)
        return _origin(oldest(each for each in found if each is not None), now, "percent")

    return {
        f"{path}.participants": measured(as_of, "count"),
        **{f"{path}.{name}": counts.origin("count", _COUNTED_BY[name]) for name in _CHANNEL_COUNTS},
        **{f"{path}.{name}": rate(needs) for name, needs in _RATES.items()},
        f"{path}.conversionRate": rate(None),
        f"{path}.expectedViews": Provenance("planned", as_of, "count"),
        f"{path}.distributionCost": cost,
        f"{path}.costPerParticipant": cost,
        f"{path}.costPerView": counts.origin("KRW", ("views",)),
        f"{path}.costPerConversion": counts.origin("KRW", ("conversions",)),
    }


def roi_provenance(
    prefix: str, money: Money, target_roi: Decimal | None, counts: MeasuredCounts, as_of: str | None
) -> ByPath:
    """Of the figures of a `Roi`; `prefix` is its path with a dot at the end, empty at the top of an answer.

    What no message has said is unknown, and so is what is computed from it.
    """
    kinds = _roi_kinds(money) | {"targetRoi": _if_said("planned", target_roi)}
    found = {f"{prefix}{name}": Provenance(kind, as_of, _ROI_UNITS.get(name, "KRW")) for name, kind in kinds.items()}
    for name, count in (("costPerView", "views"), ("costPerConversion", "conversions")):
        origin = counts.origin("KRW", (count,))
        found[f"{prefix}{name}"] = msgspec.structs.replace(origin, kind=weakest(kinds["investment.total"], origin.kind))
    return found


def current_roi_kind(money: Money) -> str:
    """The kind of the current ROI."""
    return _roi_kinds(money)["currentRoi"]


def events_provenance(events: Iterable[ListedEvent], as_of: str | None, now: datetime) -> ByPath:
    """Of the entries of a merchant's list of events. Each entry also has the kinds of its own ROI and views."""
    events = list(events)
    kinds = [_roi_kinds(each.money) for each in events]
    roi = _weakest_known(each["currentRoi"] for each in kinds)
    recorded = _weakest_known(each["revenue.recorded"] for each in kinds)
    invested = _weakest_known(each["investment.total"] for each in kinds)
    seen = oldest(each.seen for each in events if each.seen is not None)
    views = MeasuredCounts({} if seen is None else {"views": seen}, now)
    target = _weakest_known(_if_said("planned", each.target_roi) for each in events)
    return {
        "events.totalParticipants": measured(as_of, "count"),
        "events.totalViews": views.origin("count", ("views",)),
        "events.currentRoi": Provenance(roi, as_of, "percent"),
        "events.targetRoi": Provenance(target, as_of, "percent"),
        "events.recordedRevenue": Provenance(recorded, as_of, "KRW"),
        "events.investment": Provenance(invested, as_of, "KRW"),
        "events.participantsToday": measured(as_of, "count"),
        "events.participantsYesterday": measured(as_of, "count"),
        "events.sparkline": measured(as_of, "count"),
    }


_ROI_UNITS = {
    "revenue.assumedShare": "percent",
    "currentRoi": "percent",
    "targetRoi": "percent",
    "estimatedRoi": "percent",
    "salesGrowthRate": "percent",
    "breakEvenParticipants": "count",
}


def _roi_kinds(money: Money) -> dict[str, str]:
    """The kinds of the figures of a `Roi` that need nothing measured by channels. What was not said is unknown."""
    planned, costs = _if_said("planned", money.planned), _if_said("measured", money.channel_costs)
    expected, recorded = _if_said("planned", money.expected), _if_said("measured", money.recorded)
    investment = _weakest_known((planned, costs))
    if money.recorded is None:
        revenue, current = expected, weakest(expected, "estimated")  # expected revenue taken for revenue: an assumption
    else:
        revenue = current = "estimated" if money.assumed else recorded
    return {
        "investment.total": investment,
        "investment.planned": planned,
        "investment.channels": costs,
        "revenue.total": revenue,
        "revenue.recorded": recorded,
        "revenue.expected": expected,
        "revenue.assumedShare": revenue,
        "currentRoi": weakest(investment, current),
        "estimatedRoi": weakest(investment, expected, "estimated"),
        "salesGrowthRate": weakest(recorded, _if_said("planned", money.baseline)),
        "breakEvenParticipants": weakest(investment, revenue, "estimated"),
        "costPerParticipant": investment,
    }


def _if_said(kind: str, amount: Decimal | None) -> str:
    return "unknown" if amount is None else kind


def _weakest_known(kinds: Iterable[str]) -> str:
    """The weakest of the kinds that are known, for a sum of what was said; unknown where none is."""
    return weakest(*[kind for kind in kinds if kind != "unknown"] or ["unknown"])


def projection_provenance(projection: Projection | None, as_of: str | None) -> ByPath:
    """Of a projection: a figure that has a reason for its absence is unknown."""
    if projection is None:
        return {}
    units = {"participants": "count", "revenue": "KRW", "roi": "percent"}
    return {
        f"projection.{name}": Provenance("unknown" if name in projection.reasons else "estimated", as_of, unit)
        for name, unit in units.items()
    }


def not_kept_provenance(detached: Sequence[DetachedSpan]) -> ByPath:
    """Of the part of a period whose minutes are not kept: everything by minute is unknown there."""
    return {"period.notKept": Provenance("unknown", None, "count", NOT_KEPT)} if detached else {}


def timeline_provenance(
    metrics: Iterable[Metric], as_of: str | None, counts: MeasuredCounts, *, not_kept: Collection[Metric] = ()
) -> ByPath:
    """Of a timeline with these metrics.

    Args:
        counts: those of all channels together.
        not_kept: the metrics of which a point is unknown, because its minutes are not kept.
    """
    by_metric = {
        metric: counts.origin("count", _COUNTED_BY[metric.value])
        if metric.value in _COUNTED_BY
        else measured(as_of, "count")
        for metric in Metric
        if metric in set(metrics)
    }
    unknown = Provenance("unknown", as_of, "count", NOT_KEPT)
    slope = Provenance("estimated", as_of, "people a bucket, for each bucket")
    return {
        **{
            f"dataPoints.{metric.value}": unknown if metric in not_kept else origin
            for metric, origin in by_metric.items()
        },
        **{
            f"totals.{metric.value}": origin
            for metric, origin in by_metric.items()
            if metric is not Metric.CUMULATIVE_PARTICIPANTS
        },
        "trend.slope": slope,
        "trend.slopeError": slope,
    }
