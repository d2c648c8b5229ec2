"""What is polled waits by partition: a batch takes what has waited longest; nothing is lost, doubled or reordered."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun.counting.batch_counter import BatchCounter
from hannun.domain.batch import OffsetRange, ReceivedMessage, RecordId
from hannun.domain.batch_size import BatchSize
from hannun.domain.channels import load_table
from hannun.domain.wire_formats import Decoder, Kind, Rules
from hannun.flows.kafka_ingestion.polled_messages import BYTES_MAX, PolledMessages
from hannun.kafka.records import ConsumedBatch
from hannun.store.database import Database, PoolLimits

TOPIC = "participant-registered"
EPOCH = 7


def event_of(partition: int) -> str:
    return f"5b0c2f64-0000-4000-8000-{partition:012d}"


class Log:
    """Polls of a topic, whose partitions each hold registrations of one event."""

    def __init__(self) -> None:
        # Decoding and grouping need no database.
        counter = BatchCounter(
            Database("postgresql://nobody@127.0.0.1:1/none", PoolLimits(), application="test"),
            Decoder(Rules(bytes(16), load_table())),
            None,
        )
        self.polled = PolledMessages(counter)
        self.next_offset: defaultdict[int, int] = defaultdict(int)

    def poll(self, counts: dict[int, int], count_max: int, padding_bytes: int = 0) -> None:
        """Poll so many messages of each of these partitions; 0 moves over an offset without a message."""
        messages: list[ReceivedMessage] = []
        ranges = []
        for partition, count in counts.items():
            start = self.next_offset[partition]
            messages += [self._message(partition, start + place, padding_bytes) for place in range(count)]
            self.next_offset[partition] = start + max(count, 1)
            ranges.append(OffsetRange(TOPIC, partition, start, self.next_offset[partition], EPOCH))
        self.polled.add(ConsumedBatch(messages, ranges, counts=tuple(counts.values())), count_max)

    def _message(self, partition: int, offset: int, padding_bytes: int) -> ReceivedMessage:
        raw = (
            f'{{"eventId":"{event_of(partition)}","participantId":"p{offset}",'
            f'"registeredAt":"2026-11-20T10:00:30+09:00","unread":"{"x" * padding_bytes}"}}'
        )
        return ReceivedMessage(
            Kind.PARTICIPANT_REGISTERED, raw.encode(), 1_796_000_000_000_000, RecordId(TOPIC, "id", partition, offset)
        )

    def take_all(self, size: BatchSize) -> Iterator[ConsumedBatch]:
        while not self.polled.is_empty:
            yield self.polled.take(size).batch


def offsets(batch: ConsumedBatch) -> list[tuple[int, int]]:
    return [(message.record_id.partition, message.record_id.offset) for message in batch.messages if message.record_id]


polls = st.lists(st.dictionaries(st.integers(0, 4), st.integers(0, 9), min_size=1), max_size=12)
steps = st.lists(st.none() | st.dictionaries(st.integers(0, 4), st.integers(0, 9), min_size=1), max_size=20)
"""Polls, by how many messages of which partitions; None takes a batch."""
sizes = st.builds(BatchSize, st.integers(1, 40), st.just(40), st.booleans())


@given(steps, sizes)
def test_every_message_is_in_one_batch_and_the_ranges_of_a_partition_follow_each_other(
    given_steps: list[dict[int, int] | None], size: BatchSize
) -> None:
    log = Log()
    batches = []
    for counts in given_steps:
        if counts is not None:
            log.poll(counts, size.messages_max)
        elif not log.polled.is_empty:
            batches.append(log.polled.take(size).batch)
    batches += log.take_all(size)
    ends: defaultdict[int, int] = defaultdict(int)
    for batch in batches:
        assert {partition for partition, _ in offsets(batch)} <= {covered.partition for covered in batch.ranges}
        assert len({covered.partition for covered in batch.ranges}) == len(batch.ranges)
        for covered in batch.ranges:
            assert covered.start == ends[covered.partition] and covered.epoch == EPOCH
            ends[covered.partition] = covered.end
            inside = [offset for partition, offset in offsets(batch) if partition == covered.partition]
            assert inside == sorted(set(inside)) and all(covered.start <= offset < covered.end for offset in inside)
    assert ends == log.next_offset
    sent = sum(sum(counts.values()) for counts in given_steps if counts is not None)
    assert sum(len(batch.messages) for batch in batches) == sent


@given(polls, sizes, sizes)
def test_a_batch_holds_what_has_waited_longest_and_no_more_than_its_size(
    given_polls: list[dict[int, int]], polled_size: BatchSize, size: BatchSize
) -> None:
    log = Log()
    for counts in given_polls:
        log.poll(counts, polled_size.messages_max)
    while not log.polled.is_empty:
        oldest = log.polled.ranges[0]
        batch = log.polled.take(size).batch
        assert (oldest.topic, oldest.partition, oldest.start) == batch.ranges[0][:3]
        most_of_a_poll = 9
        assert len(batch.messages) <= max(size.messages_max, polled_size.messages_max, most_of_a_poll)


def test_with_few_messages_of_each_event_a_batch_is_of_one_partition() -> None:
    log = Log()
    for _ in range(3):
        log.poll({0: 10, 1: 10, 2: 10}, 40)
    batches = list(log.take_all(BatchSize(40, 40, few_of_each_event=True)))
    assert [[covered.partition for covered in batch.ranges] for batch in batches] == [[0], [1], [2]]
    assert [len(batch.messages) for batch in batches] == [30, 30, 30]


def test_partitions_of_few_messages_share_a_batch() -> None:
    log = Log()
    log.poll({0: 1, 1: 2, 2: 3}, 40)
    taken = log.polled.take(BatchSize(40, 40, few_of_each_event=True))
    assert len(taken.batch.messages) == 6 and taken.share == 1
    events = taken.prepared.by_event.registrations
    assert [events.event_ids[at] for at in events.event.tolist()] == [event_of(n) for n in (0, 1, 1, 2, 2, 2)]


def test_a_batch_is_bounded_in_bytes() -> None:
    log = Log()
    for _ in range(3):
        log.poll({0: 1, 1: 1}, 40, padding_bytes=BYTES_MAX * 2 // 3)
    batches = [len(batch.messages) for batch in log.take_all(BatchSize(40, 40))]
    assert sum(batches) == 6 and max(batches) <= 2


@pytest.mark.parametrize(
    ("start", "epoch", "follows"), [(3, EPOCH, True), (2, EPOCH, False), (4, EPOCH, False), (3, EPOCH + 1, False)]
)
def test_a_range_follows_where_its_partition_ends_under_the_same_epoch(
    start: int, epoch: int, *, follows: bool
) -> None:
    log = Log()
    log.poll({0: 3, 1: 9}, 40)
    assert log.polled.follows([OffsetRange(TOPIC, 0, start, start + 1, epoch)]) is follows
    assert log.polled.follows([OffsetRange(TOPIC, 8, 0, 1, epoch)]), "nothing of this partition waits"
