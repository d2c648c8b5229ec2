"""Account for every offset: counted, a repeat, a dead letter, or skipped by an operator. Each exactly once.

A plain consumer reads the log, plain SQL the ledgers. A record is identified by its content: a participant and a sale
by their key in a ledger, a last-writer-wins register (plan, status, distribution) by its event.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from outside import Message, Partition, Service, Topics, positions, wait_for

Key = tuple[str, ...]
Record = tuple[Partition, int]
"""A partition and an offset."""


@dataclass(frozen=True)
class Account:
    """How many records of a log were counted, repeated, dead letters, or skipped."""

    counted: int
    repeats: int
    dead_letters: int
    skipped: int


def account(service: Service, topics: Topics, *, refused: Collection[Record] = ()) -> Account:
    """Assert that every record of these topics is accounted for exactly once, and that nothing else is counted.

    Args:
        refused: records that are usable by their format and that PostgreSQL refuses.
    """
    log = read_log(topics)
    counted_to = positions(service.database)
    for partition, records in log.items():
        end = max(records, default=-1) + 1
        assert counted_to.get(partition, 0) >= end, (
            f"{partition} holds records up to {end}; the positions are {counted_to}"
        )
    written = {
        (partition, offset): value if isinstance(value, bytes) else json.dumps(value).encode()
        for partition, offset, _, value in topics.lost
    }
    here = {(partition, offset): value for partition, records in log.items() for offset, value in records.items()}
    skipped = _skipped(service, {**written, **here})

    unusable = {record for record, value in here.items() if _is_unusable(value)} | set(refused)
    dead_letters = _dead_letters(service)
    assert dead_letters.keys() - written.keys() == unusable - skipped, "the dead letters are not the unusable records"
    assert set(dead_letters.values()) <= {1}, f"a record has several dead letters: {dead_letters}"

    usable = Counter(
        _key(topics.kinds[partition[0]], json.loads(value))
        for (partition, offset), value in here.items()
        if (partition, offset) not in unusable | skipped
    )
    ledgers = _ledgers(service)
    assert set(ledgers.values()) <= {1}
    lost = usable.keys() - ledgers.keys()
    assert not lost, f"{len(lost)} records are neither counted nor repeats: {sorted(lost)[:3]}"
    before = {
        _key(topics.kinds[partition[0]], json.loads(value))
        for (partition, _), value in written.items()
        if not _is_unusable(value)
    }
    invented = ledgers.keys() - usable.keys() - before
    assert not invented, f"{len(invented)} are counted without a record: {sorted(invented)[:3]}"

    counted = len(usable)
    account = Account(counted, usable.total() - counted, len(unusable - skipped), len(skipped & here.keys()))
    assert sum(vars(account).values()) == len(here)
    return account


def read_log(topics: Topics) -> dict[Partition, dict[int, bytes]]:
    """Every committed record, by partition and offset."""
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
    """The tests' unusable messages are no JSON, or carry an id that identifies them (`Event.unusable`)."""
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
    """Everything that is counted, by its key."""
    queries = (
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
        (kind, row) for kind, query in queries for row in service.rows(query.format("hannun.events e USING (event_no)"))
    )
    return Counter((kind, *row) for kind, row in rows)


def _dead_letters(service: Service) -> Counter[Record]:
    """The number of dead letters by record."""
    rows = service.rows("SELECT topic, partition, record_offset FROM hannun.dead_letters WHERE topic IS NOT NULL")
    return Counter(((topic, partition), offset) for topic, partition, offset in rows)


def _skipped(service: Service, records: Collection[Record]) -> set[Record]:
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
