"""The clock of the channel sandbox. It can be set, moved and stopped, so that a day is simulated in seconds."""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The time in the sandbox. It runs with the machine's clock until it is told otherwise."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self._stopped_at: datetime | None = None

    def now(self) -> datetime:
        """The time, in UTC."""
        return self._stopped_at or self._real() + self._ahead

    @property
    def is_stopped(self) -> bool:
        return self._stopped_at is not None

    def set(self, now: datetime, *, stopped: bool = False) -> None:
        """Set the time; from there it runs, or stands still until it is set again."""
        self._ahead = now - self._real()
        self._stopped_at = now.astimezone(UTC) if stopped else None

    def reset(self) -> None:
        """Follow the machine's clock again."""
        self._ahead, self._stopped_at = timedelta(0), None

    def _real(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)
