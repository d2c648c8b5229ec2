"""A consumer group's member: batches of messages with the offset ranges that they cover.

    not ours ──assigned──► idle ──start_reading(offset, epoch)──► reading ──poll_batch──► batches
        ▲                    ▲                                       │
        │                    └────────────── release ────────────────┤   a stale batch, PostgreSQL unavailable,
        └────────────────── revoked, lost ───────────────────────────┘   an unreadable partition

Reading starts at the offset that the flow passes, which comes from PostgreSQL, never at Kafka's own offsets. Those are
committed only for lag tools.

`release` and `start_reading` remove a partition from the client's assignment and add it again with its offset. The
consumer neither pauses nor seeks: librdkafka loses an offset when a pause follows an assignment closely (librdkafka
#2190, #5591), and cannot seek after an error (#2961).

A log holds offsets that are never delivered: transaction markers and the records of aborted transactions. The span of
the next message covers them. At the end of a log there is no next message. There PARTITION_EOF moves the position over
them, with or without messages. Otherwise the lag would never become 0, and retention that removes these offsets would
look like lost records.

The client reports a batch that it cannot read (a wrong checksum, say) as an error among the messages. What it does next
depends on the error: it fetches the same batch again and again, stops, or continues behind it. In the last case the
span of the next message would cover records that were never delivered. So an error of a partition releases the
partition at once, and the flow learns the offset and starts reading again later.

One thread drives the consumer: librdkafka calls the rebalance callbacks inside `poll_batch`. Before a partition is
revoked, the `before_revoke` hook waits for the batch that is being written.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, repeat
from operator import is_not, itemgetter, methodcaller

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from hannun.domain.batch import OffsetRange, ReceivedMessage
from hannun.kafka.address import KafkaAddress, PasswordUpdate
from hannun.kafka.records import (
    FETCH_OPTIONS,
    ConsumedBatch,
    Partition,
    UnreadablePartition,
    client_logger,
    error_text,
    failed_partition,
    fatal_client_errors,
    partition_and_offset,
    sampled_traceparents,
    to_messages,
    topic_partition,
)
from hannun.telemetry import log

_PARTITION_GONE_CODES = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)


@dataclass(slots=True)
class _Reading:
    """A partition that is being read: the next offset, under the owner's epoch.

    `last` is the message before `next_offset`, if the current poll delivered it.
    """

    next_offset: int
    epoch: int
    topic_id: str
    last: Message | None = None


class GroupConsumer:
    """Consumes the message topics as one member of a consumer group.

    Args:
        kinds: the kind of message that each topic holds, by the topic's name.
        options: options of librdkafka, which override the ones set here.
    """

    def __init__(
        self, address: KafkaAddress, group: str, kinds: Mapping[str, str], options: Mapping[str, object]
    ) -> None:
        self._address = address
        self._password = PasswordUpdate(address)
        self._kinds = dict(kinds)
        self._options = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # PostgreSQL or an operator decides where reading starts
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "topic.metadata.refresh.interval.ms": 10_000,  # added partitions are assigned within seconds
            **FETCH_OPTIONS,
            **options,
        }
        self._consumer: Consumer | None = None
        self._subscribed: frozenset[str] = frozenset()
        self._idle: set[Partition] = set()
        self._reading: dict[Partition, _Reading] = {}
        self._before_revoke: Callable[[], None] = lambda: None

    def before_revoke(self, hook: Callable[[], None]) -> None:
        """Register what runs before partitions are revoked. It must not raise."""
        self._before_revoke = hook

    def open(self) -> None:
        """Join the group."""
        self._consumer = Consumer({**self._address.options(), **self._options}, logger=client_logger())
        self.subscribe(self.topics)

    def subscribe(self, topics: Collection[str]) -> None:
        """Subscribe to these topics only; partitions of others are revoked in one of the next polls.

        A topic that the broker refuses must be left out: with the group protocol "consumer" a broker otherwise refuses
        the whole membership, and assigns no partition of any topic.

        Raises:
            KafkaUnavailable: the client has failed permanently; end the process.
        """
        if self._subscribed == frozenset(topics):
            return
        self._subscribed = frozenset(topics)
        with fatal_client_errors():
            self._client.subscribe(
                sorted(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )

    def close(self) -> None:
        """Leave the group, so that its other members need not wait for a time-out. Closing twice is fine."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def topics(self) -> frozenset[str]:
        """The topics that this consumer is for, whether they exist or not."""
        return frozenset(self._kinds)

    @property
    def assigned_idle(self) -> frozenset[Partition]:
        """Partitions that the group has assigned to this consumer and that are not being read."""
        return frozenset(self._idle)

    @property
    def reading(self) -> frozenset[Partition]:
        """Partitions that are being read."""
        return frozenset(self._reading)

    def start_reading(
        self, partition: Partition, topic_id: str, offset: int, epoch: int, leader_epoch: int | None = None
    ) -> None:
        """Start reading an idle partition at this offset, under this owner's epoch.

        Args:
            leader_epoch: the epoch of the record before, if known. With it the client notices during reading that a new
                leader has truncated the log below this offset.

        Raises:
            KafkaUnavailable: the client has failed permanently; end the process.
        """
        with fatal_client_errors():
            self._client.incremental_assign([topic_partition(partition, offset, leader_epoch)])
        self._idle.discard(partition)
        self._reading[partition] = _Reading(offset, epoch, topic_id)

    def release(self, partitions: Collection[Partition]) -> None:
        """Stop reading partitions; they stay assigned and become idle. The client drops what it has prefetched of them.

        Raises:
            KafkaUnavailable: the client has failed permanently; end the process.
        """
        ours = [partition for partition in partitions if partition in self._reading]
        if ours:
            with fatal_client_errors():
                self._client.incremental_unassign([TopicPartition(*partition) for partition in ours])
        for partition in ours:
            del self._reading[partition]
            self._idle.add(partition)

    def poll_batch(self, count_max: int, wait_s: float) -> ConsumedBatch:
        """The next messages; empty when none arrived within `wait_s`. Polling also keeps the group membership alive.

        A partition that the client reports as unreadable is released at the end of its last message.

        Raises:
            KafkaUnavailable: the client has failed permanently; end the process.
        """
        with fatal_client_errors():
            self._password.apply(self._client)
            received = self._client.consume(num_messages=count_max, timeout=wait_s)
        taken: dict[Partition, list[ReceivedMessage]] = {}
        starts: dict[Partition, int] = {}
        unreadable: dict[Partition, UnreadablePartition | None] = {}
        for (failed, topic, number), run in groupby(
            zip(_failed_and_partition(received), received, strict=True), itemgetter(0)
        ):
            records = [record for _, record in run]
            if not failed:
                taken.setdefault((topic, number), []).extend(self._take(records, starts, unreadable))
                continue
            for record in records:
                self._take_error(record, starts, unreadable)
        spans = [self._span(partition, start) for partition, start in starts.items()]
        self.release(unreadable)
        by_range = [taken.get(partition, []) for partition in starts]
        return ConsumedBatch(
            list(chain.from_iterable(by_range)),
            spans,
            tuple(filter(None, unreadable.values())),
            sampled_traceparents(received),
            tuple(map(len, by_range)),
        )

    def commit_offsets_for_lag_tools(self, spans: Sequence[OffsetRange]) -> None:
        """Commit Kafka's own offsets, for its lag tools. Hannun itself never reads them."""
        ends = [TopicPartition(span.topic, span.partition, span.end) for span in spans]
        try:
            self._client.commit(offsets=ends, asynchronous=True)
        except KafkaException as error:
            log.debug("offsets for lag tools not committed", error=error_text(error))

    def recreated(self, topic_ids: Mapping[str, str | None]) -> list[Partition]:
        """Partitions being read whose topic was deleted or recreated since reading started: its topic id differs.

        Args:
            topic_ids: None for a topic that does not exist. Partitions of other topics are left out.
        """
        return [
            partition
            for partition, reading in self._reading.items()
            if topic_ids.get(partition[0], reading.topic_id) != reading.topic_id
        ]

    # -- the rebalance callbacks: they only record the assignment; the flow starts the reading

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([])  # nothing is fetched before PostgreSQL gives the offset
        self._idle |= {(part.topic, part.partition) for part in partitions}

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._before_revoke()
        self._remove(consumer, partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Other members may own these partitions already. The database then rejects batches of them as stale."""
        log.warning("partitions lost: the group session expired", partitions=len(partitions))
        self._remove(consumer, partitions)

    def _remove(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(part.topic, part.partition) for part in partitions}
        fetched = [TopicPartition(*partition) for partition in gone if partition in self._reading]
        try:
            consumer.incremental_unassign(fetched)
        except KafkaException as error:  # the client holds no such assignment any more
            log.info("revoked partitions were not assigned", error=error_text(error))
        self._idle -= gone
        for partition in gone:
            self._reading.pop(partition, None)

    # -- messages

    def _take(
        self, records: list[Message], starts: dict[Partition, int], unreadable: Container[Partition]
    ) -> list[ReceivedMessage]:
        """The messages of records of one partition. Moves its next offset, and adds where it was to `starts`."""
        partition, _ = partition_and_offset(records[0])
        reading = self._reading.get(partition)
        if reading is None or partition in unreadable:
            return []  # fetched before the partition was revoked, or behind the unreadable records
        offsets = list(map(_OFFSET, records))
        if offsets != sorted(offsets):  # from before and after a release: each is compared with the next offset
            return [message for record in records for message in self._take([record], starts, unreadable)]
        before = bisect_left(offsets, reading.next_offset)  # fetched before the partition was released
        records, offsets = records[before:], offsets[before:]
        if not offsets:
            return []
        starts.setdefault(partition, reading.next_offset)
        reading.next_offset = offsets[-1] + 1
        reading.last = records[-1]
        return to_messages(records, self._kinds[partition[0]], partition, offsets, reading.topic_id)

    def _take_error(
        self,
        message: Message,
        starts: dict[Partition, int],
        unreadable: dict[Partition, UnreadablePartition | None],
    ) -> None:
        """The end of a partition's log moves its next offset; any other error makes the partition unreadable."""
        error = message.error()
        assert error is not None
        if error.code() != KafkaError._PARTITION_EOF:
            self._add_unreadable(failed_partition(message, error), error, unreadable)
            return
        partition, offset = partition_and_offset(message)
        reading = self._reading.get(partition)
        if reading is None or partition in unreadable:
            return
        if offset > reading.next_offset:  # behind offsets that are never delivered
            starts.setdefault(partition, reading.next_offset)
            reading.next_offset = offset
            reading.last = None  # the client does not report the leader epoch of undelivered offsets

    def _span(self, partition: Partition, start: int) -> OffsetRange:
        reading = self._reading[partition]
        last, reading.last = reading.last, None  # only the last message's epoch is read: this is the hot path
        leader_epoch = None if last is None else last.leader_epoch()
        return OffsetRange(*partition, start, reading.next_offset, reading.epoch, leader_epoch)

    def _add_unreadable(
        self, partition: Partition | None, error: KafkaError, unreadable: dict[Partition, UnreadablePartition | None]
    ) -> None:
        """Record the first error of a partition that is being read; None where the partition no longer exists."""
        reading = None if partition is None else self._reading.get(partition)
        if partition is None or reading is None or partition in unreadable:
            return
        topic, number = partition
        # What matters first: the operator's list shows one line of it.
        damaged = "wrong checksum: " if error.code() == KafkaError._BAD_MSG else ""
        reason = f"cannot be read from offset {reading.next_offset}: {damaged}{error.str()}"
        log.warning("partition released: unreadable", topic=topic, partition=number, reason=reason)
        if error.code() in _PARTITION_GONE_CODES:  # the check of the topics reports it
            unreadable[partition] = None
            return
        refused = error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        unreadable[partition] = UnreadablePartition(
            topic, number, reading.next_offset, reading.epoch, reason, refused=refused
        )

    @property
    def _client(self) -> Consumer:
        assert self._consumer is not None, "call GroupConsumer.open first"
        return self._consumer


def _failed_and_partition(records: Sequence[Message]) -> Iterator[tuple[bool, str | None, int | None]]:
    """Whether each is an error, and its partition; by calls of C, since they are made for every record."""
    failed = map(is_not, map(_ERROR, records), repeat(None, len(records)))  # a KafkaError cannot be compared with None
    return zip(failed, map(_TOPIC, records), map(_PARTITION, records), strict=True)


_ERROR, _TOPIC, _PARTITION, _OFFSET = map(methodcaller, ("error", "topic", "partition", "offset"))
