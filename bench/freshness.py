"""`freshness`: how long after a message is sent the first answer over HTTP includes it.

    sender (100 messages a second) ─► HTTP or Kafka ─► counted ─► cache invalidated ─┐
    poller (GET with If-None-Match, in a tight loop) ◄─────────── answer ◄───────────┘

All messages are of one event and from one sender, so they are counted in the order in which they are sent: the first
answer with n or more participants includes the n-th message. The whole path is measured, with the poller's request.

At 5,000 messages a second over 100 events the measurement starts at the commit instead. PostgreSQL stores the commit
time of each transaction (`track_commit_timestamp`), and so of each row of the ledger.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from confluent_kafka import Producer

from bench.commit_times import commit_times
from bench.figures import Figure, percentile
from bench.http_ingestion import HttpClient
from bench.kafka_ingestion import produce, producer_options, wait_until_counted, wait_until_owned
from bench.messages import Message, events, registrations, request_body, total_participants
from bench.process_usage import cpu_s, tree_cpu_s
from bench.servers import PARTITIONS, ServeProcess, Servers

RATE = 100
"""Messages a second, as the other rates here."""
KAFKA_RATES = (RATE, 1_000, 20_000)
BACKLOG_RATE = 1_000
BUSY_RATE, BUSY_EVENTS = 5_000, 100
SEEN_S_MAX = 20.0

Send = Callable[[list[Message]], None]


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `freshness`."""
    seconds = 3 if quick else 20
    backlog = 50_000 if quick else 1_000_000
    return [
        *_measure_http(servers, seconds),
        *(figure for rate in KAFKA_RATES for figure in _measure_kafka(servers, seconds, rate)),
        *_measure_with_backlog(servers, 2 if quick else 10, backlog),
        *_measure_from_commit(servers, 4 if quick else 30),
    ]


def _measure_http(servers: Servers, seconds: int) -> list[Figure]:
    database = servers.create_database("bench_fresh_http")
    servers.log_progress(f"freshness: {seconds} s over HTTP")
    with servers.serve(database) as serve:
        client = HttpClient(serve, servers.admin_token())
        created, messages = _event_and_registrations(40, seconds)
        client.post(request_body(created))
        waits_s = _measure_waits(serve, servers.admin_token(), messages, lambda due: _post(client, due))
        client.close()
    servers.drop_database(database)
    return _figures("http", waits_s)


def _post(client: HttpClient, due: list[Message]) -> None:
    client.post(request_body(due))


def _measure_kafka(servers: Servers, seconds: int, rate: int) -> list[Figure]:
    database = servers.create_database(f"bench_fresh_kafka_{rate}")
    topics = servers.create_topics(database.name)
    bootstrap = servers.kafka().bootstrap
    servers.log_progress(f"freshness: {seconds} s of {rate:,} messages a second over Kafka")
    with ExitStack() as stack:
        serve = stack.enter_context(servers.serve(database))
        stack.enter_context(servers.ingest(database, topics))
        wait_until_owned(database, topics["participant-registered"], 1)
        created, messages = _event_and_registrations(1_000 + rate, seconds, rate)
        produce(bootstrap, topics, created)
        producer = Producer(producer_options(bootstrap) | {"queue.buffering.max.messages": 1_000_000})

        def send(due: list[Message]) -> None:
            for kind, key, value in due:
                producer.produce(topics[kind], value, key)
            producer.poll(0)

        waits_s = _measure_waits(serve, servers.admin_token(), messages, send, rate)
        assert producer.flush(10) == 0
    servers.drop_database(database)
    return _figures("kafka" if rate == RATE else f"kafka, {rate:,} a second", waits_s, rate)


def _measure_with_backlog(servers: Servers, seconds: int, backlog: int) -> list[Figure]:
    """Freshness while `ingest` reads a backlog.

    The new messages have a partition to themselves, as all messages of one event share a partition. The backlog is in
    the other partitions.
    """
    database = servers.create_database("bench_fresh_backlog")
    topics = servers.create_topics(database.name)
    bootstrap = servers.kafka().bootstrap
    topic = topics["participant-registered"]
    servers.log_progress(f"freshness: producing a backlog of {backlog:,} messages")
    with ExitStack() as stack:
        created, messages = _event_and_registrations(42, seconds, BACKLOG_RATE)
        created_for_backlog = [message for message in events(43, 100) if message[0] == "event-created"]
        produce(bootstrap, topics, created + created_for_backlog)
        producer = Producer(producer_options(bootstrap) | {"queue.buffering.max.messages": 1_000_000})
        for number, (_, key, value) in enumerate(registrations(43, events=100, count=backlog)):
            producer.produce(topic, value, key, partition=1 + number % (PARTITIONS - 1))
            if number % 1_000 == 0:
                while len(producer) > 500_000:
                    producer.poll(0.1)
        assert producer.flush(60) == 0
        serve = stack.enter_context(servers.serve(database))

        def send(due: list[Message]) -> None:
            for _, key, value in due:
                producer.produce(topic, value, key, partition=0)
            producer.poll(0)

        servers.log_progress(f"freshness: {seconds} s while the backlog is read")
        stack.enter_context(servers.ingest(database, topics))
        wait_until_counted(database, topic, 1)  # it has joined its group and reads the backlog
        waits_s = _measure_waits(serve, servers.admin_token(), messages, send, BACKLOG_RATE)
        assert producer.flush(10) == 0
        left = backlog + len(messages) - wait_until_counted(database, topic, 1)[0]
    servers.drop_database(database)
    samples = f", {left:,} of a backlog of {backlog:,} left at the end"
    return _figures("kafka with a backlog", waits_s, BACKLOG_RATE, samples)


def _measure_from_commit(servers: Servers, seconds: int) -> list[Figure]:
    """Freshness from the commit, while all partitions and events are busy. One event's dashboard is polled."""
    database = servers.create_database("bench_fresh_commit")
    topics = servers.create_topics(database.name)
    bootstrap = servers.kafka().bootstrap
    topic = topics["participant-registered"]
    servers.log_progress(f"freshness: {seconds} s of {BUSY_RATE:,} messages a second, from the commit")
    with ExitStack() as stack:
        serve = stack.enter_context(servers.serve(database))
        stack.enter_context(servers.ingest(database, topics))
        wait_until_owned(database, topic, 1)
        produce(bootstrap, topics, events(44, BUSY_EVENTS))
        messages = list(registrations(44, events=BUSY_EVENTS, count=BUSY_RATE * seconds))
        polled_key = messages[0][1]
        expected = sum(key == polled_key for _, key, _ in messages)
        producer = Producer(producer_options(bootstrap) | {"queue.buffering.max.messages": 1_000_000})
        path = f"/api/v1/events/{polled_key.decode()}/analytics"
        serve_before_s, postgres_before_s = cpu_s(serve.pid), tree_cpu_s(servers.postgres.pid or 0)
        with _Poller(serve, servers.admin_token(), path) as poller:
            poller.wait_for(0)
            started, sent = time.perf_counter(), 0
            while sent < len(messages):
                due = min(len(messages), int((time.perf_counter() - started) * BUSY_RATE) + 1)
                for _, key, value in messages[sent:due]:
                    producer.produce(topic, value, key)
                sent = due
                producer.poll(0)
                time.sleep(0.005)
            rate = sent / (time.perf_counter() - started)
            assert producer.flush(10) == 0
            poller.wait_for(expected)
        took_s = time.perf_counter() - started
        serve_s = cpu_s(serve.pid) - serve_before_s
        postgres_s = tree_cpu_s(servers.postgres.pid or 0) - postgres_before_s
        # Converts `perf_counter` to the clock of this machine, which PostgreSQL reads too.
        clock_offset_s = time.time() - time.perf_counter()
        committed_at = commit_times(database, [polled_key.decode()])[polled_key.decode()]
        waits_s = [
            seen_at + clock_offset_s - committed
            for seen_at, committed in zip(poller.seen_at, committed_at, strict=True)
        ]
    servers.drop_database(database)
    samples = f"{len(waits_s):,} of one event, {rate:,.0f} messages a second"
    return [
        Figure("freshness", "from the commit, p99", percentile(waits_s, 99), "s (target: 0.1)", samples),
        Figure("freshness", "from the commit, p50", percentile(waits_s, 50), "s", samples),
        Figure("freshness", "from the commit, slowest", max(waits_s), "s", samples),
        Figure("freshness", "  CPU, serve", serve_s / took_s, "cores", "with the poller's tight loop"),
        Figure("freshness", "  CPU, PostgreSQL", postgres_s / took_s, "cores", ""),
    ]


def _event_and_registrations(seed: int, seconds: int, rate: int = RATE) -> tuple[list[Message], list[Message]]:
    """The messages that create one event, and its registrations for so many seconds."""
    return events(seed, 1), list(registrations(seed, events=1, count=rate * seconds))


def _measure_waits(
    serve: ServeProcess, token: str, messages: list[Message], send: Send, rate: int = RATE
) -> list[float]:
    """Send the messages at `rate` a second. Returns the seconds from sending each to the first answer with it."""
    event_id = messages[0][1].decode()
    poller = _Poller(serve, token, f"/api/v1/events/{event_id}/analytics")
    sent_at: list[float] = []
    with poller:
        poller.wait_for(0)
        started = time.perf_counter()
        while len(sent_at) < len(messages):
            # A sender that is late sends all due messages together, as a producer does.
            due = min(len(messages), int((time.perf_counter() - started) * rate) + 1)
            if due > len(sent_at):
                first = len(sent_at)
                sent_at += [time.perf_counter()] * (due - first)
                send(messages[first:due])
            time.sleep(max(0.0, started + len(sent_at) / rate - time.perf_counter()))
        poller.wait_for(len(messages))
    return [poller.seen_at[number] - at for number, at in enumerate(sent_at)]


class _Poller:
    """Requests a dashboard in a tight loop in its own thread, until the end of the block."""

    def __init__(self, serve: ServeProcess, token: str, path: str) -> None:
        self._client = HttpClient(serve, token)
        self._path = path
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="poller")
        self._total = -1
        self._failed: BaseException | None = None
        self.seen_at: list[float] = []
        """When an answer first showed 1, 2, 3 ... participants."""

    def __enter__(self) -> "_Poller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def wait_for(self, total: int) -> None:
        """Wait until an answer shows at least `total` participants."""
        with self._changed:
            seen = self._changed.wait_for(lambda: self._failed is not None or self._total >= total, SEEN_S_MAX)
        if self._failed is not None:
            raise self._failed
        assert seen, f"no answer showed {total} participants within {SEEN_S_MAX:.0f} s; the last showed {self._total}"

    def _run(self) -> None:
        etag: str | None = None
        try:
            while not self._stop.is_set():
                etag, body = self._client.get(self._path, etag)
                if body is not None:
                    self._record(total_participants(body), time.perf_counter())
        except BaseException as error:
            with self._changed:
                self._failed = error
                self._changed.notify_all()

    def _record(self, total: int, now: float) -> None:
        assert total >= self._total, f"an answer showed {total} participants after one with {self._total}"
        with self._changed:
            self.seen_at += [now] * (total - len(self.seen_at))
            self._total = total
            self._changed.notify_all()


def _figures(source: str, waits_s: list[float], rate: int = RATE, more: str = "") -> list[Figure]:
    samples = f"{len(waits_s):,} messages, {rate:,} a second{more}"
    return [
        Figure("freshness", f"{source}, p50", percentile(waits_s, 50), "s", samples),
        Figure("freshness", f"{source}, p99", percentile(waits_s, 99), "s", samples),
        Figure("freshness", f"{source}, slowest", max(waits_s), "s", samples),
    ]
