"""What became of every offset: counted, a repeat, a dead letter, or skipped by an operator. Each exactly once.

The log is read by a plain consumer, the ledgers by plain SQL. A record is known by what it says: a participant
and a sale are in a ledger, a register (plan, status, distribution) is known of its event.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from outside import Message, Partition, Service, Topics, positions, wait_for

Key = tuple[str, ...]
Place = tuple[Partition, int]


@dataclass(frozen=True)
class Account:
    """How many records of a log became what."""

    counted: int
    repeats: int
    dead_letters: int
    skipped: int


def account(service: Service, topics: Topics, *, refused: Collection[Place] = ()) -> Account:
    """Prove that every record of these topics is accounted for exactly once, and nothing else is.

    Args:
        refused: records that look usable and that PostgreSQL refuses.
    """
    log = read_log(topics)
    stands_at = positions(service.database)
    for partition, records in log.items():
        end = max(records, default=-1) + 1
        assert stands_at.get(partition, 0) >= end, f"{partition} holds records up to {end}, counted to {stands_at}"
    written = {
        (partition, offset): value if isinstance(value, bytes) else json.dumps(value).encode()
        for partition, offset, _, value in topics.lost
    }
    here = {(partition, offset): value for partition, records in log.items() for offset, value in records.items()}
    skipped = _skipped(service, {**written, **here})

    unusable = {place for place, value in here.items() if _is_unusable(value)} | set(refused)
    letters = _dead_letters(service)
    assert letters.keys() - written.keys() == unusable - skipped, "the dead letters are not the unusable records"
    assert set(letters.values()) <= {1}, f"dead letters of one record: {letters}"

    told = Counter(
        _key(topics.kinds[partition[0]], json.loads(value))
        for (partition, offset), value in here.items()
        if (partition, offset) not in unusable | skipped
    )
    ledgers = _ledgers(service)
    assert set(ledgers.values()) <= {1}
    lost = told.keys() - ledgers.keys()
    assert not lost, f"{len(lost)} records are neither counted nor repeats: {sorted(lost)[:3]}"
    before = {
        _key(topics.kinds[partition[0]], json.loads(value))
        for (partition, _), value in written.items()
        if not _is_unusable(value)
    }
    invented = ledgers.keys() - told.keys() - before
    assert not invented, f"{len(invented)} are counted and nobody has told of them: {sorted(invented)[:3]}"

    counted = len(told)
    account = Account(counted, told.total() - counted, len(unusable - skipped), len(skipped & here.keys()))
    assert sum(vars(account).values()) == len(here)
    return account


def read_log(topics: Topics) -> dict[Partition, dict[int, bytes]]:
    """Every record that a reader of committed messages finds, by partition and offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": topics.bootstrap,
            "group.id": "reads-the-log",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        known = consumer.list_topics(timeout=30).topics
        log: dict[Partition, dict[int, bytes]] = {
            (name, number): {} for name in topics.names.values() for number in known[name].partitions
        }
        consumer.assign([TopicPartition(*partition, OFFSET_BEGINNING) for partition in log])
        ended: set[Partition] = set()

        def at_the_end() -> bool:
            for message in consumer.consume(1_000, 0.1):
                partition = (str(message.topic()), int(message.partition() or 0))
                error = message.error()
                if error is None:
                    log[partition][int(message.offset() or 0)] = message.value() or b""
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(partition)
            return ended == log.keys()

        wait_for("the whole log to be read", at_the_end)
        return log
    finally:
        consumer.close()


def _is_unusable(value: bytes) -> bool:
    """The tests' unusable messages are no JSON, or carry an id by which each of them is known (`Event.unusable`)."""
    try:
        message = json.loads(value)
    except ValueError:
        return True
    return "messageId" in message


def _key(kind: str, message: Message) -> Key:
    event = message["eventId"]
    match kind:
        case "participant-registered":
            return kind, event, message["participantId"]
        case "sales-recorded":
            return kind, event, message["saleId"]
        case "distribution-completed":
            return kind, event, message["channel"]
        case _:
            return kind, event


def _ledgers(service: Service) -> Counter[Key]:
    """Everything that is counted."""
    asked = (
        ("participant-registered", "SELECT e.event_id, l.participant::text FROM hannun.participants l JOIN {}"),
        ("sales-recorded", "SELECT e.event_id, l.sale_id FROM hannun.sales l JOIN {}"),
        (
            "distribution-completed",
            "SELECT e.event_id, c.name FROM hannun.distributions l JOIN hannun.channels c USING (channel_no) JOIN {}",
        ),
        ("event-created", "SELECT event_id FROM hannun.events WHERE user_id IS NOT NULL"),
        ("event-status-changed", "SELECT event_id FROM hannun.events WHERE status <> 'ACTIVE'"),
    )
    rows: Iterable[tuple[str, tuple[Any, ...]]] = (
        (kind, row) for kind, query in asked for row in service.rows(query.format("hannun.events e USING (event_no)"))
    )
    return Counter((kind, *row) for kind, row in rows)


def _dead_letters(service: Service) -> Counter[Place]:
    """The dead letters by the records they come from."""
    rows = service.rows("SELECT topic, partition, record_offset FROM hannun.dead_letters WHERE topic IS NOT NULL")
    return Counter(((topic, partition), offset) for topic, partition, offset in rows)


def _skipped(service: Service, records: Collection[Place]) -> set[Place]:
    """The records that an operator has decided to skip."""
    decided = service.rows(
        "SELECT topic, partition, coalesce(was_at, 0), goes_on_at FROM hannun.position_decisions "
        "WHERE goes_on_at > coalesce(was_at, 0)"
    )
    return {
        (partition, offset)
        for partition, offset in records
        if any(partition == (topic, number) and was <= offset < goes_on for topic, number, was, goes_on in decided)
    }
