"""`kafka`: a backlog in Apache Kafka, counted by one `hannun ingest` or by two.

The processes join their group first, and are suspended (SIGSTOP) while the backlog is produced. The measurement runs
from the first counted message to the last; the positions in PostgreSQL say how many are counted.
"""

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psycopg
from confluent_kafka import Producer

from bench.figures import Figure
from bench.messages import Message, events, registrations
from bench.process_usage import cpu_s, peak_memory_bytes, tree_cpu_s
from bench.servers import BenchDatabase, Servers

POLL_EVERY_S = 0.02
COUNTED_S_MAX = 240.0

LARGE_BYTES = 50_000
"""Size of the padding of a large message, which adds to its own 300 bytes. A message may have 64 kB at most."""

SLICE_S, SLICES = 0.01, 4
"""Length of a time slice, and slices in a round, for a process that runs a quarter of the time."""
PEAK_MEMORY = "peak memory of ingest"
_OWNERS = "SELECT count(DISTINCT owner) FROM hannun.positions WHERE topic = %s"
_COUNTED = "SELECT coalesce(sum(next_offset), 0) FROM hannun.positions WHERE topic = %s"


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `kafka`."""
    few, many, large = (40_000, 10_000, 500) if quick else (400_000, 60_000, 16_000)
    one, two = measure_backlog(servers, 100, few), measure_backlog(servers, 100, few, processes=2)
    slow_one, slow_two = (
        measure_backlog(servers, 100, few // 2, processes=processes, quarter_time=True) for processes in (1, 2)
    )
    large_messages = measure_backlog(servers, 100, large, padding_bytes=LARGE_BYTES)
    samples = f"two ingests and one, a backlog of {few:,} messages each"
    quarter_time = f"each runs a quarter of the time, a backlog of {few // 2:,} messages"
    return [
        *one,
        *two,
        Figure("kafka", "rate of two / rate of one", two[0].value / one[0].value, "ratio", samples),
        Figure("kafka", "rate of one, spare cores", slow_one[0].value, "messages/s", quarter_time),
        Figure("kafka", "rate of two, spare cores", slow_two[0].value, "messages/s", quarter_time),
        Figure("kafka", "  two / one", slow_two[0].value / slow_one[0].value, "ratio (target: 1.6)", quarter_time),
        *measure_backlog(servers, 10_000, many),
        *_memory_growth(one, measure_backlog(servers, 100, few // 4)),
        large_messages[-1],
        *_memory_growth(large_messages, measure_backlog(servers, 100, large // 4, padding_bytes=LARGE_BYTES)),
    ]


def _memory_growth(whole: list[Figure], quarter: list[Figure]) -> list[Figure]:
    """The peak memory over a quarter of a backlog, and its ratio to the peak over the whole: memory must be bounded."""
    peak, peak_of_whole = quarter[-1], whole[-1].value
    name = peak.name.replace(PEAK_MEMORY, f"{PEAK_MEMORY}, 1/4 of the backlog")
    return [
        Figure("kafka", name, peak.value, peak.unit, peak.samples),
        Figure(
            "kafka", "  whole backlog / quarter", peak_of_whole / peak.value, "ratio (target: 1)", whole[-1].samples
        ),
    ]


def measure_backlog(
    servers: Servers,
    event_count: int,
    messages: int,
    *,
    processes: int = 1,
    quarter_time: bool = False,
    padding_bytes: int = 0,
    prefix: str = "bench_kafka",
) -> list[Figure]:
    """Rate, CPU time and peak memory of `ingest` over one backlog.

    Args:
        processes: how many `ingest` share the backlog.
        quarter_time: let each process run a quarter of the time (see `_run_in_turns`).
        padding_bytes: what each message is enlarged by.
        prefix: of the names of the database and the topics, which no other measurement may have.
    """
    name = f"{prefix}_{event_count}_{messages}_{processes}_{padding_bytes}" + ("_in_turns" if quarter_time else "")
    database = servers.create_database(name)
    topics = servers.create_topics(database.name)
    topic = topics["participant-registered"]
    created = [message for message in events(20, event_count) if message[0] == "event-created"]
    produce(servers.kafka().bootstrap, topics, created)
    postgres = servers.postgres.pid or 0
    with ExitStack() as stack:
        pids = [stack.enter_context(servers.ingest(database, topics)) for _ in range(processes)]
        wait_until_owned(database, topic, processes)
        wait_until_counted(database, topics["event-created"], event_count)
        # The processes own their partitions, and are suspended while the backlog grows.
        servers.log_progress(f"kafka: producing {messages:,} messages of {event_count:,} events")
        with suspended(pids):
            backlog = registrations(20, events=event_count, count=messages)
            produce(servers.kafka().bootstrap, topics, _padded(backlog, padding_bytes) if padding_bytes else backlog)
            servers.log_progress("kafka: counting")
        if quarter_time:
            stack.enter_context(_run_in_turns(pids))
        first, first_at = wait_until_counted(database, topic, 1)
        ingest_before_s, postgres_before_s = sum(map(cpu_s, pids)), tree_cpu_s(postgres)
        last, last_at = wait_until_counted(database, topic, messages)
        ingest_s, postgres_s = sum(map(cpu_s, pids)) - ingest_before_s, tree_cpu_s(postgres) - postgres_before_s
        memory_bytes = max(map(peak_memory_bytes, pids))
    with psycopg.connect(database.url) as conn:
        row = conn.execute("SELECT sum(participants) FROM hannun.events").fetchone()
        assert row is not None and row[0] == messages, f"{row} of {messages} participants were counted"
    servers.drop_database(database)
    # A small backlog may be counted before the first check. Then only the memory figure means something.
    counted = max(last - first, 1)
    samples = f"{counted:,} of a backlog of {messages:,} messages"
    variant = f", {event_count:,} events" + ("" if processes == 1 else f", {processes} ingests")
    variant += f", messages of {padding_bytes // 1_000} kB" if padding_bytes else ""
    return [
        Figure("kafka", f"rate{variant}", counted / (last_at - first_at), "messages/s", samples),
        Figure("kafka", f"CPU, ingest{variant}", ingest_s / counted * 1e6, "us/message", samples),
        Figure("kafka", f"CPU, PostgreSQL{variant}", postgres_s / counted * 1e6, "us/message", samples),
        Figure("kafka", f"{PEAK_MEMORY}{variant}", memory_bytes / 1e6, "MB", samples),
    ]


def _padded(messages: Iterable[Message], padding_bytes: int) -> Iterator[Message]:
    """The messages with an additional field, which no decoder reads."""
    padding = b',"unread":"' + b"x" * padding_bytes + b'"}'
    return ((kind, key, value[:-1] + padding) for kind, key, value in messages)


@contextmanager
def suspended(pids: Sequence[int]) -> Iterator[None]:
    """Suspend the processes for the duration of the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def _run_in_turns(pids: Sequence[int]) -> Iterator[None]:
    """Let each process run a quarter of the time, one after the other, so that any machine has spare cores.

    Then the service decides whether two processes count twice as much as one, and not the cores that they share with
    PostgreSQL and the broker.
    """
    ended = threading.Event()

    def take_turns() -> None:
        while not ended.is_set():
            for turn in range(SLICES):
                if turn < len(pids):
                    os.kill(pids[turn], signal.SIGCONT)
                time.sleep(SLICE_S)
                if turn < len(pids):
                    os.kill(pids[turn], signal.SIGSTOP)

    with suspended(pids):
        thread = threading.Thread(target=take_turns)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def wait_until_owned(database: BenchDatabase, topic: str, members: int) -> None:
    """Wait until each of so many members of the group owns partitions of the topic."""
    deadline = time.monotonic() + COUNTED_S_MAX
    with psycopg.connect(database.url, autocommit=True) as conn:
        while time.monotonic() < deadline:
            row = conn.execute(_OWNERS, (topic,)).fetchone()
            if row is not None and row[0] == members:
                return
            time.sleep(POLL_EVERY_S)
    raise TimeoutError(f"{members} members did not share the partitions of {topic} within {COUNTED_S_MAX:.0f} s")


def produce(
    bootstrap: str, topics: dict[str, str], messages: Iterable[Message], headers: dict[str, bytes] | None = None
) -> None:
    """Produce messages, each with these headers, and return when the broker has acknowledged all of them."""
    producer = Producer(producer_options(bootstrap))
    for kind, key, value in messages:
        while True:
            try:
                producer.produce(topics[kind], value, key, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
    unacknowledged = producer.flush(60)
    assert unacknowledged == 0, f"the broker has not acknowledged {unacknowledged} messages within 60 s"


def producer_options(bootstrap: str) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # the default of Java clients, which the platform's producers use
        "linger.ms": 5,
        "log_level": 0,
    }


def wait_until_counted(database: BenchDatabase, topic: str, count_min: int) -> tuple[int, float]:
    """Wait until at least `count_min` messages of a topic are counted. Returns how many, and when (`perf_counter`)."""
    deadline = time.monotonic() + COUNTED_S_MAX
    with psycopg.connect(database.url, autocommit=True) as conn:
        while True:
            row = conn.execute(_COUNTED, (topic,), prepare=True).fetchone()
            now = time.perf_counter()
            counted = int(row[0]) if row else 0
            if counted >= count_min:
                return counted, now
            assert time.monotonic() < deadline, f"{counted} of {count_min} counted after {COUNTED_S_MAX:.0f} s"
            time.sleep(POLL_EVERY_S)
