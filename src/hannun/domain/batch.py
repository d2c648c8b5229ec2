"""A batch: messages as they came in, where they stood, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from hannun.domain.facts import Fact, ParticipantRegistered, Reason, Rejected, SalesRecorded


class RecordId(NamedTuple):
    """Where a message stands in the log. `topic_id` tells a topic from another of the same name made anew."""

    topic: str
    topic_id: str
    partition: int
    offset: int


class ReceivedMessage(NamedTuple):
    """A message as it came in; `received_at` is the broker's timestamp or the time of receipt, microseconds since 1970.

    `place` is None over HTTP: there its hash says which message it is, that of its bytes; or `hash`, where it was put
    together anew from a dead letter and has other bytes than it came with.
    """

    kind: str
    raw: bytes
    received_at: int
    place: RecordId | None = None
    hash: bytes | None = None


class OffsetRange(NamedTuple):
    """The part of a partition that a batch covers: offsets in [start, end), held under the owner's `epoch`.

    `leader_epoch` is that under which the broker took the record before `end`; None where it is not known.
    """

    topic: str
    partition: int
    start: int
    end: int
    epoch: int
    leader_epoch: int | None = None


class ChangedEvent(NamedTuple):
    """An event whose answers a batch made false; `channels` are the names of those that changed."""

    event_id: str
    user_id: str | None
    version: int
    channels: tuple[str, ...]


@dataclass(slots=True)
class BatchResult:
    """What a batch did in the database.

    `new_participants` and `new_sales` hold (eventId, key) of what was counted; None means all that was offered.
    """

    new_participants: set[tuple[str, str]] | None = None
    new_sales: set[tuple[str, str]] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)
    events: list[ChangedEvent] = field(default_factory=list)
    outbox_no: int | None = None


class OutcomeKind(StrEnum):
    """What became of a message: it changed something, it changed nothing, it could not be used."""

    COUNTED = "counted"
    REPEATED = "repeated"
    DEAD_LETTER = "dead-letter"


class MessageOutcome(NamedTuple):
    result: OutcomeKind
    reason: Reason | None = None


def outcomes(facts: Sequence[Fact | Rejected], written: BatchResult) -> list[MessageOutcome]:
    """What became of each message of a batch, in its order."""
    reasons = {index: rejected.reason for index, rejected in written.rejected}
    seen: set[tuple[type, str, str]] = set()
    found = []
    for index, fact in enumerate(facts):
        if index in reasons:
            found.append(MessageOutcome(OutcomeKind.DEAD_LETTER, reasons[index]))
            continue
        assert not isinstance(fact, Rejected)
        if isinstance(fact, ParticipantRegistered):
            key = (fact.event_id, fact.participant)
            counted = written.new_participants is None or key in written.new_participants
        elif isinstance(fact, SalesRecorded):
            key = (fact.event_id, fact.sale_id)
            counted = key in written.new_sales
        else:
            found.append(MessageOutcome(OutcomeKind.COUNTED if index in written.changed else OutcomeKind.REPEATED))
            continue
        first = (type(fact), *key) not in seen
        seen.add((type(fact), *key))
        found.append(MessageOutcome(OutcomeKind.COUNTED if counted and first else OutcomeKind.REPEATED))
    return found
