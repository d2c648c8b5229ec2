"""How large a batch may be: as large as is written in a moment.

A large batch is cheap, since the rows of an event are changed once for many messages. But whatever is fresh waits for
the batch before it, and so does everybody who wants one of its events; so it is the time that is bounded.
"""

WRITTEN_IN_S = 0.2
"""What a batch takes to be written, about. A fresh message beside a backlog waits for two or three of them."""
LEAST = 1_000
"""Smaller batches are hardly faster: a commit has its own price."""


def next_batch_size(size: int, messages: int, took_s: float, most: int) -> int:
    """The largest size of the next batch, after one of `messages` was written in `took_s` seconds.

    Args:
        size: what the largest size was. A batch that was much smaller tells nothing: there was no more to take.
        most: more it never becomes, whatever the pace.
    """
    least = min(LEAST, most)
    if messages * 2 < size:
        return min(max(size, least), most)
    wanted = messages * WRITTEN_IN_S / max(took_s, 1e-6)
    # Half of the way: one batch that was held up, by a lock or a checkpoint, is not yet a slow database.
    return min(max(int((size + wanted) / 2), least), most)
