"""Adjusts the size of batches to the speed of PostgreSQL, so that each is written in about a set time.

A large batch is cheap: it changes the rows of an event once for many messages. But a new message waits until the batch
before it is written, and so does every other transaction that needs one of its events. So the time is bounded, and not
the size.

Where a batch holds few messages of each event, most of its cost are the rows of the events, and a batch of twice the
size costs hardly more. So it may take longer there: a backlog of many small events is read several times faster.
"""

WRITE_TARGET_S = 0.2
"""About how long a batch should take to write. A new message behind a backlog waits for two or three batches."""
WRITE_TARGET_OF_MANY_EVENTS_S = 1.5
"""The same where a batch holds few messages of each event. Well below the 4 s after which a PostgreSQL that does not
answer is treated as unavailable, and for which HTTP ingestion waits for a lock."""
FEW_MESSAGES = 20
"""As many messages of each event are few."""
SIZE_MIN = 1_000
"""Smaller batches are hardly faster, since each commit has a fixed cost."""
SIZE_AT_START = 20_000
"""The size limit before anything is known of the speed of PostgreSQL."""


def next_batch_size(size: int, messages: int, events: int, took_s: float, size_max: int) -> int:
    """The size limit of the next batch, after a batch of `messages` messages was written in `took_s` seconds.

    Args:
        size: the size limit of that batch. A batch of less than half of it changes nothing: Kafka had no more messages.
        events: how many events the batch changed.
        size_max: the limit never exceeds this, however fast batches are written.
    """
    size_min = min(SIZE_MIN, size_max)
    if messages * 2 < size:
        return min(max(size, size_min), size_max)
    target_s = WRITE_TARGET_OF_MANY_EVENTS_S if messages < events * FEW_MESSAGES else WRITE_TARGET_S
    target = messages * target_s / max(took_s, 1e-6)
    # Move half of the way: one batch that a lock or a checkpoint delayed does not mean that the database is slow.
    return min(max(int((size + target) / 2), size_min), size_max)
