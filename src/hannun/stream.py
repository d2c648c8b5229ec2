"""Kafka: batches of messages with the spans they cover.

    assigned ─► claimed in PostgreSQL (position, epoch) ─► read from there ─► batch with its spans ─► counted
       └── revoked / lost: forgotten; the next owner's claim raises the epoch, so nothing of ours can move it any more

Reading resumes from the claim, never from Kafka's own offsets; those are committed behind, so that lag tools see them.
The consumer is driven by one thread: callbacks of a rebalance run inside `take` and `keep_alive`, when no batch
is being written.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from hannun.domain.batch import Place, Received, Span
from hannun.errors import OperatorError, StreamUnavailable
from hannun.telemetry import log

Partition = tuple[str, int]
ClaimPartition = Callable[[str, str, int, Callable[[], tuple[int, int]]], tuple[int, int]]
"""(topic, topic_id, partition, watermarks) -> (next offset, epoch); raises OperatorError where nobody has decided."""

_CALL_S = 10.0


class Taken(NamedTuple):
    """Messages in the order of their partitions, and the spans they cover."""

    messages: list[Received]
    spans: list[Span]


class Stream:
    """The topics of messages, as one member of a consumer group."""

    def __init__(
        self, bootstrap: str, group: str, kinds: Mapping[str, str], claim: ClaimPartition, options: Mapping[str, object]
    ) -> None:
        self._bootstrap = bootstrap
        self._kinds = dict(kinds)
        self._claim = claim
        self._topic_ids: dict[str, str] = {}
        self._next: dict[Partition, int] = {}
        self._epochs: dict[Partition, int] = {}
        self.stopped: dict[Partition, str] = {}
        """Partitions that wait for an operator, and why."""
        self._options = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # a position the broker no longer has is an operator's decision
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.queue.backoff.ms": 5,  # the default of 1000 stalls for a second
            "session.timeout.ms": 30_000,
            "queued.max.messages.kbytes": 65_536,  # memory stays bounded whatever the lag
            **options,
        }
        self._consumer: Consumer | None = None

    def open(self) -> None:
        """Connect and join the group.

        Raises:
            OperatorError: no broker answers, or a topic is missing.
        """
        admin = AdminClient({"bootstrap.servers": self._bootstrap, "socket.timeout.ms": 5_000, "log_level": 0})
        try:
            found = admin.list_topics(timeout=_CALL_S).topics
        except KafkaException as error:
            raise OperatorError(
                f"no Kafka broker answers at {self._bootstrap}: {_told(error)}",
                hint="is it running, and is KAFKA_BOOTSTRAP_SERVERS right? `hannun up --kafka` starts an embedded one",
            ) from error
        missing = sorted(set(self._kinds) - set(found))
        if missing:
            raise OperatorError(
                f"Kafka at {self._bootstrap} has no topic {', '.join(missing)}",
                hint="make it, or name the right one in HANNUN_TOPIC_...",
            )
        described = admin.describe_topics(TopicCollection(list(self._kinds)), request_timeout=_CALL_S)
        self._topic_ids = {topic: str(future.result().topic_id) for topic, future in described.items()}
        self._consumer = Consumer(self._options, logger=_librdkafka_log())
        self._consumer.subscribe(
            list(self._kinds), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def close(self) -> None:
        """Leave the group. Closing twice is fine."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def take(self, count_max: int, wait_s: float) -> Taken:
        """The next messages of our partitions; empty when none came within `wait_s`.

        Raises:
            StreamUnavailable: the client has failed for good; end the process.
        """
        received = self._open.consume(num_messages=count_max, timeout=wait_s)
        messages: list[Received] = []
        starts: dict[Partition, int] = {}
        for message in received:
            error = message.error()
            if error is not None:
                self._note(message, error)
                continue
            partition, offset = _where(message)
            if offset < self._next.get(partition, offset + 1):
                continue  # of a partition that went away meanwhile, or from before where we were told to go on
            starts.setdefault(partition, self._next[partition])
            self._next[partition] = offset + 1
            messages.append(self._received(message))
        spans = [
            Span(topic, number, start, self._next[topic, number], self._epochs[topic, number])
            for (topic, number), start in starts.items()
        ]
        return Taken(messages, spans)

    def counted(self, spans: Sequence[Span]) -> None:
        """Tell Kafka's own offsets, for its lag tools. Nothing of ours depends on it."""
        ends = [TopicPartition(span.topic, span.partition, span.end) for span in spans]
        try:
            self._open.commit(offsets=ends, asynchronous=True)
        except KafkaException as error:
            log.debug("kafka's own offsets were not committed", error=_told(error))

    def keep_alive(self, wait_s: float) -> None:
        """Stay a member without taking anything: while PostgreSQL is away, or there is nothing of ours to do."""
        assigned = self._open.assignment()
        self._open.pause(assigned)
        late = self._open.consume(num_messages=1, timeout=wait_s)
        for message in late:
            if message.error() is None:  # came in before the pause: read it again
                (topic, number), offset = _where(message)
                self._open.seek(TopicPartition(topic, number, offset))
        self._open.resume(self._open.assignment())

    def holds(self, spans: Sequence[Span]) -> bool:
        """Whether every span is still ours, under the epoch it was read with."""
        return all(self._epochs.get((span.topic, span.partition)) == span.epoch for span in spans)

    def resume(self) -> None:
        """Claim all we are assigned once more, and read on from there: another owner was in between."""
        assigned = [(part.topic, part.partition) for part in self._open.assignment()]
        for topic, number in assigned:
            self._forget(topic, number)
            offset = self._begin(topic, number)
            if offset is not None:
                self._open.seek(TopicPartition(topic, number, offset))

    # -- partitions come and go

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        ours, stopped = [], []
        for part in partitions:
            offset = self._begin(part.topic, part.partition)
            if offset is None:
                stopped.append(TopicPartition(part.topic, part.partition, OFFSET_BEGINNING))
            else:
                ours.append(TopicPartition(part.topic, part.partition, offset))
        consumer.incremental_assign(ours + stopped)
        if stopped:
            consumer.pause(stopped)

    def _begin(self, topic: str, number: int) -> int | None:
        """Claim a partition. None where it waits for an operator."""

        def watermarks() -> tuple[int, int]:
            found: tuple[int, int] = self._open.get_watermark_offsets(TopicPartition(topic, number), timeout=_CALL_S)
            return found

        try:
            offset, epoch = self._claim(topic, self._topic_ids[topic], number, watermarks)
        except OperatorError as error:
            self.stopped[topic, number] = str(error)
            log.error("partition stopped", topic=topic, partition=number, why=str(error))
            return None
        self.stopped.pop((topic, number), None)
        self._next[topic, number] = offset
        self._epochs[topic, number] = epoch
        log.info("partition claimed", topic=topic, partition=number, offset=offset, epoch=epoch)
        return offset

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for part in partitions:
            self._forget(part.topic, part.partition)
        try:
            consumer.incremental_unassign(partitions)
        except KafkaException as error:  # lost: there is nothing left to give back
            log.info("partitions were lost", error=_told(error))

    def _forget(self, topic: str, number: int) -> None:
        for known in (self._next, self._epochs, self.stopped):
            known.pop((topic, number), None)

    # -- messages

    def _received(self, message: Message) -> Received:
        kind, milliseconds = message.timestamp()
        at = int(time.time() * 1_000_000) if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1_000
        (topic, number), offset = _where(message)
        place = Place(topic, self._topic_ids[topic], number, offset)
        return Received(self._kinds[topic], message.value() or b"", at, place)

    def _note(self, message: Message, error: KafkaError) -> None:
        if error.fatal():
            raise StreamUnavailable(f"the Kafka client has failed for good: {error.str()}")
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            (topic, number), _ = _where(message)
            why = f"the broker no longer has offset {self._next.get((topic, number))} of {topic}[{number}]"
            self.stopped[topic, number] = why
            log.error("partition stopped", topic=topic, partition=number, why=why)
            return
        log.warning("kafka", error=error.str())

    @property
    def _open(self) -> Consumer:
        assert self._consumer is not None, "Stream.open comes first"
        return self._consumer


def _where(message: Message) -> tuple[Partition, int]:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None
    return (topic, partition), offset


def _told(error: KafkaException) -> str:
    found = error.args[0] if error.args else error
    return str(found.str() if isinstance(found, KafkaError) else found)


def _librdkafka_log() -> object:
    """The client's own log, through ours."""

    class _Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.info("kafka client", said=record.getMessage())

    logger = logging.getLogger("hannun.librdkafka")
    logger.handlers = [_Forward()]
    logger.propagate = False
    return logger
