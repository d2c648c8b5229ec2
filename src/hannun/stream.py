"""Kafka: batches of messages with the spans they cover.

    not ours ──granted──► waiting ──begin(offset, epoch)──► reading ──take──► batches
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

The consumer is driven by one thread: a rebalance is heard inside `take`. What is still being written then is waited for
before a partition is given back.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
    TopicPartitionInfo,
)
from confluent_kafka.admin import AdminClient, OffsetSpec, TopicDescription  # type: ignore[attr-defined]

from hannun.domain.batch import Place, Received, Span
from hannun.domain.messages import INSTANT_BEFORE_US, INSTANT_FROM_US
from hannun.domain.positions import Known, Log
from hannun.domain.replay import Stretch
from hannun.errors import OperatorError, StreamUnavailable
from hannun.telemetry import log

Partition = tuple[str, int]

_CALL_S = 10.0
_FETCHING: dict[str, object] = {
    "check.crcs": True,  # by default what a broken disk has made of a number is handed on as if it were sent so
    "fetch.queue.backoff.ms": 5,  # the default of 1000 stalls for a second
    # Little is fetched ahead. What is fresh in one partition waits behind all that is already here of the others, and
    # more makes nothing faster (docs/performance.md). So memory is bounded too, whatever the lag.
    "queued.min.messages": 5_000,
    "queued.max.messages.kbytes": 2_048,
    "max.partition.fetch.bytes": 262_144,
}


_ASKING: dict[str, object] = {
    "group.id": "hannun-asks",  # the client wants one; nothing is joined and nothing committed
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_uncommitted",
    "enable.partition.eof": True,  # the answer where nothing comes behind
    "fetch.wait.max.ms": 10,
    "max.partition.fetch.bytes": 1,  # a broker gives one batch all the same
}


_POSITION_IS_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_CUT_OFF = KafkaError(KafkaError._LOG_TRUNCATION).str()
"""What the client says in the words of `_AUTO_OFFSET_RESET` beside: its code is the same for every reason."""


class Unread(NamedTuple):
    """A partition that the client cannot read from this offset on: it was let go, and was read under this epoch."""

    topic: str
    partition: int
    offset: int
    epoch: int
    why: str


class Taken(NamedTuple):
    """Messages in the order of their partitions, and the spans they cover; a span may hold offsets without messages."""

    messages: list[Received]
    spans: list[Span]
    unread: Sequence[Unread] = ()


@dataclass(slots=True)
class _Reading:
    """A partition that is being read: the next offset, under the owner's epoch.

    `last` is the message before, where it was taken just now.
    """

    next_offset: int
    epoch: int
    topic_id: str
    last: Message | None = None


class Broker:
    """What the cluster says of its topics. For any thread."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 5_000}, logger=_client_log())
        self._told = threading.Lock()
        self._left_out: set[Partition] = set()

    def check(self, topics: Collection[str]) -> None:
        """
        Raises:
            OperatorError: no broker answers, or a topic is missing.
        """
        try:
            found = self._admin.list_topics(timeout=_CALL_S).topics
        except KafkaException as error:
            raise OperatorError(
                f"no Kafka broker answers at {self._bootstrap}: {_told(error)}",
                hint="is it running, and is KAFKA_BOOTSTRAP_SERVERS right? `hannun up --kafka` starts an embedded one",
            ) from error
        missing = sorted(set(topics) - set(found))
        if missing:
            raise OperatorError(
                f"Kafka at {self._bootstrap} has no topic {', '.join(missing)}",
                hint="make it, or name the right one in HANNUN_TOPIC_...",
            )

    def partitions(self, topics: Collection[str]) -> list[Partition]:
        """Every partition of these topics.

        Raises:
            StreamUnavailable: no broker answers.
        """
        try:
            found = self._admin.list_topics(timeout=_CALL_S).topics
        except KafkaException as error:
            raise StreamUnavailable(_told(error)) from error
        return [
            (topic, number) for topic in sorted(topics) if topic in found for number in sorted(found[topic].partitions)
        ]

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """The identities of topics; a topic that does not exist is left out.

        Raises:
            StreamUnavailable: no broker answers.
        """
        described, failed = self._describe(topics)
        if failed:
            raise StreamUnavailable(f"no broker tells of {min(failed)}: {failed[min(failed)]}")
        return {topic: str(found.topic_id) for topic, found in described.items()}

    def logs(
        self,
        partitions: Iterable[Partition],
        known: Mapping[Partition, Known] | None = None,
        *,
        committed: bool = False,
        some: bool = False,
    ) -> dict[Partition, Log]:
        """Partitions as the broker has them; one that does not exist is left out.

        Where it is `known` how far they are counted, they say too whether they were cut off below. With `committed`
        they end where a transaction is still open: what lies beyond cannot be read yet. With `some` those of which
        nobody tells (they have no leader, or it does not answer) are left out too, with a warning, as long as there are
        others.

        Raises:
            StreamUnavailable: no broker answers, or none tells of one of them.
        """
        wanted = sorted(partitions)
        topics, failed_topics = self._describe({topic for topic, _ in wanted})
        failed = {place: failed_topics[place[0]] for place in wanted if place[0] in failed_topics}
        there = {(topic, at.id): at for topic, found in topics.items() for at in found.partitions}
        # Asked for one without a leader, the client waits for it to come, and lets all others wait with it.
        failed |= {place: "it has no leader" for place in wanted if place in there and not _is_led(there[place])}
        led = [place for place in wanted if place in there and place not in failed]
        lows, failed_lows = self._offsets(led, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        highs, failed_highs = self._offsets(led, OffsetSpec.latest(), committed=committed)  # type: ignore[no-untyped-call]
        failed |= failed_lows | failed_highs
        logs = {
            place: Log(str(topics[place[0]].topic_id), lows[place], highs[place])
            for place in led
            if place in lows and place in highs
        }
        within = {place: at for place, at in (known or {}).items() if place in logs and logs[place].reaches(at)}
        cut_off, unanswered = self._cut_off(within)
        failed |= dict.fromkeys(unanswered, "it does not say whether it still has what is counted")
        logs = {place: replace(log_, cut_off=place in cut_off) for place, log_ in logs.items() if place not in failed}
        if failed and not (some and logs):
            raise _unavailable(failed)
        with self._told:
            news = failed.keys() - self._left_out
            self._left_out = (self._left_out - logs.keys()) | failed.keys()
        for topic, number in sorted(news):
            log.warning("no broker tells of a partition", topic=topic, partition=number, why=failed[topic, number])
        return logs

    def read(self, place: Place) -> bytes | None:
        """One record as it stands in the log; None where it is gone, or the topic was made anew.

        Raises:
            StreamUnavailable: no broker answers.
        """
        log_ = self.logs([(place.topic, place.partition)]).get((place.topic, place.partition))
        if log_ is None or log_.topic_id != place.topic_id or not log_.low <= place.offset < log_.high:
            return None
        reader = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": "hannun-reads-one", "enable.auto.commit": False},
            logger=_client_log(),
        )
        try:
            reader.assign([TopicPartition(place.topic, place.partition, place.offset)])
            found = reader.poll(_CALL_S)
        finally:
            reader.close()
        if found is None or found.error() is not None or found.offset() != place.offset:
            return None
        return found.value() or b""

    def offsets_at(self, partitions: Iterable[Partition], moment: datetime) -> dict[Partition, int]:
        """The first offsets whose records are of this moment or later; -1 where there is none yet.

        Raises:
            StreamUnavailable: no broker answers, or none tells of one of them.
        """
        found, failed = self._offsets(sorted(partitions), OffsetSpec.for_timestamp(int(moment.timestamp() * 1000)))
        if failed:
            raise _unavailable(failed)
        return found

    def _describe(self, topics: Collection[str]) -> tuple[dict[str, TopicDescription], dict[str, str]]:
        """Topics as the cluster describes them, and why it does not others; one that does not exist is in neither."""
        described: dict[str, TopicDescription] = {}
        failed: dict[str, str] = {}
        if not topics:
            return described, failed
        asked = self._admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=_CALL_S)
        for topic, future in asked.items():
            try:
                described[topic] = future.result()
            except KafkaException as error:
                if not _does_not_exist(error):
                    failed[topic] = _told(error)
        return described, failed

    def _cut_off(self, known: Mapping[Partition, Known]) -> tuple[set[Partition], set[Partition]]:
        """Those whose log was cut off below where they stand, however far it has grown since; and those that nobody
        answers for.

        The broker judges by the leader's epoch (KIP-320), so a position without one is never among them. A client of
        its own asks, in 50 ms: librdkafka (2.16) holds a position against the broker when it learns who leads the
        partition, and not when it is assigned one whose leader it knows. As a member of the group, which does, it read
        on at an offset of a log that was cut off below.
        """
        asked = {place: at for place, at in known.items() if at.leader_epoch is not None}
        found: set[Partition] = set()
        if not asked:
            return found, set()
        asks = Consumer({"bootstrap.servers": self._bootstrap, **_ASKING}, logger=_client_log())
        try:
            asks.assign([_at(place, at.next_offset, at.leader_epoch) for place, at in asked.items()])
            until_s = time.monotonic() + _CALL_S
            while asked and time.monotonic() < until_s:
                for answer in asks.consume(len(asked), 0.1):
                    error = answer.error()
                    if error is not None and error.code() not in (KafkaError._PARTITION_EOF, *_POSITION_IS_GONE):
                        continue  # of no partition, or one that passes
                    place = (str(answer.topic()), int(answer.partition() or 0))
                    asked.pop(place, None)
                    if error is not None and _CUT_OFF in error.str():
                        found.add(place)
        finally:
            asks.close()
        return found, set(asked)

    def _offsets(
        self, partitions: Sequence[Partition], spec: OffsetSpec, *, committed: bool = False
    ) -> tuple[dict[Partition, int], dict[Partition, str]]:
        """An offset of each partition, and why there is none of others; one that does not exist is in neither."""
        found: dict[Partition, int] = {}
        failed: dict[Partition, str] = {}
        if not partitions:
            return found, failed
        asked: dict[TopicPartition, Future[Any]] = self._admin.list_offsets(
            {TopicPartition(topic, number): spec for topic, number in partitions},
            request_timeout=_CALL_S,
            isolation_level=IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED,
        )
        for part, future in asked.items():
            try:
                found[part.topic, part.partition] = int(future.result().offset)
            except KafkaException as error:
                if not _does_not_exist(error):
                    failed[part.topic, part.partition] = _told(error)
        return found, failed


def _is_led(partition: TopicPartitionInfo) -> bool:
    return partition.leader is not None and partition.leader.id >= 0


def _unavailable(failed: Mapping[Partition, str]) -> StreamUnavailable:
    (topic, number), why = min(failed.items())
    others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return StreamUnavailable(f"no broker tells of {topic}[{number}]{others}: {why}")


def _does_not_exist(error: KafkaException) -> bool:
    return bool(error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART)


class Stream:
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
            **_FETCHING,
            **options,
        }
        self._consumer: Consumer | None = None
        self._waiting: set[Partition] = set()
        self._reading: dict[Partition, _Reading] = {}
        self._drain: Callable[[], None] = lambda: None

    def before_giving_back(self, drain: Callable[[], None]) -> None:
        """Have this done before partitions are given back to the group. It must not raise."""
        self._drain = drain

    def open(self) -> None:
        """Join the group."""
        self._consumer = Consumer(self._options, logger=_client_log())
        self._consumer.subscribe(
            list(self._kinds), on_assign=self._granted, on_revoke=self._revoked, on_lost=self._lost
        )

    def close(self) -> None:
        """Leave the group, so that the others need not wait for us to time out. Closing twice is fine."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def waiting(self) -> frozenset[Partition]:
        """Partitions that the group has granted us and that nobody has begun yet."""
        return frozenset(self._waiting)

    @property
    def reading(self) -> frozenset[Partition]:
        """Partitions that are being read."""
        return frozenset(self._reading)

    def begin(
        self, partition: Partition, topic_id: str, offset: int, epoch: int, leader_epoch: int | None = None
    ) -> None:
        """Read a waiting partition from this offset on, under this epoch.

        By the leader's epoch of the record before, where it is known, the client notices while it reads if a new leader
        has cut the log off below.

        Raises:
            StreamUnavailable: the client has failed for good; end the process.
        """
        with _what_fails_for_good():
            self._client.incremental_assign([_at(partition, offset, leader_epoch)])
        self._waiting.discard(partition)
        self._reading[partition] = _Reading(offset, epoch, topic_id)

    def let_go(self, partitions: Collection[Partition]) -> None:
        """Stop reading partitions; they stay granted and wait for a beginning. What is in flight is dropped.

        Raises:
            StreamUnavailable: the client has failed for good; end the process.
        """
        ours = [partition for partition in partitions if partition in self._reading]
        if ours:
            with _what_fails_for_good():
                self._client.incremental_unassign([TopicPartition(*partition) for partition in ours])
        for partition in ours:
            del self._reading[partition]
            self._waiting.add(partition)

    def take(self, count_max: int, wait_s: float) -> Taken:
        """The next messages; empty when none came within `wait_s`. Calling it is also what keeps us in the group.

        A partition of which the client says that it cannot be read is let go where its last message ended.

        Raises:
            StreamUnavailable: the client has failed for good; end the process.
        """
        with _what_fails_for_good():
            received = self._client.consume(num_messages=count_max, timeout=wait_s)
        messages: list[Received] = []
        starts: dict[Partition, int] = {}
        unread: dict[Partition, Unread] = {}
        for message in received:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._note(_ailing(message, error), error, unread)
                continue
            partition, offset = _where(message)
            reading = self._reading.get(partition)
            if reading is None or offset < reading.next_offset or partition in unread:
                continue  # came in before it was revoked or let go, or lies behind what nobody has seen
            if error is None:
                starts.setdefault(partition, reading.next_offset)
                reading.next_offset = offset + 1
                reading.last = message
                messages.append(_received(message, self._kinds[partition[0]], partition, offset, reading.topic_id))
            elif offset > reading.next_offset:  # the end of the log, behind what nobody is handed
                starts.setdefault(partition, reading.next_offset)
                reading.next_offset = offset
                reading.last = None  # the client does not say under which epoch it was that nobody is handed
        spans = [self._span(partition, start) for partition, start in starts.items()]
        self.let_go(unread)
        return Taken(messages, spans, tuple(unread.values()))

    def counted(self, spans: Sequence[Span]) -> None:
        """Tell Kafka's own offsets, for its lag tools. Nothing of ours depends on it."""
        ends = [TopicPartition(span.topic, span.partition, span.end) for span in spans]
        try:
            self._client.commit(offsets=ends, asynchronous=True)
        except KafkaException as error:
            log.debug("kafka's own offsets were not committed", error=_told(error))

    def made_anew(self, ids: Mapping[str, str]) -> list[Partition]:
        """Partitions we read whose topic is another now than the one we began with."""
        return [partition for partition, reading in self._reading.items() if ids.get(partition[0]) != reading.topic_id]

    # -- the group's callbacks: they only note; the flow begins

    def _granted(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([])  # nothing is fetched before PostgreSQL has said from where
        self._waiting |= {(part.topic, part.partition) for part in partitions}

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
            log.info("partitions were gone already", error=_told(error))
        self._waiting -= gone
        for partition in gone:
            self._reading.pop(partition, None)

    # -- messages

    def _span(self, partition: Partition, start: int) -> Span:
        reading = self._reading[partition]
        last, reading.last = reading.last, None  # asked once for each span: the road of the messages is hot
        leader_epoch = None if last is None else last.leader_epoch()
        return Span(*partition, start, reading.next_offset, reading.epoch, leader_epoch)

    def _note(self, partition: Partition | None, error: KafkaError, unread: dict[Partition, Unread]) -> None:
        reading = None if partition is None else self._reading.get(partition)
        if partition is None or reading is None or partition in unread:
            return
        topic, number = partition
        why = f"{topic}[{number}] cannot be read from offset {reading.next_offset} on: {error.str()}"
        log.warning("a partition is let go", why=why)
        unread[partition] = Unread(topic, number, reading.next_offset, reading.epoch, why)

    @property
    def _client(self) -> Consumer:
        assert self._consumer is not None, "Stream.open comes first"
        return self._consumer


class LogReader:
    """Stretches of logs, each read once from its start to its end: in no group, beside whoever else reads them.

    Args:
        kinds: the kind of message that each topic holds, by the topic's name.
        stretches: what to read of each partition.
    """

    def __init__(self, bootstrap: str, kinds: Mapping[str, str], stretches: Mapping[Partition, Stretch]) -> None:
        self._kinds = dict(kinds)
        self._options = {
            "bootstrap.servers": bootstrap,
            "group.id": "hannun-replay",  # the client wants one; nothing is joined and nothing committed
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,  # a log may end in marks of transactions, which are no messages
            **_FETCHING,
        }
        self._stretches = {partition: stretch for partition, stretch in stretches.items() if stretch.offsets}
        self._next = {partition: stretch.start for partition, stretch in self._stretches.items()}
        self._consumer: Consumer | None = None

    def __enter__(self) -> Self:
        self._consumer = Consumer(self._options, logger=_client_log())
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in self._next.items()])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def total(self) -> int:
        """How many offsets the stretches span."""
        return sum(stretch.offsets for stretch in self._stretches.values())

    @property
    def left(self) -> int:
        """How many of them are not taken yet."""
        return sum(self._stretches[partition].end - offset for partition, offset in self._next.items())

    def take(self, count_max: int, wait_s: float) -> Taken:
        """The next messages; empty when none came within `wait_s`. A span may hold none: the end of a log often does.

        Raises:
            StreamUnavailable: the client has failed, or what is to be read cannot be, or is no longer there.
        """
        assert self._consumer is not None, "a LogReader is entered before it is asked"
        with _what_fails_for_good():
            received = self._consumer.consume(num_messages=count_max, timeout=wait_s)
        messages: list[Received] = []
        starts: dict[Partition, int] = {}
        for message in received:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._note(_ailing(message, error), error)
                continue
            partition, offset = _where(message)
            at, stretch = self._next.get(partition), self._stretches.get(partition)
            if at is None or stretch is None:
                continue  # fetched before we stopped at its end
            starts.setdefault(partition, at)
            if error is None and offset < stretch.end:
                messages.append(_received(message, self._kinds[partition[0]], partition, offset, stretch.topic_id))
                offset += 1
            self._next[partition] = min(offset, stretch.end)
        spans = [
            Span(*partition, start, self._next[partition], self._stretches[partition].epoch)
            for partition, start in starts.items()
            if self._next[partition] > start
        ]
        self._stop_at_ends(starts)
        return Taken(messages, spans)

    def _stop_at_ends(self, moved: Iterable[Partition]) -> None:
        ended = [partition for partition in moved if self._next[partition] >= self._stretches[partition].end]
        if ended and self._consumer is not None:
            with _what_fails_for_good():
                self._consumer.incremental_unassign([TopicPartition(*partition) for partition in ended])
        for partition in ended:
            del self._next[partition]

    def _note(self, partition: Partition | None, error: KafkaError) -> None:
        at = None if partition is None else self._next.get(partition)
        if partition is not None and at is not None:
            topic, number = partition
            raise StreamUnavailable(f"{topic}[{number}] cannot be read from offset {at} on: {error.str()}")


class Publisher:
    """Sends messages to one topic, and waits until the broker has them."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._options = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # and so acknowledged by all replicas that are in sync
            "linger.ms": 5,
            "delivery.timeout.ms": int(_CALL_S * 1000),
        }
        self._producer: Producer | None = None

    def publish(self, messages: Sequence[tuple[bytes, bytes]]) -> list[str | None]:
        """Send keys and values. For each why the broker did not acknowledge it; None where it did."""
        producer = self._producer = self._producer or Producer(self._options, logger=_client_log())
        became: list[str | None] = ["the broker did not answer"] * len(messages)

        def heard(index: int, error: KafkaError | None, _: Message) -> None:
            became[index] = None if error is None else error.str()

        for index, (key, value) in enumerate(messages):
            producer.produce(self._topic, value, key, on_delivery=partial(heard, index))
        producer.flush(2 * _CALL_S)
        return became


def _received(message: Message, kind: str, partition: Partition, offset: int, topic_id: str) -> Received:
    stamp, milliseconds = message.timestamp()
    at = int(time.time() * 1_000_000) if stamp == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1_000
    if not INSTANT_FROM_US <= at <= INSTANT_BEFORE_US:
        # A producer that counts in microseconds gives the year 55,000: later than any column, and as good as the last.
        at = min(max(at, INSTANT_FROM_US), INSTANT_BEFORE_US)
    place: Place = _NEW(Place, (partition[0], topic_id, partition[1], offset))
    received: Received = _NEW(Received, (kind, message.value() or b"", at, place, None))
    return received


_NEW: Any = tuple.__new__  # what a NamedTuple's own does, without its call: one for each message


@contextmanager
def _what_fails_for_good() -> Iterator[None]:
    """What a client refuses to fetch, or to stop fetching, is none of the network's failures, which it survives by
    itself: it has ended, or knows of other partitions than we do. Beginning anew is the way out of both."""
    try:
        yield
    except KafkaException as error:
        raise _for_good(_told(error)) from error


def _for_good(said: str) -> StreamUnavailable:
    return StreamUnavailable(f"the Kafka client has failed for good: {said}")


def _ailing(message: Message, error: KafkaError) -> Partition | None:
    """The partition that an error among the messages is about; None where it is about no single one, and passes.

    Raises:
        StreamUnavailable: the client has failed for good, and says so once.
    """
    if error.fatal() or error.code() == KafkaError._FATAL:  # an error among the messages has lost its flag
        raise _for_good(error.str())
    topic, number = message.topic(), message.partition()
    if topic is None or number is None or number < 0:
        log.warning("kafka", topic=topic, error=error.str())
        return None
    return topic, number


def _at(partition: Partition, offset: int, leader_epoch: int | None) -> TopicPartition:
    return TopicPartition(*partition, offset, leader_epoch=-1 if leader_epoch is None else leader_epoch)


def _where(message: Message) -> tuple[Partition, int]:
    topic, number, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and number is not None and offset is not None
    return (topic, number), offset


def _told(error: KafkaException) -> str:
    found = error.args[0] if error.args else error
    return str(found.str() if isinstance(found, KafkaError) else found)


def _client_log() -> logging.Logger:
    """The client's own log, through ours."""
    logger = logging.getLogger("hannun.kafka")
    if not logger.handlers:
        logger.addHandler(_Forward())
        logger.propagate = False
    return logger


class _Forward(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.info("kafka client", said=record.getMessage())
