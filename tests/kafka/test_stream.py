"""The stream alone, over a real Kafka: which offsets its spans cover, and that none of them is passed over untaken."""

import time
import uuid
from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, Producer
from faults import break_a_batch

from hannun.domain.batch import OffsetRange
from hannun.domain.positions import KnownPosition
from hannun.domain.replay import ReplayRange
from hannun.embedded import KafkaServer
from hannun.errors import KafkaUnavailable
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.kafka.log_reader import LogReader
from hannun.kafka.records import ConsumedBatch, Partition

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
DEADLINE_S = 30.0
TAKES_MAX = 600


class Log:
    """A topic of one partition, written in transactions, and a stream that reads it."""

    def __init__(self, kafka: KafkaServer) -> None:
        self.name = f"stream-{uuid.uuid4().hex[:8]}"
        self.partition: Partition = (self.name, 0)
        self.committed: list[int] = []
        kafka.create_topics({self.name: 1})
        self.segment = kafka.home / "kafka-data" / f"{self.name}-0" / f"{0:020}.log"
        self._broker = Broker(kafka.bootstrap)
        # At the end of a log the client says so after one empty fetch: here after 10 ms instead of 500.
        options = {"partition.assignment.strategy": "cooperative-sticky", "fetch.wait.max.ms": 10}
        self.stream = GroupConsumer(kafka.bootstrap, self.name, {self.name: "sales-recorded"}, options)
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": self.name})
        self._producer.init_transactions(DEADLINE_S)
        self._epoch = 0
        self._written = 0

    @property
    def end(self) -> int:
        """Behind all that the log holds, marks of transactions too: the broker writes them a moment later."""
        deadline = time.monotonic() + DEADLINE_S
        while (high := self._broker.partition_logs([self.partition])[self.partition].high) < self._written:
            assert time.monotonic() < deadline, f"the log ends at {high}, and {self._written} were written"
        return high

    def commits(self, count: int) -> None:
        """Messages in one transaction."""
        self._produces(count, lambda error, record: self.committed.append(record.offset()))
        self._producer.commit_transaction(DEADLINE_S)

    def gives_up(self, count: int) -> None:
        """Messages in one transaction that is given up."""
        self._produces(count, None)
        self._producer.abort_transaction(DEADLINE_S)

    def _produces(self, count: int, landed: object) -> None:
        self._producer.begin_transaction()
        for number in range(count):
            self._producer.produce(self.name, str(number).encode(), on_delivery=landed)
        self._producer.flush(DEADLINE_S)
        self._written += count + 1

    def begins(self, offset: int) -> None:
        """Reading begins here, when the group has granted the partition."""
        for _ in range(TAKES_MAX):
            if self.partition in self.stream.assigned_idle:
                break
            assert self.stream.poll_batch(1, 0.05) == ConsumedBatch([], [])
        self._epoch += 1
        self.stream.start_reading(self.partition, "topic-id", offset, self._epoch)

    def take(self, count_max: int = 100) -> ConsumedBatch:
        """A take, whose spans hold all that was committed in them."""
        taken = self.stream.poll_batch(count_max, 0.05)
        offsets = [message.place.offset for message in taken.messages if message.place is not None]
        covered = [offset for span in taken.spans for offset in self.committed if span.start <= offset < span.end]
        assert offsets == covered
        return taken

    def takes_until_it_cannot_read(self) -> list[OffsetRange]:
        """The spans up to where a take told of what cannot be read, and let the partition go."""
        spans: list[OffsetRange] = []
        for _ in range(TAKES_MAX):
            taken = self.take()
            spans += taken.spans
            if taken.unreadable:
                (unread,) = taken.unreadable
                assert (unread.offset, unread.epoch) == (spans[-1].end if spans else unread.offset, self._epoch)
                assert f"{self.name}[0] cannot be read from offset {unread.offset} on" in unread.why
                assert self.stream.assigned_idle == {self.partition}
                return [*spans, OffsetRange(self.name, 0, unread.offset, unread.offset, unread.epoch)]
        raise AssertionError(f"all was read: {spans}")

    def spans_to(self, end: int, start: int) -> list[OffsetRange]:
        """The spans from a beginning to an end, each where the one before it ended."""
        spans: list[OffsetRange] = []
        for _ in range(TAKES_MAX):
            if start == end:
                return spans
            for span in self.take().spans:
                assert span.start == start
                start = span.end
                spans.append(span)
        raise AssertionError(f"the end {end} was not reached: {spans}")


@pytest.fixture
def log(kafka: KafkaServer) -> Iterator[Log]:
    log = Log(kafka)
    log.stream.open()
    yield log
    log.stream.close()


def test_spans_reach_the_end_of_the_log_over_marks_and_what_was_given_up(log: Log) -> None:
    log.gives_up(4)
    log.commits(3)
    log.gives_up(5)
    log.begins(0)
    spans = log.spans_to(log.end, start=0)
    log.commits(2)
    log.spans_to(log.end, start=spans[-1].end)


def test_a_log_of_nothing_but_what_was_given_up_is_one_span_without_messages(log: Log) -> None:
    log.gives_up(7)
    log.begins(0)
    assert log.spans_to(log.end, start=0) == [OffsetRange(log.name, 0, 0, log.end, 1)]


def test_at_the_end_of_a_log_nothing_is_taken_however_often(log: Log) -> None:
    log.commits(2)
    log.begins(log.end)
    assert [log.take() for _ in range(20)] == [ConsumedBatch([], [])] * 20


def test_the_end_that_was_reached_moves_nothing_after_a_new_beginning(log: Log) -> None:
    """What the client had in hand for us, its word of the end too, is of the reading before."""
    log.commits(5)
    log.gives_up(3)
    end = log.end
    for taken_before in range(12):
        log.begins(0)
        for _ in range(taken_before):
            log.take(1)
        log.stream.release([log.partition])
        assert log.take() == ConsumedBatch([], [])
        log.begins(0)
        log.spans_to(end, start=0)
        log.stream.release([log.partition])


def test_nothing_is_read_over_a_batch_that_is_broken(log: Log) -> None:
    for count in (4, 3, 5):
        log.commits(count)
    broken = break_a_batch(log.segment, 6)
    assert broken == range(5, 8), "behind the mark of the first transaction"
    for begun_at, ended_at in ((0, 4), (0, 4), (5, 5), (6, 6)):
        log.begins(begun_at)
        spans = log.takes_until_it_cannot_read()
        assert (spans[0].start, spans[-1].end) == (begun_at, ended_at)
        assert log.take() == ConsumedBatch([], []), "it was let go"
    log.begins(broken.stop)
    log.spans_to(log.end, start=broken.stop)


class Said:
    """What the client hands out: a record, or an error with or without a place."""

    def __init__(self, partition: Partition | tuple[None, None], offset: int, error: KafkaError | None = None) -> None:
        self.topic, self.partition, self.offset, self.error, self.value, self.timestamp = (
            partial(_same, said)
            for said in (*partition, offset, error, b"{}", (TIMESTAMP_CREATE_TIME, 1_700_000_000_000))
        )
        self.leader_epoch = partial(_same, None)


def _same(said: object) -> object:
    return said


class Client:
    """A client that hands out what it was told, in one piece."""

    def __init__(self, *said: Said) -> None:
        self._said = said

    def consume(self, num_messages: int, timeout: float) -> list[Said]:
        return list(self._said)

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
def test_no_error_of_a_partition_is_passed_over_and_no_other_partition_minds(code: int) -> None:
    """Errors that no broker can be brought to give, in the worst order: what lies behind comes in the same take."""
    stream = GroupConsumer("nowhere", "a group", {"a topic": "sales-recorded"}, {})
    stream._consumer = Client(  # type: ignore[assignment]
        Said(ONE, 5),
        Said((None, None), -1001, KafkaError(KafkaError._ALL_BROKERS_DOWN)),
        Said(ONE, 6),
        Said(ONE, 7, KafkaError(code)),
        Said(ONE, 8),
        Said(ONE, 9, KafkaError(code)),
        Said(OTHER, 3),
        Said(ONE, 10, KafkaError(KafkaError._PARTITION_EOF)),
    )
    for partition, offset in ((ONE, 5), (OTHER, 3)):
        stream._idle.add(partition)
        stream.start_reading(partition, "topic-id", offset, 1)
    taken = stream.poll_batch(100, 0)
    assert taken.spans == [OffsetRange(*ONE, 5, 7, 1), OffsetRange(*OTHER, 3, 4, 1)]
    assert [(message.place[2], message.place[3]) for message in taken.messages if message.place] == [
        (0, 5),
        (0, 6),
        (1, 3),
    ]
    assert [at[:4] for at in taken.unreadable] == [(*ONE, 7, 1)]
    assert (stream.assigned_idle, stream.reading) == ({ONE}, {OTHER})


def test_a_replay_ends_at_a_batch_that_is_broken(log: Log, kafka: KafkaServer) -> None:
    log.commits(4)
    log.commits(3)
    break_a_batch(log.segment, 6)
    stretches = {log.partition: ReplayRange("topic-id", 0, log.end)}
    with LogReader(kafka.bootstrap, {log.name: "sales-recorded"}, stretches) as reader:
        with pytest.raises(KafkaUnavailable, match="cannot be read from offset 4 on: .*CRC32C"):
            reads_all(reader)
        assert reader.offsets_left == log.end - 4


def reads_all(reader: LogReader) -> None:
    for _ in range(TAKES_MAX):
        reader.poll_batch(1, 0.05)


def test_a_client_that_knows_of_other_partitions_than_we_do_has_failed_for_good(log: Log) -> None:
    log.begins(0)
    with pytest.raises(KafkaUnavailable, match="failed for good"):
        log.stream.start_reading(log.partition, "topic-id", 0, 2)


def test_a_position_whose_epoch_the_log_does_not_hold_is_told_to_be_cut_off(log: Log, kafka: KafkaServer) -> None:
    log.commits(5)
    log.begins(0)
    while not (taken := log.take(3)).messages:  # not up to the mark at its end
        pass
    (span,) = taken.spans
    assert span.leader_epoch is not None
    broker = Broker(kafka.bootstrap)
    topic_id = broker.partition_logs([log.partition])[log.partition].topic_id

    def is_cut_off(offset: int, leader_epoch: int | None) -> bool:
        known = KnownPosition(topic_id, offset, leader_epoch)
        return broker.partition_logs([log.partition], {log.partition: known})[log.partition].cut_off

    assert not is_cut_off(span.end, span.leader_epoch)
    assert not is_cut_off(log.end, span.leader_epoch), "at its end nothing comes behind"
    assert not is_cut_off(span.end, None)
    assert is_cut_off(span.end, span.leader_epoch + 1)


def test_the_epoch_of_what_is_moved_over_at_the_end_is_not_known(log: Log) -> None:
    """The client says none there, so what came before must not be taken for it: a later leader may have written it."""
    log.commits(3)
    log.begins(0)
    spans = log.spans_to(log.end, start=0)
    assert spans[-1].leader_epoch is None
