"""The messages that the benches send: the sandbox's load, in the forms of Kafka and HTTP ingestion."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import msgspec

from hannun.domain.batch import ReceivedMessage, RecordId
from hannun.sandbox.load_messages import load_events, load_registrations

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""All registrations lie in the hour before this instant, in one month. It is fixed, so that all runs send the same;
only what shows the last hours of now names another one."""
AT_US = int(AT.timestamp()) * 1_000_000
TOPIC, TOPIC_ID = "participant-registered", "bench"

Message = tuple[str, bytes, bytes]
"""Kind, key, value."""


def events(seed: int, count: int, *, at: datetime = AT) -> list[Message]:
    """The messages that create the events, and those that distribute them to their channels."""
    return list(load_events(seed, events=count, at=at))


def registrations(seed: int, *, events: int, count: int, repeat_every: int = 0, at: datetime = AT) -> Iterator[Message]:
    """Registrations of random participants, spread evenly over the events, in the order of their time."""
    return load_registrations(seed, events=events, messages=count, at=at, repeat_every=repeat_every)


def batches(messages: Iterator[Message], size: int, *, first_offset: int = 0) -> Iterator[list[ReceivedMessage]]:
    """The messages in batches, as `ingest` reads them from one partition."""
    offset = first_offset
    while batch := list(islice(messages, size)):
        yield [
            ReceivedMessage(kind, value, AT_US, RecordId(TOPIC, TOPIC_ID, 0, offset + index))
            for index, (kind, _, value) in enumerate(batch)
        ]
        offset += len(batch)


def request_bodies(messages: Iterator[Message], size: int) -> Iterator[bytes]:
    """The messages as bodies for HTTP ingestion, `size` messages each."""
    while batch := list(islice(messages, size)):
        yield request_body(batch)


def request_body(messages: Sequence[Message]) -> bytes:
    """The messages as a JSON array, in which each names its kind."""
    return b"[" + b",".join(b'{"type":"%b",%b' % (kind.encode(), value[1:]) for kind, _, value in messages) + b"]"


def total_participants(dashboard: bytes) -> int:
    """The participants that a dashboard shows."""
    return _DASHBOARD.decode(dashboard).summary.total_participants


class _Summary(msgspec.Struct, rename="camel"):
    total_participants: int


class _Dashboard(msgspec.Struct):
    summary: _Summary


_DASHBOARD = msgspec.json.Decoder(_Dashboard)
