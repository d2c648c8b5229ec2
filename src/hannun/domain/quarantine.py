"""Stops a partition that holds too many unusable messages, before they fill the table of dead letters.

Otherwise a producer that changes its format, or a topic of another application, would leave a million dead letters and
a position at the end of the topic. A `Quarantine` is a value: the caller passes it to `BatchCounter.write`, which
returns the quarantine after the batch in `CountedBatch`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hannun.domain.batch import ReceivedMessage
from hannun.domain.facts import Fact, Rejected
from hannun.domain.positions import Partition
from hannun.errors import PartitionUnusable


@dataclass(frozen=True, slots=True)
class QuarantineLimits:
    """How many messages in a row, and which share of the last `window` messages, may be unusable. Chosen by feel."""

    in_a_row_max: int = 1_000
    share_max: float = 0.5
    window: int = 10_000


@dataclass(frozen=True, slots=True)
class RejectionTally:
    """How many of a partition's recent messages were rejected."""

    in_a_row: int = 0
    messages: float = 0.0
    rejected: float = 0.0
    reason: str = ""

    def after(self, facts: Iterable[Fact | Rejected], limits: QuarantineLimits) -> "RejectionTally":
        """The tally after these messages, in their order."""
        in_a_row, messages, rejected, reason = self.in_a_row, self.messages, self.rejected, self.reason
        longest = in_a_row
        for fact in facts:
            messages += 1
            if isinstance(fact, Rejected):
                rejected += 1
                in_a_row += 1
                reason = f"{fact.reason}: {fact.detail}"
                longest = max(longest, in_a_row)
            elif longest <= limits.in_a_row_max:
                in_a_row = longest = 0
        if messages > limits.window:  # each full window halves the weight of older messages
            messages, rejected = messages / 2, rejected / 2
        return RejectionTally(longest, messages, rejected, reason)

    def violation(self, limits: QuarantineLimits) -> str | None:
        """Describe the limit that is exceeded; None if none is."""
        if self.in_a_row > limits.in_a_row_max:
            return f"{self.in_a_row:,} messages in a row cannot be used"
        if self.messages >= limits.window / 2 and self.rejected > self.messages * limits.share_max:
            share = 100 * self.rejected / self.messages
            return f"{share:.0f} % of the last {self.messages:,.0f} messages cannot be used"
        return None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The limits, and the tally of each partition with an unusable message since the consumer began to read it."""

    limits: QuarantineLimits
    tallies: Mapping[Partition, RejectionTally] = field(default_factory=dict)

    def after(self, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected]) -> "Quarantine":
        """The quarantine after a batch. Messages without a record id (from HTTP) are not limited.

        Raises:
            PartitionUnusable: the batch exceeds a limit in one of its partitions.
        """
        if not self.tallies and not any(isinstance(fact, Rejected) for fact in facts):
            return self  # the usual case: nothing was rejected, so nothing needs a tally
        by_partition: defaultdict[Partition, list[Fact | Rejected]] = defaultdict(list)
        for message, fact in zip(batch, facts, strict=True):
            if message.record_id is not None:
                by_partition[message.record_id.topic, message.record_id.partition].append(fact)
        tallies = dict(self.tallies)
        for partition, partition_facts in by_partition.items():
            tally = tallies.get(partition, RejectionTally()).after(partition_facts, self.limits)
            violation = tally.violation(self.limits)
            if violation is not None:
                topic, number = partition
                raise PartitionUnusable(violation, last=tally.reason, topic=topic, partition=number)
            tallies[partition] = tally
        return replace(self, tallies=tallies)

    def without(self, partition: Partition) -> "Quarantine":
        """The quarantine without the tally of this partition."""
        return replace(self, tallies={each: tally for each, tally in self.tallies.items() if each != partition})
