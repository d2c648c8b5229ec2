"""Measurements into PostgreSQL, in one transaction: totals, increments, corrections and aggregates change together.

    lock the events ─► read what was measured ─► settle ─► increments, corrections, totals ─► aggregates ─► outbox entry

The number of statements does not depend on the number of measurements. Like a batch (`store.batches`), this locks its
events first, in the order of their numbers: what it reads of them stays true, and nobody deadlocks. The caller decides
where the transaction begins and ends.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from hannun.domain.batch import ChangedEvent
from hannun.domain.channel_totals import COUNTS, ChannelTotals, RefusedTotals, engagement
from hannun.domain.increments import NEVER_MEASURED, Measured, MinuteCounts, Settled, settle
from hannun.domain.measurements import Measurement, MeasurementResult, Outcome, PieceResult, WrittenMeasurements
from hannun.errors import OutdatedCaches, StaleWork
from hannun.store import outbox, rounds
from hannun.store.database import Connection
from hannun.store.ledger_copy import int_array, text_array
from hannun.store.queries import load

SQL = load("measurements")

Pair = tuple[int, int]
"""An event's and a channel's number."""


def write(conn: Connection, pieces: Sequence[PieceResult]) -> WrittenMeasurements:
    """Write the measurements of pieces in the caller's transaction, and finish the pieces. Their months exist.

    A measurement that is not newer than the newest accepted one of its event and channel changes nothing.

    Raises:
        StaleWork: another process has taken some of the pieces. Roll back, and write the others.
        OutdatedCaches: a month was detached meanwhile. Roll back, make the months, write them again.
    """
    changes = MeasurementChanges(conn, [one for piece in pieces for one in piece.measurements])
    changes.settle()
    changes.write_history()
    changes.write_attempts()
    events = changes.publish()
    results = iter(changes.results)
    by_piece = [list(itertools.islice(results, len(piece.measurements))) for piece in pieces]
    outbox_no = outbox.add(conn, events) if events else None
    _finish(conn, pieces, by_piece)
    return WrittenMeasurements(by_piece, events, outbox_no)


def _finish(conn: Connection, pieces: Sequence[PieceResult], results: Sequence[Sequence[MeasurementResult]]) -> None:
    """Finish the pieces of rounds. Last, so that their rows are locked for a short time."""
    counts = {
        piece.token: {**Counter(str(result.outcome) for result in of_piece), **piece.counts}
        for piece, of_piece in zip(pieces, results, strict=True)
        if piece.token is not None
    }
    if counts:
        stale = counts.keys() - rounds.finish_many(conn, counts)
        if stale:
            raise StaleWork(stale)


def minutes_of(pieces: Sequence[PieceResult]) -> set[datetime]:
    """The minutes at which the measurements may add something to the timeline."""
    measurements = (one for piece in pieces for one in piece.measurements)
    return {minute_of(one.measured_at) for one in measurements if isinstance(one.totals, ChannelTotals)}


def minute_of(measured_at: datetime) -> datetime:
    return measured_at.replace(second=0, microsecond=0)


def now(conn: Connection) -> datetime:
    """The database's time: UTC, without a zone."""
    row = conn.execute(SQL["now"]).fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def measurable(conn: Connection, channel: str, event_ids: Collection[str]) -> dict[str, bool]:
    """Those of the events that exist, and whether the channel, by its key, has a type for each."""
    return dict(conn.execute(SQL["measurable"], {"channel": channel, "event_ids": sorted(event_ids)}).fetchall())


class _Found(NamedTuple):
    """What the database holds for a measurement."""

    event_no: int
    channel_no: int
    channel_name: str
    typed: bool


@dataclass(slots=True)
class _PairState:
    """What is measured of an event on a channel, while measurements are applied to it."""

    measured: Measured
    accepted: bool = False
    imported: bool = False


@dataclass(slots=True)
class _EventChange:
    """What the measurements change of an event."""

    channels: set[str] = field(default_factory=set)
    first_minute: datetime | None = None
    views_changed: bool = False


class MeasurementChanges:
    """Measurements on their way into the database. The methods stand in the order of their calls."""

    def __init__(self, conn: Connection, measurements: Sequence[Measurement]) -> None:
        self._conn = conn
        self._measurements = measurements
        self._results: dict[int, MeasurementResult] = {}
        self._events: dict[str, tuple[int, str | None]] = {}
        self._pairs: dict[Pair, _PairState] = {}
        self._channel_minutes: dict[tuple[int, int, datetime], Mapping[str, int]] = {}
        self._event_minutes: dict[tuple[int, datetime], MinuteCounts] = {}
        self._increments: dict[tuple[int, int, datetime], tuple[Counter[str], bool]] = {}
        self._corrections: list[tuple[int, int, datetime, str, int]] = []
        self._attempts: dict[Pair, tuple[datetime, str]] = {}
        self._changed: dict[int, _EventChange] = {}

    @property
    def results(self) -> list[MeasurementResult]:
        """A result for each measurement, in their order."""
        return [self._results[position] for position in range(len(self._measurements))]

    # -- what is there, and what the measurements make of it

    def settle(self) -> None:
        """Lock the events, read what was measured of them, and apply the measurements to it, the oldest first."""
        found = self._read()
        oldest_first = sorted(range(len(self._measurements)), key=lambda at: self._measurements[at].measured_at)
        for position in oldest_first:
            self._results[position] = self._apply(self._measurements[position], found.get(position))

    def _read(self) -> dict[int, _Found]:
        """Lock the events and read what the database holds for each measurement, by its position."""
        ids = {one.event_id for one in self._measurements}
        rows = self._conn.execute(SQL["lock_events"], {"event_ids": text_array(sorted(ids))}).fetchall()
        self._events = {event_id: (no, owner) for no, event_id, owner in rows}
        known = [at for at, one in enumerate(self._measurements) if one.event_id in self._events]
        if not known:
            return {}
        measurements = [self._measurements[at] for at in known]
        asked = {
            "positions": int_array(known),
            "event_nos": int_array(self._events[one.event_id][0] for one in measurements),
            "event_ids": text_array(one.event_id for one in measurements),
            "channels": text_array(one.channel for one in measurements),
            "minutes": [minute_of(one.measured_at) for one in measurements],
        }
        return dict(self._record(*row) for row in self._conn.execute(SQL["read_measured"], asked))

    def _record(
        self, position: int, channel_no: int, name: str, type_: str | None, measured_at: Any, falls: Any, *counts: Any
    ) -> tuple[int, _Found]:
        """Record what a row of `read_measured` says."""
        one = self._measurements[position]
        event_no, minute = self._events[one.event_id][0], minute_of(one.measured_at)
        minute_at, timeline_at = len(ChannelTotals._fields), len(ChannelTotals._fields) + len(COUNTS)
        totals, of_minute, timeline = counts[:minute_at], counts[minute_at:timeline_at], counts[timeline_at:]
        if measured_at is not None and (event_no, channel_no) not in self._pairs:
            self._pairs[event_no, channel_no] = _PairState(Measured(ChannelTotals(*totals), measured_at, falls or {}))
        if of_minute[0] is not None:
            self._channel_minutes[event_no, channel_no, minute] = dict(zip(COUNTS, of_minute, strict=True))
        if timeline[0] is not None:
            self._event_minutes[event_no, minute] = MinuteCounts({}, *timeline)
        return position, _Found(event_no, channel_no, name, type_ is not None)

    def _apply(self, one: Measurement, found: _Found | None) -> MeasurementResult:
        if one.event_id not in self._events:
            return MeasurementResult(Outcome.UNKNOWN_EVENT)
        if found is None:
            return MeasurementResult(Outcome.UNKNOWN_CHANNEL)
        if isinstance(one.totals, RefusedTotals):
            return self._attempted(one, found, Outcome.REFUSED, str(one.totals))
        if isinstance(one.totals, str):
            return self._attempted(one, found, Outcome.FAILED, one.totals)
        if not found.typed:
            return self._attempted(one, found, Outcome.NO_TYPE, Outcome.NO_TYPE)
        state = self._pairs.setdefault((found.event_no, found.channel_no), _PairState(NEVER_MEASURED))
        settled = settle(state.measured, one.totals, one.measured_at)
        if not settled.accepted:
            return MeasurementResult(Outcome.OLDER)
        if settled.increments and not self._fit(found, minute_of(one.measured_at), settled):
            return self._attempted(one, found, Outcome.MINUTE_FULL, Outcome.MINUTE_FULL)
        state.measured, state.accepted, state.imported = settled.after, True, one.imported
        self._record_change(one, found, settled)
        return MeasurementResult(
            _outcome_of(settled), settled.increments, settled.corrections, settled.after.falls, settled.baseline
        )

    def _attempted(self, one: Measurement, found: _Found, outcome: Outcome, why: str) -> MeasurementResult:
        """Record an attempt that brought nothing; of several the newest."""
        self._attempts[found.event_no, found.channel_no] = (one.measured_at, why)
        return MeasurementResult(outcome)

    def _fit(self, found: _Found, minute: datetime, settled: Settled) -> bool:
        """Add increments to their minute. Returns False where a column cannot hold the sum: another minute will."""
        in_channel, in_event = (found.event_no, found.channel_no, minute), (found.event_no, minute)
        of_event = self._event_minutes.get(in_event, MinuteCounts())
        after = of_event._replace(of_channel=self._channel_minutes.get(in_channel, {})).plus(settled.increments)
        if after is None:
            return False
        self._channel_minutes[in_channel], self._event_minutes[in_event] = after.of_channel, after
        return True

    def _record_change(self, one: Measurement, found: _Found, settled: Settled) -> None:
        event_no, channel_no = found.event_no, found.channel_no
        change = self._changed.setdefault(event_no, _EventChange())
        change.channels.add(found.channel_name)
        change.views_changed |= "views" in settled.increments or "views" in settled.corrections
        if settled.increments:
            minute = minute_of(one.measured_at)
            summed, baseline = self._increments.get((event_no, channel_no, minute), (Counter[str](), False))
            summed.update(settled.increments)
            self._increments[event_no, channel_no, minute] = summed, baseline or settled.baseline
            change.first_minute = minute if change.first_minute is None else min(change.first_minute, minute)
        self._corrections += [
            (event_no, channel_no, one.measured_at, metric, amount) for metric, amount in settled.corrections.items()
        ]

    # -- increments, corrections, totals

    def write_history(self) -> None:
        """Write the increments, the corrections, and the totals that follow from them."""
        if self._increments:
            keys = sorted(self._increments)
            self._conn.execute(
                SQL["add_increments"],
                {
                    **_key_columns(keys),
                    "minutes": [minute for _, _, minute in keys],
                    "baselines": [self._increments[key][1] for key in keys],
                    **_columns(COUNTS, [self._increments[key][0] for key in keys], lambda counts, name: counts[name]),
                },
            )
        if self._corrections:
            corrected = sorted(self._corrections)
            self._conn.execute(
                SQL["add_corrections"],
                {
                    **_key_columns(corrected),
                    "corrected_ats": [at for _, _, at, _, _ in corrected],
                    "metrics": text_array(metric for *_, metric, _ in corrected),
                    "amounts": int_array(amount for *_, amount in corrected),
                },
            )
        pairs = self._accepted_pairs()
        if pairs:
            measured = [self._pairs[pair].measured for pair in pairs]
            self._conn.execute(
                SQL["save_measured"],
                {
                    **_key_columns(pairs),
                    "measured_ats": [one.measured_at for one in measured],
                    "importeds": [self._pairs[pair].imported for pair in pairs],
                    "falls": [Jsonb(dict(one.falls)) if one.falls else None for one in measured],
                    **_columns(COUNTS, [one.totals for one in measured], getattr),
                    "average_durations": int_array(one.totals.average_duration for one in measured),
                },
            )

    def write_attempts(self) -> None:
        """Write when, and why, attempts brought nothing. Nothing else of their events changes."""
        if self._attempts:
            pairs = sorted(self._attempts)
            self._conn.execute(
                SQL["save_attempts"],
                {
                    **_key_columns(pairs),
                    "polled_ats": [self._attempts[pair][0] for pair in pairs],
                    "refusals": text_array(self._attempts[pair][1] for pair in pairs),
                },
            )

    def _accepted_pairs(self) -> list[Pair]:
        return sorted(pair for pair, state in self._pairs.items() if state.accepted)

    # -- aggregates, and the invalidations that follow

    def publish(self) -> list[ChangedEvent]:
        """Write the aggregates. Returns the events whose cached answers are outdated."""
        if not self._changed:
            return []
        self._conn.execute(SQL["publish_channels"], _key_columns(self._accepted_pairs()))
        self._add_to_timeline()
        nos = sorted(self._changed)
        minutes = [self._changed[no].first_minute for no in nos]
        versions: dict[int, int] = dict(
            self._conn.execute(SQL["raise_versions"], {"event_nos": int_array(nos), "minutes": minutes}).fetchall()
        )
        by_no = {no: (event_id, owner) for event_id, (no, owner) in self._events.items()}
        seen = [by_no[no][0] for no in nos if self._changed[no].views_changed]
        if seen:
            self._conn.execute(SQL["publish_views"], {"event_ids": text_array(seen)})
        return [ChangedEvent(*by_no[no], versions[no], tuple(sorted(self._changed[no].channels))) for no in nos]

    def _add_to_timeline(self) -> None:
        by_minute: dict[tuple[int, datetime], Counter[str]] = {}
        for (event_no, _, minute), (counts, _) in self._increments.items():
            by_minute.setdefault((event_no, minute), Counter()).update(counts)
        if not by_minute:
            return
        id_of = {no: event_id for event_id, (no, _) in self._events.items()}
        keys = sorted(by_minute)
        counts_of = [by_minute[key] for key in keys]
        try:
            self._conn.execute(
                SQL["add_timeline_measured"],
                {
                    "event_nos": int_array(no for no, _ in keys),
                    "event_ids": text_array(id_of[no] for no, _ in keys),
                    "minutes": [minute for _, minute in keys],
                    "views": int_array(counts["views"] for counts in counts_of),
                    "engagements": int_array(engagement(counts) for counts in counts_of),
                    "conversions": int_array(counts["conversions"] for counts in counts_of),
                },
            )
        except psycopg.errors.CheckViolation as error:
            if error.diag.constraint_name is not None:
                raise
            # No constraint of a column: the row has no partition, because its month was detached meanwhile.
            raise OutdatedCaches(f"a month of the timeline is detached: {error.diag.message_primary}") from error


def _outcome_of(settled: Settled) -> Outcome:
    if settled.increments or settled.corrections:
        return Outcome.CHANGED
    return Outcome.FALLING if settled.after.falls else Outcome.UNCHANGED


def _key_columns(rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """The numbers of events and channels, the first two values of each row, as arrays."""
    return {"event_nos": int_array(row[0] for row in rows), "channel_nos": int_array(row[1] for row in rows)}


def _columns(names: Sequence[str], rows: Sequence[Any], value: Callable[[Any, str], int | None]) -> dict[str, str]:
    """An array for each of these names."""
    return {name: int_array(value(row, name) for row in rows) for name in names}
