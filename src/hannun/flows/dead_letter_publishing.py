"""Publish dead letters to a topic, out of the table: at least once, and each under the same key.

    unpublished, oldest first ─► publish ─► acknowledged ─► marked

A letter is marked after the broker has acknowledged it. Who dies in between leaves it to be published again, and two
processes that look at the same time both publish it. Readers tell a repeat by its key.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from hannun.errors import KafkaUnavailable
from hannun.store import dead_letters
from hannun.store.database import Database
from hannun.store.dead_letters import DeadLetter

LETTERS_MAX = 500
"""In one go: few enough for the client's queue, so that a round has an end."""


class Publishes(Protocol):
    """What publishes (`stream.Publisher`): for each message, why the broker did not acknowledge it, or None."""

    def publish(self, messages: Sequence[tuple[bytes, bytes]]) -> list[str | None]: ...


def publish_letters(database: Database, publisher: Publishes) -> int:
    """Publish every letter that is not published yet. Returns how many were.

    Raises:
        StreamUnavailable: the broker did not acknowledge all of them; the rest waits for the next round.
    """
    published = 0
    while True:
        with database.transaction() as conn:
            letters = dead_letters.unpublished(conn, LETTERS_MAX)
        if not letters:
            return published
        failures = publisher.publish([(key_of(letter), value_of(letter)) for letter in letters])
        sent = [letter.no for letter, failure in zip(letters, failures, strict=True) if failure is None]
        with database.transaction() as conn:
            dead_letters.mark_published(conn, sent)
        published += len(sent)
        failed = [failure for failure in failures if failure is not None]
        if failed:
            raise KafkaUnavailable(f"{len(failed)} dead letters were not published: {failed[0]}")


def key_of(letter: DeadLetter) -> bytes:
    """What a letter is: its position, in this very topic; over HTTP its hash. The same whenever it is published."""
    if letter.topic is None:
        return f"http/{letter.hash.hex()}".encode()
    return f"{letter.topic}/{letter.topic_id}/{letter.partition}/{letter.offset}".encode()


def value_of(letter: DeadLetter) -> bytes:
    """What others may know of a letter: why, where and which; nothing of what it said but its event."""
    return msgspec.json.encode({name: value for name, value in letter.as_json().items() if name in _PUBLISHED})


_PUBLISHED: frozenset[Any] = frozenset(
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
