"""Rounds of periodic work: each (job, due time) is done once, by all processes that run the job together.

    begin ─► planned pieces ─► take ─► do ─► finish ─► all are done ─► end
                 ▲               │ no heartbeat for `LOST_AFTER_S`
                 └───────────────┘ another process takes the piece, or the round, under the next epoch

All times are those of PostgreSQL's clock, UTC without a zone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

HEARTBEAT_S: Final = 8.0
LOST_AFTER_S: Final = 20.0
"""A process that has written no heartbeat for so long has died, or stands still: its work is given to another."""

POLL: Final = "poll"
SPACED_POLL: Final = "spaced-poll"
REBUILD: Final = "rebuild"
"""The kinds of pieces: ask a channel for events; the same where its budget spaces the calls over the whole period, so
that nothing waits for it; rebuild the cached answers of events."""


HeldPiece = tuple[int, int]
"""A piece that a process works on: its number, and the epoch under which it was taken."""


class PlannedPiece(NamedTuple):
    """A piece of work that is not taken yet. `channel` is a channel's key, None where the piece needs none."""

    kind: str
    channel: str | None
    event_nos: Sequence[int]


class WorkToken(NamedTuple):
    """The right to finish a piece: it holds while nobody else has taken the piece under a higher epoch."""

    job: str
    due_at: datetime
    work_no: int
    epoch: int

    @property
    def held(self) -> HeldPiece:
        return self.work_no, self.epoch


class Piece(NamedTuple):
    """A piece that this process has taken. `event_ids` belong to `event_nos`, in the same order."""

    token: WorkToken
    kind: str
    channel: str | None
    event_nos: Sequence[int]
    event_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class OpenRound:
    """A round that is not ended. `silent_s` is how long its owner has written no heartbeat."""

    job: str
    due_at: datetime
    owner: str
    epoch: int
    began_at: datetime
    deadline_at: datetime
    silent_s: float
    now: datetime


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A round as an operator sees it. `result` are its counts, None while it is open."""

    due_at: datetime
    owner: str
    epoch: int
    began_at: datetime
    deadline_at: datetime
    ended_at: datetime | None
    result: dict[str, Any] | None
    now: datetime
    pieces: int
    pieces_done: int


class Pair(NamedTuple):
    """An event and a channel that measures it.

    Args:
        polled_at: the newest attempt, also one that failed; None before the first.
        moved_at: the minute of the newest increment that the channel has measured; None without one.
        ends_at: the planned end, or the moment of the end; None without.
    """

    channel: str
    event_no: int
    polled_at: datetime | None
    moved_at: datetime | None
    ends_at: datetime | None
