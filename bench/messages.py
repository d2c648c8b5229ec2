"""The messages that benches send: the sandbox's load, in the forms of the doors."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import msgspec

from hannun.domain.batch import ReceivedMessage, RecordId
from hannun.sandbox.load_messages import load_events, load_registrations

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""All that is registered lies in the hour before this, in one month. Fixed, so that every run sends the same."""
AT_US = int(AT.timestamp()) * 1_000_000
TOPIC, TOPIC_ID = "participant-registered", "bench"

Message = tuple[str, bytes, bytes]
"""Kind, key, value."""


def events(seed: int, count: int) -> list[Message]:
    """The events, each with its channels."""
    return list(load_events(seed, events=count, at=AT))


def registrations(seed: int, *, events: int, count: int, repeat_every: int = 0) -> Iterator[Message]:
    """Registrations of random participants, spread evenly over the events, in the order of their time."""
    return load_registrations(seed, events=events, messages=count, at=AT, repeat_every=repeat_every)


def batches(messages: Iterator[Message], size: int) -> Iterator[list[ReceivedMessage]]:
    """Messages as ingest reads them from one partition, in batches."""
    offset = 0
    while batch := list(islice(messages, size)):
        yield [
            ReceivedMessage(kind, value, AT_US, RecordId(TOPIC, TOPIC_ID, 0, offset + index))
            for index, (kind, _, value) in enumerate(batch)
        ]
        offset += len(batch)


def bodies(messages: Iterator[Message], size: int) -> Iterator[bytes]:
    """Messages as the HTTP door takes them: JSON arrays in which each names its kind."""
    while batch := list(islice(messages, size)):
        yield body_of(batch)


def body_of(messages: Sequence[Message]) -> bytes:
    return b"[" + b",".join(b'{"type":"%b",%b' % (kind.encode(), value[1:]) for kind, _, value in messages) + b"]"


def total_participants(answer: bytes) -> int:
    """Of a dashboard."""
    return _DASHBOARD.decode(answer).summary.total_participants


class _Summary(msgspec.Struct, rename="camel"):
    total_participants: int


class _Dashboard(msgspec.Struct):
    summary: _Summary


_DASHBOARD = msgspec.json.Decoder(_Dashboard)
