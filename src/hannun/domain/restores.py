"""Values of a restore."""

from decimal import Decimal
from typing import NamedTuple


def format_duration(seconds: float) -> str:
    """How long something took: in seconds below a minute, else in minutes."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:,.1f} minutes"


def format_sum(text: str | None) -> str:
    """A total of a manifest with separators of thousands; "?" where the manifest has none."""
    return "?" if text is None else f"{Decimal(text):,}"


class RestoredPosition(NamedTuple):
    """Where reading a partition resumes after a restore.

    `was_at` is the position in the database that is replaced; None where that is not known.
    """

    topic: str
    partition: int
    topic_id: str
    next_offset: int
    was_at: int | None

    @property
    def to_read_again(self) -> int | None:
        """How many messages were counted after the backup and are read again; None where that is not known."""
        return None if self.was_at is None else max(self.was_at - self.next_offset, 0)
