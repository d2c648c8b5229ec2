"""How far each partition is counted: the only positions that count. Kafka's own are kept for its tools alone.

What may be done with them is decided in `domain.positions`; here they are claimed, and decisions are put on record.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from hannun.domain.positions import KnownPosition, PartitionLog, ResumeAt, StartFrom, WaitForOperator, resume_or_stop
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("positions")
Partition = tuple[str, int]


class Claim(NamedTuple):
    """A partition that is ours: where it stands, and under which epoch it may be moved; None and 0 if never read."""

    known: KnownPosition | None
    epoch: int


class Begun(NamedTuple):
    """Where to read a partition from, and under which epoch; `leader_epoch` is that of the record before, if known."""

    next_offset: int
    epoch: int
    leader_epoch: int | None


def claim(conn: Connection, owner: str, partitions: Collection[Partition]) -> dict[Partition, Claim | WaitForOperator]:
    """Take partitions over: from here on nobody else moves their positions. One that waits for a decision is left."""
    return {(topic, number): _claim(conn, owner, topic, number) for topic, number in sorted(partitions)}


def _claim(conn: Connection, owner: str, topic: str, number: int) -> Claim | WaitForOperator:
    place = {"topic": topic, "partition": number, "owner": owner}
    undecided = conn.execute(SQL["undecided"], place).fetchone()
    if undecided is not None:
        return WaitForOperator(undecided[0], undecided[1], until_decided=True)
    row = conn.execute(SQL["claim"], place).fetchone()
    return Claim(None, 0) if row is None else Claim(KnownPosition(*row[1:]), row[0])


def begin(
    conn: Connection,
    owner: str,
    claims: Mapping[Partition, Claim | WaitForOperator],
    logs: Mapping[Partition, PartitionLog],
    start_from: StartFrom,
) -> dict[Partition, Begun | WaitForOperator]:
    """Where claimed partitions go on, or why they wait for an operator; the waiting are put on record.

    The logs must have been asked after the claim: only then is what they say not older than the positions. Left out are
    partitions that are somebody else's by now, or about which an operator has just decided: claim them again; and those
    that the broker does not have.
    """
    begun: dict[Partition, Begun | WaitForOperator] = {}
    for place in sorted(claims.keys() & logs.keys()):
        claimed = claims[place]
        way = (
            claimed
            if isinstance(claimed, WaitForOperator)
            else _begin(conn, owner, *place, claimed, logs[place], start_from)
        )
        if way is not None:
            begun[place] = way
    return begun


def _begin(
    conn: Connection, owner: str, topic: str, number: int, claimed: Claim, log: PartitionLog, start_from: StartFrom
) -> Begun | WaitForOperator | None:
    place = {"topic": topic, "partition": number, "topic_id": log.topic_id, "owner": owner}
    known, epoch = claimed
    if known is not None and not owns(conn, topic, number, epoch):
        return None
    added = conn.execute(SQL["added"], place).fetchone() if known is None else None
    way = resume_or_stop(f"{topic}[{number}]", log, known, start_from, added=bool(added and added[0]))
    if isinstance(way, WaitForOperator):
        conn.execute(SQL["stop"], place | {"why": way.why, "hint": way.hint, "until_decided": way.until_decided})
        return way
    if known is None:
        row = conn.execute(SQL["begin"], place | {"next_offset": way.offset}).fetchone()
        if row is None:
            return None
        (epoch,) = row
    conn.execute(SQL["go_on"], place)
    return Begun(way.offset, epoch, way.leader_epoch)


def owns(conn: Connection, topic: str, number: int, epoch: int) -> bool:
    """Whether the epoch is still the partition's; if so nobody else claims it before the end of the transaction."""
    return conn.execute(SQL["own"], {"topic": topic, "partition": number, "epoch": epoch}).fetchone() is not None


def stop(
    conn: Connection, owner: str, topic: str, number: int, why: str, hint: str, *, until_decided: bool = True
) -> None:
    """Stop a partition until an operator decides, whatever its position; or until somebody claims it again."""
    place = {"topic": topic, "partition": number, "owner": owner}
    conn.execute(SQL["stop"], place | {"why": why, "hint": hint, "until_decided": until_decided})


def forget_stopped(conn: Connection) -> None:
    """No partition waits for an operator: for a shadow, which stands only where it is replayed to."""
    conn.execute(SQL["forget_stopped"])


@dataclass(frozen=True, slots=True)
class Position:
    """A partition in the operator's list. Fields are None where it was never read. Times are UTC."""

    topic: str
    partition: int
    topic_id: str | None
    next_offset: int | None
    epoch: int | None
    owner: str | None
    moved_at: datetime | None
    stopped: str | None


def positions(conn: Connection) -> list[Position]:
    """Every partition that was ever read, or waits for a decision."""
    return [Position(*row) for row in conn.execute(SQL["positions"])]


class Stopped(NamedTuple):
    """A partition that nobody reads, and what to do."""

    topic: str
    partition: int
    why: str
    hint: str
    stopped_at: datetime


def stopped(conn: Connection) -> list[Stopped]:
    """Partitions that wait for an operator."""
    return [Stopped(*row) for row in conn.execute(SQL["stopped"])]


def stopped_by_topic(conn: Connection) -> dict[str, int]:
    """How many partitions of each topic wait for an operator, of every topic that was ever read."""
    return dict(conn.execute(SQL["stopped_by_topic"]).fetchall())


def known(conn: Connection, partitions: Collection[Partition]) -> dict[Partition, KnownPosition]:
    """Where partitions stand; one that was never read is left out."""
    rows = conn.execute(SQL["known"], {"topics": sorted({topic for topic, _ in partitions})}).fetchall()
    return {(topic, number): KnownPosition(*stands) for topic, number, *stands in rows if (topic, number) in partitions}


def decide(conn: Connection, by: str, topic: str, number: int, topic_id: str, way: ResumeAt, how: str) -> int | None:
    """Let a partition go on where an operator says, on record. Returns where it stood; None if it was never read.

    Whoever reads it now loses its epoch, drops what it holds, and begins there within seconds.
    """
    place = {"topic": topic, "partition": number, "topic_id": topic_id, "goes_on_at": way.offset}
    row = conn.execute(SQL["was_at"], place).fetchone()
    was_at = None if row is None else int(row[0])
    conn.execute(SQL["decide"], place)
    conn.execute(SQL["record_decision"], place | {"decided_by": by, "was_at": was_at, "how": how})
    conn.execute(SQL["go_on"], place)
    return was_at


def forget(conn: Connection, by: str, position: Position) -> None:
    """Wait no longer for a partition that is gone for good, on record.

    Its position is kept: if a topic of this name is made once more, it waits as one that was made anew.
    """
    place = {"topic": position.topic, "partition": position.partition, "topic_id": position.topic_id}
    conn.execute(SQL["go_on"], place)
    record = {"decided_by": by, "was_at": position.next_offset, "goes_on_at": None, "how": "forget"}
    conn.execute(SQL["record_decision"], place | record)
