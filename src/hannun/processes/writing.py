"""What every process that counts opens: PostgreSQL, Redis, the decoder."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hannun.cache import AnswerCache, Invalidator
from hannun.cache.processed_markers import ProcessedMarkers
from hannun.counting.batch_counter import BatchCounter, CountedBatch, Inspect, PreparedBatch
from hannun.counting.outbox_relay import OutboxRelay
from hannun.domain.batch import OffsetRange, ReceivedMessage
from hannun.domain.channels import ChannelTable, load_table
from hannun.domain.wire_formats import Decoder, Rules
from hannun.errors import OperatorError
from hannun.flows import health_checks
from hannun.processes.background import run_in_background
from hannun.settings import Settings
from hannun.store.batches import participant_key
from hannun.store.database import Database, connect
from hannun.telemetry import metrics


@dataclass(frozen=True, slots=True)
class Writing:
    """The writing side of a process. Each who writes has a connection of its own: `database` opens one more, for which
    PostgreSQL may be told whose it is."""

    database: Callable[..., Database]
    invalidator: Invalidator
    decoder: Decoder
    marks: ProcessedMarkers
    apart_s: float

    def counter(self, door: str, payer: OutboxRelay, inspect: Inspect = lambda *_: None) -> "MeasuredCounter":
        return MeasuredCounter(
            BatchCounter(self.database(), self.decoder, self.invalidator, inspect, payer), door, self.marks
        )

    @contextmanager
    def paying(self, cache: AnswerCache | None = None) -> Iterator[OutboxRelay]:
        """Pay what the batches of this process owe, as long as the block lasts; where it answers questions as well,
        they hear of what is not paid yet."""
        database = self.database("-payer")
        if cache is None:
            payer = OutboxRelay(database, self.invalidator, apart_s=self.apart_s)
        else:
            payer = OutboxRelay(database, self.invalidator, apart_s=self.apart_s, owes=cache.require_versions)
        with run_in_background("pay debts", payer.run, payer.wake):
            yield payer


@contextmanager
def open_writing(settings: Settings, application: str) -> Iterator[Writing]:
    """PostgreSQL and Redis, checked.

    Raises:
        OperatorError: one of them is not there or not as it must be, with what to do.
    """
    url = settings.needed("database_url")
    with connect(url, application=application) as conn:
        health_checks.check_database(conn)
        key = participant_key(conn)
    with ExitStack() as stack:

        def database(whose: str = "") -> Database:
            opened = Database(url, settings.pool, application=application + whose)
            stack.callback(opened.close)
            return opened

        invalidator = Invalidator(settings.redis)
        stack.callback(invalidator.close)
        invalidator.check()
        marks = ProcessedMarkers(
            settings.redis,
            per_second_max=settings.processed_marks_a_second,
            lifetime_s=settings.processed_mark_lifetime_s,
        )
        stack.callback(marks.close)
        stack.enter_context(run_in_background("mark messages", marks.run))
        decoder = Decoder(Rules(key, channel_table(settings), settings.naive_zone))
        yield Writing(database, invalidator, decoder, marks, settings.invalidations_apart_s)


def channel_table(settings: Settings) -> ChannelTable:
    """The table of channels: the operator's file, or the one that ships.

    Raises:
        OperatorError: the file cannot be used.
    """
    if not settings.channels_file:
        return load_table()
    try:
        return load_table(Path(settings.channels_file).read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"HANNUN_CHANNELS_FILE {settings.channels_file} cannot be used: {error}",
            hint="see src/hannun/domain/channels.toml for its form",
        ) from error


class MeasuredCounter:
    """A counter that tells the metrics, and those who look at marks, what it did."""

    def __init__(self, counter: BatchCounter, door: str, marks: ProcessedMarkers) -> None:
        self._counter = counter
        self._door = door
        self._marks = marks

    def count(self, batch: Sequence[ReceivedMessage], spans: Sequence[OffsetRange] = ()) -> CountedBatch:
        return self.write(self.prepare(batch), spans)

    def hang_up(self) -> None:
        self._counter.hang_up()

    def prepare(self, batch: Sequence[ReceivedMessage]) -> PreparedBatch:
        return self._counter.prepare(batch)

    def write(self, prepared: PreparedBatch, spans: Sequence[OffsetRange] = ()) -> CountedBatch:
        started = time.perf_counter()
        counted = self._counter.write(prepared, spans)
        size = len(prepared.batch)
        if size:  # spans alone only move a position
            metrics.batch_seconds.observe(time.perf_counter() - started)
        rejected = counted.rejected
        metrics.messages.labels(self._door, "dead-letter").inc(rejected)
        metrics.messages.labels(self._door, "read").inc(size - rejected)
        if self._marks.remaining():
            self._marks.enqueue(counted.message_ids(prepared.batch))
        return counted
