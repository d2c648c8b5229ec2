"""A clock for backups, whose names hold seconds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def every_second() -> Callable[[], datetime]:
    """A clock that goes on by a second with each look: two backups have two names."""
    seconds = count()
    return lambda: NOON + timedelta(seconds=next(seconds))
