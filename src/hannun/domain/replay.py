"""A replay: which range of each log is read again, its progress, and the differences between two databases."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hannun.domain.positions import KnownPosition, PartitionLog


class ReplayRange(NamedTuple):
    """The range of a partition to read: offsets in [start, end) of the topic with this id.

    `epoch` is the position owner's epoch where the replay moves a position, else 0.
    """

    topic_id: str
    start: int
    end: int
    epoch: int = 0

    @property
    def offsets(self) -> int:
        """How many offsets the range has; not every offset holds a message."""
        return max(0, self.end - self.start)


def live_end(log: PartitionLog, known: KnownPosition | None, *, stopped: bool) -> int:
    """Where a replay into the live tables ends: at the end that the log had when the replay began.

    What waits for an operator's decision is not read: that is what follows the position of a stopped partition, and
    a recreated topic, whether or not a consumer has noticed it yet. Where the position does not belong to this log,
    nothing is read.
    """
    recreated = known is not None and known.topic_id != log.topic_id
    if not stopped and not recreated:
        return log.high
    if known is None or recreated or known.next_offset > log.high:
        return log.low
    return max(known.next_offset, log.low)


def shadow_end(log: PartitionLog, known: KnownPosition | None) -> int:
    """Where a replay into the shadow ends: at the position of the live tables, so that the two can be compared.

    Where the live tables have no position in this log, it ends at the log's end.
    """
    if known is None or known.topic_id != log.topic_id or known.next_offset > log.high:
        return log.high
    return max(known.next_offset, log.low)


def shadow_start(requested: int, log: PartitionLog, known: KnownPosition | None) -> int:
    """Where a replay into the shadow starts: not above the live position, or a swap would skip uncounted messages."""
    return min(requested, shadow_end(log, known))


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a replay: offsets done and in total, messages counted, and seconds so far."""

    done: int
    total: int
    messages: int
    took_s: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.took_s if self.took_s > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """The seconds that remain at this rate; None before the first offset is done."""
        return self.took_s * (self.total - self.done) / self.done if self.done else None

    def __str__(self) -> str:
        share = 100 * self.done // self.total if self.total else 100
        remaining = "" if self.remaining_s is None else f", {_hours_minutes_seconds(self.remaining_s)} left"
        return f"{self.done:,} of {self.total:,} offsets ({share} %), {self.rate:,.0f} messages/s{remaining}"


def _hours_minutes_seconds(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


class Difference(NamedTuple):
    """A row that differs between the two databases; None for the database that lacks it.

    `part` is a part of the comparison (`SOURCES` and the aggregates), `where` an event or a place, `what` a row's key.
    """

    part: str
    where: str
    what: str
    live: str | None
    shadow: str | None

    @property
    def lost(self) -> bool:
        """Whether a swap would lose it: a live source holds it, and the log does not."""
        return self.part in SOURCES and self.live is not None

    def __str__(self) -> str:
        live, shadow = ("nothing" if side is None else side for side in (self.live, self.shadow))
        return f"{self.part}: {self.where}: {self.what}: live has {live}, the log says {shadow}"


SOURCES = frozenset({"participants", "sales", "plans", "distributions", "measures", "relations"})
"""Parts that derive from no other part. All others derive from these: where only those differ, live is wrong."""


def differences(part: str, where: str, live: Mapping[str, str], shadow: Mapping[str, str]) -> Iterator[Difference]:
    """The rows, by key, that differ between the two databases."""
    for what in sorted(live.keys() | shadow.keys()):
        if live.get(what) != shadow.get(what):
            yield Difference(part, where, what, live.get(what), shadow.get(what))
