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
from hannun.domain.positions import KnownPosition, PartitionLog, TopicAtBroker
from hannun.errors import KafkaUnavailable
from hannun.kafka.address import KafkaAddress, PasswordUpdate
from hannun.kafka.records import CALL_TIMEOUT_S, Partition, client_logger, error_text, topic_partition
from hannun.telemetry import log

_TRUNCATION_CHECK_OPTIONS: dict[str, object] = {
    "group.id": "hannun-asks",  # librdkafka requires one; this client joins nothing and commits nothing
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_uncommitted",
    "enable.partition.eof": True,  # the answer where the position is the end of the log
    "fetch.wait.max.ms": 10,
    "max.partition.fetch.bytes": 1,  # a broker returns one batch all the same
}

_POSITION_GONE_CODES = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)

_REFUSED = KafkaError.TOPIC_AUTHORIZATION_FAILED

_TRUNCATION_TEXT = KafkaError(KafkaError._LOG_TRUNCATION).str()
"""Part of the text of an `_AUTO_OFFSET_RESET` error after a truncation: that error has one code for every reason."""


class Broker:
    """Queries the cluster about topics, partitions and records. Safe for any thread."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._password = PasswordUpdate(address)
        self._admin = AdminClient({**address.options(), "socket.timeout.ms": 5_000}, logger=client_logger())
        self._missing_lock = threading.Lock()
        self._missing: set[Partition] = set()  # partitions whose absence is logged already

    def check(self) -> None:
        """Check that a broker answers.

        Raises:
            KafkaUnavailable: none does.
        """
        try:
            self._client().list_topics(timeout=CALL_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(
                f"no Kafka broker answers at {self._address.servers}: {error_text(error)}",
                hint="is it running, and is KAFKA_BOOTSTRAP_SERVERS right? `hannun up --kafka` starts an embedded one",
            ) from error

    def partitions(self, topics: Collection[str]) -> list[Partition]:
        """Every partition of these topics; a topic that does not exist has none.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        try:
            found = self._client().list_topics(timeout=CALL_TIMEOUT_S).topics
        except KafkaException as error:
            raise KafkaUnavailable(
                f"cannot list the topics at {self._address.servers}: {error_text(error)}. Check that a broker is there"
            ) from error
        return [
            (topic, number) for topic in sorted(topics) if topic in found for number in sorted(found[topic].partitions)
        ]

    def describe_topics(self, topics: Collection[str]) -> dict[str, TopicAtBroker]:
        """These topics as the brokers report them; a topic is omitted while its description fails otherwise.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        described, failed = self._describe(topics)
        refused = {topic: error for topic, error in failed.items() if error.code() == _REFUSED}
        if failed and not described and not refused:
            first = min(failed)
            raise KafkaUnavailable(f"cannot describe topic {first}: {failed[first].str()}. Check that a broker answers")
        found = {topic: TopicAtBroker(None) for topic in topics if topic not in failed}
        found |= {topic: TopicAtBroker(None, refused=error.str()) for topic, error in refused.items()}
        return found | {
            topic: TopicAtBroker(str(one.topic_id), len(one.partitions)) for topic, one in described.items()
        }

    def partition_logs(
        self,
        partitions: Iterable[Partition],
        known: Mapping[Partition, KnownPosition] | None = None,
        *,
        committed: bool = False,
        allow_missing: bool = False,
    ) -> dict[Partition, PartitionLog]:
        """The topic ids and offset bounds of partitions; a partition that does not exist is omitted.

        Args:
            known: the counted positions. For these partitions the result also says whether the log was truncated below
                the position.
            committed: end each log at its first open transaction: a consumer cannot read further yet.
            allow_missing: omit partitions that no broker reports (no leader, or the leader does not answer), with a
                warning, unless that leaves none.

        Raises:
            KafkaUnavailable: no broker answers, or no broker reports one of the partitions.
        """
        wanted = sorted(partitions)
        topics, failed_topics = self._describe({topic for topic, _ in wanted})
        failed = {place: failed_topics[place[0]].str() for place in wanted if place[0] in failed_topics}
        there = {(topic, at.id): at for topic, found in topics.items() for at in found.partitions}
        # For a partition without a leader the client waits until there is one, and delays all other answers with it.
        failed |= {place: "it has no leader" for place in wanted if place in there and not _has_leader(there[place])}
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
        truncated, unanswered = self._truncated(within)
        failed |= dict.fromkeys(unanswered, "its leader does not answer whether the counted records are still there")
        logs = {
            place: replace(log_, truncated=place in truncated) for place, log_ in logs.items() if place not in failed
        }
        if failed and not (allow_missing and logs):
            raise _unavailable(failed)
        with self._missing_lock:
            newly_missing = failed.keys() - self._missing
            self._missing = (self._missing - logs.keys()) | failed.keys()
        for topic, number in sorted(newly_missing):
            log.warning("no broker reports a partition", topic=topic, partition=number, reason=failed[topic, number])
        return logs

    def read_record(self, record_id: RecordId) -> bytes | None:
        """The value of one record; None where the log no longer holds it, or the topic was recreated.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        log_ = self.partition_logs([(record_id.topic, record_id.partition)]).get((record_id.topic, record_id.partition))
        if log_ is None or log_.topic_id != record_id.topic_id or not log_.low <= record_id.offset < log_.high:
            return None
        reader = Consumer(
            {**self._address.options(), "group.id": "hannun-reads-one", "enable.auto.commit": False},
            logger=client_logger(),
        )
        try:
            reader.assign([TopicPartition(record_id.topic, record_id.partition, record_id.offset)])
            found = reader.poll(CALL_TIMEOUT_S)
        finally:
            reader.close()
        if found is None or found.error() is not None or found.offset() != record_id.offset:
            return None
        return found.value() or b""

    def offsets_at(self, partitions: Iterable[Partition], moment: datetime) -> dict[Partition, int]:
        """The first offset in each partition whose record has this timestamp or a later one; -1 where none has yet.

        Raises:
            KafkaUnavailable: no broker answers, or no broker reports one of the partitions.
        """
        found, failed = self._offsets(sorted(partitions), OffsetSpec.for_timestamp(int(moment.timestamp() * 1000)))
        if failed:
            raise _unavailable(failed)
        return found

    def _client(self) -> AdminClient:
        self._password.apply(self._admin)
        return self._admin

    def _describe(self, topics: Collection[str]) -> tuple[dict[str, TopicDescription], dict[str, KafkaError]]:
        """The descriptions of topics, and the errors of topics that could not be described.

        A topic that does not exist is in neither.
        """
        described: dict[str, TopicDescription] = {}
        failed: dict[str, KafkaError] = {}
        if not topics:
            return described, failed
        requested = self._client().describe_topics(TopicCollection(sorted(topics)), request_timeout=CALL_TIMEOUT_S)
        for topic, future in requested.items():
            try:
                described[topic] = future.result()
            except KafkaException as error:
                if not _does_not_exist(error):
                    failed[topic] = error.args[0]
        return described, failed

    def _truncated(self, known: Mapping[Partition, KnownPosition]) -> tuple[set[Partition], set[Partition]]:
        """Partitions whose log was truncated below their position, and partitions for which no leader answered.

        A truncated log may have grown past the position since. The leader decides by the leader epoch (KIP-320), so a
        position without an epoch is never reported as truncated.

        The check uses a client of its own and takes 50 ms. librdkafka (2.16) validates a position when it learns the
        partition's leader, but not when it is assigned a partition whose leader it already knows. A group member knows
        the leaders, so it read on at an offset of a truncated log.
        """
        unanswered = {place: at for place, at in known.items() if at.leader_epoch is not None}
        truncated: set[Partition] = set()
        if not unanswered:
            return truncated, set()
        client = Consumer({**self._address.options(), **_TRUNCATION_CHECK_OPTIONS}, logger=client_logger())
        try:
            client.assign([topic_partition(place, at.next_offset, at.leader_epoch) for place, at in unanswered.items()])
            until_s = time.monotonic() + CALL_TIMEOUT_S
            while unanswered and time.monotonic() < until_s:
                for answer in client.consume(len(unanswered), 0.1):
                    error = answer.error()
                    if error is not None and error.code() not in (KafkaError._PARTITION_EOF, *_POSITION_GONE_CODES):
                        continue  # an error of no partition, or a temporary one
                    place = (str(answer.topic()), int(answer.partition() or 0))
                    unanswered.pop(place, None)
                    if error is not None and _TRUNCATION_TEXT in error.str():
                        truncated.add(place)
        finally:
            client.close()
        return truncated, set(unanswered)

    def _offsets(
        self, partitions: Sequence[Partition], spec: OffsetSpec, *, committed: bool = False
    ) -> tuple[dict[Partition, int], dict[Partition, str]]:
        """An offset of each partition, and the errors of partitions without one.

        A partition that does not exist is in neither.
        """
        found: dict[Partition, int] = {}
        failed: dict[Partition, str] = {}
        if not partitions:
            return found, failed
        requested: dict[TopicPartition, Future[Any]] = self._client().list_offsets(
            {TopicPartition(topic, number): spec for topic, number in partitions},
            request_timeout=CALL_TIMEOUT_S,
            isolation_level=IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED,
        )
        for part, future in requested.items():
            try:
                found[part.topic, part.partition] = int(future.result().offset)
            except KafkaException as error:
                if not _does_not_exist(error):
                    failed[part.topic, part.partition] = error_text(error)
        return found, failed


def _has_leader(partition: TopicPartitionInfo) -> bool:
    return partition.leader is not None and partition.leader.id >= 0


def _unavailable(failed: Mapping[Partition, str]) -> KafkaUnavailable:
    (topic, number), why = min(failed.items())
    others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return KafkaUnavailable(
        f"cannot query {topic}[{number}]{others}: {why}. Check that the partition has a leader that answers"
    )


def _does_not_exist(error: KafkaException) -> bool:
    return bool(error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART)
