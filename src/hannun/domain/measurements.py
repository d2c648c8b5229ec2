"""Measurements on their way into the database: what a poll has brought, and what became of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from hannun.domain.batch import ChangedEvent
from hannun.domain.channel_totals import ChannelTotals, RefusedTotals
from hannun.domain.rounds import WorkToken

AGE_MAX: Final = timedelta(days=366)
"""Totals that were true longer ago are not taken from people: a mistyped year would open a month of the timeline."""


class Measurement(NamedTuple):
    """What one attempt to measure an event on a channel has brought.

    Args:
        channel: the channel's key.
        totals: totals, or why they were refused, or why the attempt failed (a reason out of the client's list).
        measured_at: when the totals were true, by the database's clock (UTC, without a zone).
        imported: whether people gave them, typed or in a file. Such totals are good for a day.
    """

    event_id: str
    channel: str
    totals: ChannelTotals | RefusedTotals | str
    measured_at: datetime
    imported: bool = False


class Outcome(StrEnum):
    """What became of a measurement. All but the first three leave the totals as they were."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FALLING = "falling"
    OLDER = "older"
    REFUSED = "refused"
    FAILED = "failed"
    NO_TYPE = "no-type"
    MINUTE_FULL = "minute-full"
    UNKNOWN_EVENT = "unknown-event"
    UNKNOWN_CHANNEL = "unknown-channel"


class MeasurementResult(NamedTuple):
    """The outcome of a measurement.

    `falls` are the counts that are below their totals and wait for a second measurement, with what was measured.
    """

    outcome: Outcome
    increments: Mapping[str, int] = {}
    corrections: Mapping[str, int] = {}
    falls: Mapping[str, int] = {}
    baseline: bool = False


class PieceResult(NamedTuple):
    """The measurements of a piece of a round's work, which they finish; or others, without a token.

    `counts` is what else the piece has counted, for its result.
    """

    token: WorkToken | None
    measurements: Sequence[Measurement]
    counts: Mapping[str, int] = {}


class WrittenMeasurements(NamedTuple):
    """Pieces that were written together, and the events whose cached answers are outdated.

    `results` holds a result for each measurement of each piece; None for a piece that another process has taken.
    """

    results: Sequence[Sequence[MeasurementResult] | None]
    events: Sequence[ChangedEvent] = ()
    outbox_no: int | None = None


def outcomes_by_channel(pieces: Sequence[PieceResult], written: WrittenMeasurements) -> Counter[tuple[str, Outcome]]:
    """How often each outcome occurred for each channel, by its key."""
    return Counter(
        (measurement.channel, result.outcome)
        for piece, results in zip(pieces, written.results, strict=True)
        for measurement, result in zip(piece.measurements, results or (), strict=False)
    )
