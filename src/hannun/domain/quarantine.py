"""Stops a partition that holds too many unusable messages, before they fill the table of dead letters.

Otherwise a producer that changes its format, or a topic of another application, would leave a million dead letters and
a position at the end of the topic. A `Quarantine` is a value: the caller passes it to `BatchCounter.write`, which
returns the quarantine after the batch in `CountedBatch`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hannun.domain.batch import ReceivedMessage
from hannun.domain.facts import Rejected
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

    def after(self, messages_or_rejections: Iterable[object], limits: QuarantineLimits) -> "RejectionTally":
        """The tally after these messages, in their order: a `Rejected` for each that was rejected, else anything."""
        in_a_row, messages, rejected, reason = self.in_a_row, self.messages, self.rejected, self.reason
        longest = in_a_row
        for fact in messages_or_rejections:
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

    def after(self, batch: Sequence[ReceivedMessage], rejected: Mapping[int, Rejected]) -> "Quarantine":
        """The quarantine after a batch. Messages without a record id (from HTTP) are not limited.

        Args:
            rejected: the rejections, by the index of their message in the batch.

        Raises:
            PartitionUnusable: the batch exceeds a limit in one of its partitions.
        """
        if not self.tallies and not rejected:
            return self  # the usual case: nothing was rejected, so nothing needs a tally
        by_partition: defaultdict[Partition, list[Rejected | None]] = defaultdict(list)
        for index, message in enumerate(batch):
            if message.record_id is not None:
                by_partition[message.record_id.topic, message.record_id.partition].append(rejected.get(index))
        tallies = dict(self.tallies)
        for partition, rejections in by_partition.items():
            tally = tallies.get(partition, RejectionTally()).after(rejections, self.limits)
            violation = tally.violation(self.limits)
            if violation is not None:
                topic, number = partition
                raise PartitionUnusable(violation, last=tally.reason, topic=topic, partition=number)
            tallies[partition] = tally
        return replace(self, tallies=tallies)

    def without(self, partition: Partition) -> "Quarantine":
        """The quarantine without the tally of this partition."""
        return replace(self, tallies={each: tally for each, tally in self.tallies.items() if each != partition})
