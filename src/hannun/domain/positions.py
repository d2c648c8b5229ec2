"""Where to resume reading a partition, and when only an operator may decide that.

                        no position ─── a setting decides, or the partition was added ──► start
    assigned by the group ┤
                        position known ─┬─ same topic, offset within the log ────────────► resume
                                        └─ topic recreated, log truncated, records gone ─► wait for an operator

No record is skipped silently: where reading resumes is either exact, or somebody's decision. So a wait ends by itself
only where a setting decides, or where the new finding proves that nothing was missed; every other wait ends by a
decision.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

StartFrom = Literal["", "earliest", "latest"]
Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""


@dataclass(frozen=True, slots=True)
class KnownPosition:
    """A partition in PostgreSQL. `leader_epoch` is that of the record before `next_offset`; None if it is not known."""

    topic_id: str
    next_offset: int
    leader_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """A partition at the broker: the topic's identity, its first offset, and the offset of its next record.

    `truncated`: by the leader's epoch the broker knows that the log was truncated below our position. It may have grown
    past that position again.
    """

    topic_id: str
    low: int
    high: int
    truncated: bool = False

    def reaches(self, known: KnownPosition) -> bool:
        """Whether the position is one of this topic, and within the log."""
        return known.topic_id == self.topic_id and self.low <= known.next_offset <= self.high

    def counted_to(self, known: KnownPosition | None) -> int:
        """Up to which offset this very log is surely counted.

        What the broker had removed before a topic was ever read was not to be counted. Of a recreated topic all was. Of
        a truncated log we do not know how much of what it holds was counted.
        """
        if known is None:
            return self.low
        if known.topic_id != self.topic_id:
            return 0
        if known.next_offset > self.high or self.truncated:
            return self.low
        return known.next_offset

    def is_truncated_below(self, known: KnownPosition | None) -> bool:
        """Whether the log was truncated below the position."""
        return (
            known is not None and known.topic_id == self.topic_id and (known.next_offset > self.high or self.truncated)
        )

    def not_counted(self, known: KnownPosition | None) -> int:
        """How many of its offsets are not counted; all that are left, where nothing of this topic is counted."""
        counted = self.low if known is None or known.topic_id != self.topic_id else known.next_offset
        return self.high - min(max(counted, self.low), self.high)


@dataclass(frozen=True, slots=True)
class ResumeAt:
    """Read from this offset; `leader_epoch` is that of the record before it, where it is known."""

    offset: int
    leader_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class WaitForOperator:
    """Only an operator may decide where to resume: what was found, and what to do.

    Both are shown below the name and the position of the partition (or the topic), in a terminal of 80 columns: each
    fits a line. `hint` is a command that can be pasted, where one decides.

    `until_decided`: the wait does not end by itself, whatever the log looks like later.
    """

    reason: str
    hint: str
    until_decided: bool


def set_command(partition: Partition, to: str) -> str:
    """The command that decides where one partition resumes."""
    topic, number = partition
    return f"hannun positions set {topic} --partition {number} --to {to}"


def skip_preview_command(partition: Partition) -> str:
    """The command that shows what resuming at the end of the log would skip. It changes nothing."""
    return f"{set_command(partition, 'latest')} -n"


def resume_or_stop(
    partition: Partition, log: PartitionLog, known: KnownPosition | None, start_from: StartFrom, *, added: bool
) -> ResumeAt | WaitForOperator:
    """Where to resume reading a partition, or why it must wait.

    Args:
        start_from: where a topic starts that was never read.
        added: whether other partitions of this very topic were read before. Then this one was added to the topic, and
            all its records are newer than our start.
    """
    topic, _ = partition
    all_of_it = f"hannun positions set {topic} --to earliest"
    if known is None:
        if added or start_from == "earliest":
            return ResumeAt(log.low)
        if start_from == "latest":
            return ResumeAt(log.high)
        return WaitForOperator(
            "was never read, and no setting says where to start (HANNUN_START_FROM)",
            all_of_it,
            until_decided=False,  # the setting is a decision too, and no record was counted that it could contradict
        )
    if known.topic_id != log.topic_id:
        return WaitForOperator(
            "its topic was deleted and recreated: its position is one of the old topic",
            all_of_it,  # repeats change nothing
            # No two topics share an identity. If the old one is back, we were connected to another cluster meanwhile,
            # and its position is as true as before; everything else is checked again.
            until_decided=False,
        )
    if known.next_offset < log.low:
        return WaitForOperator(
            f"{log.low - known.next_offset:,} offsets were removed before they were counted; it begins at {log.low}",
            set_command(partition, "earliest"),
            # The start of a log moves back only where an old replica became leader, and then its end was truncated as
            # well: what would end this wait is worse than what began it.
            until_decided=True,
        )
    if known.next_offset > log.high or log.truncated:
        found = f"ends at {log.high}" if known.next_offset > log.high else "has other records before that offset now"
        return WaitForOperator(
            f"its log {found}: it was truncated",
            set_command(partition, "earliest"),
            # Producers go on writing, and soon the log reaches our offset again: the records between the truncation and
            # that offset are new and were never counted.
            until_decided=True,
        )
    return ResumeAt(known.next_offset, known.leader_epoch)


@dataclass(frozen=True, slots=True)
class TopicAtBroker:
    """A topic as the brokers report it.

    `topic_id` is None where they have no such topic, or refuse to describe it; `refused` is then what they answer.
    """

    topic_id: str | None
    partitions: int = 0
    refused: str = ""


def topic_stop(topic: str, found: TopicAtBroker, counted: Collection[int]) -> WaitForOperator | None:
    """Why a topic as a whole waits for an operator; None where its partitions decide each for itself.

    Args:
        counted: the numbers of the partitions that have a position.
    """
    gone = sum(number >= found.partitions for number in counted)
    give_up = f"hannun positions forget {topic}"
    if found.refused:
        reason, hint = f"Kafka refuses this topic: {found.refused}", "grant this client READ and DESCRIBE on the topic"
    elif found.topic_id is None and counted:
        reason, hint = "Kafka no longer has this topic: it was deleted", f"create it again, or: {give_up}"
    elif found.topic_id is None:
        reason, hint = "Kafka has no topic of this name (HANNUN_TOPIC_...)", f"create it, or: {give_up}"
    elif gone:
        reason = f"was recreated with {found.partitions} partitions: {gone} that were counted are gone"
        hint = give_up
    else:
        return None
    return WaitForOperator(reason, hint, until_decided=False)


class SkippedRange(NamedTuple):
    """Offsets in [start, end) that a decision skipped."""

    start: int
    end: int


def after_decision(skipped: Sequence[SkippedRange], skipped_from: int | None, resumed_at: int) -> list[SkippedRange]:
    """The offsets of a log that are skipped after a decision: behind the place where reading resumed, none is.

    Args:
        skipped: those that decisions before it skipped.
        skipped_from: the first offset that this one skipped; None where it skipped none.
    """
    still = [SkippedRange(one.start, min(one.end, resumed_at)) for one in skipped if one.start < resumed_at]
    return still if skipped_from is None else [*still, SkippedRange(skipped_from, resumed_at)]
