"""Provenance of an answer's figures: each figure's kind and unit, and as of when it holds.

The keys are paths of figures in the answer. A figure without an entry of its own has the one of the nearest part above
it. `as_of` is an instant as text, None where it is unknown.

The kind of a figure is the weakest kind of what it is made of.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

from hannun.domain.detached_months import DetachedSpan
from hannun.domain.figures import ListedEvent
from hannun.domain.metrics import Money
from hannun.domain.questions import Metric
from hannun.domain.response_schemas import Number, Projection, Provenance

ByPath = dict[str, Provenance]
NOT_KEPT = "not-kept"

KINDS = ("measured", "stale", "planned", "estimated", "unknown")
"""The kinds of figures, from the strongest to the weakest."""

_SUMMARY_MEASURED_BY_CHANNELS = {
    "totalViews": "count",
    "totalReach": "count",
    "totalClicks": "count",
    "totalConversions": "count",
    "clickThroughRate": "percent",
    "engagementRate": "percent",
    "participationRate": "percent",
    "conversionRate": "percent",
    "socialInteractions": "count",
}
_CHANNEL_COUNTS = ("views", "impressions", "clicks", "conversions")
_CHANNEL_RATES = ("clickThroughRate", "engagementRate", "participationRate", "conversionRate")


def measured(as_of: str | None, unit: str) -> Provenance:
    return Provenance("measured", as_of, unit)


def weakest(*kinds: str) -> str:
    """The kind of a figure that is made of figures of these kinds."""
    return max(kinds, key=KINDS.index)


def summary_provenance(states: Iterable[str], as_of: str | None, *, compared: bool) -> ByPath:
    """Of a summary; `states` are those of the channels that it adds up. `compared`: whether it has a period before."""
    kind = _measured_kind(states)
    found = {
        "summary.totalParticipants": measured(as_of, "count"),
        "summary.unattributedParticipants": measured(as_of, "count"),
        **{f"summary.{name}": Provenance(kind, None, unit) for name, unit in _SUMMARY_MEASURED_BY_CHANNELS.items()},
    }
    if compared:
        for part, unit in (("previous", "count"), ("delta", "percent")):
            found[f"summary.{part}.totalParticipants"] = measured(as_of, unit)
            for name in ("totalViews", "totalConversions"):
                found[f"summary.{part}.{name}"] = Provenance(kind, None, unit)
    return found


def channels_provenance(path: str, states: Iterable[str], costs: Iterable[Number | None], as_of: str | None) -> ByPath:
    """Of the entries of the channel list at `path`, with their costs. Each entry also has a state of its own."""
    kind = _measured_kind(states)
    cost = Provenance("measured" if any(each is not None for each in costs) else "unknown", as_of, "KRW")
    return {
        f"{path}.participants": measured(as_of, "count"),
        **{f"{path}.{name}": Provenance(kind, None, "count") for name in _CHANNEL_COUNTS},
        **{f"{path}.{name}": Provenance(kind, None, "percent") for name in _CHANNEL_RATES},
        f"{path}.expectedViews": Provenance("planned", as_of, "count"),
        f"{path}.distributionCost": cost,
        f"{path}.costPerParticipant": cost,
        f"{path}.costPerView": Provenance(kind, None, "KRW"),
        f"{path}.costPerConversion": Provenance(kind, None, "KRW"),
    }


def roi_provenance(
    prefix: str, money: Money, target_roi: Decimal | None, states: Iterable[str], as_of: str | None
) -> ByPath:
    """Of the figures of a `Roi`; `prefix` is its path with a dot at the end, empty at the top of an answer.

    What no message has said is unknown, and so is what is computed from it.
    """
    measured_kind = _measured_kind(states)
    kinds = _roi_kinds(money) | {"targetRoi": _if_said("planned", target_roi)}
    found = {f"{prefix}{name}": Provenance(kind, as_of, _ROI_UNITS.get(name, "KRW")) for name, kind in kinds.items()}
    for name in ("costPerView", "costPerConversion"):
        kind = weakest(kinds["investment.total"], measured_kind)
        found[f"{prefix}{name}"] = Provenance(kind, None, "KRW")
    return found


def current_roi_kind(money: Money) -> str:
    """The kind of the current ROI."""
    return _roi_kinds(money)["currentRoi"]


def events_provenance(events: Iterable[ListedEvent], as_of: str | None) -> ByPath:
    """Of the entries of a merchant's list of events. Each entry also has the kind of its own ROI."""
    events = list(events)
    kinds = [_roi_kinds(each.money) for each in events]
    roi = _weakest_known(each["currentRoi"] for each in kinds)
    recorded = _weakest_known(each["revenue.recorded"] for each in kinds)
    target = _weakest_known(_if_said("planned", each.target_roi) for each in events)
    return {
        "events.totalParticipants": measured(as_of, "count"),
        "events.totalViews": Provenance(_measured_kind(()), None, "count"),
        "events.currentRoi": Provenance(roi, as_of, "percent"),
        "events.targetRoi": Provenance(target, as_of, "percent"),
        "events.recordedRevenue": Provenance(recorded, as_of, "KRW"),
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
    metrics: Iterable[Metric], as_of: str | None, *, channels_measured: bool, not_kept: Collection[Metric] = ()
) -> ByPath:
    """Of a timeline with these metrics.

    Args:
        channels_measured: whether a channel has ever been measured.
        not_kept: the metrics of which a point is unknown, because its minutes are not kept.
    """
    counted_here = (Metric.PARTICIPANTS, Metric.CUMULATIVE_PARTICIPANTS)
    named = [metric for metric in Metric if metric in set(metrics)]
    by_metric = {
        metric: Provenance("measured" if metric in counted_here or channels_measured else "unknown", as_of, "count")
        for metric in named
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


def _measured_kind(states: Iterable[str]) -> str:
    """The kind of the counts that channels measure. Missing is not 0: what no channel has measured is unknown."""
    states = set(states)
    return next((kind for kind in ("stale", "measured") if kind in states), "unknown")
