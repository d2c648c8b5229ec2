"""What the Kafka clients share: options, records as messages, and errors."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from hannun.domain.batch import OffsetRange, ReceivedMessage, RecordId
from hannun.domain.facts import INSTANT_BEFORE_US, INSTANT_FROM_US
from hannun.errors import KafkaUnavailable
from hannun.telemetry import log

Partition = tuple[str, int]

CALL_TIMEOUT_S = 10.0

FETCH_OPTIONS: dict[str, object] = {
    "check.crcs": True,  # by default what a broken disk has made of a number is handed on as if it were sent so
    "fetch.queue.backoff.ms": 5,  # the default of 1000 stalls for a second
    # Little is fetched ahead. What is fresh in one partition waits behind all that is already here of the others, and
    # more makes nothing faster (docs/performance.md). So memory is bounded too, whatever the lag.
    "queued.min.messages": 5_000,
    "queued.max.messages.kbytes": 2_048,
    "max.partition.fetch.bytes": 262_144,
}


class UnreadablePartition(NamedTuple):
    """A partition that the client cannot read from this offset on: it was let go, and was read under this epoch."""

    topic: str
    partition: int
    offset: int
    epoch: int
    why: str


class ConsumedBatch(NamedTuple):
    """Messages in the order of their partitions, and the spans they cover; a span may hold offsets without messages."""

    messages: list[ReceivedMessage]
    spans: list[OffsetRange]
    unreadable: Sequence[UnreadablePartition] = ()


def to_message(message: Message, kind: str, partition: Partition, offset: int, topic_id: str) -> ReceivedMessage:
    stamp, milliseconds = message.timestamp()
    at = int(time.time() * 1_000_000) if stamp == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1_000
    if not INSTANT_FROM_US <= at <= INSTANT_BEFORE_US:
        # A producer that counts in microseconds gives the year 55,000: later than any column, and as good as the last.
        at = min(max(at, INSTANT_FROM_US), INSTANT_BEFORE_US)
    place: RecordId = _NEW(RecordId, (partition[0], topic_id, partition[1], offset))
    received: ReceivedMessage = _NEW(ReceivedMessage, (kind, message.value() or b"", at, place, None))
    return received


_NEW: Any = tuple.__new__  # what a NamedTuple's own does, without its call: one for each message


@contextmanager
def fatal_client_errors() -> Iterator[None]:
    """What a client refuses to fetch, or to stop fetching, is none of the network's failures, which it survives by
    itself: it has ended, or knows of other partitions than we do. Beginning anew is the way out of both."""
    try:
        yield
    except KafkaException as error:
        raise fatal_error(error_text(error)) from error


def fatal_error(said: str) -> KafkaUnavailable:
    return KafkaUnavailable(f"the Kafka client has failed for good: {said}")


def failed_partition(message: Message, error: KafkaError) -> Partition | None:
    """The partition that an error among the messages is about; None where it is about no single one, and passes.

    Raises:
        StreamUnavailable: the client has failed for good, and says so once.
    """
    if error.fatal() or error.code() == KafkaError._FATAL:  # an error among the messages has lost its flag
        raise fatal_error(error.str())
    topic, number = message.topic(), message.partition()
    if topic is None or number is None or number < 0:
        log.warning("kafka", topic=topic, error=error.str())
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
    """The client's own log, through ours."""
    logger = logging.getLogger("hannun.kafka")
    if not logger.handlers:
        logger.addHandler(_Forward())
        logger.propagate = False
    return logger


class _Forward(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.info("kafka client", said=record.getMessage())
