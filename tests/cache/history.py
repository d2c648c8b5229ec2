"""The promises that every history of reads must keep, whether the model made it or real processes on a real Redis."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadStart:
    """What was true when a client began a read.

    `promised` is the newest version whose invalidation was acknowledged before, `seen` the newest version that this
    client had received before.
    """

    promised: int
    seen: int


def broken_promise(start: ReadStart, answered: int) -> str | None:
    """Which promise an answer of version `answered` breaks; None if it keeps both."""
    if answered < start.promised:
        return f"older than promised: {answered} after {start.promised} was acknowledged"
    if answered < start.seen:
        return f"backwards: {answered} to a client that has seen {start.seen}"
    return None
