"""Adjusts the size of batches to the speed of PostgreSQL, so that each is written in about `WRITE_TARGET_S`.

A large batch is cheap: it changes the row of an event once for many messages. But a new message waits until the batch
before it is written, and so does every other transaction that needs one of its events. So the time is bounded, and not
the size.
"""

WRITE_TARGET_S = 0.2
"""About how long a batch should take to write. A new message behind a backlog waits for two or three batches."""
SIZE_MIN = 1_000
"""Smaller batches are hardly faster, since each commit has a fixed cost."""


def next_batch_size(size: int, messages: int, took_s: float, size_max: int) -> int:
    """The size limit of the next batch, after a batch of `messages` messages was written in `took_s` seconds.

    Args:
        size: the size limit of that batch. A batch of less than half of it changes nothing: Kafka had no more messages.
        size_max: the limit never exceeds this, however fast batches are written.
    """
    size_min = min(SIZE_MIN, size_max)
    if messages * 2 < size:
        return min(max(size, size_min), size_max)
    target = messages * WRITE_TARGET_S / max(took_s, 1e-6)
    # Move half of the way: one batch that a lock or a checkpoint delayed does not mean that the database is slow.
    return min(max(int((size + target) / 2), size_min), size_max)
