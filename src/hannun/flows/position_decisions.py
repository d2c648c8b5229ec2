"""An operator decides where reading goes on: planned first, shown, then put on record."""

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


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one partition stands, and where it would go on. `skipped` offsets would never be counted."""

    topic: str
    partition: int
    log: PartitionLog
    was_at: int | None
    goes_on_at: int
    counted_to: int

    @property
    def skipped(self) -> int:
        return max(0, self.goes_on_at - max(self.log.low, self.counted_to))


def plan(conn: Connection, broker: Broker, topic: str, number: int | None, to: To) -> list[Decision]:
    """What it would mean to go on there: for one partition of a topic, or for all of them.

    Raises:
        OperatorError: there is no such partition, or its log does not hold that offset.
    """
    wanted = [place for place in broker.partitions([topic]) if number is None or place[1] == number]
    stand = positions.known_positions(conn, wanted)
    logs = broker.partition_logs(wanted, stand)
    if not logs:
        raise OperatorError(
            f"Kafka has no {topic}{'' if number is None else f'[{number}]'}",
            hint="`hannun positions list` lists them; `hannun positions forget` if it is gone for good",
        )
    at = broker.offsets_at(logs, to) if isinstance(to, datetime) else {}
    return [
        Decision(*place, log, _was_at(stand.get(place)), _offset(place, log, to, at), log.counted_to(stand.get(place)))
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
            hint="an offset within it, or earliest, or latest",
        )
    return to


def decide(conn: Connection, by: str, decisions: list[Decision], how: str) -> None:
    """Put decisions on record, in one transaction. Whoever reads the partitions now begins there within seconds."""
    for decision in decisions:
        way = ResumeAt(decision.goes_on_at)
        positions.resume_by_decision(conn, by, decision.topic, decision.partition, decision.log.topic_id, way, how)
    conn.commit()


def gone(conn: Connection, broker: Broker, topic: str, number: int | None) -> list[Position]:
    """Partitions of a topic, or one of them, that wait for an operator and that Kafka no longer has.

    Raises:
        OperatorError: there is none.
        StreamUnavailable: no broker answers.
    """
    there = set(broker.partitions([topic]))
    waiting = [
        at
        for at in positions.list_positions(conn)
        if at.topic == topic and number in (None, at.partition) and at.stopped is not None
    ]
    found = [at for at in waiting if (at.topic, at.partition) not in there]
    place = topic if number is None else f"{topic}[{number}]"
    if not waiting:
        raise OperatorError(f"nothing of {place} waits for you", hint="`hannun positions list` says what does")
    if not found:
        raise OperatorError(
            f"Kafka still has all of {place} that waits for you", hint="`hannun positions set` decides where to go on"
        )
    return found


def forget(conn: Connection, by: str, partitions: list[Position]) -> None:
    """Wait no longer for partitions that Kafka no longer has, on record, in one transaction."""
    for position in partitions:
        positions.forget_stopped_partition(conn, by, position)
    conn.commit()
