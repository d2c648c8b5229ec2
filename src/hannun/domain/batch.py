"""A batch of messages: as received, with their record ids, and the outcome of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from hannun.domain.facts import Fact, ParticipantRegistered, Reason, Rejected, SalesRecorded


class RecordId(NamedTuple):
    """The address of a record in Kafka. `topic_id` distinguishes a topic from a recreated one of the same name."""

    topic: str
    topic_id: str
    partition: int
    offset: int


class ReceivedMessage(NamedTuple):
    """A message as received; `received_at` is the broker's timestamp or the time of receipt, microseconds since 1970.

    `record_id` is None for a message received over HTTP. A hash identifies such a message: the hash of `raw`, or `hash`
    where it is given. A message that is rebuilt from a dead letter carries `hash`, since its bytes differ from those
    that were received.
    """

    kind: str
    raw: bytes
    received_at: int
    record_id: RecordId | None = None
    hash: bytes | None = None


class OffsetRange(NamedTuple):
    """The part of a partition that a batch covers: offsets in [start, end), read under the owner's `epoch`.

    `leader_epoch` is the leader's epoch under which the broker stored the record before `end`; None if unknown.
    """

    topic: str
    partition: int
    start: int
    end: int
    epoch: int
    leader_epoch: int | None = None


class ChangedEvent(NamedTuple):
    """An event whose cached answers a batch made stale; `channels` are the names of the channels that changed.

    `traceparent` names the span under which its invalidation was announced; None where nothing is traced.
    """

    event_id: str
    user_id: str | None
    version: int
    channels: tuple[str, ...]
    traceparent: str | None = None


@dataclass(slots=True)
class BatchResult:
    """What a batch changed in the database.

    `new_participants` and `new_sales` hold the (eventId, key) of each that was counted. None in `new_participants`
    means that every participant of the batch was new. `changed` and `rejected` hold indexes of messages in the batch.
    """

    new_participants: set[tuple[str, str]] | None = None
    new_sales: set[tuple[str, str]] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)
    events: list[ChangedEvent] = field(default_factory=list)
    outbox_no: int | None = None


class OutcomeKind(StrEnum):
    """What became of a message: it changed something, it changed nothing, or it could not be used."""

    COUNTED = "counted"
    REPEATED = "repeated"
    DEAD_LETTER = "dead-letter"


class MessageOutcome(NamedTuple):
    result: OutcomeKind
    reason: Reason | None = None


def message_outcomes(facts: Sequence[Fact | Rejected], result: BatchResult) -> list[MessageOutcome]:
    """The outcome of each message of a batch, in the order of the batch."""
    reasons = {index: rejected.reason for index, rejected in result.rejected}
    seen: set[tuple[type, str, str]] = set()
    outcomes = []
    for index, fact in enumerate(facts):
        if index in reasons:
            outcomes.append(MessageOutcome(OutcomeKind.DEAD_LETTER, reasons[index]))
            continue
        assert not isinstance(fact, Rejected)
        if isinstance(fact, ParticipantRegistered):
            key = (fact.event_id, fact.participant)
            counted = result.new_participants is None or key in result.new_participants
        elif isinstance(fact, SalesRecorded):
            key = (fact.event_id, fact.sale_id)
            counted = key in result.new_sales
        else:
            outcomes.append(MessageOutcome(OutcomeKind.COUNTED if index in result.changed else OutcomeKind.REPEATED))
            continue
        first = (type(fact), *key) not in seen
        seen.add((type(fact), *key))
        outcomes.append(MessageOutcome(OutcomeKind.COUNTED if counted and first else OutcomeKind.REPEATED))
    return outcomes
