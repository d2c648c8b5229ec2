"""The state of a channel's counts: which are known, since when, and whether they are too old.

    nothing measured ─┬─ distributed ──────────► planned          measured ─┬─ for two periods nothing new ─► stale
                      ├─ distribution failed ──► failed                     └─ the event is over ───────────► measured
                      └─ neither ──────────────► unknown

Instants are UTC, without a zone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hannun.domain.channel_totals import ENGAGEMENT
from hannun.domain.channels import ChannelType


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a figure was measured, or the oldest part of it.

    stale_at: from when on it is too old; None where it is final, because its event is over.
    """

    as_of: datetime
    stale_at: datetime | None

    def state(self, now: datetime) -> str:
        return "stale" if self.stale_at is not None and self.stale_at <= now else "measured"


KnownCounts = Mapping[str, Freshness]
"""The freshness of counts, by name. A count that no channel has reported is not in it: unknown, which is not 0."""
NOTHING_MEASURED: KnownCounts = {}

Needs = Sequence[Sequence[str]]
CLICK_THROUGH_RATE: Needs = (("clicks",), ("impressions",))
ENGAGEMENT_RATE: Needs = (ENGAGEMENT, ("impressions",))
PARTICIPATION_RATE: Needs = (("views",),)
CONVERSION_RATE: Needs = (("conversions",), ("clicks",))
CALL_COMPLETION_RATE: Needs = (("completed_calls",), ("total_calls",))
"""What a rate is computed from: sums of counts. Of each sum one count must be known, else the rate is unknown."""


def conversion_needs(type_: str) -> Needs:
    """What the conversion rate of a channel of this type is computed from."""
    return CALL_COMPLETION_RATE if type_ == ChannelType.VOICE else CONVERSION_RATE


def freshness(known: KnownCounts, needs: Needs) -> Freshness | None:
    """When a figure that is computed from these sums of counts was measured; None where it is unknown."""
    found: list[Freshness] = []
    for names in needs:
        parts = [known[name] for name in names if name in known]
        if not parts:
            return None
        found += parts
    return oldest(found)


def oldest(figures: Iterable[Freshness]) -> Freshness | None:
    """The freshness of a sum of these figures; None where there are none."""
    found = None
    for each in figures:
        found = each if found is None or each is found else _older(found, each)
    return found


def _older(one: Freshness, other: Freshness) -> Freshness:
    stale_at = [each.stale_at for each in (one, other) if each.stale_at is not None]
    return Freshness(min(one.as_of, other.as_of), min(stale_at, default=None))


def together(parts: Iterable[KnownCounts]) -> KnownCounts:
    """The freshness of the sums of several channels' counts."""
    by_count: dict[str, list[Freshness]] = {}
    for part in parts:
        for name, count in part.items():
            by_count.setdefault(name, []).append(count)
    return {name: found for name, each in by_count.items() if (found := oldest(each)) is not None}


def channel_state(measured: KnownCounts, delivery: str | None, now: datetime) -> str:
    """The state of a channel's counts: measured, stale, planned, failed or unknown.

    Args:
        delivery: the state of its newest distribution, None without one.
    """
    found = oldest(measured.values())
    if found is not None:
        return found.state(now)
    return {"FAILED": "failed", "SUCCESS": "planned"}.get(delivery or "", "unknown")


def next_stale(parts: Iterable[KnownCounts], now: datetime) -> datetime | None:
    """When the next of these counts becomes stale; None where none does."""
    moments = (each.stale_at for part in parts for each in part.values())
    return min((moment for moment in moments if moment is not None and moment > now), default=None)
