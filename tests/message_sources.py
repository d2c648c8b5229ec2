"""Kafka and Service Bus for the tests of the contract that all sources keep: the real Kafka, and a double of the other.

`count_with_faults` runs a worker over a source as a process does: one that crashes is followed by a new one.
"""

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from typing import Any, Protocol, cast

from confluent_kafka import Producer
from faults import Proxy, Request, RequestParser
from polling import wait_for
from service_bus_double import ServiceBusDouble
from world import World

from hannun.counting.batch_counter import BatchCounter, CountedBatch, OpenBatch, PreparedBatch
from hannun.counting.sources import SourceWorker, run_workers
from hannun.domain.batch import ReceivedMessage
from hannun.domain.facts import Kind
from hannun.domain.quarantine import QuarantineLimits
from hannun.embedded import KafkaServer
from hannun.errors import KafkaUnavailable, StoreUnavailable
from hannun.flows.kafka_ingestion import IngestionWorker
from hannun.flows.service_bus_ingestion import ServiceBusWorker
from hannun.kafka.address import KafkaAddress
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.service_bus.namespace import Namespace, ServiceBusAddress
from hannun.service_bus.receiver import QueueReceiver
from hannun.store import positions

DEADLINE_S = 60.0
COUNT_MAX = 5
"""Small batches, so that a history has several."""


class Fault(StrEnum):
    """What happens to a batch."""

    CRASH_BEFORE_COMMIT = "the process dies before the commit"
    CRASH_AFTER_COMMIT = "the process dies between the commit and the acknowledgement"
    STORE_AWAY = "PostgreSQL is away"
    ANSWER_LOST = "the answer to the commit is lost"
    BATCH_LOST = "another process gets the same messages while they are counted"
    CONNECTION_CUT = "the connection to the source is cut while they are counted"


class Crash(Exception):
    """The process ends here."""


class MessageSource(Protocol):
    """A source under test."""

    name: str
    faults: Sequence[Fault]

    def send(self, messages: Sequence[ReceivedMessage]) -> None:
        """Send as producers do."""

    def worker(self, counters: Callable[[], BatchCounter], stack: ExitStack) -> SourceWorker:
        """The worker of a new process. `counters` makes a counter for one thread."""

    def lose_batch(self) -> None:
        """What the worker holds now belongs to others."""

    def cut_connection(self) -> None: ...

    def has_died(self) -> None:
        """The process is gone, and with it its connections."""

    def is_acknowledged(self) -> bool:
        """Whether nothing is left that would be delivered again."""


class FaultyCounter:
    """A counter, with a fault at each of the next batches."""

    def __init__(self, counter: BatchCounter, source: MessageSource, faults: list[Fault]) -> None:
        self._counter = counter
        self._source = source
        self._faults = faults

    def abort(self) -> None:
        self._counter.abort()

    def prepare(self, batch: Sequence[ReceivedMessage]) -> PreparedBatch:
        return self._counter.prepare(batch)

    def begin(self) -> OpenBatch:
        return self._counter.begin()

    def close(self, *parts: OpenBatch) -> PreparedBatch:
        return self._counter.close(*parts)

    def count(self, batch: Sequence[ReceivedMessage]) -> CountedBatch:
        return self.write(self.prepare(batch))

    def write(self, prepared: PreparedBatch, *positions: Any) -> CountedBatch:
        fault = self._faults.pop(0) if self._faults and prepared.messages else None
        if fault is Fault.CRASH_BEFORE_COMMIT:
            raise Crash
        if fault is Fault.STORE_AWAY:
            raise StoreUnavailable("it refuses connections")
        if fault is Fault.BATCH_LOST:
            self._source.lose_batch()
        if fault is Fault.CONNECTION_CUT:
            self._source.cut_connection()
        counted = self._counter.write(prepared, *positions)
        if fault is Fault.CRASH_AFTER_COMMIT:
            raise Crash
        if fault is Fault.ANSWER_LOST:
            raise StoreUnavailable("the connection broke at the commit")
        return counted


class Running:
    """A worker in a thread of its own."""

    def __init__(self, worker: SourceWorker) -> None:
        self._stop = threading.Event()
        self._worker = worker
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._worker.run(self._stop, count_max=COUNT_MAX, wait_s=0.05)
        except Crash:
            pass
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_S)
        assert self.has_ended, "the worker does not end"
        assert self.error is None, self.error


def count_with_faults(
    world: World, source: MessageSource, faults: Sequence[Fault] = (), until: Callable[[], bool] = lambda: True
) -> None:
    """Count everything that the source holds, with a fault at each of the first batches; a crash is followed by a new
    process. Ends when all is acknowledged and `until` is true."""
    left = list(faults)

    def counter() -> BatchCounter:
        return cast(BatchCounter, FaultyCounter(world.another_counter(), source, left))

    while True:
        with ExitStack() as stack:
            running = Running(source.worker(counter, stack))
            try:
                wait_for(
                    f"all to be acknowledged, or a crash: {left} left of {list(faults)}",
                    lambda running=running: running.has_ended or (source.is_acknowledged() and until()),  # type: ignore[misc]
                    DEADLINE_S,
                )
            finally:
                running.stop()
        if source.is_acknowledged() and until():
            return
        source.has_died()


class KafkaSource:
    """Topics of this test's own in the real Kafka."""

    name = "kafka"
    faults = tuple(fault for fault in Fault if fault is not Fault.CONNECTION_CUT)  # librdkafka connects again by itself

    def __init__(self, world: World, kafka: KafkaServer) -> None:
        self._world = world
        self._bootstrap = kafka.bootstrap
        suffix = uuid.uuid4().hex[:8]
        self._group = f"contract-{suffix}"
        self._topics = {f"{kind}-{suffix}": str(kind) for kind in Kind}
        kafka.create_topics(dict.fromkeys(self._topics, 1))
        self._broker = Broker(KafkaAddress(self._bootstrap))
        self._producer = Producer({"bootstrap.servers": self._bootstrap, "acks": "all", "log_level": 0})

    def send(self, messages: Sequence[ReceivedMessage]) -> None:
        by_kind = {kind: topic for topic, kind in self._topics.items()}
        for message in messages:
            self._producer.produce(by_kind[message.kind], message.raw, timestamp=message.received_at // 1_000)
        assert self._producer.flush(DEADLINE_S) == 0

    def worker(self, counters: Callable[[], BatchCounter], stack: ExitStack) -> SourceWorker:
        options = {"partition.assignment.strategy": "cooperative-sticky", "heartbeat.interval.ms": 100}
        consumer = GroupConsumer(KafkaAddress(self._bootstrap), self._group, self._topics, options)
        consumer.open()
        stack.callback(consumer.close)
        return IngestionWorker(
            consumer,
            self._broker,
            self._world.another_database(),
            counters(),
            owner="test/1",
            start_from="earliest",
            limits=QuarantineLimits(),
        )

    def lose_batch(self) -> None:
        owned = list(self._known())
        with self._world.database.transaction() as conn:
            positions.claim(conn, "another/2", owned)

    def cut_connection(self) -> None:
        raise AssertionError("no fault of Kafka")

    def has_died(self) -> None: ...

    def is_acknowledged(self) -> bool:
        """Whether every partition is counted to its end: its position is all that acknowledges."""
        try:
            logs = self._broker.partition_logs([(topic, 0) for topic in self._topics])
        except KafkaUnavailable:
            return False  # a new topic may have no leader yet
        known = self._known()
        return all(log.high == 0 or log.not_counted(known.get(place)) == 0 for place, log in logs.items())

    def _known(self) -> Mapping[tuple[str, int], Any]:
        with self._world.database.transaction() as conn:
            return positions.known_positions(conn, [(topic, 0) for topic in self._topics])


class Chunks(RequestParser):
    """Any protocol: a request is what arrives at once."""

    def feed(self, data: bytes) -> list[Request]:
        return [Request(data, "", "")]


class ServiceBusSource:
    """Queues in the double of Service Bus, behind a proxy that can cut the connection."""

    name = "servicebus"
    faults = tuple(Fault)

    def __init__(self, double: ServiceBusDouble, proxy: Proxy) -> None:
        self.double = double
        self.proxy = proxy
        self.namespace = Namespace(ServiceBusAddress(double.connection_string(proxy.port)))

    def send(self, messages: Sequence[ReceivedMessage]) -> None:
        for message in messages:
            self.double.send(message.kind, message.raw, enqueued_ms=message.received_at // 1_000)

    def worker(self, counters: Callable[[], BatchCounter], stack: ExitStack) -> SourceWorker:
        workers = [
            ServiceBusWorker(QueueReceiver(self.namespace, kind, kind), counters(), QuarantineLimits()) for kind in Kind
        ]
        return Together(workers)

    def lose_batch(self) -> None:
        self.double.expire_locks()

    def cut_connection(self) -> None:
        self.proxy.cut()

    def has_died(self) -> None:
        self.proxy.cut()
        wait_for("the dead receivers to be forgotten", lambda: not self.double.receiver_count)
        self.double.expire_locks()

    def is_acknowledged(self) -> bool:
        return not any(self.double.messages(kind) for kind in Kind)


class Together:
    """Workers in a thread each, as in a process."""

    def __init__(self, workers: Sequence[SourceWorker]) -> None:
        self._workers = workers

    def run(self, stop: threading.Event, *, count_max: int, wait_s: float) -> None:
        run_workers(self._workers, stop, count_max=count_max, wait_s=wait_s)
