"""Where an event is between its start and its end, as the page's `event-phase.js` says it.

The status is ACTIVE from the creation of an event on, so the start of its plan decides whether it runs. One that nobody
has ended goes on, also after its planned end.
"""

from datetime import datetime
from enum import StrEnum


class Phase(StrEnum):
    UPCOMING = "upcoming"
    RUNNING = "running"
    OVER = "over"


def phase_of(status: str, starts_at: datetime | None, now: datetime) -> Phase:
    """`starts_at` and `now` are in UTC without a zone."""
    if status != "ACTIVE":
        return Phase.OVER
    return Phase.UPCOMING if starts_at is not None and starts_at > now else Phase.RUNNING
