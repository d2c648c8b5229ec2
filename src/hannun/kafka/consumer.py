"""Kafka: batches of messages with the spans they cover.

    not ours ──granted──► waiting ──begin(offset, epoch)──► reading ──poll──► batches
        ▲                    ▲  └── nobody may begin yet          │
        │                    └────────────── let_go ──────────────┤   a stale batch, PostgreSQL away,
        └───────────────── revoked, lost ─────────────────────────┘   what cannot be read

Reading begins where the flow says, which asks PostgreSQL, and never at Kafka's own offsets; those are committed behind,
so that lag tools see them. There is one way to stop reading a partition and one to begin: it is taken out of what the
client fetches, and put in again with its offset. We neither pause nor seek: librdkafka loses an offset when a pause
follows an assignment closely (librdkafka #2190, #5591), and cannot seek after an error (#2961).

A log holds offsets that nobody is handed: marks of transactions, and what was given up in them. A message behind them
covers them with its span. At the end of a log no message comes behind, so there the client's word that the end is
reached (PARTITION_EOF) moves us over them, with or without messages: else we would look as if we were behind for ever,
and as if we had lost something as soon as retention removes them.

Of a batch that it cannot read (its checksum is wrong, say) the client tells by an error among the messages. What it
does then depends on the error: it asks for the same without rest, comes to a halt, or goes on behind it, where the next
message's span would cover what nobody has seen. So an error of a partition ends the reading of it, there and then.
Whoever asked for it is told the place, and begins again.

One thread drives the consumer: librdkafka calls the rebalance callbacks inside `poll_batch`. Before a partition is
revoked, the `before_revoke` hook waits for the batch that is being written.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from hannun.domain.batch import OffsetRange, ReceivedMessage
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
    to_message,
    topic_partition,
)
from hannun.telemetry import log


@dataclass(slots=True)
class _Reading:
    """A partition that is being read: the next offset, under the owner's epoch.

    `last` is the message before, where it was taken just now.
    """

    next_offset: int
    epoch: int
    topic_id: str
    last: Message | None = None


class GroupConsumer:
    """The topics of messages, as one member of a consumer group.

    Args:
        kinds: the kind of message that each topic holds, by the topic's name.
        options: of the client, over ours.
    """

    def __init__(self, bootstrap: str, group: str, kinds: Mapping[str, str], options: Mapping[str, object]) -> None:
        self._kinds = dict(kinds)
        self._options = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # where to begin is PostgreSQL's to say, or an operator's
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "topic.metadata.refresh.interval.ms": 10_000,  # partitions that were added are taken up within seconds
            **FETCH_OPTIONS,
            **options,
        }
        self._consumer: Consumer | None = None
        self._idle: set[Partition] = set()
        self._reading: dict[Partition, _Reading] = {}
        self._drain: Callable[[], None] = lambda: None

    def before_revoke(self, drain: Callable[[], None]) -> None:
        """Have this done before partitions are given back to the group. It must not raise."""
        self._drain = drain

    def open(self) -> None:
        """Join the group."""
        self._consumer = Consumer(self._options, logger=client_logger())
        self._consumer.subscribe(
            list(self._kinds), on_assign=self._granted, on_revoke=self._revoked, on_lost=self._lost
        )

    def close(self) -> None:
        """Leave the group, so that the others need not wait for us to time out. Closing twice is fine."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def assigned_idle(self) -> frozenset[Partition]:
        """Partitions that the group has granted us and that nobody has begun yet."""
        return frozenset(self._idle)

    @property
    def reading(self) -> frozenset[Partition]:
        """Partitions that are being read."""
        return frozenset(self._reading)

    def start_reading(
        self, partition: Partition, topic_id: str, offset: int, epoch: int, leader_epoch: int | None = None
    ) -> None:
        """Read a waiting partition from this offset on, under this epoch.

        By the leader's epoch of the record before, where it is known, the client notices while it reads if a new leader
        has cut the log off below.

        Raises:
            StreamUnavailable: the client has failed for good; end the process.
        """
        with fatal_client_errors():
            self._client.incremental_assign([topic_partition(partition, offset, leader_epoch)])
        self._idle.discard(partition)
        self._reading[partition] = _Reading(offset, epoch, topic_id)

    def release(self, partitions: Collection[Partition]) -> None:
        """Stop reading partitions; they stay granted and wait for a beginning. What is in flight is dropped.

        Raises:
            StreamUnavailable: the client has failed for good; end the process.
        """
        ours = [partition for partition in partitions if partition in self._reading]
        if ours:
            with fatal_client_errors():
                self._client.incremental_unassign([TopicPartition(*partition) for partition in ours])
        for partition in ours:
            del self._reading[partition]
            self._idle.add(partition)

    def poll_batch(self, count_max: int, wait_s: float) -> ConsumedBatch:
        """The next messages; empty when none came within `wait_s`. Calling it is also what keeps us in the group.

        A partition of which the client says that it cannot be read is let go where its last message ended.

        Raises:
            StreamUnavailable: the client has failed for good; end the process.
        """
        with fatal_client_errors():
            received = self._client.consume(num_messages=count_max, timeout=wait_s)
        messages: list[ReceivedMessage] = []
        starts: dict[Partition, int] = {}
        unread: dict[Partition, UnreadablePartition] = {}
        for message in received:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._note(failed_partition(message, error), error, unread)
                continue
            partition, offset = partition_and_offset(message)
            reading = self._reading.get(partition)
            if reading is None or offset < reading.next_offset or partition in unread:
                continue  # came in before it was revoked or let go, or lies behind what nobody has seen
            if error is None:
                starts.setdefault(partition, reading.next_offset)
                reading.next_offset = offset + 1
                reading.last = message
                messages.append(to_message(message, self._kinds[partition[0]], partition, offset, reading.topic_id))
            elif offset > reading.next_offset:  # the end of the log, behind what nobody is handed
                starts.setdefault(partition, reading.next_offset)
                reading.next_offset = offset
                reading.last = None  # the client does not say under which epoch it was that nobody is handed
        spans = [self._span(partition, start) for partition, start in starts.items()]
        self.release(unread)
        return ConsumedBatch(messages, spans, tuple(unread.values()))

    def commit_offsets_for_lag_tools(self, spans: Sequence[OffsetRange]) -> None:
        """Tell Kafka's own offsets, for its lag tools. Nothing of ours depends on it."""
        ends = [TopicPartition(span.topic, span.partition, span.end) for span in spans]
        try:
            self._client.commit(offsets=ends, asynchronous=True)
        except KafkaException as error:
            log.debug("kafka's own offsets were not committed", error=error_text(error))

    def recreated(self, topic_ids: Mapping[str, str]) -> list[Partition]:
        """Partitions we read whose topic is another now than the one we began with."""
        return [
            partition for partition, reading in self._reading.items() if topic_ids.get(partition[0]) != reading.topic_id
        ]

    # -- the group's callbacks: they only note; the flow begins

    def _granted(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([])  # nothing is fetched before PostgreSQL has said from where
        self._idle |= {(part.topic, part.partition) for part in partitions}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drain()
        self._gone(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others may have them by now: what is in hand of them will be found stale."""
        log.warning("partitions were lost: we were away for longer than our session", partitions=len(partitions))
        self._gone(consumer, partitions)

    def _gone(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(part.topic, part.partition) for part in partitions}
        fetched = [TopicPartition(*partition) for partition in gone if partition in self._reading]
        try:
            consumer.incremental_unassign(fetched)
        except KafkaException as error:  # there is nothing left to give back
            log.info("partitions were gone already", error=error_text(error))
        self._idle -= gone
        for partition in gone:
            self._reading.pop(partition, None)

    # -- messages

    def _span(self, partition: Partition, start: int) -> OffsetRange:
        reading = self._reading[partition]
        last, reading.last = reading.last, None  # asked once for each span: the road of the messages is hot
        leader_epoch = None if last is None else last.leader_epoch()
        return OffsetRange(*partition, start, reading.next_offset, reading.epoch, leader_epoch)

    def _note(
        self, partition: Partition | None, error: KafkaError, unread: dict[Partition, UnreadablePartition]
    ) -> None:
        reading = None if partition is None else self._reading.get(partition)
        if partition is None or reading is None or partition in unread:
            return
        topic, number = partition
        why = f"{topic}[{number}] cannot be read from offset {reading.next_offset} on: {error.str()}"
        log.warning("a partition is let go", why=why)
        unread[partition] = UnreadablePartition(topic, number, reading.next_offset, reading.epoch, why)

    @property
    def _client(self) -> Consumer:
        assert self._consumer is not None, "Stream.open comes first"
        return self._consumer
