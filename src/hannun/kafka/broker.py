"""Metadata, log bounds and single records, as the Kafka brokers report them."""

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
    TopicPartitionInfo,
)
from confluent_kafka.admin import AdminClient, OffsetSpec, TopicDescription  # type: ignore[attr-defined]

from hannun.domain.batch import RecordId
from hannun.domain.positions import KnownPosition, PartitionLog
from hannun.errors import KafkaUnavailable, OperatorError
from hannun.kafka.records import CALL_TIMEOUT_S, Partition, client_logger, error_text, topic_partition
from hannun.telemetry import log

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


class Broker:
    """What the cluster says of its topics. For any thread."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 5_000}, logger=client_logger())
        self._told = threading.Lock()
        self._left_out: set[Partition] = set()

    def check(self, topics: Collection[str]) -> None:
        """
        Raises:
            OperatorError: no broker answers, or a topic is missing.
        """
        try:
            found = self._admin.list_topics(timeout=CALL_TIMEOUT_S).topics
        except KafkaException as error:
            raise OperatorError(
                f"no Kafka broker answers at {self._bootstrap}: {error_text(error)}",
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
            found = self._admin.list_topics(timeout=CALL_TIMEOUT_S).topics
        except KafkaException as error:
            raise KafkaUnavailable(error_text(error)) from error
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
            raise KafkaUnavailable(f"no broker tells of {min(failed)}: {failed[min(failed)]}")
        return {topic: str(found.topic_id) for topic, found in described.items()}

    def partition_logs(
        self,
        partitions: Iterable[Partition],
        known: Mapping[Partition, KnownPosition] | None = None,
        *,
        committed: bool = False,
        allow_missing: bool = False,
    ) -> dict[Partition, PartitionLog]:
        """Partitions as the broker has them; one that does not exist is left out.

        Where it is `known` how far they are counted, they say too whether they were cut off below. With `committed`
        they end where a transaction is still open: what lies beyond cannot be read yet. With `allow_missing` partitions
        that no broker reports (they have no leader, or it does not answer) are left out with a warning, as long as
        there are others.

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
            place: PartitionLog(str(topics[place[0]].topic_id), lows[place], highs[place])
            for place in led
            if place in lows and place in highs
        }
        within = {place: at for place, at in (known or {}).items() if place in logs and logs[place].reaches(at)}
        cut_off, unanswered = self._cut_off(within)
        failed |= dict.fromkeys(unanswered, "it does not say whether it still has what is counted")
        logs = {place: replace(log_, cut_off=place in cut_off) for place, log_ in logs.items() if place not in failed}
        if failed and not (allow_missing and logs):
            raise _unavailable(failed)
        with self._told:
            news = failed.keys() - self._left_out
            self._left_out = (self._left_out - logs.keys()) | failed.keys()
        for topic, number in sorted(news):
            log.warning("no broker tells of a partition", topic=topic, partition=number, why=failed[topic, number])
        return logs

    def read_record(self, place: RecordId) -> bytes | None:
        """One record as it stands in the log; None where it is gone, or the topic was made anew.

        Raises:
            StreamUnavailable: no broker answers.
        """
        log_ = self.partition_logs([(place.topic, place.partition)]).get((place.topic, place.partition))
        if log_ is None or log_.topic_id != place.topic_id or not log_.low <= place.offset < log_.high:
            return None
        reader = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": "hannun-reads-one", "enable.auto.commit": False},
            logger=client_logger(),
        )
        try:
            reader.assign([TopicPartition(place.topic, place.partition, place.offset)])
            found = reader.poll(CALL_TIMEOUT_S)
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
        asked = self._admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=CALL_TIMEOUT_S)
        for topic, future in asked.items():
            try:
                described[topic] = future.result()
            except KafkaException as error:
                if not _does_not_exist(error):
                    failed[topic] = error_text(error)
        return described, failed

    def _cut_off(self, known: Mapping[Partition, KnownPosition]) -> tuple[set[Partition], set[Partition]]:
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
        asks = Consumer({"bootstrap.servers": self._bootstrap, **_ASKING}, logger=client_logger())
        try:
            asks.assign([topic_partition(place, at.next_offset, at.leader_epoch) for place, at in asked.items()])
            until_s = time.monotonic() + CALL_TIMEOUT_S
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
            request_timeout=CALL_TIMEOUT_S,
            isolation_level=IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED,
        )
        for part, future in asked.items():
            try:
                found[part.topic, part.partition] = int(future.result().offset)
            except KafkaException as error:
                if not _does_not_exist(error):
                    failed[part.topic, part.partition] = error_text(error)
        return found, failed


def _is_led(partition: TopicPartitionInfo) -> bool:
    return partition.leader is not None and partition.leader.id >= 0


def _unavailable(failed: Mapping[Partition, str]) -> KafkaUnavailable:
    (topic, number), why = min(failed.items())
    others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return KafkaUnavailable(f"no broker tells of {topic}[{number}]{others}: {why}")


def _does_not_exist(error: KafkaException) -> bool:
    return bool(error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART)
