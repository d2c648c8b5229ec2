"""Counts what channels measure: the same path for a round's polls, typed totals and imported ones.

    measurements ─► months ─► ONE TRANSACTION (`store.measurements`) ─► deliver the outbox entry to the cache

Totals are counted once by their time: a measurement that is not newer than the newest one of its event and channel
changes nothing. So the same measurements, written again, change nothing.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime

from hannun.counting.outbox_relay import Delivers
from hannun.domain.audit_chain import NewEntry
from hannun.domain.measurements import PieceResult, WrittenMeasurements, outcomes_by_channel
from hannun.errors import OutdatedCaches, StaleWork, StoreUnavailable
from hannun.store import audit_log
from hannun.store import measurements as store
from hannun.store.database import Database
from hannun.store.partitions import create_months
from hannun.telemetry import log, metrics


class MeasurementCounter:
    """Counts measurements on one connection.

    It caches which months exist. The cache holds for one connection only: behind the next one the database may be
    restored from a backup, or be another one.

    Args:
        delivery: delivers the outbox entry; None leaves the entries to `deliver_pending`.
    """

    def __init__(self, database: Database, delivery: Delivers | None) -> None:
        self._database = database
        self._delivery = delivery
        self._months: set[date] = set()
        self._generation = 0

    def now(self) -> datetime:
        """The database's time, by which measurements are ordered: UTC, without a zone.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        return self._database.run(store.now)

    def measurable(self, channel: str, event_ids: Collection[str]) -> dict[str, bool]:
        """Those of the events that exist, and whether the channel, by its key, has a type for each.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        return self._database.run(lambda conn: store.measurable(conn, channel, event_ids))

    def record(self, pieces: Sequence[PieceResult], entry: NewEntry | None = None) -> WrittenMeasurements:
        """Commit the measurements of pieces, thousands at once, and finish the pieces in the same transaction. Then
        deliver the invalidations.

        A piece that another process has taken is left out with its measurements. Of all others everything is written,
        or nothing.

        Args:
            entry: of the audit log, where a person gave the measurements.

        Raises:
            ConnectionLost: the connection broke, and nothing was written. Record them again.
            StoreUnavailable: PostgreSQL is away, or the answer to the commit was lost. Record them again.
        """
        own = list(pieces)
        while True:
            try:
                written = self._record_with_months(own, entry)
                break
            except StaleWork as stale:
                own = [piece for piece in own if piece.token not in stale.tokens]
        if written.outbox_no is not None and self._delivery is not None:
            self._delivery.deliver(written.outbox_no, written.events)
        kept, results = {id(piece) for piece in own}, iter(written.results)
        written = written._replace(results=[next(results) if id(piece) in kept else None for piece in pieces])
        for (channel, outcome), times in outcomes_by_channel(pieces, written).items():
            metrics.channel_measurements.labels(channel, outcome).inc(times)
        return written

    def _record_with_months(self, pieces: Sequence[PieceResult], entry: NewEntry | None) -> WrittenMeasurements:
        """Record pieces, once more where a month was detached meanwhile."""
        try:
            return self._record(pieces, entry)
        except OutdatedCaches as outdated:
            log.info("the cached months are outdated and are made again", why=str(outdated))
        return self._record(pieces, entry)

    def _record(self, pieces: Sequence[PieceResult], entry: NewEntry | None) -> WrittenMeasurements:
        try:
            self._make_months(pieces)
            with self._database.transaction() as conn:
                written = store.write(conn, pieces)
                if entry is not None:
                    audit_log.record(conn, entry)
                return written
        except StoreUnavailable:
            self._months.clear()
            raise

    def _make_months(self, pieces: Sequence[PieceResult]) -> None:
        generation = self._database.ensure_connected()
        if generation != self._generation:
            self._months.clear()
            self._generation = generation
        months = {minute.date().replace(day=1) for minute in store.minutes_of(pieces)} - self._months
        if months:
            with self._database.transaction() as conn:
                create_months(conn, months)
            self._months |= months
