"""When a partition sends so much that cannot be used that it is better to stop than to empty it into the dead letters.

A producer that changed its format, or a topic of somebody else's, would otherwise become a million letters and a
position at the end of the topic. A tally is a value: each partition has one, from the moment it is begun.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hannun.domain.facts import Fact, Rejected


@dataclass(frozen=True, slots=True)
class QuarantineLimits:
    """How many messages in a row, and what share of the last `window`, may be unusable. Chosen by feel."""

    in_a_row_max: int = 1_000
    share_max: float = 0.5
    window: int = 10_000


@dataclass(frozen=True, slots=True)
class RejectionTally:
    """What a partition has sent lately."""

    in_a_row: int = 0
    messages: float = 0.0
    letters: float = 0.0
    reason: str = ""

    def after(self, facts: Iterable[Fact | Rejected], limits: QuarantineLimits) -> "RejectionTally":
        """The tally after these messages, in their order."""
        in_a_row, messages, letters, reason = self.in_a_row, self.messages, self.letters, self.reason
        worst = in_a_row
        for fact in facts:
            messages += 1
            if isinstance(fact, Rejected):
                letters += 1
                in_a_row += 1
                reason = f"{fact.reason}: {fact.detail}"
                worst = max(worst, in_a_row)
            elif worst <= limits.in_a_row_max:
                in_a_row = worst = 0
        if messages > limits.window:  # older messages fade: they count half with each window that has passed
            messages, letters = messages / 2, letters / 2
        return RejectionTally(worst, messages, letters, reason)

    def complaint(self, limits: QuarantineLimits) -> str | None:
        """Why the partition must stop; None while it may go on."""
        if self.in_a_row > limits.in_a_row_max:
            return f"{self.in_a_row:,} messages in a row cannot be used ({self.reason})"
        if self.messages >= limits.window / 2 and self.letters > self.messages * limits.share_max:
            share = 100 * self.letters / self.messages
            return f"{share:.0f} % of the last {self.messages:,.0f} messages cannot be used ({self.reason})"
        return None
