"""Checks of Kafka: how far counting is behind, and whether records are dated in the future."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from hannun.domain.findings import Finding, Severity
from hannun.domain.positions import KnownPosition, Partition, PartitionLog
from hannun.flows.doctor.examined import Examined
from hannun.store.positions import known_positions, stopped_partitions, stopped_topics

WATCHED_S: Final = 0.5
"""How long the positions are watched, to see whether they move."""
AHEAD: Final = timedelta(minutes=1)


def lag(examined: Examined) -> Iterator[Finding]:
    """Whether messages wait for longer than they should, and whether anything counts them."""
    broker, now = examined.broker, examined.now()
    places = _read_partitions(examined)
    logs = broker.partition_logs(places, allow_missing=True) if places else {}
    before = known_positions(examined.conn, list(logs))
    due = broker.offsets_at(list(logs), now - timedelta(seconds=examined.expected.lag_s_max)) if logs else {}
    late = {place: log for place, log in logs.items() if _is_late(log, before.get(place), due[place])}
    if not late:
        return
    time.sleep(WATCHED_S)
    after = known_positions(examined.conn, list(late))
    by_topic: defaultdict[str, list[Partition]] = defaultdict(list)
    for place in late:
        by_topic[place[0]].append(place)
    for topic, of_topic in sorted(by_topic.items()):
        yield _finding(examined, topic, {place: logs[place] for place in of_topic}, before, after)


def _read_partitions(examined: Examined) -> list[Partition]:
    """The partitions that should be read: a stopped one is another check's matter."""
    topics = {at.topic for at in stopped_topics(examined.conn)}
    stopped = {(at.topic, at.partition) for at in stopped_partitions(examined.conn)}
    return [
        place
        for place in examined.broker.partitions(examined.expected.topics)
        if place not in stopped and place[0] not in topics
    ]


def _is_late(log: PartitionLog, known: KnownPosition | None, due: int) -> bool:
    """Whether a record is not counted that came before the offset that is due; all are due where it is -1."""
    return log.high - log.not_counted(known) < (log.high if due < 0 else min(due, log.high))


def _finding(
    examined: Examined,
    topic: str,
    logs: Mapping[Partition, PartitionLog],
    before: Mapping[Partition, KnownPosition],
    after: Mapping[Partition, KnownPosition],
) -> Finding:
    waiting = sum(log.not_counted(after.get(place)) for place, log in logs.items())
    counted = sum(log.not_counted(before.get(place)) - log.not_counted(after.get(place)) for place, log in logs.items())
    evidence = {
        "topic": topic,
        "waiting": waiting,
        "partitions": len(logs),
        "seconds": f"{examined.expected.lag_s_max:g}",
        "rate": round(counted / WATCHED_S),
    }
    if counted:
        return Finding(
            Severity.WARNING,
            topic,
            "{waiting} messages of {topic} wait in {partitions} partitions, some for more than {seconds} s, though "
            "{rate} are counted a second",
            "start more ingest processes, up to one for each partition; where PostgreSQL is busy, look at slow queries",
            evidence,
            ("hannun ingest", "hannun watch"),
        )
    return Finding(
        Severity.CRITICAL,
        topic,
        "{waiting} messages of {topic} wait in {partitions} partitions, some for more than {seconds} s, and none is "
        "counted: no ingest runs, or it cannot write",
        "start an ingest; where one runs, its log says what it waits for",
        evidence,
        ("hannun ingest",),
    )


def record_times(examined: Examined) -> Iterator[Finding]:
    """Whether records are dated in the future: by a broker or a producer whose clock is ahead."""
    places = examined.broker.partitions(examined.expected.topics)
    found = examined.broker.offsets_at(places, examined.now() + AHEAD) if places else {}
    ahead = sorted(place for place, offset in found.items() if offset >= 0)
    if ahead:
        yield Finding(
            Severity.WARNING,
            ", ".join(f"{topic}[{number}]" for topic, number in ahead[:3]),
            "records of {count} partitions are dated more than a minute ahead of this machine's clock: a broker's or a "
            "producer's clock is ahead, or this one is behind",
            "let all machines keep time by NTP. Retention by time keeps such records for longer",
            {"count": len(ahead)},
            ("timedatectl timesync-status", "chronyc tracking"),
        )
