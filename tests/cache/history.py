"""What a history of questions must keep, whoever made it: the model, or real processes on a real Redis."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, as it was asked: `promised` is the newest version whose invalidation was acknowledged before, `seen`
    the newest that this client was told before."""

    promised: int
    seen: int


def broken(asked: Asked, answered: int) -> str | None:
    """Which promise an answer breaks; None where it keeps them."""
    if answered < asked.promised:
        return f"older than promised: {answered} after {asked.promised} was acknowledged"
    if answered < asked.seen:
        return f"backwards: {answered} to who has seen {asked.seen}"
    return None
