"""Take dead letters up again: after a rule was mended, a channel made known, a producer corrected.

A letter from Kafka is read again where it stood; one that came over HTTP is put together from its known fields.
Either goes down the ordinary road, under the time at which it was first received: decided as a replay would decide it.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from hannun.domain.batch import MessageOutcome, OffsetRange, OutcomeKind, ReceivedMessage, RecordId
from hannun.domain.facts import LEFT_OUT, Rejected
from hannun.domain.wire_formats import Decoder
from hannun.errors import OperatorError
from hannun.store import dead_letters
from hannun.store.database import Database
from hannun.store.dead_letters import DeadLetter
from hannun.store.registers import microseconds


class Retried(NamedTuple):
    """What became of a letter: counted or repeated, or why it is still one."""

    letter: DeadLetter
    result: OutcomeKind
    why: str


class Outcomes(Protocol):
    """What became of a counted batch (`flows.count.Counted`)."""

    def outcomes(self) -> list[MessageOutcome]: ...


class CountsBatches(Protocol):
    """What counts a batch (`flows.count.Counter`)."""

    def count(self, batch: Sequence[ReceivedMessage], spans: Sequence[OffsetRange] = ()) -> Outcomes: ...


def choose(database: Database, nos: Collection[int] | None, reason: str | None) -> list[DeadLetter]:
    """The open letters that an operator means, oldest first; never all of them by mistake.

    Raises:
        OperatorError: nothing was chosen, or one of the numbers is of no open letter.
    """
    if not nos and reason is None:
        raise OperatorError(
            "nothing was chosen", hint="give numbers, or --reason; `hannun dead-letters list` shows both"
        )
    with database.transaction() as conn:
        chosen = dead_letters.find_open(conn, nos or None, reason)
    missing = sorted(set(nos or ()) - {letter.no for letter in chosen})
    if missing:
        raise OperatorError(f"no open dead letter is {missing[0]}", hint="`hannun dead-letters list` lists them")
    return chosen


def drop(database: Database, nos: Collection[int] | None, reason: str | None, by: str) -> int:
    """Close letters without counting them, all or none. Returns how many."""
    letters = choose(database, nos, reason)
    with database.transaction() as conn:
        for letter in letters:
            dead_letters.resolve(conn, letter.no, "dropped", by)
    return len(letters)


ReadAgain = Callable[[RecordId], bytes | None]
"""The bytes of a record as they stand in the log; None where they are gone, or the topic was made anew."""


def retry(
    letters: Iterable[DeadLetter],
    database: Database,
    decoder: Decoder,
    counter: CountsBatches,
    read_again: ReadAgain,
    by: str,
) -> Iterator[Retried]:
    """Count each letter's message if it can be used by now; then the letter is resolved, else it stays open."""
    for letter in letters:
        result, why = _retried(letter, decoder, counter, read_again)
        if result is not OutcomeKind.DEAD_LETTER:
            with database.transaction() as conn:
                dead_letters.resolve(conn, letter.no, "retried", by)
        yield Retried(letter, result, why)


def _retried(
    letter: DeadLetter, decoder: Decoder, counter: CountsBatches, read_again: ReadAgain
) -> tuple[OutcomeKind, str]:
    message = _message_of(letter, read_again)
    if message is None:
        return OutcomeKind.DEAD_LETTER, "the message is no longer in the log, and not all of it is known"
    fact = decoder.decode(message.kind, message.raw, message.received_at)
    if isinstance(fact, Rejected):  # asked before it is counted, so that it does not become a second letter
        return OutcomeKind.DEAD_LETTER, f"{fact.reason}: {fact.detail}"
    outcome = counter.count([message]).outcomes()[0]
    return outcome.result, outcome.reason or ""


def _incomplete(fields: Mapping[str, Any]) -> bool:
    listed = [*fields.get("channels", ()), *fields.get("distributedChannels", ())]
    return LEFT_OUT in fields or any(LEFT_OUT in delivery for delivery in listed)


def _message_of(letter: DeadLetter, read_again: ReadAgain) -> ReceivedMessage | None:
    received_at = microseconds(letter.received_at)
    if letter.topic is not None:
        assert letter.topic_id is not None and letter.partition is not None and letter.offset is not None
        place = RecordId(letter.topic, letter.topic_id, letter.partition, letter.offset)
        raw = read_again(place)
        return None if raw is None else ReceivedMessage(letter.kind, raw, received_at, place)
    if letter.fields is None or _incomplete(letter.fields):
        return None
    said = dict(letter.fields)
    if "participant" in said:  # kept as the ledger keeps it; its 16 bytes as a UUID mean themselves
        said["participantId"] = str(uuid.UUID(said.pop("participant")))
    return ReceivedMessage(letter.kind, msgspec.json.encode(said), received_at, hash=letter.hash)
