"""The group consumer over a real Kafka: its spans cover every offset, and it skips no record that it has not read."""

import time
import uuid
from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, Producer
from faults import corrupt_batch

from hannun.domain.batch import OffsetRange
from hannun.domain.positions import KnownPosition
from hannun.domain.replay import ReplayRange
from hannun.embedded import KafkaServer
from hannun.errors import KafkaUnavailable
from hannun.kafka.address import KafkaAddress
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.kafka.log_reader import LogReader
from hannun.kafka.records import ConsumedBatch, Partition

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
DEADLINE_S = 30.0
POLLS_MAX = 600


class Log:
    """A topic of one partition, written in transactions, and a consumer that reads it."""

    def __init__(self, kafka: KafkaServer) -> None:
        self.name = f"consumer-{uuid.uuid4().hex[:8]}"
        self.partition: Partition = (self.name, 0)
        self.committed: list[int] = []
        kafka.create_topics({self.name: 1})
        self.segment = kafka.home / "kafka-data" / f"{self.name}-0" / f"{0:020}.log"
        self._broker = Broker(KafkaAddress(kafka.bootstrap))
        # The client reports the end of a log after one empty fetch: here after 10 ms instead of 500.
        options = {"partition.assignment.strategy": "cooperative-sticky", "fetch.wait.max.ms": 10}
        self.consumer = GroupConsumer(KafkaAddress(kafka.bootstrap), self.name, {self.name: "sales-recorded"}, options)
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": self.name})
        self._producer.init_transactions(DEADLINE_S)
        self._epoch = 0
        self._written = 0

    @property
    def end(self) -> int:
        """The offset after everything in the log, with transaction markers, which the broker writes a moment later."""
        deadline = time.monotonic() + DEADLINE_S
        while (high := self._broker.partition_logs([self.partition])[self.partition].high) < self._written:
            assert time.monotonic() < deadline, f"the log ends at {high}, and {self._written} were written"
        return high

    def commit(self, count: int) -> None:
        """Write messages in one transaction."""
        self._produce(count, lambda error, record: self.committed.append(record.offset()))
        self._producer.commit_transaction(DEADLINE_S)

    def abort(self, count: int) -> None:
        """Write messages in one transaction and abort it."""
        self._produce(count, None)
        self._producer.abort_transaction(DEADLINE_S)

    def _produce(self, count: int, on_delivery: object) -> None:
        self._producer.begin_transaction()
        for number in range(count):
            self._producer.produce(self.name, str(number).encode(), on_delivery=on_delivery)
        self._producer.flush(DEADLINE_S)
        self._written += count + 1

    def start_reading(self, offset: int) -> None:
        """Start reading here as soon as the group has assigned the partition."""
        for _ in range(POLLS_MAX):
            if self.partition in self.consumer.assigned_idle:
                break
            assert self.consumer.poll_batch(1, 0.05) == ConsumedBatch([], [])
        self._epoch += 1
        self.consumer.start_reading(self.partition, "topic-id", offset, self._epoch)

    def poll(self, count_max: int = 100) -> ConsumedBatch:
        """Poll once, and check that the messages are exactly those committed within the spans."""
        polled = self.consumer.poll_batch(count_max, 0.05)
        offsets = [message.record_id.offset for message in polled.messages if message.record_id is not None]
        covered = [offset for span in polled.ranges for offset in self.committed if span.start <= offset < span.end]
        assert offsets == covered
        return polled

    def poll_until_unreadable(self) -> list[OffsetRange]:
        """The spans up to where a poll reports the partition as unreadable and releases it."""
        spans: list[OffsetRange] = []
        for _ in range(POLLS_MAX):
            polled = self.poll()
            spans += polled.ranges
            if polled.unreadable:
                (found,) = polled.unreadable
                assert (found.offset, found.epoch) == (spans[-1].end if spans else found.offset, self._epoch)
                assert f"cannot be read from offset {found.offset}: " in found.reason
                assert self.consumer.assigned_idle == {self.partition}
                return [*spans, OffsetRange(self.name, 0, found.offset, found.offset, found.epoch)]
        raise AssertionError(f"no poll reported an unreadable partition: {spans}")

    def spans_to(self, end: int, start: int) -> list[OffsetRange]:
        """The spans from `start` to `end`, each starting where the one before it ended."""
        spans: list[OffsetRange] = []
        for _ in range(POLLS_MAX):
            if start == end:
                return spans
            for span in self.poll().ranges:
                assert span.start == start
                start = span.end
                spans.append(span)
        raise AssertionError(f"the end {end} was not reached: {spans}")


@pytest.fixture
def log(kafka: KafkaServer) -> Iterator[Log]:
    log = Log(kafka)
    log.consumer.open()
    yield log
    log.consumer.close()


def test_spans_reach_the_end_of_the_log_over_markers_and_aborted_records(log: Log) -> None:
    log.abort(4)
    log.commit(3)
    log.abort(5)
    log.start_reading(0)
    spans = log.spans_to(log.end, start=0)
    log.commit(2)
    log.spans_to(log.end, start=spans[-1].end)


def test_a_log_of_aborted_records_only_is_one_span_without_messages(log: Log) -> None:
    log.abort(7)
    log.start_reading(0)
    assert log.spans_to(log.end, start=0) == [OffsetRange(log.name, 0, 0, log.end, 1)]


def test_polls_at_the_end_of_a_log_return_nothing_however_often(log: Log) -> None:
    log.commit(2)
    log.start_reading(log.end)
    assert [log.poll() for _ in range(20)] == [ConsumedBatch([], [])] * 20


def test_an_end_of_log_from_before_a_release_moves_no_offset_of_the_next_reading(log: Log) -> None:
    """Messages and end-of-log events that the client prefetched belong to the reading before the release."""
    log.commit(5)
    log.abort(3)
    end = log.end
    for polled_before in range(12):
        log.start_reading(0)
        for _ in range(polled_before):
            log.poll(1)
        log.consumer.release([log.partition])
        assert log.poll() == ConsumedBatch([], [])
        log.start_reading(0)
        log.spans_to(end, start=0)
        log.consumer.release([log.partition])


def test_a_corrupt_batch_is_never_skipped(log: Log) -> None:
    for count in (4, 3, 5):
        log.commit(count)
    broken = corrupt_batch(log.segment, 6)
    assert broken == range(5, 8), "behind the marker of the first transaction"
    for started_at, ended_at in ((0, 4), (0, 4), (5, 5), (6, 6)):
        log.start_reading(started_at)
        spans = log.poll_until_unreadable()
        assert (spans[0].start, spans[-1].end) == (started_at, ended_at)
        assert log.poll() == ConsumedBatch([], []), "the partition is released"
    log.start_reading(broken.stop)
    log.spans_to(log.end, start=broken.stop)


class FakeMessage:
    """What a client returns: a record, or an error with or without a partition."""

    def __init__(
        self,
        partition: Partition | tuple[None, None],
        offset: int,
        error: KafkaError | None = None,
        leader_epoch: int | None = None,
    ) -> None:
        self.topic, self.partition, self.offset, self.error, self.value, self.timestamp = (
            partial(_return, value)
            for value in (*partition, offset, error, b"{}", (TIMESTAMP_CREATE_TIME, 1_700_000_000_000))
        )
        self.leader_epoch = partial(_return, leader_epoch)


def _return(value: object) -> object:
    return value


class FakeClient:
    """A client whose only poll returns these messages."""

    def __init__(self, *messages: FakeMessage) -> None:
        self._messages = messages

    def consume(self, num_messages: int, timeout: float) -> list[FakeMessage]:
        return list(self._messages)

    def incremental_assign(self, partitions: object) -> None: ...

    def incremental_unassign(self, partitions: object) -> None: ...


ONE, OTHER = ("a topic", 0), ("a topic", 1)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
        KafkaError._NOT_IMPLEMENTED,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN,
    ],
)
def test_every_error_of_a_partition_stops_that_partition_and_no_other(code: int) -> None:
    """Errors that a real broker cannot be made to return, in the worst order: the same poll holds later records."""
    consumer = GroupConsumer(KafkaAddress("nowhere"), "a group", {"a topic": "sales-recorded"}, {})
    consumer._consumer = FakeClient(  # type: ignore[assignment]
        FakeMessage(ONE, 5),
        FakeMessage((None, None), -1001, KafkaError(KafkaError._ALL_BROKERS_DOWN)),
        FakeMessage(ONE, 6),
        FakeMessage(ONE, 7, KafkaError(code)),
        FakeMessage(ONE, 8),
        FakeMessage(ONE, 9, KafkaError(code)),
        FakeMessage(OTHER, 3),
        FakeMessage(ONE, 10, KafkaError(KafkaError._PARTITION_EOF)),
    )
    for partition, offset in ((ONE, 5), (OTHER, 3)):
        consumer._idle.add(partition)
        consumer.start_reading(partition, "topic-id", offset, 1)
    polled = consumer.poll_batch(100, 0)
    assert polled.ranges == [OffsetRange(*ONE, 5, 7, 1), OffsetRange(*OTHER, 3, 4, 1)]
    assert [(message.record_id[2], message.record_id[3]) for message in polled.messages if message.record_id] == [
        (0, 5),
        (0, 6),
        (1, 3),
    ]
    assert [at[:4] for at in polled.unreadable] == [(*ONE, 7, 1)]
    assert (consumer.assigned_idle, consumer.reading) == ({ONE}, {OTHER})


def test_a_partition_that_no_longer_exists_is_released_and_left_to_the_check_of_the_topics() -> None:
    """Its records are neither broken nor refused, so no such reason may be reported."""
    consumer = GroupConsumer(KafkaAddress("nowhere"), "a group", {"a topic": "sales-recorded"}, {})
    gone = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    consumer._consumer = FakeClient(FakeMessage(ONE, 5), FakeMessage(ONE, 6, gone), FakeMessage(ONE, 7, gone))  # type: ignore[assignment]
    consumer._idle.add(ONE)
    consumer.start_reading(ONE, "topic-id", 5, 1)
    polled = consumer.poll_batch(100, 0)
    assert polled.ranges == [OffsetRange(*ONE, 5, 6, 1)]
    assert (polled.unreadable, consumer.assigned_idle) == ((), {ONE})


def test_undelivered_offsets_in_the_poll_of_the_message_before_them_have_no_epoch() -> None:
    """Whether a real client returns the message and the end of its log in one poll depends on timing."""
    consumer = GroupConsumer(KafkaAddress("nowhere"), "a group", {"a topic": "sales-recorded"}, {})
    consumer._consumer = FakeClient(  # type: ignore[assignment]
        FakeMessage(ONE, 5, leader_epoch=4),
        FakeMessage(OTHER, 3, leader_epoch=4),
        FakeMessage(ONE, 7, KafkaError(KafkaError._PARTITION_EOF)),  # behind a transaction marker
        FakeMessage(OTHER, 4, KafkaError(KafkaError._PARTITION_EOF)),  # right behind the message
    )
    for partition, offset in ((ONE, 5), (OTHER, 3)):
        consumer._idle.add(partition)
        consumer.start_reading(partition, "topic-id", offset, 1)
    assert consumer.poll_batch(100, 0).ranges == [OffsetRange(*ONE, 5, 7, 1, None), OffsetRange(*OTHER, 3, 4, 1, 4)]


def test_a_replay_fails_at_a_corrupt_batch(log: Log, kafka: KafkaServer) -> None:
    log.commit(4)
    log.commit(3)
    corrupt_batch(log.segment, 6)
    ranges = {log.partition: ReplayRange("topic-id", 0, log.end)}
    with LogReader(KafkaAddress(kafka.bootstrap), {log.name: "sales-recorded"}, ranges) as reader:
        with pytest.raises(KafkaUnavailable, match="cannot read .* from offset 4: .*CRC32C"):
            read_all(reader)
        assert reader.offsets_left == log.end - 4


def read_all(reader: LogReader) -> None:
    for _ in range(POLLS_MAX):
        reader.poll_batch(1, 0.05)


def test_a_client_whose_assignment_differs_from_ours_has_failed_permanently(log: Log) -> None:
    log.start_reading(0)
    with pytest.raises(KafkaUnavailable, match="cannot continue"):
        log.consumer.start_reading(log.partition, "topic-id", 0, 2)


def test_a_position_whose_epoch_the_log_does_not_hold_is_reported_as_truncated(log: Log, kafka: KafkaServer) -> None:
    log.commit(5)
    log.start_reading(0)
    while not (polled := log.poll(3)).messages:  # not up to the marker at its end
        pass
    (span,) = polled.ranges
    assert span.leader_epoch is not None
    broker = Broker(KafkaAddress(kafka.bootstrap))
    topic_id = broker.partition_logs([log.partition])[log.partition].topic_id

    def is_truncated(offset: int, leader_epoch: int | None) -> bool:
        known = KnownPosition(topic_id, offset, leader_epoch)
        return broker.partition_logs([log.partition], {log.partition: known})[log.partition].truncated

    assert not is_truncated(span.end, span.leader_epoch)
    assert not is_truncated(log.end, span.leader_epoch), "no record follows the end of the log"
    assert not is_truncated(span.end, None)
    assert is_truncated(span.end, span.leader_epoch + 1)


def test_the_epoch_of_undelivered_offsets_at_the_end_is_unknown(log: Log) -> None:
    """The client reports none for them. The epoch of the message before is no substitute: a later leader may have
    written them."""
    log.commit(3)
    log.start_reading(0)
    spans = log.spans_to(log.end, start=0)
    assert spans[-1].leader_epoch is None
