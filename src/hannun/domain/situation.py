"""Where an event stands at a moment: what the sentences about it need besides its figures."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hannun.domain.event_phase import Phase


@dataclass(frozen=True, slots=True)
class Situation:
    """Instants are UTC without a zone; None where no plan states them.

    first: the first minute in which something was counted; None where nothing was.
    """

    now: datetime
    tz: str
    phase: Phase
    starts_at: datetime | None
    ends_at: datetime | None
    first: datetime | None

    @property
    def begun_at(self) -> datetime | None:
        """The planned start, or when something was counted first, whichever is earlier."""
        return min((at for at in (self.starts_at, self.first) if at is not None), default=None)

    def has_run_for(self, span: timedelta) -> bool:
        begun = self.begun_at
        return self.phase is Phase.RUNNING and begun is not None and self.now - begun >= span
