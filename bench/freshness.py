"""`freshness`: how long after a message is sent an answer over HTTP has it.

    sender (100 messages a second) ─► door ─► counted ─► cache told ─┐
    poller (GET with If-None-Match, as fast as it goes) ◄── answer ◄─┘

All messages are of one event and one sender, so they are counted in the order in which they are sent: the n-th is in
the first answer that says n or more. What is measured is the whole road, the poller's own request included.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from confluent_kafka import Producer

from bench.figures import Figure, percentile
from bench.http_door import Client
from bench.kafka_door import produce, producer_options
from bench.messages import Message, body_of, events, registrations, total_participants
from bench.servers import Ground, Serving

A_SECOND = 100
SEEN_S_MAX = 20.0

Send = Callable[[list[Message]], None]


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `freshness`."""
    seconds = 3 if quick else 20
    return _through_http(ground, seconds) + _through_kafka(ground, seconds)


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


def _messages(seed: int, seconds: int) -> tuple[list[Message], list[Message]]:
    """The event, and its registrations."""
    return events(seed, 1), list(registrations(seed, events=1, count=A_SECOND * seconds))


def _measured(serving: Serving, token: str, messages: list[Message], send: Send) -> list[float]:
    """Send the messages in time; seconds from each one's sending to the first answer that has it."""
    event_id = messages[0][1].decode()
    poller = _Poller(serving, token, f"/api/v1/events/{event_id}/analytics", len(messages))
    sent_at: list[float] = []
    with poller:
        poller.wait_for(0)
        started = time.perf_counter()
        while len(sent_at) < len(messages):
            # Who is late sends what is due in one: as a producer does.
            due = min(len(messages), int((time.perf_counter() - started) * A_SECOND) + 1)
            if due > len(sent_at):
                first = len(sent_at)
                sent_at += [time.perf_counter()] * (due - first)
                send(messages[first:due])
            time.sleep(max(0.0, started + len(sent_at) / A_SECOND - time.perf_counter()))
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


def _figures(door: str, found: list[float]) -> list[Figure]:
    samples = f"{len(found):,} messages, {A_SECOND} a second"
    return [
        Figure("freshness", f"{door}, p50", percentile(found, 50), "s", samples),
        Figure("freshness", f"{door}, p99", percentile(found, 99), "s", samples),
        Figure("freshness", f"{door}, slowest", max(found), "s", samples),
    ]
