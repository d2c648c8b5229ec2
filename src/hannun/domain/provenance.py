"""Provenance of an answer's figures: each figure's kind and unit, and as of when it holds.

The keys are paths of figures in the answer. A figure without an entry of its own has the one of the nearest part above
it. `as_of` is an instant as text, None where it is unknown.
"""

from collections.abc import Iterable

from hannun.domain.metrics import Money
from hannun.domain.questions import Metric
from hannun.domain.response_schemas import Projection, Provenance

ByPath = dict[str, Provenance]

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


def summary_provenance(states: Iterable[str], as_of: str | None) -> ByPath:
    """Of a summary; `states` are those of the channels that it adds up."""
    kind = _measured_kind(states)
    return {
        "summary.totalParticipants": measured(as_of, "count"),
        "summary.unattributedParticipants": measured(as_of, "count"),
        **{f"summary.{name}": Provenance(kind, None, unit) for name, unit in _SUMMARY_MEASURED_BY_CHANNELS.items()},
    }


def channels_provenance(path: str, states: Iterable[str], as_of: str | None) -> ByPath:
    """Of the entries of the channel list at `path`. Each entry also has a state of its own."""
    kind = _measured_kind(states)
    return {
        f"{path}.participants": measured(as_of, "count"),
        **{f"{path}.{name}": Provenance(kind, None, "count") for name in _CHANNEL_COUNTS},
        **{f"{path}.{name}": Provenance(kind, None, "percent") for name in _CHANNEL_RATES},
        f"{path}.expectedViews": Provenance("planned", as_of, "count"),
        f"{path}.distributionCost": measured(as_of, "KRW"),
        f"{path}.costPerParticipant": measured(as_of, "KRW"),
        f"{path}.costPerView": Provenance(kind, None, "KRW"),
        f"{path}.costPerConversion": Provenance(kind, None, "KRW"),
    }


def roi_provenance(prefix: str, money: Money, states: Iterable[str], as_of: str | None) -> ByPath:
    """Of the figures of a `Roi`; `prefix` is its path with a dot at the end, empty at the top of an answer."""
    kind = _measured_kind(states)
    recorded = money.recorded is not None
    assumed = not recorded or bool(money.assumed)
    sales = "estimated" if assumed and recorded else "measured" if recorded else "planned"
    return {
        f"{prefix}investment.total": measured(as_of, "KRW"),
        f"{prefix}investment.planned": Provenance("planned", as_of, "KRW"),
        f"{prefix}investment.channels": measured(as_of, "KRW"),
        f"{prefix}revenue.total": Provenance(sales, as_of, "KRW"),
        f"{prefix}revenue.recorded": Provenance("measured" if recorded else "unknown", as_of, "KRW"),
        f"{prefix}revenue.expected": Provenance("planned", as_of, "KRW"),
        f"{prefix}revenue.assumedShare": measured(as_of, "percent"),
        f"{prefix}currentRoi": Provenance("estimated" if assumed else "measured", as_of, "percent"),
        f"{prefix}targetRoi": Provenance("planned", as_of, "percent"),
        f"{prefix}estimatedRoi": Provenance("estimated", as_of, "percent"),
        f"{prefix}salesGrowthRate": Provenance("measured" if recorded else "unknown", as_of, "percent"),
        f"{prefix}breakEvenParticipants": Provenance("estimated", as_of, "count"),
        f"{prefix}costPerParticipant": measured(as_of, "KRW"),
        f"{prefix}costPerView": Provenance(kind, None, "KRW"),
        f"{prefix}costPerConversion": Provenance(kind, None, "KRW"),
    }


def projection_provenance(projection: Projection | None, as_of: str | None) -> ByPath:
    """Of a projection: a figure that has a reason for its absence is unknown."""
    if projection is None:
        return {}
    units = {"participants": "count", "revenue": "KRW", "roi": "percent"}
    return {
        f"projection.{name}": Provenance("unknown" if name in projection.reasons else "estimated", as_of, unit)
        for name, unit in units.items()
    }


def timeline_provenance(metrics: Iterable[Metric], as_of: str | None, *, channels_measured: bool) -> ByPath:
    """Of a timeline with these metrics. `channels_measured`: whether a channel has ever been measured."""
    counted_here = (Metric.PARTICIPANTS, Metric.CUMULATIVE_PARTICIPANTS)
    return {
        **{
            f"dataPoints.{metric.value}": Provenance(
                "measured" if metric in counted_here or channels_measured else "unknown", as_of, "count"
            )
            for metric in Metric
            if metric in set(metrics)
        },
        "trend.slope": Provenance("estimated", as_of, "people a bucket, for each bucket"),
    }


def _measured_kind(states: Iterable[str]) -> str:
    """The kind of the counts that channels measure. Missing is not 0: what no channel has measured is unknown."""
    states = set(states)
    return next((kind for kind in ("stale", "measured") if kind in states), "unknown")
