"""`kafka`: a backlog in a real Apache Kafka, counted by one `hannun ingest`.

The backlog is produced first. The clock runs from the first message that is counted to the last, so that neither the
start of Python nor joining the group is in it; positions in PostgreSQL say how many are counted.
"""

import time
from collections.abc import Iterable
from contextlib import ExitStack

import psycopg
from confluent_kafka import Producer

from bench.figures import Figure
from bench.messages import Message, events, registrations
from bench.processor import peak_bytes, used_s, used_with_children_s
from bench.servers import Ground, Site

LOOK_EVERY_S = 0.02
COUNTED_S_MAX = 240.0

_COUNTED = "SELECT coalesce(sum(next_offset), 0) FROM hannun.positions WHERE topic = %s"


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `kafka`."""
    few, many = (40_000, 10_000) if quick else (400_000, 60_000)
    one, two = _measured(ground, 100, few), _measured(ground, 100, few, workers=2)
    samples = f"two ingests beside one, a backlog of {few:,} messages each"
    return [
        *one,
        *two,
        Figure("kafka", "rate of two beside one", two[0].value / one[0].value, "ratio (wanted: 1.6)", samples),
        *_measured(ground, 10_000, many),
    ]


def _measured(ground: Ground, event_count: int, messages: int, *, workers: int = 1) -> list[Figure]:
    site = ground.site(f"bench_kafka_{event_count}_{workers}")
    topics = ground.topics(site.name)
    ground.say(f"kafka: producing {messages:,} messages of {event_count:,} events")
    created = [told for told in events(20, event_count) if told[0] == "event-created"]
    produce(ground.kafka().bootstrap, topics, created)
    produce(ground.kafka().bootstrap, topics, registrations(20, events=event_count, count=messages))
    postgres = ground.postgres.pid or 0
    ground.say("kafka: counting")
    with ExitStack() as stack:
        ingests = [stack.enter_context(ground.ingest(site, topics)) for _ in range(workers)]
        first, at = wait_until(site, topics["participant-registered"], 1)
        ours, theirs = sum(map(used_s, ingests)), used_with_children_s(postgres)
        last, until = wait_until(site, topics["participant-registered"], messages)
        ours, theirs = sum(map(used_s, ingests)) - ours, used_with_children_s(postgres) - theirs
        memory = max(map(peak_bytes, ingests))
    with psycopg.connect(site.url) as conn:
        row = conn.execute("SELECT sum(participants) FROM hannun.events").fetchone()
        assert row is not None and row[0] == messages, f"{row} of {messages} participants were counted"
    ground.drop(site)
    counted = last - first
    samples = f"{counted:,} of a backlog of {messages:,} messages"
    name = f", {event_count:,} events" + ("" if workers == 1 else f", {workers} ingests")
    return [
        Figure("kafka", "rate" + name, counted / (until - at), "messages/s", samples),
        Figure("kafka", "processor, ingest" + name, ours / counted * 1e6, "us/message", samples),
        Figure("kafka", "processor, PostgreSQL" + name, theirs / counted * 1e6, "us/message", samples),
        Figure("kafka", "memory of ingest at its peak" + name, memory / 1e6, "MB", samples),
    ]


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
