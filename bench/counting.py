"""`count`: the batch counter alone, in this process, compared with the least work that could replace it.

    the same batches ─┬─► prepare | write of BatchCounter  what `ingest` does, in its two threads
                      ├─► COPY of their ledger rows        the least that records who was counted, one commit a batch
                      └─► their upserts                    the least that updates the figures (10,000 events)

They take turns, so that other load on the machine affects all of them alike.
"""

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice

import psycopg

from bench import per_message
from bench.figures import Figure
from bench.messages import AT, AT_US, TOPIC, TOPIC_ID, batches, events, registrations
from bench.process_usage import cpu_s
from bench.servers import BenchDatabase, Servers
from hannun.cache import Invalidator
from hannun.counting.batch_counter import BatchCounter
from hannun.counting.outbox_relay import DirectDelivery
from hannun.domain.batch import OffsetRange, ReceivedMessage
from hannun.domain.channels import load_table
from hannun.domain.facts import Kind
from hannun.domain.fold import FactsByEvent, group_by_event
from hannun.domain.wire_formats import Decoder, Rules
from hannun.processes.background import freeze_garbage_collector, shorten_thread_switch_interval
from hannun.store import outbox
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.batches import SQL, BatchWriter, participant_key
from hannun.store.database import Connection, Database, PoolLimits, connect
from hannun.store.packed_arrivals import packed
from hannun.store.partitions import create_months
from hannun.store.surrogate_keys import SurrogateKeys

BATCH_MESSAGES = 20_000
"""About the size of a batch when `ingest` reads a backlog of 100 events: as many as are written in 0.2 s or less."""
WARM_UP_BATCHES = 2
"""Batches before the measurement, which open connections, prepare statements and create the first table pages."""
BATCHES_PER_TURN = 10
"""Batches that are counted in a row before COPY takes its turn, each prepared while the one before it is written.

The first of a turn is prepared while nothing is written. A service that reads a backlog pays that once and not in every
turn, so a turn must not be short.
"""

EPOCH = 1
_CLAIM = """
INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, epoch)
VALUES (%(topic)s, 0, %(topic_id)s, 0, %(epoch)s) ON CONFLICT DO NOTHING
"""

LedgerRow = tuple[int, str, int | None]
"""Event number, participant, and minute and channel packed into one integer, as in the ledger."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many batches are measured, and how many messages the per-message consumer counts."""

    few_events: int
    many_events: int
    steps: int
    per_message: int


FULL = Sizes(few_events=60, many_events=20, steps=10, per_message=1_500)
QUICK = Sizes(few_events=10, many_events=10, steps=2, per_message=200)


@dataclass(slots=True)
class WorkTime:
    """The time that some work took: elapsed, and the CPU time of this process and of one PostgreSQL backend."""

    backend_pid: int
    elapsed_s: float = 0.0
    own_cpu_s: float = 0.0
    backend_cpu_s: float = 0.0
    messages: int = 0

    @contextmanager
    def measure(self, messages: int) -> Iterator[None]:
        """Add the time of the block, in which so many messages are processed."""
        started, own_before, backend_before = time.perf_counter(), time.process_time(), cpu_s(self.backend_pid)
        yield
        self.elapsed_s += time.perf_counter() - started
        self.own_cpu_s += time.process_time() - own_before
        self.backend_cpu_s += cpu_s(self.backend_pid) - backend_before
        self.messages += messages

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.elapsed_s

    @property
    def own_cpu_us(self) -> float:
        """CPU time of this process, in microseconds a message."""
        return self.own_cpu_s / self.messages * 1e6

    @property
    def backend_cpu_us(self) -> float:
        """CPU time of the backend, in microseconds a message."""
        return self.backend_cpu_s / self.messages * 1e6


class InProcessIngestion:
    """What `ingest` does with the messages of one partition, in this process and on one database."""

    def __init__(self, database: BenchDatabase, stack: ExitStack, amounts: Amounts = WITHOUT_KEYS) -> None:
        # One connection writes, and the CPU time of its backend is measured.
        self.database = Database(database.url, PoolLimits(), application="bench", amounts=amounts)
        stack.callback(self.database.close)
        self.invalidator = Invalidator(database.redis)
        stack.callback(self.invalidator.close)
        with self.database.transaction() as conn:
            self.decoder = Decoder(Rules(participant_key(conn), load_table()))
            conn.execute(_CLAIM, {"topic": TOPIC, "topic_id": TOPIC_ID, "epoch": EPOCH})
            self.backend_pid = conn.info.backend_pid
        self.counter = BatchCounter(self.database, self.decoder, DirectDelivery(self.database, self.invalidator))
        self.keys = SurrogateKeys()

    def create_events(self, seed: int, count: int) -> None:
        """Count the messages that create the events, and create the partition of the month of their registrations."""
        created = [
            ReceivedMessage(kind, value, AT_US) for kind, _, value in events(seed, count) if kind == Kind.EVENT_CREATED
        ]
        for first in range(0, len(created), BATCH_MESSAGES):
            self.counter.count(created[first : first + BATCH_MESSAGES])
        with self.database.transaction() as conn:
            create_months(conn, {AT.date().replace(day=1)})

    def count(self, batches: Sequence[Sequence[ReceivedMessage]]) -> None:
        """Count batches as `flows.kafka_ingestion` does: each is prepared while the one before it is written."""
        write: Future[object] | None = None
        with ThreadPoolExecutor(1) as writer:
            for batch in batches:
                prepared = self.counter.prepare(batch)
                if write is not None:
                    write.result()
                write = writer.submit(self.counter.write, prepared, self.offset_ranges(batch))
            if write is not None:
                write.result()

    def offset_ranges(self, batch: Sequence[ReceivedMessage]) -> list[OffsetRange]:
        """The offsets that the batch covers."""
        first, last = batch[0].record_id, batch[-1].record_id
        assert first is not None and last is not None
        return [OffsetRange(TOPIC, 0, first.offset, last.offset + 1, EPOCH)]

    def group(self, batch: Sequence[ReceivedMessage]) -> FactsByEvent:
        """Decode a batch and group it by event, and load its surrogate keys into `keys`."""
        by_event = group_by_event(self.decoder.decode_all(batch))
        if not self.keys.contain(by_event):
            with self.database.transaction() as conn:
                self.keys.load_or_assign(conn, by_event)
        return by_event

    def ledger_rows(self, by_event: FactsByEvent) -> list[LedgerRow]:
        """The rows that the batch adds to the ledger, sorted as the service sorts them."""
        channels = self.keys.channels
        return sorted(
            (
                self.keys.events[event_id],
                participant,
                packed(minute, 0 if channel is None else channels[channel.key].no),
            )
            for event_id, participant, minute, channel in by_event.registrations.facts()
        )


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `count`."""
    sizes = QUICK if quick else FULL
    with interpreter_settings_of_ingest():
        return [*_measure_few_events(servers, sizes), *_measure_many_events(servers, sizes)]


# -- 100 events: compared with COPY and the per-message consumer, and the share of each step --------------------------


def _measure_few_events(servers: Servers, sizes: Sizes) -> list[Figure]:
    with ExitStack() as stack:
        database = servers.create_database("bench_count")
        stack.callback(servers.drop_database, database)
        ingestion = InProcessIngestion(database, stack)
        ingestion.create_events(1, 100)
        copy_conn = stack.enter_context(_scratch_ledger(database))
        counting, copying = WorkTime(ingestion.backend_pid), WorkTime(copy_conn.info.backend_pid)
        message_count = BATCH_MESSAGES * (WARM_UP_BATCHES + sizes.few_events + sizes.steps)
        load = batches(registrations(1, events=100, count=message_count), BATCH_MESSAGES)
        ingestion.count(list(islice(load, WARM_UP_BATCHES)))
        _copy(copy_conn, [])
        for done in range(0, sizes.few_events, BATCHES_PER_TURN):
            turn = list(islice(load, BATCHES_PER_TURN))
            with counting.measure(sum(map(len, turn))):
                ingestion.count(turn)
            rows_by_batch = [ingestion.ledger_rows(ingestion.group(batch)) for batch in turn]
            with copying.measure(sum(map(len, rows_by_batch))):
                for rows in rows_by_batch:
                    _copy(copy_conn, rows)
            servers.log_progress(f"count, 100 events: batch {done + BATCHES_PER_TURN} of {sizes.few_events}")
        assert counting.messages == copying.messages, "the load holds repeats: COPY wrote fewer rows"
        steps = _measure_steps(ingestion, load)
        servers.log_progress(f"count: the per-message consumer, {sizes.per_message} messages")
        per_message_rate = per_message.measure_rate(servers, sizes.per_message)
    samples = f"{counting.messages:,} messages, {sizes.few_events} batches"
    one_by_one = f"{sizes.per_message:,} messages, one transaction each"
    return [
        _figure("rate, 100 events", counting.rate, "messages/s", samples),
        _figure("CPU, this process", counting.own_cpu_us, "us/message", samples),
        _figure("CPU, PostgreSQL", counting.backend_cpu_us, "us/message", samples),
        _figure("COPY alone of the same rows", copying.rate, "rows/s", samples),
        _figure("  CPU, this process", copying.own_cpu_us, "us/row", samples),
        _figure("  CPU, PostgreSQL", copying.backend_cpu_us, "us/row", samples),
        _figure("rate / COPY alone", counting.rate / copying.rate, "ratio (target: 0.5)", samples),
        _figure("per-message consumer", per_message_rate, "messages/s", one_by_one),
        _figure("rate / per-message consumer", counting.rate / per_message_rate, "ratio (target: 100)", one_by_one),
        *steps,
    ]


def _measure_steps(ingestion: InProcessIngestion, load: Iterator[list[ReceivedMessage]]) -> list[Figure]:
    """Run the steps of `BatchCounter.count` one after the other, and measure the share of the time of each."""
    times = {name: WorkTime(ingestion.backend_pid) for name in ("decode", "fold", "write", "deliver")}
    writer = BatchWriter(ingestion.keys)
    batch_count = 0
    for batch in load:
        batch_count += 1
        with times["decode"].measure(len(batch)):
            facts = ingestion.decoder.decode_all(batch)
        with times["fold"].measure(len(batch)):
            by_event = group_by_event(facts)
        with times["write"].measure(len(batch)), ingestion.database.transaction() as conn:
            written = writer.write(conn, batch, by_event, ingestion.offset_ranges(batch))
        with times["deliver"].measure(len(batch)):
            assert ingestion.invalidator.invalidate(written.events) and written.outbox_no is not None
            with ingestion.database.transaction() as conn:
                outbox.mark_delivered(conn, [written.outbox_no])
    total_s = sum(step.elapsed_s for step in times.values())
    samples = f"{times['decode'].messages:,} messages, {batch_count} batches"
    figures = []
    for name, step in times.items():
        figures.append(_figure(f"share of {name}", 100 * step.elapsed_s / total_s, "% of the time", samples))
        figures.append(_figure("  CPU, this process", 100 * step.own_cpu_s / total_s, "% of the time", samples))
    return figures


@contextmanager
def _scratch_ledger(database: BenchDatabase) -> Iterator[Connection]:
    """Create an empty table like the ledger in the same database, as durable, and connect to it."""
    with psycopg.connect(database.owner_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE hannun.bench_ledger (LIKE hannun.participants INCLUDING ALL)")
        conn.execute("GRANT INSERT ON hannun.bench_ledger TO analytics_readwrite")
    with connect(database.url, application="bench-copy") as conn:
        yield conn


def _copy(conn: Connection, rows: Sequence[LedgerRow]) -> None:
    """Write the rows with COPY, in one transaction."""
    with conn.transaction(), conn.cursor() as cursor:
        statement = "COPY hannun.bench_ledger (event_no, participant, came) FROM STDIN"
        with cursor.copy(statement) as copy:
            copy.write("".join([f"{no}\t{participant}\t{came}\n" for no, participant, came in rows]))


# -- 10,000 events: compared with the upserts -----------------------------------------------------------------------


def _measure_many_events(servers: Servers, sizes: Sizes) -> list[Figure]:
    event_count = 10_000
    with ExitStack() as stack:
        database = servers.create_database("bench_count_many")
        stack.callback(servers.drop_database, database)
        servers.log_progress("count: creating 10,000 events")
        with ExitStack() as creation:
            InProcessIngestion(database, creation).create_events(2, event_count)
        database_of_upserts = servers.create_database("bench_upserts", template=database)
        stack.callback(servers.drop_database, database_of_upserts)
        ingestion = InProcessIngestion(database, stack)
        baseline = InProcessIngestion(database_of_upserts, stack)
        counting, upserting = WorkTime(ingestion.backend_pid), WorkTime(baseline.backend_pid)
        events_in_batches = 0
        message_count = BATCH_MESSAGES * (WARM_UP_BATCHES + sizes.many_events)
        load = batches(registrations(2, events=event_count, count=message_count), BATCH_MESSAGES)
        ingestion.count(list(islice(load, WARM_UP_BATCHES)))
        for done in range(0, sizes.many_events, BATCHES_PER_TURN):
            turn = list(islice(load, BATCHES_PER_TURN))
            with counting.measure(sum(map(len, turn))):
                ingestion.count(turn)
            grouped = [baseline.group(batch) for batch in turn]
            upserts_by_batch = [_upserts(by_event, baseline.keys) for by_event in grouped]
            with upserting.measure(sum(map(len, turn))):
                for upserts in upserts_by_batch:
                    with baseline.database.transaction() as conn:
                        for name, arguments in upserts.items():
                            conn.execute(SQL[name], arguments)
            events_in_batches += sum(len(by_event.event_ids) for by_event in grouped)
            servers.log_progress(f"count, 10,000 events: batch {done + BATCHES_PER_TURN} of {sizes.many_events}")
    events_per_batch = events_in_batches // sizes.many_events
    samples = f"{counting.messages:,} messages, {sizes.many_events} batches of {events_per_batch:,} events"
    return [
        _figure("rate, 10,000 events", counting.rate, "messages/s", samples),
        _figure("CPU, this process, 10,000 events", counting.own_cpu_us, "us/message", samples),
        _figure("CPU, PostgreSQL, 10,000 events", counting.backend_cpu_us, "us/message", samples),
        _figure("upserts alone", upserting.rate, "messages/s", samples),
        _figure("  CPU, PostgreSQL", upserting.backend_cpu_us, "us/message", samples),
        _figure("rate / upserts alone", counting.rate / upserting.rate, "ratio (target: 0.5)", samples),
    ]


def _upserts(by_event: FactsByEvent, keys: SurrogateKeys) -> dict[str, dict[str, list[object]]]:
    """The statements that bring the figures up to date with a batch: their arguments, sorted, by statement name.

    They write no ledger, take no lock and leave no outbox entry: the least that updates the figures.
    """
    by_event_id: Counter[str] = Counter()
    unattributed: Counter[str] = Counter()
    first_minute: dict[str, int] = {}
    by_minute: Counter[tuple[str, int]] = Counter()
    by_channel: Counter[tuple[int, str]] = Counter()
    for event_id, _, minute, channel in by_event.registrations.facts():
        by_event_id[event_id] += 1
        by_minute[event_id, minute] += 1
        first_minute[event_id] = min(minute, first_minute.get(event_id, minute))
        if channel is None:
            unattributed[event_id] += 1
        else:
            by_channel[keys.events[event_id], channel.key] += 1
    minutes, ids = sorted(by_minute), sorted(by_event_id, key=keys.events.__getitem__)
    channels = sorted((event_no, keys.channels[key].no, key) for event_no, key in by_channel)
    return {
        "add_timeline_participants": {
            "event_nos": [keys.events[event_id] for event_id, _ in minutes],
            "event_ids": [event_id for event_id, _ in minutes],
            "minutes": [minute for _, minute in minutes],
            "participants": [by_minute[minute] for minute in minutes],
        },
        "add_channel_participants": {
            "event_nos": [event_no for event_no, _, _ in channels],
            "channel_nos": [channel_no for _, channel_no, _ in channels],
            "types": [keys.channels[key].type for _, _, key in channels],
            "participants": [by_channel[event_no, key] for event_no, _, key in channels],
        },
        "add_to_events": {
            "event_nos": [keys.events[event_id] for event_id in ids],
            "participants": [by_event_id[event_id] for event_id in ids],
            "unattributed": [unattributed[event_id] for event_id in ids],
            "sales": [0 for _ in ids],
            "revenues": [0 for _ in ids],
            "minutes": [first_minute[event_id] for event_id in ids],
        },
        "publish_participants": {
            "event_ids": list(ids),
            "participants": [by_event_id[event_id] for event_id in ids],
        },
    }


# -- common ----------------------------------------------------------------------------------------------------------


@contextmanager
def interpreter_settings_of_ingest() -> Iterator[None]:
    """Use the garbage collection and thread switch interval of `ingest` for the duration of the block."""
    gc_threshold, switch_interval_s = gc.get_threshold(), sys.getswitchinterval()
    freeze_garbage_collector()
    shorten_thread_switch_interval()
    try:
        yield
    finally:
        gc.set_threshold(*gc_threshold)
        gc.unfreeze()
        sys.setswitchinterval(switch_interval_s)


def _figure(name: str, value: float, unit: str, samples: str) -> Figure:
    return Figure("count", name, value, unit, samples)
