"""What the Kafka clients share: client options, conversion of records, and errors."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from operator import methodcaller
from typing import Any, NamedTuple

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from hannun import tracing
from hannun.domain.batch import OffsetRange, ReceivedMessage, RecordId
from hannun.domain.facts import INSTANT_BEFORE_US, INSTANT_FROM_US
from hannun.domain.positions import Partition as Partition
from hannun.errors import KafkaUnavailable
from hannun.telemetry import log

CALL_TIMEOUT_S = 10.0

FETCH_OPTIONS: dict[str, object] = {
    "check.crcs": True,  # off by default: then a number that a broken disk has changed is delivered as if it were sent
    "fetch.queue.backoff.ms": 5,  # the default of 1000 stalls for a second
    # The client prefetches little. New records of one partition queue behind everything prefetched of the others, and
    # more prefetching makes nothing faster (docs/performance.md). It also bounds memory, whatever the lag.
    "queued.min.messages": 5_000,
    "queued.max.messages.kbytes": 2_048,
    "max.partition.fetch.bytes": 262_144,
}


class UnreadablePartition(NamedTuple):
    """A partition that the client cannot read from this offset on. It was read under this epoch and is now released.

    `refused`: the broker does not let this client read it.
    """

    topic: str
    partition: int
    offset: int
    epoch: int
    reason: str
    refused: bool = False


class ConsumedBatch(NamedTuple):
    """Messages in the order of their partitions, and the offset ranges that they cover.

    A range may hold offsets without messages. `unreadable` lists the partitions that the poll released.
    `traceparents` are those headers of some of the messages, while traces are on. Of a poll, `counts` are the numbers
    of messages of each range, whose messages follow each other.
    """

    messages: list[ReceivedMessage]
    ranges: list[OffsetRange]
    unreadable: Sequence[UnreadablePartition] = ()
    traceparents: Sequence[bytes] = ()
    counts: Sequence[int] = ()

    def by_partition(self) -> Iterator[tuple[OffsetRange, list[ReceivedMessage]]]:
        """Each range of a poll with its messages."""
        first = 0
        for covered, count in zip(self.ranges, self.counts, strict=True):
            yield covered, self.messages[first : first + count]
            first += count

    def without(self, partition: Partition) -> "ConsumedBatch":
        """The batch without one partition."""
        return ConsumedBatch(
            [message for message in self.messages if message.record_id is None or not _is_of(message, partition)],
            [covered for covered in self.ranges if covered[:2] != partition],
            traceparents=self.traceparents,
        )


def _is_of(message: ReceivedMessage, partition: Partition) -> bool:
    record_id = message.record_id
    return record_id is not None and (record_id.topic, record_id.partition) == partition


def to_message(message: Message, kind: str, partition: Partition, offset: int, topic_id: str) -> ReceivedMessage:
    """Convert a record; its receipt time is the broker's timestamp, or now where the record has none."""
    stamp, milliseconds = message.timestamp()
    at = int(time.time() * 1_000_000) if stamp == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1_000
    if not INSTANT_FROM_US <= at <= INSTANT_BEFORE_US:
        # A producer that writes microseconds gives the year 55,000, which no column holds. The latest instant does.
        at = min(max(at, INSTANT_FROM_US), INSTANT_BEFORE_US)
    record_id: RecordId = _NEW(RecordId, (partition[0], topic_id, partition[1], offset))
    received: ReceivedMessage = _NEW(ReceivedMessage, (kind, message.value() or b"", at, record_id, None))
    return received


def to_messages(
    records: Sequence[Message], kind: str, partition: Partition, offsets: Sequence[int], topic_id: str
) -> list[ReceivedMessage]:
    """`to_message` of each of a partition's records, with these offsets."""
    stamps = list(map(_TIMESTAMP, records))
    values = list(map(_VALUE, records))
    at_ms = [milliseconds for _, milliseconds in stamps]
    if (
        None in values
        or TIMESTAMP_NOT_AVAILABLE in {stamp for stamp, _ in stamps}
        or not INSTANT_FROM_US <= 1_000 * min(at_ms) <= 1_000 * max(at_ms) <= INSTANT_BEFORE_US
    ):
        return [
            to_message(record, kind, partition, offset, topic_id)
            for record, offset in zip(records, offsets, strict=True)
        ]
    topic, number = partition
    ids = map(_NEW, repeat(RecordId), zip(repeat(topic), repeat(topic_id), repeat(number), offsets, strict=False))
    fields = zip(repeat(kind), values, [1_000 * at for at in at_ms], ids, repeat(None), strict=False)
    return list(map(_NEW, repeat(ReceivedMessage), fields))


_TIMESTAMP, _VALUE = methodcaller("timestamp"), methodcaller("value")
_NEW: Any = tuple.__new__  # what a NamedTuple's own constructor does, without one more call for each message


@contextmanager
def fatal_client_errors() -> Iterator[None]:
    """Raise KafkaUnavailable for each KafkaException.

    librdkafka retries network errors itself. An exception here means that the client is closed, or that its partitions
    differ from ours. Only a new client resolves either.
    """
    try:
        yield
    except KafkaException as error:
        raise fatal_error(error_text(error)) from error


def fatal_error(found: str) -> KafkaUnavailable:
    return KafkaUnavailable(f"the Kafka client cannot continue: {found}. Start this process again")


def failed_partition(message: Message, error: KafkaError) -> Partition | None:
    """The partition that a consumed error is about; None where it names no partition and is temporary.

    Raises:
        KafkaUnavailable: the error is fatal for the client. librdkafka reports that once.
    """
    if error.fatal() or error.code() == KafkaError._FATAL:  # a consumed error has lost its fatal flag
        raise fatal_error(error.str())
    topic, number = message.topic(), message.partition()
    if topic is None or number is None or number < 0:
        log.warning("kafka client error", topic=topic, error=error.str())
        return None
    return topic, number


def topic_partition(partition: Partition, offset: int, leader_epoch: int | None) -> TopicPartition:
    return TopicPartition(*partition, offset, leader_epoch=-1 if leader_epoch is None else leader_epoch)


def partition_and_offset(message: Message) -> tuple[Partition, int]:
    topic, number, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and number is not None and offset is not None
    return (topic, number), offset


def error_text(error: KafkaException) -> str:
    found = error.args[0] if error.args else error
    return str(found.str() if isinstance(found, KafkaError) else found)


def client_logger() -> logging.Logger:
    """The logger for librdkafka, which forwards its records to the service's log."""
    logger = logging.getLogger("hannun.kafka")
    if not logger.handlers:
        logger.addHandler(_ForwardToServiceLog())
        logger.propagate = False
    return logger


class _ForwardToServiceLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.info("kafka client", text=record.getMessage())


def sampled_traceparents(records: Sequence[Message]) -> Sequence[bytes]:
    """The `traceparent` headers of a few records, spread evenly; none while nothing is traced.

    Reading the headers of every record would cost more than counting it.
    """
    if not tracing.is_on():
        return ()
    step = -(-len(records) // tracing.LINKS_MAX) or 1
    headers = (dict(record.headers() or ()) for record in records[::step] if record.error() is None)
    found = (of_one.get("traceparent") for of_one in headers)
    return [value for value in found if isinstance(value, bytes)]
