"""Where to go on reading a partition, and when only an operator may say so.

                        no position yet ── decided (setting, or an added partition) ──► begin
    granted by the group ┤
                        position known ─┬─ same topic, still in the log ───────────────► go on
                                        └─ topic made anew, log cut off above or below ─► wait for an operator

Nothing is skipped silently: each way on is either exact, or somebody's decision on record.
"""

from dataclasses import dataclass
from typing import Literal

StartFrom = Literal["", "earliest", "latest"]


@dataclass(frozen=True, slots=True)
class Known:
    """A partition as PostgreSQL has it."""

    topic_id: str
    next_offset: int


@dataclass(frozen=True, slots=True)
class Log:
    """A partition as the broker has it: the topic's identity, its first offset, and that of its next record."""

    topic_id: str
    low: int
    high: int

    def not_counted(self, known: Known | None) -> int:
        """How many of its offsets are not counted; all that are left, where nothing of this topic is."""
        counted = self.low if known is None or known.topic_id != self.topic_id else known.next_offset
        return self.high - min(max(counted, self.low), self.high)


@dataclass(frozen=True, slots=True)
class GoOn:
    """Read from here."""

    offset: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Only an operator may say where to go on: what was found, and what mends it."""

    why: str
    hint: str


def way_on(place: str, log: Log, known: Known | None, start_from: StartFrom, *, added: bool) -> GoOn | Wait:
    """Where to go on with a partition.

    Args:
        place: the partition as the operator calls it.
        start_from: where a topic begins that was never read.
        added: whether other partitions of this very topic were read before; then this one was added to it, and
            everything in it came after we had begun.
    """
    if known is None:
        if added or start_from == "earliest":
            return GoOn(log.low)
        if start_from == "latest":
            return GoOn(log.high)
        return Wait(
            f"{place} was never read, and nobody has said where to begin",
            "set HANNUN_START_FROM=earliest to count all that it holds, or decide: hannun positions set",
        )
    if known.topic_id != log.topic_id:
        return Wait(
            f"{place} was counted up to offset {known.next_offset} of a topic {known.topic_id}; the topic of this name "
            f"is now {log.topic_id}: it was deleted and made anew",
            "hannun positions set --to earliest counts all of the new one; what it repeats changes nothing",
        )
    if known.next_offset < log.low:
        return Wait(
            f"{place} is counted up to offset {known.next_offset}, and the broker has nothing before {log.low}: "
            f"{log.low - known.next_offset} offsets were removed before they were counted",
            "hannun positions set --to earliest goes on with what is left; a longer retention prevents it",
        )
    if known.next_offset > log.high:
        return Wait(
            f"{place} is counted up to offset {known.next_offset}, and its log ends at {log.high}: it was cut off, or "
            "this is another cluster",
            "hannun positions set --to earliest counts all that it holds; what it repeats changes nothing",
        )
    return GoOn(known.next_offset)
