"""How far each partition is counted: the only positions that count. Kafka's own offsets are committed for lag tools
only.

`domain.positions` decides where reading resumes; this module claims partitions and records decisions.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from hannun.domain.positions import (
    KnownPosition,
    Partition,
    PartitionLog,
    ResumeAt,
    SkippedRange,
    StartFrom,
    WaitForOperator,
    after_decision,
    resume_or_stop,
)
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("positions")


class Claim(NamedTuple):
    """A claimed partition: its position, and the epoch that may move it; None and 0 if it was never read."""

    known: KnownPosition | None
    epoch: int


class StartPoint(NamedTuple):
    """Where to read a partition from, and under which epoch.

    `leader_epoch` is that of the record before `next_offset`; None if it is not known.
    """

    next_offset: int
    epoch: int
    leader_epoch: int | None


def claim(conn: Connection, owner: str, partitions: Collection[Partition]) -> dict[Partition, Claim | WaitForOperator]:
    """Claim partitions: from the commit on, no other owner moves their positions. A stopped one that only an operator
    may resume is not claimed."""
    return {(topic, number): _claim(conn, owner, topic, number) for topic, number in sorted(partitions)}


def _claim(conn: Connection, owner: str, topic: str, number: int) -> Claim | WaitForOperator:
    parameters = {"topic": topic, "partition": number, "owner": owner}
    undecided = conn.execute(SQL["undecided"], parameters).fetchone()
    if undecided is not None:
        return WaitForOperator(undecided[0], undecided[1], until_decided=True)
    row = conn.execute(SQL["claim"], parameters).fetchone()
    return Claim(None, 0) if row is None else Claim(KnownPosition(*row[1:]), row[0])


def start_claimed(
    conn: Connection,
    owner: str,
    claims: Mapping[Partition, Claim | WaitForOperator],
    logs: Mapping[Partition, PartitionLog],
    start_from: StartFrom,
) -> dict[Partition, StartPoint | WaitForOperator]:
    """Where claimed partitions resume, or why they wait for an operator; those that wait are recorded as stopped.

    `logs` must be queried after the claim: only then are they not older than the positions. The result leaves out
    partitions that have another owner by now or about which an operator has just decided (claim them again), and
    partitions that the broker does not have.
    """
    started: dict[Partition, StartPoint | WaitForOperator] = {}
    for partition in sorted(claims.keys() & logs.keys()):
        claimed = claims[partition]
        if not isinstance(claimed, WaitForOperator):
            decision = _start(conn, owner, *partition, claimed, logs[partition], start_from)
            if decision is None:
                continue
            started[partition] = decision
        else:
            started[partition] = claimed
    return started


def _start(
    conn: Connection, owner: str, topic: str, number: int, claimed: Claim, log: PartitionLog, start_from: StartFrom
) -> StartPoint | WaitForOperator | None:
    parameters = {"topic": topic, "partition": number, "topic_id": log.topic_id, "owner": owner}
    known, epoch = claimed
    if known is not None and not owns(conn, topic, number, epoch):
        return None
    added = conn.execute(SQL["added"], parameters).fetchone() if known is None else None
    decision = resume_or_stop((topic, number), log, known, start_from, added=bool(added and added[0]))
    if isinstance(decision, WaitForOperator):
        stop(conn, owner, topic, number, decision)
        return decision
    if known is None:
        row = conn.execute(SQL["start"], parameters | {"next_offset": decision.offset}).fetchone()
        if row is None:
            return None
        (epoch,) = row
    conn.execute(SQL["remove_stop"], parameters)
    return StartPoint(decision.offset, epoch, decision.leader_epoch)


def owns(conn: Connection, topic: str, number: int, epoch: int) -> bool:
    """Whether the epoch is still the partition's. If so, it cannot be claimed before the end of the transaction."""
    return conn.execute(SQL["own"], {"topic": topic, "partition": number, "epoch": epoch}).fetchone() is not None


def stop(conn: Connection, owner: str, topic: str, number: int, stopped: WaitForOperator) -> None:
    """Record that a partition waits for an operator, or until somebody starts it again (`until_decided`)."""
    conn.execute(
        SQL["stop"],
        {
            "topic": topic,
            "partition": number,
            "owner": owner,
            "why": stopped.reason,
            "hint": stopped.hint,
            "until_decided": stopped.until_decided,
        },
    )


def clear_stopped(conn: Connection) -> None:
    """Remove all records of stopped partitions: for a shadow, which is positioned by its replay only."""
    conn.execute(SQL["clear_stopped"])


@dataclass(frozen=True, slots=True)
class Position:
    """A partition in the operator's list. Fields are None where it was never read. Times are UTC.

    `stopped` is why it waits for an operator, and `hint` what to do; None where it does not.
    """

    topic: str
    partition: int
    topic_id: str | None
    next_offset: int | None
    epoch: int | None
    owner: str | None
    moved_at: datetime | None
    stopped: str | None
    hint: str | None


def list_positions(conn: Connection) -> list[Position]:
    """Every partition that was ever read, or waits for an operator."""
    return [Position(*row) for row in conn.execute(SQL["list_positions"])]


class StoppedPartition(NamedTuple):
    """A partition that is not read, why, and what to do. `stopped_at` is UTC."""

    topic: str
    partition: int
    reason: str
    hint: str
    stopped_at: datetime


def stopped_partitions(conn: Connection) -> list[StoppedPartition]:
    """Partitions that wait for an operator."""
    return [StoppedPartition(*row) for row in conn.execute(SQL["stopped_partitions"])]


@dataclass(frozen=True, slots=True)
class StoppedTopic:
    """A topic that is not read as a whole, why, and what to do. Times are UTC.

    It no longer waits for an operator where one has forgotten it.
    """

    topic: str
    reason: str
    hint: str
    stopped_at: datetime
    forgotten_by: str | None
    forgotten_at: datetime | None

    @property
    def waits(self) -> bool:
        """Whether it waits for an operator."""
        return self.forgotten_at is None


def stopped_topics(conn: Connection) -> list[StoppedTopic]:
    """Topics that do not exist or may not be read, also those that an operator has forgotten."""
    return [StoppedTopic(*row) for row in conn.execute(SQL["stopped_topics"])]


def counted_partitions(conn: Connection, topics: Collection[str]) -> dict[str, list[int]]:
    """The numbers of the partitions that have a position, by topic."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for topic, number in conn.execute(SQL["counted_partitions"], {"topics": sorted(topics)}):
        numbers[topic].append(number)
    return numbers


def record_topic_stops(conn: Connection, owner: str, stops: Mapping[str, WaitForOperator | None]) -> None:
    """Record which of these topics wait for an operator as a whole, and which no longer do."""
    for topic, stop in sorted(stops.items()):  # in one order, so that two processes do not deadlock
        if stop is not None:
            conn.execute(SQL["stop_topic"], {"topic": topic, "why": stop.reason, "hint": stop.hint, "owner": owner})
        else:
            conn.execute(SQL["remove_topic_stop"], {"topic": topic})


def remove_passing_stops(conn: Connection, topics: Collection[str]) -> None:
    """Remove the stops of partitions of topics that do not exist, except those that only an operator may end."""
    conn.execute(SQL["remove_passing_stops"], {"topics": sorted(topics)})


def forget_topic(conn: Connection, by: str, topic: str, stop: WaitForOperator) -> None:
    """Record that an operator gives up a topic: while this is why it is stopped, nobody waits for it."""
    conn.execute(SQL["forget_topic"], {"topic": topic, "why": stop.reason, "hint": stop.hint, "by": by})


def count_stopped_by_topic(conn: Connection) -> dict[str, int]:
    """How many partitions of each topic wait for an operator; 0 for other topics that were ever read.

    Where a topic as a whole waits, all of its known partitions do, and it counts as 1 where none is known.
    """
    return dict(conn.execute(SQL["count_stopped_by_topic"]).fetchall())


def known_positions(conn: Connection, partitions: Collection[Partition]) -> dict[Partition, KnownPosition]:
    """The positions of partitions; one that was never read is left out."""
    rows = conn.execute(SQL["known_positions"], {"topics": sorted({topic for topic, _ in partitions})}).fetchall()
    return {
        (topic, number): KnownPosition(*position) for topic, number, *position in rows if (topic, number) in partitions
    }


def resume_by_decision(
    conn: Connection,
    by: str,
    topic: str,
    number: int,
    topic_id: str,
    resume: ResumeAt,
    how: str,
    *,
    skipped_from: int | None = None,
) -> int | None:
    """Set a partition's position by an operator's decision, and record it. Returns the position before; None if there
    was none.

    The partition's owner loses its epoch, drops its batch, and resumes at the new position within seconds.

    Args:
        skipped_from: the first offset that is skipped; None where none is.
    """
    parameters = {"topic": topic, "partition": number, "topic_id": topic_id, "goes_on_at": resume.offset}
    row = conn.execute(SQL["lock_position"], parameters).fetchone()
    was_at = None if row is None else int(row[0])
    conn.execute(SQL["set_position"], parameters)
    record = {"decided_by": by, "was_at": was_at, "how": how, "skipped_from": skipped_from}
    conn.execute(SQL["record_decision"], parameters | record)
    conn.execute(SQL["remove_stop"], parameters)
    return was_at


def forget_partition(conn: Connection, by: str, position: Position) -> None:
    """Remove the stop of a partition that Kafka no longer has, where it has one, and record the decision.

    The position is kept: if a topic of this name is created later, the partition stops as one of a recreated topic.
    """
    parameters = {"topic": position.topic, "partition": position.partition, "topic_id": position.topic_id}
    conn.execute(SQL["remove_stop"], parameters)
    record = {"decided_by": by, "was_at": position.next_offset, "goes_on_at": None, "how": "forget"}
    conn.execute(SQL["record_decision"], parameters | record | {"skipped_from": None})


def skipped_ranges(conn: Connection) -> dict[tuple[Partition, str], list[SkippedRange]]:
    """The offsets that operators skipped and that nobody has read since, by partition and topic id."""
    skipped: defaultdict[tuple[Partition, str], list[SkippedRange]] = defaultdict(list)
    for topic, number, topic_id, skipped_from, resumed_at in conn.execute(SQL["resumptions"]):
        log_ = (topic, number), topic_id
        skipped[log_] = after_decision(skipped[log_], skipped_from, resumed_at)
    return skipped
