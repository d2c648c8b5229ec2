"""Operators' decisions about where reading resumes: planned, shown to the operator, then recorded.

plan ──► decisions ──► decide ──► recorded; the partition's consumer starts there within seconds
plan_forget ──► the topic, or partitions, that no longer exist ──► forget
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Literal, NamedTuple

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.positions import (
    KnownPosition,
    PartitionLog,
    ResumeAt,
    TopicAtBroker,
    WaitForOperator,
    topic_stop,
)
from hannun.errors import OperatorError
from hannun.kafka.broker import Broker
from hannun.kafka.records import Partition
from hannun.store import audit_log, positions
from hannun.store.database import Connection
from hannun.store.positions import Position as Position
from hannun.store.positions import StoppedTopic as StoppedTopic

To = Literal["earliest", "latest"] | int | datetime
"""The log's first offset, its end, an offset, or the first record with this timestamp or a later one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The position of one partition now, and the offset at which it would resume."""

    topic: str
    partition: int
    log: PartitionLog
    was_at: int | None
    resume_at: int
    counted_to: int
    truncated: bool
    """Whether the log was truncated below the position: then nobody knows how much of it was counted."""

    @property
    def skipped_from(self) -> int | None:
        """The first offset that would never be counted; None where all are counted, or will be."""
        return self.counted_to if self.resume_at > self.counted_to else None

    @property
    def skipped(self) -> int:
        """How many offsets would never be counted, also those that the broker has removed meanwhile."""
        return max(0, self.resume_at - self.counted_to)

    @property
    def removed(self) -> int:
        """How many of the skipped offsets the broker no longer has: no decision can count them."""
        return min(self.skipped, max(0, self.log.low - self.counted_to))


class Positions(NamedTuple):
    """What an operator sees: every position, with why its partition waits, and the topics that are not read at all."""

    partitions: list[Position]
    topics: list[StoppedTopic]

    @property
    def wait(self) -> bool:
        """Whether anything waits for an operator."""
        return any(at.stopped for at in self.partitions) or any(topic.waits for topic in self.topics)

    @property
    def reasons(self) -> list[str]:
        """Why topics and partitions wait for an operator."""
        topics = [topic.reason for topic in self.topics if topic.waits]
        return topics + [at.stopped for at in self.partitions if at.stopped is not None]


def list_positions(conn: Connection) -> Positions:
    """Every position, with why its partition waits where it does."""
    return Positions(positions.list_positions(conn), positions.stopped_topics(conn))


class Plan(NamedTuple):
    """What can be decided, and why nothing can be for the other partitions: their logs do not hold the offset."""

    decisions: list[Decision]
    refused: list[str]


def plan(conn: Connection, broker: Broker, topic: str, number: int | None, to: To) -> Plan:
    """What resuming there would mean, for one partition of a topic or for each of them.

    Raises:
        OperatorError: the partition does not exist, or no partition's log holds that offset.
        KafkaUnavailable: no broker answers.
    """
    existing = broker.partitions([topic])
    wanted = [place for place in existing if number is None or place[1] == number]
    if not wanted:
        raise _nothing_to_set(topic, number, len(existing), known=_known(conn, topic, number))
    known = positions.known_positions(conn, wanted)
    logs = broker.partition_logs(wanted, known)
    at = broker.offsets_at(logs, to) if isinstance(to, datetime) else {}
    decisions = [
        _decision(place, log, known.get(place), offset)
        for place, log in sorted(logs.items(), key=itemgetter(0))
        if (offset := _offset(place, log, to, at)) is not None
    ]
    refused = [
        f"{topic}[{number}] holds offsets {log.low} to {log.high}, not {to}"
        for (topic, number), log in sorted(logs.items(), key=itemgetter(0))
        if _offset((topic, number), log, to, at) is None
    ]
    if not decisions:
        raise OperatorError("; ".join(refused), hint="give an offset within these, or earliest, or latest")
    return Plan(decisions, refused)


def _known(conn: Connection, topic: str, number: int | None) -> list[Position]:
    """The positions and stops that we have of a topic, or of one partition of it."""
    return [
        at for at in positions.list_positions(conn) if at.topic == topic and (number is None or at.partition == number)
    ]


def _nothing_to_set(topic: str, number: int | None, existing: int, *, known: Collection[Position]) -> OperatorError:
    place = topic if number is None else f"{topic}[{number}]"
    if known:
        one = "" if number is None or not existing else f" --partition {number}"
        return OperatorError(
            f"Kafka no longer has {place}", hint=f"to give it up: hannun positions forget {topic}{one}"
        )
    if existing:
        return OperatorError(
            f"there is no {place}", hint=f"{topic} has partitions 0 to {existing - 1}; leave out --partition for all"
        )
    return OperatorError(f"Kafka has no topic {topic}", hint="to see the topics: hannun positions list")


def _decision(place: Partition, log: PartitionLog, known: KnownPosition | None, offset: int) -> Decision:
    was_at = None if known is None else known.next_offset
    return Decision(*place, log, was_at, offset, log.counted_to(known), log.is_truncated_below(known))


def _offset(place: Partition, log: PartitionLog, to: To, at: Mapping[Partition, int]) -> int | None:
    """Where reading would resume; None where the log does not hold that offset."""
    if to == "earliest":
        return log.low
    if to == "latest":
        return log.high
    if isinstance(to, datetime):
        return at[place] if at.get(place, -1) >= 0 else log.high
    assert isinstance(to, int)
    return to if log.low <= to <= log.high else None


def decide(conn: Connection, by: str, decisions: list[Decision], how: str) -> None:
    """Record decisions, in one transaction. The consumers of the partitions resume there within seconds."""
    for decision in decisions:
        resume = ResumeAt(decision.resume_at)
        positions.resume_by_decision(
            conn,
            by,
            decision.topic,
            decision.partition,
            decision.log.topic_id,
            resume,
            how,
            skipped_from=decision.skipped_from,
        )
    for decision in decisions:
        change = f"offset {decision.resume_at}, {how}; skips {decision.skipped:,} offsets"
        place = f"{decision.topic}[{decision.partition}]"
        audit_log.record(conn, NewEntry(operator(by), Action.POSITION_SET, place, reason=change))
    conn.commit()


class Forgettable(NamedTuple):
    """What Kafka no longer has: partitions, and why the topic as a whole is stopped where all of it is given up."""

    topic: str
    stop: WaitForOperator | None
    partitions: list[Position]


def plan_forget(
    conn: Connection, broker: Broker, topic: str, number: int | None, configured: Collection[str]
) -> Forgettable:
    """The partitions of a topic, or the one of this number, that we know and Kafka no longer has.

    Args:
        configured: the topics of the settings; one of these may be given up although it never existed.

    Raises:
        OperatorError: there is nothing to forget, and why.
        KafkaUnavailable: no broker answers.
    """
    found = broker.describe_topics([topic]).get(topic)
    known = _known(conn, topic, number)
    place = topic if number is None else f"{topic}[{number}]"
    if found is None or found.refused:
        raise OperatorError(
            f"cannot tell whether Kafka still has {topic}: {'no answer' if found is None else found.refused}",
            hint="grant this client DESCRIBE on the topic",
        )
    gone = [at for at in known if at.partition >= found.partitions]
    never_existed = number is None and found.topic_id is None and topic in configured
    if gone or never_existed:
        return Forgettable(topic, None if number is not None else _stop(conn, topic, found), gone)
    if known:
        raise OperatorError(
            f"Kafka still has {place}", hint=f"to decide where it resumes: hannun positions set {topic} --to earliest"
        )
    raise OperatorError(f"nothing is known of {place}", hint="to see what is known: hannun positions list")


def _stop(conn: Connection, topic: str, found: TopicAtBroker) -> WaitForOperator | None:
    return topic_stop(topic, found, positions.counted_partitions(conn, [topic]).get(topic, ()))


def forget(conn: Connection, by: str, forgotten: Forgettable) -> None:
    """Give up what no longer exists, with a record, in one transaction."""
    for position in forgotten.partitions:
        positions.forget_partition(conn, by, position)
    if forgotten.stop is not None:
        positions.forget_topic(conn, by, forgotten.topic, forgotten.stop)
    given_up = [f"{at.topic}[{at.partition}]" for at in forgotten.partitions] or [forgotten.topic]
    audit_log.record(conn, *(NewEntry(operator(by), Action.POSITION_FORGOTTEN, place) for place in given_up))
    conn.commit()
