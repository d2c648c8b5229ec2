"""Adjusts batches to the speed of PostgreSQL, so that each is written in about a set time.

A large batch is cheap: it changes the rows of an event once for many messages. But a new message waits until the batch
before it is written, and so does every other transaction that needs one of its events. So the time is bounded, and not
the size.

Where a batch holds few messages of each event, most of its cost are the rows of the events. There it may take longer,
and more is polled than one batch holds: all messages of an event are in one partition, so a batch of one partition has
more messages of each event than one of all partitions.
"""

from dataclasses import dataclass, replace
from typing import Self

WRITE_TARGET_S = 0.2
"""About how long a batch should take to write. A new message behind a backlog waits for two or three batches."""
WRITE_TARGET_OF_MANY_EVENTS_S = 1.5
"""The same where a batch holds few messages of each event. Well below the 4 s after which a PostgreSQL that does not
answer is treated as unavailable, and the 3 s for which a request waits for a lock by default (`settings`)."""
FEW_MESSAGES = 20
"""As many messages of each event are few."""
SIZE_MIN = 1_000
"""Smaller batches are hardly faster, since each commit has a fixed cost."""
SIZE_AT_START = 20_000
"""The size limit before anything is known of the speed of PostgreSQL."""
BATCHES_POLLED = 3
"""As many batches may be polled ahead where a batch holds few messages of each event: what was polled must be counted
within seconds, before a partition is given up or the process stops."""
LARGEST_BATCHES_POLLED = 2
"""And never more than as many of the largest batches, which bounds memory: about 0.7 kB a registration."""


@dataclass(frozen=True, slots=True)
class BatchSize:
    """How many messages a batch may have.

    Attributes:
        messages_max: the most messages of the next batch.
        limit: `messages_max` never exceeds this, however fast batches are written.
        few_of_each_event: whether a batch of all partitions would hold few messages of each event.
    """

    messages_max: int
    limit: int
    few_of_each_event: bool = False

    @classmethod
    def at_start(cls, limit: int) -> Self:
        """The size before anything is known of the speed of PostgreSQL."""
        return cls(min(SIZE_AT_START, limit), limit)

    @property
    def polled_max(self) -> int:
        """How many messages may be polled behind the batch that is written."""
        if not self.few_of_each_event:
            return self.messages_max
        return min(self.messages_max * BATCHES_POLLED, self.limit * LARGEST_BATCHES_POLLED)

    @property
    def enough(self) -> int:
        """With so many messages a batch takes no further partition: more of those that it has are cheaper."""
        return -(-self.messages_max // 4) if self.few_of_each_event else self.messages_max

    def after(self, messages: int, events: int, took_s: float, share: float = 1.0) -> Self:
        """The size after a batch of `messages` messages of `events` events was written in `took_s` seconds.

        A batch of less than half of what is enough does not change it: Kafka had no more messages.

        Args:
            share: the share of the partitions that the batch had messages of, above 0 and at most 1.
        """
        size_min = min(SIZE_MIN, self.limit)
        if messages * 2 < self.enough:
            return replace(self, messages_max=min(max(self.messages_max, size_min), self.limit))
        few = messages * share < events * FEW_MESSAGES
        target = messages * (WRITE_TARGET_OF_MANY_EVENTS_S if few else WRITE_TARGET_S) / max(took_s, 1e-6)
        # Move half of the way: one batch that a lock or a checkpoint delayed does not mean that the database is slow.
        moved = min(max(int((self.messages_max + target) / 2), size_min), self.limit)
        return replace(self, messages_max=moved, few_of_each_event=few)
