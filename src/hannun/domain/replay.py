"""A replay: which range of each log is read again, its progress, and the differences between two databases."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hannun.domain.positions import KnownPosition, Partition, PartitionLog, SkippedRange


class ReplayRange(NamedTuple):
    """The range of a partition to read: offsets in [start, end) of the topic with this id.

    `epoch` is the position owner's epoch where the replay moves a position, else 0. The replay passes over `skipped`.
    """

    topic_id: str
    start: int
    end: int
    epoch: int = 0
    skipped: Sequence[SkippedRange] = ()

    @property
    def offsets(self) -> int:
        """How many offsets the range has; not every offset holds a message."""
        return max(0, self.end - self.start)

    def skips(self, offset: int) -> bool:
        """Whether an operator has decided to skip this offset."""
        return any(one.start <= offset < one.end for one in self.skipped)

    @property
    def offsets_skipped(self) -> int:
        """How many offsets of the range the replay passes over."""
        within = (min(one.end, self.end) - max(one.start, self.start) for one in self.skipped)
        return sum(count for count in within if count > 0)


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
class Replayed:
    """What of the logs a shadow has read: for each partition and topic id, the range and what it passed over."""

    ranges: Mapping[tuple[Partition, str], ReplayRange]

    def holds(self, topic: str, number: int, topic_id: str, offset: int) -> bool:
        """Whether the shadow has read this record."""
        read = self.ranges.get(((topic, number), topic_id))
        return read is not None and read.start <= offset < read.end and not read.skips(offset)


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


RowValues = Mapping[str, object]
"""The values of a row that is compared, by their columns."""


class Difference(NamedTuple):
    """A row that differs between the two databases; None for the database that lacks it.

    `part` is a part of the comparison (`SOURCES` and the aggregates), `where` an event or a place, `what` a row's key.
    """

    part: str
    where: str
    what: str
    live: RowValues | None
    shadow: RowValues | None

    @property
    def lost(self) -> bool:
        """Whether a swap would lose it: a live source holds it, and the log does not."""
        return self.part in SOURCES and self.live is not None

    def __str__(self) -> str:
        return f"{self.part}: {self.where}: {self.what}: {self._differing()}"

    def _differing(self) -> str:
        """The columns whose values differ; all of them where only one side has the row."""
        if self.live is None or self.shadow is None:
            side, row = ("the log", self.shadow) if self.live is None else ("live", self.live)
            values = ", ".join(f"{name} {_shown(value)}" for name, value in (row or {}).items())
            return f"only in {side}: {values}"
        return "; ".join(
            f"{name}: live {_shown(value)}, log {_shown(self.shadow.get(name))}"
            for name, value in self.live.items()
            if value != self.shadow.get(name)
        )


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


class FoundDeadLetter(NamedTuple):
    """A dead letter in one of two databases that are compared: why, and whether it is resolved."""

    reason: str
    resolved: bool


RecordPlace = tuple[str, int, str, int]
"""A topic, a partition, the topic id, and an offset."""


def dead_letter_differences(
    live: Mapping[RecordPlace, FoundDeadLetter], shadow: Mapping[RecordPlace, FoundDeadLetter], replayed: Replayed
) -> Iterator[Difference]:
    """The dead letters that a swap adds, counts or explains in another way.

    Those that are resolved in the live database stay as they are, and so do those that the shadow has not read.
    """
    unusable = {place: letter for place, letter in shadow.items() if not letter.resolved}  # by a swap that failed
    for place in sorted(live.keys() | unusable.keys()):
        in_live, in_shadow = live.get(place), unusable.get(place)
        if in_live is not None and (in_live.resolved or (in_shadow is None and not replayed.holds(*place))):
            continue
        says = "counted" if in_shadow is None else in_shadow.reason
        had = None if in_live is None else in_live.reason
        if had != says:
            topic, number, _, offset = place
            before = None if had is None else {"reason": had}
            yield Difference("dead_letters", f"{topic}[{number}]@{offset}", "dead letter", before, {"reason": says})


SOURCES = frozenset({"participants", "sales", "plans", "distributions", "measures", "relations"})
"""Parts that derive from no other part. All others derive from these: where only those differ, live is wrong."""


def differences(
    part: str, where: str, live: Mapping[str, RowValues], shadow: Mapping[str, RowValues]
) -> Iterator[Difference]:
    """The rows, by key, that differ between the two databases."""
    for what in sorted(live.keys() | shadow.keys()):
        if live.get(what) != shadow.get(what):
            yield Difference(part, where, what, live.get(what), shadow.get(what))
