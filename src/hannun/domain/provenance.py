"""Provenance: for each figure of an answer its kind, unit, and as of when."""

from collections.abc import Iterable

from hannun.domain.figures import (
    ChannelFigures,
    TimelineHead,
)
from hannun.domain.metrics import Money
from hannun.domain.questions import Metric
from hannun.domain.response_schemas import (
    Projection,
    Provenance,
    changed_at,
)

_MEASURED_BY_CHANNELS = {
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

_COUNTS = ("views", "impressions", "clicks", "conversions")

_RATES = ("clickThroughRate", "engagementRate", "participationRate", "conversionRate")


def _measured(as_of: str | None, unit: str) -> Provenance:
    return Provenance("measured", as_of, unit)


def _kind_of(states: Iterable[str]) -> str:
    """What the counts that channels measure are. Missing is not 0: what nobody has measured is unknown."""
    states = set(states)
    return next((kind for kind in ("stale", "measured") if kind in states), "unknown")


def _of_summary(states: Iterable[str], version: int) -> dict[str, Provenance]:
    kind, as_of = _kind_of(states), changed_at(version)
    return {
        "summary.totalParticipants": _measured(as_of, "count"),
        "summary.unattributedParticipants": _measured(as_of, "count"),
        **{f"summary.{name}": Provenance(kind, None, unit) for name, unit in _MEASURED_BY_CHANNELS.items()},
    }


def _of_channels(where: str, channels: Iterable[ChannelFigures], version: int) -> dict[str, Provenance]:
    return _of_counts(where, {each.state for each in channels}, changed_at(version))


def _of_counts(where: str, states: Iterable[str], as_of: str | None) -> dict[str, Provenance]:
    """Of the entries of a list of channels; each also has a state of its own."""
    kind = _kind_of(states)
    return {
        f"{where}.participants": _measured(as_of, "count"),
        **{f"{where}.{name}": Provenance(kind, None, "count") for name in _COUNTS},
        **{f"{where}.{name}": Provenance(kind, None, "percent") for name in _RATES},
        f"{where}.expectedViews": Provenance("planned", as_of, "count"),
        f"{where}.distributionCost": _measured(as_of, "KRW"),
        f"{where}.costPerParticipant": _measured(as_of, "KRW"),
        f"{where}.costPerView": Provenance(kind, None, "KRW"),
        f"{where}.costPerConversion": Provenance(kind, None, "KRW"),
    }


def _of_roi(where: str, money: Money, states: Iterable[str], version: int) -> dict[str, Provenance]:
    kind, as_of = _kind_of(states), changed_at(version)
    recorded = money.recorded is not None
    assumed = not recorded or bool(money.assumed)
    sales = "estimated" if assumed and recorded else "measured" if recorded else "planned"
    return {
        f"{where}investment.total": _measured(as_of, "KRW"),
        f"{where}investment.planned": Provenance("planned", as_of, "KRW"),
        f"{where}investment.channels": _measured(as_of, "KRW"),
        f"{where}revenue.total": Provenance(sales, as_of, "KRW"),
        f"{where}revenue.recorded": Provenance("measured" if recorded else "unknown", as_of, "KRW"),
        f"{where}revenue.expected": Provenance("planned", as_of, "KRW"),
        f"{where}revenue.assumedShare": _measured(as_of, "percent"),
        f"{where}currentRoi": Provenance("estimated" if assumed else "measured", as_of, "percent"),
        f"{where}targetRoi": Provenance("planned", as_of, "percent"),
        f"{where}estimatedRoi": Provenance("estimated", as_of, "percent"),
        f"{where}salesGrowthRate": Provenance("measured" if recorded else "unknown", as_of, "percent"),
        f"{where}breakEvenParticipants": Provenance("estimated", as_of, "count"),
        f"{where}costPerParticipant": _measured(as_of, "KRW"),
        f"{where}costPerView": Provenance(kind, None, "KRW"),
        f"{where}costPerConversion": Provenance(kind, None, "KRW"),
    }


def _of_projection(projected: Projection | None, version: int) -> dict[str, Provenance]:
    if projected is None:
        return {}
    units = {"participants": "count", "revenue": "KRW", "roi": "percent"}
    return {
        f"projection.{name}": Provenance(
            "unknown" if name in projected.reasons else "estimated", changed_at(version), unit
        )
        for name, unit in units.items()
    }


def _of_timeline(head: TimelineHead, told: Iterable[Metric]) -> dict[str, Provenance]:
    as_of = changed_at(head.changed)
    people = (Metric.PARTICIPANTS, Metric.CUMULATIVE_PARTICIPANTS)
    return {
        **{
            f"dataPoints.{metric.value}": Provenance(
                "measured" if metric in people or head.measured else "unknown", as_of, "count"
            )
            for metric in Metric
            if metric in set(told)
        },
        "trend.slope": Provenance("estimated", as_of, "people a bucket, for each bucket"),
    }
