"""`kafka`: a backlog in a real Apache Kafka, counted by one `hannun ingest`.

The members have joined and stand still while the backlog is produced. The clock runs from the first message that is
counted to the last; positions in PostgreSQL say how many are counted.
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
from bench.processor import peak_bytes, used_s, used_with_children_s
from bench.servers import Ground, Site

LOOK_EVERY_S = 0.02
COUNTED_S_MAX = 240.0

LARGE_BYTES = 50_000
"""Of a large message, beside its own 300; 64 kB is the most."""

TURN_S, TURNS = 0.01, 4
_OWNERS = "SELECT count(DISTINCT owner) FROM hannun.positions WHERE topic = %s"
_COUNTED = "SELECT coalesce(sum(next_offset), 0) FROM hannun.positions WHERE topic = %s"


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `kafka`."""
    few, many, large = (40_000, 10_000, 500) if quick else (400_000, 60_000, 16_000)
    one, two = _measured(ground, 100, few), _measured(ground, 100, few, workers=2)
    slow_one, slow_two = (_measured(ground, 100, few // 2, workers=workers, turn=True) for workers in (1, 2))
    large_ones = _measured(ground, 100, large, bytes_more=LARGE_BYTES)
    samples = f"two ingests beside one, a backlog of {few:,} messages each"
    in_turns = f"each runs a quarter of the time, a backlog of {few // 2:,} messages"
    return [
        *one,
        *two,
        Figure("kafka", "rate of two beside one", two[0].value / one[0].value, "ratio", samples),
        Figure("kafka", "rate of one, cores to spare", slow_one[0].value, "messages/s", in_turns),
        Figure("kafka", "rate of two, cores to spare", slow_two[0].value, "messages/s", in_turns),
        Figure("kafka", "  beside one", slow_two[0].value / slow_one[0].value, "ratio (wanted: 1.6)", in_turns),
        *_measured(ground, 10_000, many),
        *_memory_beside(one, _measured(ground, 100, few // 4)),
        large_ones[-1],
        *_memory_beside(large_ones, _measured(ground, 100, large // 4, bytes_more=LARGE_BYTES)),
    ]


def _memory_beside(all_: list[Figure], quarter: list[Figure]) -> list[Figure]:
    """The peak at a quarter of a lag, and what all of it adds: memory has a bound, whatever the lag."""
    peak, peak_of_all = quarter[-1], all_[-1].value
    name = peak.name.replace("at its peak", "at a quarter of the lag")
    return [
        Figure("kafka", name, peak.value, peak.unit, peak.samples),
        Figure("kafka", "  all of the lag beside it", peak_of_all / peak.value, "ratio (wanted: 1)", all_[-1].samples),
    ]


def _measured(
    ground: Ground, event_count: int, messages: int, *, workers: int = 1, turn: bool = False, bytes_more: int = 0
) -> list[Figure]:
    site = ground.site(f"bench_kafka_{event_count}_{messages}_{workers}_{bytes_more}" + ("_in_turns" if turn else ""))
    topics = ground.topics(site.name)
    created = [told for told in events(20, event_count) if told[0] == "event-created"]
    produce(ground.kafka().bootstrap, topics, created)
    postgres = ground.postgres.pid or 0
    with ExitStack() as stack:
        ingests = [stack.enter_context(ground.ingest(site, topics)) for _ in range(workers)]
        wait_until_shared(site, topics["participant-registered"], workers)
        wait_until(site, topics["event-created"], event_count)
        # They hold their partitions, and stand still while the backlog grows.
        ground.say(f"kafka: producing {messages:,} messages of {event_count:,} events")
        with _standing_still(ingests):
            backlog = registrations(20, events=event_count, count=messages)
            produce(ground.kafka().bootstrap, topics, _larger(backlog, bytes_more) if bytes_more else backlog)
            ground.say("kafka: counting")
        if turn:
            stack.enter_context(_in_turns(ingests))
        first, at = wait_until(site, topics["participant-registered"], 1)
        ours, theirs = sum(map(used_s, ingests)), used_with_children_s(postgres)
        last, until = wait_until(site, topics["participant-registered"], messages)
        ours, theirs = sum(map(used_s, ingests)) - ours, used_with_children_s(postgres) - theirs
        memory = max(map(peak_bytes, ingests))
    with psycopg.connect(site.url) as conn:
        row = conn.execute("SELECT sum(participants) FROM hannun.events").fetchone()
        assert row is not None and row[0] == messages, f"{row} of {messages} participants were counted"
    ground.drop(site)
    counted = max(last - first, 1)  # a small backlog may be gone at the first look, and only its memory is meant
    samples = f"{counted:,} of a backlog of {messages:,} messages"
    name = f", {event_count:,} events" + ("" if workers == 1 else f", {workers} ingests")
    name += f", messages of {bytes_more // 1_000} kB" if bytes_more else ""
    return [
        Figure("kafka", "rate" + name, counted / (until - at), "messages/s", samples),
        Figure("kafka", "processor, ingest" + name, ours / counted * 1e6, "us/message", samples),
        Figure("kafka", "processor, PostgreSQL" + name, theirs / counted * 1e6, "us/message", samples),
        Figure("kafka", "memory of ingest at its peak" + name, memory / 1e6, "MB", samples),
    ]


def _larger(messages: Iterable[Message], bytes_more: int) -> Iterator[Message]:
    """Messages with a field that nobody reads."""
    unread = b',"unread":"' + b"x" * bytes_more + b'"}'
    return ((kind, key, value[:-1] + unread) for kind, key, value in messages)


@contextmanager
def _standing_still(pids: Sequence[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def _in_turns(pids: Sequence[int]) -> Iterator[None]:
    """Let each of the processes run a quarter of the time, in turn: so there are cores to spare on any machine.

    Whether two count twice as much as one is then a question to the service, and no longer to the two cores that
    PostgreSQL, the broker and they share.
    """
    ended = threading.Event()

    def take_turns() -> None:
        while not ended.is_set():
            for turn in range(TURNS):
                if turn < len(pids):
                    os.kill(pids[turn], signal.SIGCONT)
                time.sleep(TURN_S)
                if turn < len(pids):
                    os.kill(pids[turn], signal.SIGSTOP)

    with _standing_still(pids):
        thread = threading.Thread(target=take_turns)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def wait_until_shared(site: Site, topic: str, members: int) -> None:
    """Wait until each of the members owns partitions."""
    until = time.monotonic() + COUNTED_S_MAX
    with psycopg.connect(site.url, autocommit=True) as conn:
        while time.monotonic() < until:
            row = conn.execute(_OWNERS, (topic,)).fetchone()
            if row is not None and row[0] == members:
                return
            time.sleep(LOOK_EVERY_S)
    raise TimeoutError(f"{members} members did not come to share the partitions")


def produce(bootstrap: str, topics: dict[str, str], messages: Iterable[Message]) -> None:
    """Hand messages to the broker, and return when it has acknowledged all of them."""
    producer = Producer(producer_options(bootstrap))
    for kind, key, value in messages:
        while True:
            try:
                producer.produce(topics[kind], value, key)
                break
            except BufferError:
                producer.poll(0.1)
    left = producer.flush(60)
    assert left == 0, f"the broker has not acknowledged {left} messages"


def producer_options(bootstrap: str) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as the platform's producers, which are written in Java
        "linger.ms": 5,
        "log_level": 0,
    }


def wait_until(site: Site, topic: str, wanted: int) -> tuple[int, float]:
    """(how many are counted, when) as soon as `wanted` are."""
    deadline = time.monotonic() + COUNTED_S_MAX
    with psycopg.connect(site.url, autocommit=True) as conn:
        while True:
            row = conn.execute(_COUNTED, (topic,), prepare=True).fetchone()
            now = time.perf_counter()
            counted = int(row[0]) if row else 0
            if counted >= wanted:
                return counted, now
            assert time.monotonic() < deadline, f"{counted} of {wanted} counted after {COUNTED_S_MAX:.0f} s"
            time.sleep(LOOK_EVERY_S)
