"""From totals to history: what a poll adds to the totals that a channel has told before, and what it takes back.

    said of a count     │ becomes
    ────────────────────┼──────────────────────────────────────────────────────────────────────
    for the first time  │ an increment, its baseline: the count may be older than the first poll
    more than before    │ an increment
    less than before    │ nothing yet: a fall that waits for the next poll that names the count
    less once more      │ a correction: the total is what the newer poll says
    not at all          │ nothing; a fall that waits goes on waiting

The sum of a count's increments and corrections is its total, after each poll. A poll that is not newer than the newest
accepted one changes nothing, so late polls may come in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from hannun.domain.channel_totals import COUNTS, ChannelTotals, engagement
from hannun.domain.field_values import COUNT_MAX

_NOTHING: Mapping[str, int] = MappingProxyType({})


class Measured(NamedTuple):
    """What a channel has measured of an event so far.

    `measured_at` is when the newest accepted totals were true (UTC, without a zone); None before the first. `falls` are
    the counts of the newest poll that are below their totals, and wait for a second poll.
    """

    totals: ChannelTotals = ChannelTotals()
    measured_at: datetime | None = None
    falls: Mapping[str, int] = _NOTHING


NEVER_MEASURED = Measured()


@dataclass(frozen=True, slots=True)
class Settled:
    """A poll's effect. `increments` are above 0, `corrections` below it.

    `accepted` is False where the poll is not newer than the newest accepted one; then nothing changes. `baseline` says
    that an increment holds the first total of a count.
    """

    after: Measured
    accepted: bool = True
    increments: Mapping[str, int] = field(default_factory=dict)
    corrections: Mapping[str, int] = field(default_factory=dict)
    baseline: bool = False


def settle(before: Measured, totals: ChannelTotals, measured_at: datetime) -> Settled:
    """Apply the accepted totals of a poll to what was measured before."""
    if before.measured_at is not None and measured_at <= before.measured_at:
        return Settled(before, accepted=False)
    if totals == before.totals and not before.falls:  # the usual case
        return Settled(before._replace(measured_at=measured_at))
    counts, falls = _counts_after(before, totals)
    mean = before.totals.average_duration if totals.average_duration is None else totals.average_duration
    after = Measured(ChannelTotals(**counts, average_duration=mean), measured_at, falls)
    increments, corrections, baseline = {}, {}, False
    for name, was, now in zip(COUNTS, before.totals, after.totals, strict=False):
        added = (now or 0) - (was or 0)
        if added > 0:
            increments[name] = added
            baseline = baseline or was is None
        elif added < 0:
            corrections[name] = added
    return Settled(after, True, increments, corrections, baseline)


def _counts_after(before: Measured, totals: ChannelTotals) -> tuple[dict[str, int | None], dict[str, int]]:
    """The counts after a poll, and those of its counts that fall for the first time."""
    counts: dict[str, int | None] = {}
    falls: dict[str, int] = {}
    for name, was, said in zip(COUNTS, before.totals, totals, strict=False):
        if said is None:
            counts[name] = was
            if name in before.falls:
                falls[name] = before.falls[name]
        elif was is None or said >= was or name in before.falls:
            counts[name] = said
        else:
            counts[name] = was
            falls[name] = said
    _keep_completed_below_total(before, totals, counts, falls)
    return counts, falls


def _keep_completed_below_total(
    before: Measured, totals: ChannelTotals, counts: dict[str, int | None], falls: dict[str, int]
) -> None:
    """Let a count of calls wait where the completed ones would exceed the total.

    Either the total falls while the fall of the completed calls is not confirmed: then it waits for them. Or the poll
    names completed calls and no total: then they wait for a total.
    """
    total, completed = counts["total_calls"] or 0, counts["completed_calls"] or 0
    if completed <= total:
        return
    was, said = before.totals.total_calls, totals.total_calls
    if was is not None and said is not None and said < was:
        counts["total_calls"] = was
        falls["total_calls"] = said
    else:
        counts["completed_calls"] = before.totals.completed_calls


class MinuteCounts(NamedTuple):
    """What one minute holds already: the increments of a channel, and the figures of the event's timeline."""

    of_channel: Mapping[str, int] = _NOTHING
    views: int = 0
    engagement: int = 0
    conversions: int = 0

    def plus(self, increments: Mapping[str, int]) -> "MinuteCounts | None":
        """The minute with these increments; None where a column of its rows cannot hold the sum.

        An empty minute holds the increments of any totals that `checked` accepts.
        """
        after = MinuteCounts(
            {name: self.of_channel.get(name, 0) + increments.get(name, 0) for name in COUNTS},
            self.views + increments.get("views", 0),
            self.engagement + engagement(increments),
            self.conversions + increments.get("conversions", 0),
        )
        figures = (*after.of_channel.values(), after.views, after.engagement, after.conversions)
        return None if max(figures) > COUNT_MAX else after
