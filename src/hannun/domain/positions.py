"""Where to go on reading a partition, and when only an operator may say so.

                        no position yet ── decided (setting, or an added partition) ──► begin
    granted by the group ┤
                        position known ─┬─ same topic, still in the log ───────────────► go on
                                        └─ topic made anew, log cut off, records gone ──► wait for an operator

Nothing is skipped silently: each way on is either exact, or somebody's decision. So a wait may end by itself only where
a setting decides, or what ends it proves that nothing was missed; every other one lasts until an operator decides.
"""

from dataclasses import dataclass
from typing import Literal

StartFrom = Literal["", "earliest", "latest"]


@dataclass(frozen=True, slots=True)
class KnownPosition:
    """A partition as PostgreSQL has it; `leader_epoch` is that of the record before `next_offset`, if it is known."""

    topic_id: str
    next_offset: int
    leader_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """A partition as the broker has it: the topic's identity, its first offset, and that of its next record.

    `cut_off`: the broker has said, by the leader's epoch, that it was cut off below our position. It may have grown
    past that again since.
    """

    topic_id: str
    low: int
    high: int
    cut_off: bool = False

    def reaches(self, known: KnownPosition) -> bool:
        """Whether the position is one of this topic, and within the log."""
        return known.topic_id == self.topic_id and self.low <= known.next_offset <= self.high

    def counted_to(self, known: KnownPosition | None) -> int:
        """Up to where this very log is surely counted: nothing of one that was made anew or cut off."""
        if known is None or known.topic_id != self.topic_id or known.next_offset > self.high or self.cut_off:
            return 0
        return known.next_offset

    def not_counted(self, known: KnownPosition | None) -> int:
        """How many of its offsets are not counted; all that are left, where nothing of this topic is."""
        counted = self.low if known is None or known.topic_id != self.topic_id else known.next_offset
        return self.high - min(max(counted, self.low), self.high)


@dataclass(frozen=True, slots=True)
class ResumeAt:
    """Read from here; `leader_epoch` is that of the record before, where it is known."""

    offset: int
    leader_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class WaitForOperator:
    """Only an operator may say where to go on: what was found, and what mends it.

    `until_decided`: it does not end by itself, whatever the log looks like later.
    """

    why: str
    hint: str
    until_decided: bool


def resume_or_stop(
    place: str, log: PartitionLog, known: KnownPosition | None, start_from: StartFrom, *, added: bool
) -> ResumeAt | WaitForOperator:
    """Where to go on with a partition.

    Args:
        place: the partition as the operator calls it.
        start_from: where a topic begins that was never read.
        added: whether other partitions of this very topic were read before; then this one was added to it, and
            everything in it came after we had begun.
    """
    if known is None:
        if added or start_from == "earliest":
            return ResumeAt(log.low)
        if start_from == "latest":
            return ResumeAt(log.high)
        return WaitForOperator(
            f"{place} was never read, and nobody has said where to begin",
            "set HANNUN_START_FROM=earliest to count all that it holds, or decide: hannun positions set",
            until_decided=False,  # the setting is a decision too, and nothing of it was counted that could be mistaken
        )
    if known.topic_id != log.topic_id:
        return WaitForOperator(
            f"{place} was counted up to offset {known.next_offset} of a topic {known.topic_id}; the topic of this name "
            f"is now {log.topic_id}: it was deleted and made anew",
            "hannun positions set --to earliest counts all of the new one; what it repeats changes nothing",
            # No two topics share an identity. If the old one is back, we had been sent to another cluster meanwhile,
            # and its position is as true as it was; all else is looked at again.
            until_decided=False,
        )
    if known.next_offset < log.low:
        return WaitForOperator(
            f"{place} is counted up to offset {known.next_offset}, and the broker has nothing before {log.low}: "
            f"{log.low - known.next_offset} offsets were removed before they were counted",
            "hannun positions set --to earliest goes on with what is left; a longer retention prevents it",
            # The beginning of a log falls back only where an old replica has become its leader, and then its end was
            # cut off as well: what would end this wait is worse than what began it.
            until_decided=True,
        )
    if known.next_offset > log.high or log.cut_off:
        found = f"ends at {log.high}" if known.next_offset > log.high else "has other records before that by now"
        return WaitForOperator(
            f"{place} is counted up to offset {known.next_offset}, and its log {found}: it was cut off (an unclean "
            "election, or a disk that lost its newest writes)",
            "hannun positions set --to earliest counts all that it holds; what it repeats changes nothing",
            # Producers write on, and soon it holds our offset again: what lies between its cut and there is new.
            until_decided=True,
        )
    return ResumeAt(known.next_offset, known.leader_epoch)
