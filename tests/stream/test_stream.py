"""The stream alone, over a real Kafka: which offsets its spans cover, and that none of them is passed over untaken."""

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from hannun.domain.batch import Span
from hannun.domain.positions import Known
from hannun.embedded import KafkaServer
from hannun.stream import Broker, Partition, Stream, Taken

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
        self._broker = Broker(kafka.bootstrap)
        # At the end of a log the client says so after one empty fetch: here after 10 ms instead of 500.
        options = {"partition.assignment.strategy": "cooperative-sticky", "fetch.wait.max.ms": 10}
        self.stream = Stream(kafka.bootstrap, self.name, {self.name: "sales-recorded"}, options)
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": self.name})
        self._producer.init_transactions(DEADLINE_S)
        self._epoch = 0
        self._written = 0

    @property
    def end(self) -> int:
        """Behind all that the log holds, marks of transactions too: the broker writes them a moment later."""
        deadline = time.monotonic() + DEADLINE_S
        while (high := self._broker.logs([self.partition])[self.partition].high) < self._written:
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
            if self.partition in self.stream.waiting:
                break
            assert self.stream.take(1, 0.05) == Taken([], [])
        self._epoch += 1
        self.stream.begin(self.partition, "topic-id", offset, self._epoch)

    def take(self, count_max: int = 100) -> Taken:
        """A take, whose spans hold all that was committed in them."""
        taken = self.stream.take(count_max, 0.05)
        offsets = [message.place.offset for message in taken.messages if message.place is not None]
        covered = [offset for span in taken.spans for offset in self.committed if span.start <= offset < span.end]
        assert offsets == covered
        return taken

    def spans_to(self, end: int, start: int) -> list[Span]:
        """The spans from a beginning to an end, each where the one before it ended."""
        spans: list[Span] = []
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
    assert log.spans_to(log.end, start=0) == [Span(log.name, 0, 0, log.end, 1)]


def test_at_the_end_of_a_log_nothing_is_taken_however_often(log: Log) -> None:
    log.commits(2)
    log.begins(log.end)
    assert [log.take() for _ in range(20)] == [Taken([], [])] * 20


def test_the_end_that_was_reached_moves_nothing_after_a_new_beginning(log: Log) -> None:
    """What the client had in hand for us, its word of the end too, is of the reading before."""
    log.commits(5)
    log.gives_up(3)
    end = log.end
    for taken_before in range(12):
        log.begins(0)
        for _ in range(taken_before):
            log.take(1)
        log.stream.let_go([log.partition])
        assert log.take() == Taken([], [])
        log.begins(0)
        log.spans_to(end, start=0)
        log.stream.let_go([log.partition])


def test_a_position_whose_epoch_the_log_does_not_hold_is_told_to_be_cut_off(log: Log, kafka: KafkaServer) -> None:
    log.commits(5)
    log.begins(0)
    while not (taken := log.take()).messages:
        pass
    (span,) = taken.spans
    assert span.leader_epoch is not None
    broker = Broker(kafka.bootstrap)
    topic_id = broker.logs([log.partition])[log.partition].topic_id

    def is_cut_off(offset: int, leader_epoch: int | None) -> bool:
        known = Known(topic_id, offset, leader_epoch)
        return broker.logs([log.partition], {log.partition: known})[log.partition].cut_off

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
