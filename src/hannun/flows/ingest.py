"""Count what Kafka holds, until told to stop.

Counts and positions are written in one transaction, and after a start or a rebalance reading resumes from those
positions: that is the whole of exactly once.
"""

import threading
from collections.abc import Sequence
from typing import Protocol

from hannun.domain.batch import Received, Span
from hannun.errors import StaleBatch, StoreUnavailable
from hannun.stream import Stream, Taken
from hannun.telemetry import log

AWAY_S = 0.25
"""How often we look whether PostgreSQL is back; the group is kept meanwhile."""


class CountsBatches(Protocol):
    """What counts a batch (`flows.count.Counter`): handed in by the wiring, since no flow knows another."""

    def count(self, batch: Sequence[Received], spans: Sequence[Span] = ()) -> object: ...


def ingest(stream: Stream, counter: CountsBatches, stop: threading.Event, *, count_max: int, wait_s: float) -> None:
    """Count messages until told to stop; a batch in hand is finished first.

    Raises:
        StreamUnavailable: the Kafka client has failed for good.
    """
    while not stop.is_set():
        taken = stream.take(count_max, wait_s)
        if taken.spans:
            _count(stream, counter, taken, stop)


def _count(stream: Stream, counter: CountsBatches, taken: Taken, stop: threading.Event) -> None:
    """Count one batch, however long PostgreSQL is away; drop it when its partitions are no longer ours."""
    away = False
    while True:
        try:
            counter.count(taken.messages, taken.spans)
            stream.counted(taken.spans)
            return
        except StaleBatch as stale:
            # Also after a commit whose answer was lost: then the positions have moved, and the batch is counted.
            log.warning("batch dropped", why=str(stale))
            stream.resume()
            return
        except StoreUnavailable as error:
            if not away:
                log.warning("PostgreSQL is away; waiting with the batch in hand", error=str(error))
                away = True
            stream.keep_alive(AWAY_S)
            if stop.is_set() or not stream.holds(taken.spans):
                return
