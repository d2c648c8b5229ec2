"""Operators' decisions about where reading resumes: planned, shown to the operator, then recorded.

plan ──► decisions ──► decide ──► recorded; the partition's consumer starts there within seconds
deleted ──► partitions that no longer exist ──► forget
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Literal

from hannun.domain.positions import KnownPosition, PartitionLog, ResumeAt
from hannun.errors import OperatorError
from hannun.kafka.broker import Broker
from hannun.kafka.records import Partition
from hannun.store import positions
from hannun.store.database import Connection
from hannun.store.positions import Position

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

    @property
    def skipped(self) -> int:
        """How many offsets would never be counted."""
        return max(0, self.resume_at - max(self.log.low, self.counted_to))


def list_positions(conn: Connection) -> list[Position]:
    """Every position, with why its partition waits where it does."""
    return list(positions.list_positions(conn))


def plan(conn: Connection, broker: Broker, topic: str, number: int | None, to: To) -> list[Decision]:
    """What resuming there would mean, for one partition of a topic or for all of them.

    Raises:
        OperatorError: the partition does not exist, or its log does not hold that offset.
        KafkaUnavailable: no broker answers.
    """
    wanted = [place for place in broker.partitions([topic]) if number is None or place[1] == number]
    known = positions.known_positions(conn, wanted)
    logs = broker.partition_logs(wanted, known)
    if not logs:
        raise OperatorError(
            f"Kafka has no {topic}{'' if number is None else f'[{number}]'}",
            hint="`hannun positions list` lists the partitions; `hannun positions forget` forgets a deleted one",
        )
    at = broker.offsets_at(logs, to) if isinstance(to, datetime) else {}
    return [
        Decision(*place, log, _was_at(known.get(place)), _offset(place, log, to, at), log.counted_to(known.get(place)))
        for place, log in sorted(logs.items(), key=itemgetter(0))
    ]


def _was_at(known: KnownPosition | None) -> int | None:
    return None if known is None else known.next_offset


def _offset(place: Partition, log: PartitionLog, to: To, at: Mapping[Partition, int]) -> int:
    if to == "earliest":
        return log.low
    if to == "latest":
        return log.high
    if isinstance(to, datetime):
        return at[place] if at.get(place, -1) >= 0 else log.high
    assert isinstance(to, int)
    if not log.low <= to <= log.high:
        raise OperatorError(
            f"{place[0]}[{place[1]}] holds offsets {log.low} to {log.high}, not {to}",
            hint="give an offset within these, or earliest, or latest",
        )
    return to


def decide(conn: Connection, by: str, decisions: list[Decision], how: str) -> None:
    """Record decisions, in one transaction. The consumers of the partitions resume there within seconds."""
    for decision in decisions:
        resume = ResumeAt(decision.resume_at)
        positions.resume_by_decision(conn, by, decision.topic, decision.partition, decision.log.topic_id, resume, how)
    conn.commit()


def deleted(conn: Connection, broker: Broker, topic: str, number: int | None) -> list[Position]:
    """The stopped partitions of a topic, or the one of this number, that Kafka no longer has.

    Raises:
        OperatorError: there is none.
        KafkaUnavailable: no broker answers.
    """
    existing = set(broker.partitions([topic]))
    stopped = [
        at
        for at in positions.list_positions(conn)
        if at.topic == topic and number in (None, at.partition) and at.stopped is not None
    ]
    found = [at for at in stopped if (at.topic, at.partition) not in existing]
    place = topic if number is None else f"{topic}[{number}]"
    if not stopped:
        raise OperatorError(
            f"no partition of {place} is stopped", hint="`hannun positions list` lists the stopped ones"
        )
    if not found:
        raise OperatorError(
            f"Kafka still has all stopped partitions of {place}",
            hint="`hannun positions set` decides where they resume",
        )
    return found


def forget(conn: Connection, by: str, partitions: list[Position]) -> None:
    """Forget the positions of deleted partitions, with a record, in one transaction."""
    for position in partitions:
        positions.forget_stopped_partition(conn, by, position)
    conn.commit()
