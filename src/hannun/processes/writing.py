"""What a process opens in order to count: PostgreSQL, Redis, the decoder."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from hannun.cache import AnswerCache, Invalidator, opening
from hannun.cache.processed_markers import ProcessedMarkers
from hannun.counting.batch_counter import BatchCounter
from hannun.counting.measurement_counter import MeasurementCounter
from hannun.counting.outbox_relay import Delivers, DirectDelivery, OutboxRelay
from hannun.domain.quarantine import QuarantineLimits
from hannun.domain.wire_formats import Decoder, Rules
from hannun.flows import health_checks
from hannun.key_ring import KeyRing
from hannun.processes.amounts import optional_key_ring
from hannun.processes.background import run_in_background
from hannun.processes.channels import channel_table
from hannun.settings import Settings
from hannun.store import forgotten
from hannun.store.amounts import Amounts
from hannun.store.batches import participant_key
from hannun.store.database import Database, PoolLimits, connected


@dataclass(frozen=True, slots=True)
class Writing:
    """What a process needs to count. Each writer has a connection of its own: `database` opens another one, with a
    suffix of the application's name for `pg_stat_activity`."""

    database: Callable[..., Database]
    invalidator: Invalidator
    decoder: Decoder
    key_ring: KeyRing | None
    marks: ProcessedMarkers
    apart_s: float
    end_transactions_after: Callable[[float], None]
    """Let transactions of this process, which ends, run on for so many seconds; then abort them and begin none."""

    def counter(self, source: str, delivery: Delivers) -> BatchCounter:
        """A counter on a connection of its own; `source` labels its metrics: "http", "kafka" or "servicebus"."""
        return BatchCounter(
            self.database(), self.decoder, delivery, source=source, markers=self.marks, key_ring=self.key_ring
        )

    def direct_counter(self) -> BatchCounter:
        """A counter for a command: it delivers each invalidation at once, and records no metrics."""
        database = self.database()
        delivery = DirectDelivery(database, self.invalidator)
        return BatchCounter(database, self.decoder, delivery, key_ring=self.key_ring)

    def measurement_counter(self, suffix: str, delivery: Delivers) -> MeasurementCounter:
        """A counter of measurements on a connection of its own."""
        return MeasurementCounter(self.database(suffix), delivery)

    def direct_measurement_counter(self) -> MeasurementCounter:
        """A counter of measurements for a command: it delivers each invalidation at once."""
        database = self.database()
        return MeasurementCounter(database, DirectDelivery(database, self.invalidator))

    @contextmanager
    def relaying(self, cache: AnswerCache | None = None) -> Iterator[OutboxRelay]:
        """The outbox relay of this process, running until the block ends. With `cache` it raises the version floors of
        the answers before it delivers."""
        relay = OutboxRelay(
            self.database("-relay"),
            self.invalidator,
            before_delivery=(lambda _: None) if cache is None else cache.require_versions,
            interval_s=self.apart_s,
        )
        with run_in_background("outbox relay", relay.run, relay.wake):
            yield relay


@contextmanager
def open_writing(settings: Settings, application: str, limits: PoolLimits | None = None) -> Iterator[Writing]:
    """Open what counts, with PostgreSQL and Redis checked.

    Args:
        limits: of the connections to PostgreSQL; by default those of the settings.

    Raises:
        Transient: one of them cannot be reached now.
        OperatorError: one of them is not as it must be, with what to do.
    """
    url = settings.database_source
    key_ring = optional_key_ring(settings)
    of_process = Amounts(key_ring)
    with connected(url, application=application, amounts=of_process) as conn:
        health_checks.check_database(conn)
        key = participant_key(conn)
        forgotten.load(conn, key_ring)  # without its keys, counting would bring forgotten ids back
    databases: list[Database] = []
    closed = threading.Event()

    def end_transactions_after(seconds: float) -> None:
        def run() -> None:
            if not closed.wait(seconds):
                for database in databases:
                    database.end()

        threading.Thread(target=run, name="end transactions", daemon=True).start()

    with ExitStack() as stack:
        stack.callback(closed.set)

        def database(suffix: str = "") -> Database:
            of_pool = limits or settings.pool
            opened = Database(url, of_pool, application=application + suffix, amounts=of_process)
            databases.append(opened)
            stack.callback(opened.close)
            return opened

        invalidator = opening.invalidator(settings.redis)
        stack.callback(invalidator.close)
        invalidator.check_usable()
        marks = opening.processed_markers(
            settings.redis,
            per_second_max=settings.processed_marks_a_second,
            lifetime_s=settings.processed_mark_lifetime_s,
        )
        stack.callback(marks.close)
        stack.enter_context(run_in_background("mark messages", marks.run, marks.wake))
        decoder = Decoder(Rules(key, channel_table(settings), settings.naive_zone, settings.time_forms))
        yield Writing(
            database, invalidator, decoder, key_ring, marks, settings.invalidations_apart_s, end_transactions_after
        )


def quarantine_limits(settings: Settings) -> QuarantineLimits:
    """How many messages of a partition may be unusable before it is not read further."""
    return QuarantineLimits(settings.dead_letters_in_a_row_max, settings.dead_letters_share_max)
