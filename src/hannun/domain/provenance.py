"""Provenance of an answer's figures: each figure's kind and unit, and as of when it holds.

The keys are paths of figures in the answer. A figure without an entry of its own has the one of the nearest part above
it. `as_of` is an instant as text, None where it is unknown.
"""

from collections.abc import Iterable
from decimal import Decimal

from hannun.domain.metrics import Money
from hannun.domain.questions import Metric
from hannun.domain.response_schemas import Number, Projection, Provenance

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
    kind = _measured_kind(states)
    recorded = money.recorded is not None
    assumed = not recorded or bool(money.assumed)
    sales = "estimated" if assumed and recorded else "measured" if recorded else "planned"
    invested, earned = money.investment, money.revenue
    return {
        f"{prefix}investment.total": _if_known("measured", as_of, "KRW", invested),
        f"{prefix}investment.planned": _if_known("planned", as_of, "KRW", money.planned),
        f"{prefix}investment.channels": _if_known("measured", as_of, "KRW", money.channel_costs),
        f"{prefix}revenue.total": _if_known(sales, as_of, "KRW", earned),
        f"{prefix}revenue.recorded": _if_known("measured", as_of, "KRW", money.recorded),
        f"{prefix}revenue.expected": _if_known("planned", as_of, "KRW", money.expected),
        f"{prefix}revenue.assumedShare": _if_known("measured", as_of, "percent", earned),
        f"{prefix}currentRoi": _if_known("estimated" if assumed else "measured", as_of, "percent", invested, earned),
        f"{prefix}targetRoi": _if_known("planned", as_of, "percent", target_roi),
        f"{prefix}estimatedRoi": _if_known("estimated", as_of, "percent", invested, money.expected),
        f"{prefix}salesGrowthRate": _if_known("measured", as_of, "percent", money.recorded, money.baseline),
        f"{prefix}breakEvenParticipants": _if_known("estimated", as_of, "count", invested, earned),
        f"{prefix}costPerParticipant": _if_known("measured", as_of, "KRW", invested),
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


def _if_known(kind: str, as_of: str | None, unit: str, *sources: Decimal | None) -> Provenance:
    """The provenance of a figure that is computed from these: unknown where one of them is."""
    return Provenance("unknown" if None in sources else kind, as_of, unit)


def _measured_kind(states: Iterable[str]) -> str:
    """The kind of the counts that channels measure. Missing is not 0: what no channel has measured is unknown."""
    states = set(states)
    return next((kind for kind in ("stale", "measured") if kind in states), "unknown")
