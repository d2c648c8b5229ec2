"""`freshness`: how long after a message is sent an answer over HTTP has it.

    sender (100 messages a second) ─► door ─► counted ─► cache told ─┐
    poller (GET with If-None-Match, as fast as it goes) ◄── answer ◄─┘

All messages are of one event and one sender, so they are counted in the order in which they are sent: the n-th is in
the first answer that says n or more. What is measured is the whole road, the poller's own request included.

At 5,000 messages a second over 100 events it is measured from the commit, whose moment PostgreSQL keeps for each
transaction (`track_commit_timestamp`), and so for each row of the ledger, to the first answer that has it.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import psycopg
from confluent_kafka import Producer

from bench.figures import Figure, percentile
from bench.http_door import Client
from bench.kafka_door import produce, producer_options, wait_until, wait_until_shared
from bench.messages import Message, body_of, events, registrations, total_participants
from bench.processor import used_s, used_with_children_s
from bench.servers import PARTITIONS, Ground, Serving

A_SECOND = 100
BESIDE_A_BACKLOG_A_SECOND = 1_000
BUSY_A_SECOND, BUSY_EVENTS = 5_000, 100
SEEN_S_MAX = 20.0

Send = Callable[[list[Message]], None]


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `freshness`."""
    seconds = 3 if quick else 20
    backlog = 50_000 if quick else 1_000_000
    return [
        *_through_http(ground, seconds),
        *_through_kafka(ground, seconds),
        *_beside_a_backlog(ground, 2 if quick else 10, backlog),
        *_after_the_commit(ground, 4 if quick else 30),
    ]


def _through_http(ground: Ground, seconds: int) -> list[Figure]:
    site = ground.site("bench_fresh_http")
    ground.say(f"freshness: {seconds} s through http")
    with ground.serve(site) as serving:
        client = Client(serving, ground.token())
        told, messages = _messages(40, seconds)
        client.post(body_of(told))
        found = _measured(serving, ground.token(), messages, lambda due: _post(client, due))
        client.close()
    ground.drop(site)
    return _figures("http", found)


def _post(client: Client, due: list[Message]) -> None:
    client.post(body_of(due))


def _through_kafka(ground: Ground, seconds: int) -> list[Figure]:
    site = ground.site("bench_fresh_kafka")
    topics = ground.topics(site.name)
    bootstrap = ground.kafka().bootstrap
    ground.say(f"freshness: {seconds} s through kafka")
    with ExitStack() as stack:
        serving = stack.enter_context(ground.serve(site))
        stack.enter_context(ground.ingest(site, topics))
        wait_until_shared(site, topics["participant-registered"], 1)
        told, messages = _messages(41, seconds)
        produce(bootstrap, topics, told)
        producer = Producer(producer_options(bootstrap))

        def send(due: list[Message]) -> None:
            for kind, key, value in due:
                producer.produce(topics[kind], value, key)
            producer.poll(0)

        found = _measured(serving, ground.token(), messages, send)
        assert producer.flush(10) == 0
    ground.drop(site)
    return _figures("kafka", found)


def _beside_a_backlog(ground: Ground, seconds: int, backlog: int) -> list[Figure]:
    """The fresh messages have a partition of their own, as an event's messages have; all others hold the backlog."""
    site = ground.site("bench_fresh_backlog")
    topics = ground.topics(site.name)
    bootstrap = ground.kafka().bootstrap
    topic = topics["participant-registered"]
    ground.say(f"freshness: producing a backlog of {backlog:,} messages")
    with ExitStack() as stack:
        told, messages = _messages(42, seconds, BESIDE_A_BACKLOG_A_SECOND)
        others = [message for message in events(43, 100) if message[0] == "event-created"]
        produce(bootstrap, topics, told + others)
        producer = Producer(producer_options(bootstrap) | {"queue.buffering.max.messages": 1_000_000})
        for number, (_, key, value) in enumerate(registrations(43, events=100, count=backlog)):
            producer.produce(topic, value, key, partition=1 + number % (PARTITIONS - 1))
            if number % 1_000 == 0:
                while len(producer) > 500_000:
                    producer.poll(0.1)
        assert producer.flush(60) == 0
        serving = stack.enter_context(ground.serve(site))

        def send(due: list[Message]) -> None:
            for _, key, value in due:
                producer.produce(topic, value, key, partition=0)
            producer.poll(0)

        ground.say(f"freshness: {seconds} s beside the backlog")
        stack.enter_context(ground.ingest(site, topics))
        wait_until(site, topic, 1)  # it has joined its group, and the backlog is being caught up
        found = _measured(serving, ground.token(), messages, send, BESIDE_A_BACKLOG_A_SECOND)
        assert producer.flush(10) == 0
        left = backlog + len(messages) - wait_until(site, topic, 1)[0]
    ground.drop(site)
    samples = f", {left:,} of a backlog of {backlog:,} left at the end"
    return _figures("kafka beside a backlog", found, BESIDE_A_BACKLOG_A_SECOND, samples)


def _after_the_commit(ground: Ground, seconds: int) -> list[Figure]:
    """All partitions and events are busy; the dashboard of one event is polled."""
    site = ground.site("bench_fresh_commit")
    topics = ground.topics(site.name)
    bootstrap = ground.kafka().bootstrap
    topic = topics["participant-registered"]
    ground.say(f"freshness: {seconds} s of {BUSY_A_SECOND:,} messages a second, from the commit")
    with ExitStack() as stack:
        serving = stack.enter_context(ground.serve(site))
        stack.enter_context(ground.ingest(site, topics))
        wait_until_shared(site, topic, 1)
        told = events(44, BUSY_EVENTS)
        produce(bootstrap, topics, told)
        messages = list(registrations(44, events=BUSY_EVENTS, count=BUSY_A_SECOND * seconds))
        watched = messages[0][1]
        expected = sum(key == watched for _, key, _ in messages)
        producer = Producer(producer_options(bootstrap) | {"queue.buffering.max.messages": 1_000_000})
        path = f"/api/v1/events/{watched.decode()}/analytics"
        used = [used_s(serving.pid), used_with_children_s(ground.postgres.pid or 0)]
        with _Poller(serving, ground.token(), path, expected) as poller:
            poller.wait_for(0)
            started, sent = time.perf_counter(), 0
            while sent < len(messages):
                due = min(len(messages), int((time.perf_counter() - started) * BUSY_A_SECOND) + 1)
                for _, key, value in messages[sent:due]:
                    producer.produce(topic, value, key)
                sent = due
                producer.poll(0)
                time.sleep(0.005)
            rate = sent / (time.perf_counter() - started)
            assert producer.flush(10) == 0
            poller.wait_for(expected)
        took_s = time.perf_counter() - started
        used = [used_s(serving.pid) - used[0], used_with_children_s(ground.postgres.pid or 0) - used[1]]
        ahead_s = time.time() - time.perf_counter()  # of the clock that PostgreSQL reads, on this same machine
        with psycopg.connect(site.url) as conn:
            rows = conn.execute(_COMMITTED, [watched.decode()]).fetchall()
        found = [seen + ahead_s - committed for seen, (committed,) in zip(poller.seen_at, rows, strict=True)]
    ground.drop(site)
    samples = f"{len(found):,} of one event, {rate:,.0f} messages a second"
    return [
        Figure("freshness", "from the commit, p99", percentile(found, 99), "s (wanted: 0.1)", samples),
        Figure("freshness", "from the commit, p50", percentile(found, 50), "s", samples),
        Figure("freshness", "from the commit, slowest", max(found), "s", samples),
        Figure("freshness", "  processor, serve", used[0] / took_s, "cores", "the poller asks as fast as it can"),
        Figure("freshness", "  processor, PostgreSQL", used[1] / took_s, "cores", ""),
    ]


# The n-th who was committed is in the first answer that says n or more.
_COMMITTED = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(p.xmin))::float8 AS committed
  FROM hannun.participants p JOIN hannun.events e USING (event_no) WHERE e.event_id = %s ORDER BY 1
"""


def _messages(seed: int, seconds: int, a_second: int = A_SECOND) -> tuple[list[Message], list[Message]]:
    """The event, and its registrations."""
    return events(seed, 1), list(registrations(seed, events=1, count=a_second * seconds))


def _measured(
    serving: Serving, token: str, messages: list[Message], send: Send, a_second: int = A_SECOND
) -> list[float]:
    """Send the messages in time; seconds from each one's sending to the first answer that has it."""
    event_id = messages[0][1].decode()
    poller = _Poller(serving, token, f"/api/v1/events/{event_id}/analytics", len(messages))
    sent_at: list[float] = []
    with poller:
        poller.wait_for(0)
        started = time.perf_counter()
        while len(sent_at) < len(messages):
            # Who is late sends what is due in one: as a producer does.
            due = min(len(messages), int((time.perf_counter() - started) * a_second) + 1)
            if due > len(sent_at):
                first = len(sent_at)
                sent_at += [time.perf_counter()] * (due - first)
                send(messages[first:due])
            time.sleep(max(0.0, started + len(sent_at) / a_second - time.perf_counter()))
        poller.wait_for(len(messages))
    return [poller.seen_at[number] - at for number, at in enumerate(sent_at)]


class _Poller:
    """Asks for a dashboard in a tight loop, on a thread of its own, until told to stop."""

    def __init__(self, serving: Serving, token: str, path: str, wanted: int) -> None:
        self._client = Client(serving, token)
        self._path = path
        self._wanted = wanted
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="poller")
        self._total = -1
        self._failed: BaseException | None = None
        self.seen_at: list[float] = []
        """When an answer first said 1, 2, 3 ... participants."""

    def __enter__(self) -> "_Poller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def wait_for(self, total: int) -> None:
        """Until an answer says `total`."""
        with self._changed:
            seen = self._changed.wait_for(lambda: self._failed is not None or self._total >= total, SEEN_S_MAX)
        if self._failed is not None:
            raise self._failed
        assert seen, f"no answer said {total} participants within {SEEN_S_MAX:.0f} s; the last said {self._total}"

    def _run(self) -> None:
        etag: str | None = None
        try:
            while not self._stop.is_set():
                etag, body = self._client.get(self._path, etag)
                if body is not None:
                    self._note(total_participants(body), time.perf_counter())
        except BaseException as error:
            with self._changed:
                self._failed = error
                self._changed.notify_all()

    def _note(self, total: int, now: float) -> None:
        assert total >= self._total, f"an answer said {total} participants after one that said {self._total}"
        with self._changed:
            self.seen_at += [now] * (total - len(self.seen_at))
            self._total = total
            self._changed.notify_all()


def _figures(door: str, found: list[float], a_second: int = A_SECOND, more: str = "") -> list[Figure]:
    samples = f"{len(found):,} messages, {a_second:,} a second{more}"
    return [
        Figure("freshness", f"{door}, p50", percentile(found, 50), "s", samples),
        Figure("freshness", f"{door}, p99", percentile(found, 99), "s", samples),
        Figure("freshness", f"{door}, slowest", max(found), "s", samples),
    ]
