"""Publishes dead letters from their table to a Kafka topic, at least once, each with a stable key.

    unpublished, oldest first ──► publish ──► acknowledged by the broker ──► marked as published

A process that dies before the mark leaves the dead letter to be published again. Two processes that run a round at the
same time publish it twice. Consumers recognise a repeat by its key.
"""

import msgspec

from hannun.errors import KafkaUnavailable
from hannun.kafka.publisher import Publisher
from hannun.store import dead_letters
from hannun.store.database import Database
from hannun.store.dead_letters import DeadLetter

PUBLISH_COUNT_MAX = 500
"""Dead letters in one call of the publisher: few enough for the client's queue, so that each call ends."""

_PUBLISHED_FIELDS = frozenset(
    {
        "kind",
        "reason",
        "detail",
        "eventId",
        "topic",
        "partition",
        "topicId",
        "offset",
        "receivedAt",
        "sizeBytes",
        "sha256",
    }
)


def publish_dead_letters(database: Database, publisher: Publisher) -> int:
    """Publish every dead letter that is not published yet. Returns how many were published.

    Raises:
        KafkaUnavailable: the broker did not acknowledge all of them. The next round publishes the rest.
    """
    published = 0
    while True:
        with database.transaction() as conn:
            unpublished = dead_letters.unpublished(conn, PUBLISH_COUNT_MAX)
        if not unpublished:
            return published
        failures = publisher.publish([(key_of(dead_letter), value_of(dead_letter)) for dead_letter in unpublished])
        acknowledged = [
            dead_letter.no for dead_letter, failure in zip(unpublished, failures, strict=True) if failure is None
        ]
        with database.transaction() as conn:
            dead_letters.mark_published(conn, acknowledged)
        published += len(acknowledged)
        failed = [failure for failure in failures if failure is not None]
        if failed:
            raise KafkaUnavailable(
                f"cannot publish dead letters: {len(failed):,} of {len(unpublished):,} not acknowledged, {failed[0]}. "
                "The next round publishes them"
            )


def key_of(dead_letter: DeadLetter) -> bytes:
    """The stable key of a dead letter: its record in Kafka, with the topic id; of a message over HTTP, its hash."""
    if dead_letter.topic is None:
        return f"http/{dead_letter.hash.hex()}".encode()
    return f"{dead_letter.topic}/{dead_letter.topic_id}/{dead_letter.partition}/{dead_letter.offset}".encode()


def value_of(dead_letter: DeadLetter) -> bytes:
    """The public part of a dead letter as JSON: reason, position and hash; of the message's fields only `eventId`."""
    return msgspec.json.encode(
        {name: value for name, value in dead_letter.as_json().items() if name in _PUBLISHED_FIELDS}
    )
