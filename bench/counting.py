"""`count`: the counter alone, in this process, beside the least that could be done instead.

    the same batches ─┬─► prepare | write of BatchCounter  what `ingest` does, in its two threads
                      ├─► COPY of their ledger rows         the least that leaves a proof, with a commit a batch
                      └─► their upserts                     the least that leaves the figures (10,000 events)

They take turns, so that whatever else the machine does meets all of them alike.
"""

import gc
import sys
import time
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice

import psycopg

from bench import literal
from bench.figures import Figure
from bench.messages import AT, AT_US, TOPIC, TOPIC_ID, batches, events, registrations
from bench.processor import used_s
from bench.servers import Ground, Site
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
from hannun.store.batches import SQL, BatchWriter, participant_key
from hannun.store.database import Connection, Database, PoolLimits, connect
from hannun.store.packed_arrivals import packed
from hannun.store.partitions import create_months
from hannun.store.surrogate_keys import SurrogateKeys

BATCH = 20_000
"""As `ingest` takes them out of a backlog (HANNUN_BATCH_MESSAGES_MAX)."""
WARM_UP = 2
"""Batches before the first that is measured: connections are made, statements prepared, tables begun."""
TURN = 10
"""Batches that are counted in one go, the next being prepared while one is written, before it is COPY's turn. The first
has none to be prepared beside, which a service that catches up has once and not each time: so they are not few."""

EPOCH = 1
_CLAIM = """
INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, epoch)
VALUES (%(topic)s, 0, %(topic_id)s, 0, %(epoch)s) ON CONFLICT DO NOTHING
"""

LedgerRow = tuple[int, str, int | None]
"""Event number, participant, and minute and channel in one number, as the ledger keeps them."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many batches are measured, and how many messages the literal port counts."""

    few_events: int
    many_events: int
    steps: int
    literal: int


FULL = Sizes(few_events=60, many_events=20, steps=10, literal=1_500)
QUICK = Sizes(few_events=10, many_events=10, steps=2, literal=200)


@dataclass(slots=True)
class Lap:
    """What some work has taken: seconds of the clock, of our processor time, of PostgreSQL's backend."""

    backend: int
    clock_s: float = 0.0
    ours_s: float = 0.0
    backend_s: float = 0.0
    messages: int = 0

    @contextmanager
    def of(self, messages: int) -> Iterator[None]:
        clock, ours, theirs = time.perf_counter(), time.process_time(), used_s(self.backend) if self.backend else 0.0
        yield
        self.clock_s += time.perf_counter() - clock
        self.ours_s += time.process_time() - ours
        self.backend_s += (used_s(self.backend) if self.backend else 0.0) - theirs
        self.messages += messages

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.clock_s

    def microseconds(self, seconds: float) -> float:
        """Seconds of the whole, by message, in microseconds."""
        return seconds / self.messages * 1e6


class Counting:
    """The counting side of the service in this process, on a database of its own, reading one partition."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self.site = site
        # It writes on one connection, whose backend's processor time we read.
        self.database = Database(site.url, PoolLimits(), application="bench")
        stack.callback(self.database.close)
        self.invalidator = Invalidator(site.redis)
        stack.callback(self.invalidator.close)
        with self.database.transaction() as conn:
            self.decoder = Decoder(Rules(participant_key(conn), load_table()))
            conn.execute(_CLAIM, {"topic": TOPIC, "topic_id": TOPIC_ID, "epoch": EPOCH})
            self.backend = conn.info.backend_pid
        self.counter = BatchCounter(self.database, self.decoder, DirectDelivery(self.database, self.invalidator))
        self.numbers = SurrogateKeys()

    def begin(self, seed: int, count: int) -> None:
        """Tell of the events that the batches will be about, and make their month."""
        told = [
            ReceivedMessage(kind, value, AT_US) for kind, _, value in events(seed, count) if kind == Kind.EVENT_CREATED
        ]
        for first in range(0, len(told), BATCH):
            self.counter.count(told[first : first + BATCH])
        with self.database.transaction() as conn:
            create_months(conn, {AT.date().replace(day=1)})

    def count(self, batches: Sequence[Sequence[ReceivedMessage]]) -> None:
        """Count batches as `flows.ingest` does: the next is prepared while one is written."""
        under_way: Future[object] | None = None
        with ThreadPoolExecutor(1) as writer:
            for batch in batches:
                prepared = self.counter.prepare(batch)
                if under_way is not None:
                    under_way.result()
                under_way = writer.submit(self.counter.write, prepared, self.spans(batch))
            if under_way is not None:
                under_way.result()

    def spans(self, batch: Sequence[ReceivedMessage]) -> list[OffsetRange]:
        first, last = batch[0].record_id, batch[-1].record_id
        assert first is not None and last is not None
        return [OffsetRange(TOPIC, 0, first.offset, last.offset + 1, EPOCH)]

    def gathered(self, batch: Sequence[ReceivedMessage]) -> FactsByEvent:
        """The batch as it is folded, with all of it numbered."""
        gathered = group_by_event(self.decoder.decode_all(batch))
        if not self.numbers.contain(gathered):
            with self.database.transaction() as conn:
                self.numbers.load_or_assign(conn, gathered)
        return gathered

    def ledger_rows(self, gathered: FactsByEvent) -> list[LedgerRow]:
        """What the batch puts into the ledger, sorted as the service sorts it."""
        channels = self.numbers.channels
        return sorted(
            (
                self.numbers.events[event_id],
                who,
                packed(how.minute, 0 if how.channel is None else channels[how.channel].no),
            )
            for event_id, told in gathered.events.items()
            for who, how in told.participants.items()
        )


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `count`."""
    sizes = QUICK if quick else FULL
    with running_as_the_service_does():
        found = _few_events(ground, sizes)
        found += _many_events(ground, sizes)
    return found


# -- 100 events: beside COPY, beside the literal port, and where the time goes ---------------------------------------


def _few_events(ground: Ground, sizes: Sizes) -> list[Figure]:
    with ExitStack() as stack:
        site = ground.site("bench_count")
        stack.callback(ground.drop, site)
        counting = Counting(site, stack)
        counting.begin(1, 100)
        copying = stack.enter_context(_scratch_ledger(site))
        ours, copy = Lap(counting.backend), Lap(copying.info.backend_pid)
        all_batches = batches(
            registrations(1, events=100, count=BATCH * (WARM_UP + sizes.few_events + sizes.steps)), BATCH
        )
        counting.count(list(islice(all_batches, WARM_UP)))
        _copy(copying, [])
        for done in range(0, sizes.few_events, TURN):
            turn = list(islice(all_batches, TURN))
            with ours.of(sum(map(len, turn))):
                counting.count(turn)
            rows = [counting.ledger_rows(counting.gathered(batch)) for batch in turn]
            with copy.of(sum(map(len, rows))):
                for of_a_batch in rows:
                    _copy(copying, of_a_batch)
            ground.say(f"count, 100 events: batch {done + TURN} of {sizes.few_events}")
        assert ours.messages == copy.messages, "the load repeats somebody: COPY had fewer rows"
        steps = _steps(counting, all_batches)
        ground.say(f"count: the literal port, {sizes.literal} messages")
        port = literal.rate(ground, sizes.literal)
    samples = f"{ours.messages:,} messages, {sizes.few_events} batches"
    literally = f"{sizes.literal:,} messages one by one"
    return [
        _figure("rate, 100 events", ours.rate, "messages/s", samples),
        _figure("processor, ours", ours.microseconds(ours.ours_s), "us/message", samples),
        _figure("processor, PostgreSQL", ours.microseconds(ours.backend_s), "us/message", samples),
        _figure("COPY alone of the same rows", copy.rate, "rows/s", samples),
        _figure("  its processor, ours", copy.microseconds(copy.ours_s), "us/row", samples),
        _figure("  its processor, PostgreSQL", copy.microseconds(copy.backend_s), "us/row", samples),
        _figure("rate beside COPY alone", ours.rate / copy.rate, "ratio (wanted: 0.5)", samples),
        _figure("literal port", port, "messages/s", literally),
        _figure("rate beside the literal port", ours.rate / port, "ratio (wanted: 100)", literally),
        *steps,
    ]


def _steps(counting: Counting, all_batches: Iterator[list[ReceivedMessage]]) -> list[Figure]:
    """The road of `BatchCounter.count`, one step after the other: what share of the time each takes."""
    laps = {name: Lap(counting.backend) for name in ("decode", "fold", "write", "pay")}
    writer = BatchWriter(counting.numbers)
    batch_count = 0
    for batch in all_batches:
        batch_count += 1
        with laps["decode"].of(len(batch)):
            facts = counting.decoder.decode_all(batch)
        with laps["fold"].of(len(batch)):
            gathered = group_by_event(facts)
        with laps["write"].of(len(batch)), counting.database.transaction() as conn:
            written = writer.write(conn, batch, gathered, counting.spans(batch))
        with laps["pay"].of(len(batch)):
            assert counting.invalidator.invalidate(written.events) and written.outbox_no is not None
            with counting.database.transaction() as conn:
                outbox.mark_delivered(conn, [written.outbox_no])
    whole_s = sum(lap.clock_s for lap in laps.values())
    samples = f"{laps['decode'].messages:,} messages, {batch_count} batches"
    found = []
    for name, lap in laps.items():
        found.append(_figure(f"share of {name}", 100 * lap.clock_s / whole_s, "% of the time", samples))
        found.append(_figure("  of it our processor", 100 * lap.ours_s / whole_s, "% of the time", samples))
    return found


@contextmanager
def _scratch_ledger(site: Site) -> Iterator[Connection]:
    """An empty table like the ledger, in the same database and as durable."""
    with psycopg.connect(site.owner_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE hannun.bench_ledger (LIKE hannun.participants INCLUDING ALL)")
        conn.execute("GRANT INSERT ON hannun.bench_ledger TO analytics_readwrite")
    with connect(site.url, application="bench-copy") as conn:
        yield conn


def _copy(conn: Connection, rows: Sequence[LedgerRow]) -> None:
    """The rows into the table, in one transaction."""
    with conn.transaction(), conn.cursor() as cursor:
        into = "COPY hannun.bench_ledger (event_no, participant, came) FROM STDIN"
        with cursor.copy(into) as copy:
            copy.write("".join([f"{no}\t{who}\t{came}\n" for no, who, came in rows]))


# -- 10,000 events: beside the upserts -------------------------------------------------------------------------------


def _many_events(ground: Ground, sizes: Sizes) -> list[Figure]:
    count = 10_000
    with ExitStack() as stack:
        site = ground.site("bench_count_many")
        stack.callback(ground.drop, site)
        ground.say("count: telling of 10,000 events")
        with ExitStack() as telling:
            Counting(site, telling).begin(2, count)
        other = ground.site("bench_upserts", like=site)
        stack.callback(ground.drop, other)
        counting, upserting = Counting(site, stack), Counting(other, stack)
        ours, upserts = Lap(counting.backend), Lap(upserting.backend)
        events_seen = 0
        load = registrations(2, events=count, count=BATCH * (WARM_UP + sizes.many_events))
        all_batches = batches(load, BATCH)
        counting.count(list(islice(all_batches, WARM_UP)))
        for done in range(0, sizes.many_events, TURN):
            turn = list(islice(all_batches, TURN))
            with ours.of(sum(map(len, turn))):
                counting.count(turn)
            gathered = [upserting.gathered(batch) for batch in turn]
            arguments = [_upserts_of(of_a_batch, upserting.numbers) for of_a_batch in gathered]
            with upserts.of(sum(map(len, turn))):
                for of_a_batch in arguments:
                    with upserting.database.transaction() as conn:
                        for name, values in of_a_batch.items():
                            conn.execute(SQL[name], values)
            events_seen += sum(len(of_a_batch.events) for of_a_batch in gathered)
            ground.say(f"count, 10,000 events: batch {done + TURN} of {sizes.many_events}")
    samples = f"{ours.messages:,} messages, {sizes.many_events} batches of {events_seen // sizes.many_events:,} events"
    return [
        _figure("rate, 10,000 events", ours.rate, "messages/s", samples),
        _figure("processor, ours, 10,000 events", ours.microseconds(ours.ours_s), "us/message", samples),
        _figure("processor, PostgreSQL, 10,000 events", ours.microseconds(ours.backend_s), "us/message", samples),
        _figure("their upserts alone", upserts.rate, "messages/s", samples),
        _figure("  their processor, PostgreSQL", upserts.microseconds(upserts.backend_s), "us/message", samples),
        _figure("rate beside the upserts alone", ours.rate / upserts.rate, "ratio (wanted: 0.5)", samples),
    ]


def _upserts_of(gathered: FactsByEvent, numbers: SurrogateKeys) -> dict[str, dict[str, list[object]]]:
    """The statements by name that bring the figures of a batch to what is true, with their arguments, sorted.

    No ledger, no lock, no debt: the least that leaves the figures.
    """
    by_event: Tally[str] = Tally()
    without: Tally[str] = Tally()
    first: dict[str, int] = {}
    by_minute: Tally[tuple[str, int]] = Tally()
    by_channel: Tally[tuple[int, str]] = Tally()
    for event_id, told in gathered.events.items():
        for arrival in told.participants.values():
            by_event[event_id] += 1
            by_minute[event_id, arrival.minute] += 1
            first[event_id] = min(arrival.minute, first.get(event_id, arrival.minute))
            if arrival.channel is None:
                without[event_id] += 1
            else:
                by_channel[numbers.events[event_id], arrival.channel] += 1
    minutes, ids = sorted(by_minute), sorted(by_event, key=numbers.events.__getitem__)
    places = sorted((no, numbers.channels[key].no, key) for no, key in by_channel)
    return {
        "add_timeline_participants": {
            "event_ids": [event_id for event_id, _ in minutes],
            "minutes": [minute for _, minute in minutes],
            "participants": [by_minute[place] for place in minutes],
        },
        "add_channel_participants": {
            "event_nos": [no for no, _, _ in places],
            "channel_nos": [channel for _, channel, _ in places],
            "types": [numbers.channels[key].type for _, _, key in places],
            "participants": [by_channel[no, key] for no, _, key in places],
        },
        "add_to_events": {
            "event_nos": [numbers.events[event_id] for event_id in ids],
            "participants": [by_event[event_id] for event_id in ids],
            "unattributed": [without[event_id] for event_id in ids],
            "sales": [0 for _ in ids],
            "revenues": [0 for _ in ids],
            "minutes": [first[event_id] for event_id in ids],
        },
        "publish_participants": {
            "event_ids": list(ids),
            "participants": [by_event[event_id] for event_id in ids],
        },
    }


# -- common ----------------------------------------------------------------------------------------------------------


@contextmanager
def running_as_the_service_does() -> Iterator[None]:
    """The interpreter's settings of `wiring`, for the time of the block."""
    collecting, turns_s = gc.get_threshold(), sys.getswitchinterval()
    freeze_garbage_collector()
    shorten_thread_switch_interval()
    try:
        yield
    finally:
        gc.set_threshold(*collecting)
        gc.unfreeze()
        sys.setswitchinterval(turns_s)


def _figure(name: str, value: float, unit: str, samples: str) -> Figure:
    return Figure("count", name, value, unit, samples)
