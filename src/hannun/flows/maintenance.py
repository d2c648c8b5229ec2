"""Small timed jobs on the database: each is one function, run once; `processes.schedule` says how often."""

import math
from datetime import UTC, timedelta

from hannun.errors import StoreUnavailable
from hannun.store import known_channels, outbox, positions, refresh_status, uncreated_events
from hannun.store.database import Database
from hannun.telemetry import log, metrics, replace_series


def attribute_untyped_participants(database: Database) -> int:
    """Attribute participants whose channel got its type since they came. Returns how many."""
    with database.transaction() as conn:
        return known_channels.attribute_untyped_participants(conn)


def log_uncreated_events(database: Database) -> int:
    """Log events that are counted but received no event-created message for an hour. Returns how many.

    Their messages are probably lost on the way.
    """
    with database.transaction() as conn:
        uncreated = uncreated_events.uncreated_events(conn)
    for event_id, participants in uncreated:
        log.warning("event counted without an event-created message", event_id=event_id, participants=participants)
    return len(uncreated)


def update_gauges(database: Database) -> None:
    """Set the gauges of partitions that wait for an operator, alone or with their topic, and of pending invalidations.

    Raises:
        StoreUnavailable: PostgreSQL is away; the gauges then show no value, or not a number.
    """
    try:
        with database.transaction() as conn:
            stopped, pending = positions.count_stopped_by_topic(conn), outbox.count(conn)
    except StoreUnavailable:
        replace_series(metrics.stopped, {})
        metrics.owed.set(math.nan)
        raise
    replace_series(metrics.stopped, {(topic,): count for topic, count in stopped.items()})
    metrics.owed.set(pending)


def update_refresh_gauges(database: Database, stale_after: timedelta) -> None:
    """Set the gauges of the refresh: the newest round, and how old what channels have measured is.

    Raises:
        StoreUnavailable: PostgreSQL is away; the gauges then show no value, or not a number.
    """
    try:
        with database.transaction() as conn:
            status = refresh_status.read(conn, stale_after)
    except StoreUnavailable:
        replace_series(metrics.refresh_pairs, {})
        replace_series(metrics.refresh_oldest_measurement, {})
        metrics.refresh_pieces_open.set(math.nan)
        metrics.refresh_last_end.set(math.nan)
        raise
    replace_series(metrics.refresh_pairs, {(state,): amount for state, amount in status.pairs.items()})
    ages: dict[tuple[str, ...], float] = {
        (each.name,): (status.now - each.oldest_at).total_seconds()
        for each in status.ages.values()
        if each.oldest_at is not None
    }
    replace_series(metrics.refresh_oldest_measurement, ages)
    metrics.refresh_pieces_open.set(status.pieces_open)
    last = status.last_end
    metrics.refresh_last_end.set(math.nan if last is None else last.replace(tzinfo=UTC).timestamp())
