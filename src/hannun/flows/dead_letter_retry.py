"""Retries dead letters: after a rule was corrected, a channel became known, or a producer was corrected.

    choose ──► retry ──► message: from Kafka, or rebuilt from the kept fields ──► count ──► resolved, or still open

A dead letter from Kafka is read again from the log. One that came over HTTP is rebuilt from its kept fields. Both are
counted like any message, with the time of the first receipt, so the result is the one that a replay would give.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from anyio import CapacityLimiter

from hannun import deadlines
from hannun.counting.batch_counter import BatchCounter
from hannun.domain.audit_chain import Action, NewEntry, Subject, number_ranges
from hannun.domain.batch import OutcomeKind, ReceivedMessage, RecordId
from hannun.domain.dead_letter_redaction import rebuild_message
from hannun.domain.facts import Rejected
from hannun.domain.instants import microseconds_since_1970
from hannun.domain.wire_formats import Decoder
from hannun.errors import KafkaUnavailable, OperatorError
from hannun.store import audit_log, dead_letters
from hannun.store.database import Connection, Database
from hannun.store.dead_letters import DeadLetter

OPEN_COUNTED_MAX = 10_000
ReadRecord = Callable[[RecordId], bytes | None]
"""Reads a record's value from Kafka; None where the log no longer holds it, or the topic was recreated."""


class Unreadable(Exception):
    """The record of a dead letter cannot be read now, and why."""


class RetryResult(NamedTuple):
    """The outcome of one retry: counted, a repeat, or still a dead letter and why."""

    dead_letter: DeadLetter
    result: OutcomeKind
    why: str


def choose(database: Database, nos: Collection[int] | None, reason: str | None) -> list[DeadLetter]:
    """The open dead letters of these numbers and of this reason, oldest first.

    Raises:
        OperatorError: neither numbers nor a reason were given, or a number is not that of an open dead letter.
    """
    if not nos and reason is None:
        raise OperatorError(
            "nothing was chosen", hint="give numbers, or --reason; `hannun dead-letters list` shows both"
        )
    with database.transaction() as conn:
        chosen = dead_letters.find_open(conn, nos or None, reason)
    missing = sorted(set(nos or ()) - {dead_letter.no for dead_letter in chosen})
    if missing:
        raise OperatorError(f"there is no open dead letter {missing[0]}", hint="`hannun dead-letters list` lists them")
    return chosen


def drop(database: Database, nos: Collection[int] | None, reason: str | None, by: Subject) -> int:
    """Close dead letters without counting them, all or none. Returns how many."""
    chosen = choose(database, nos, reason)
    with database.transaction() as conn:
        for dead_letter in chosen:
            dead_letters.resolve(conn, dead_letter.no, "dropped", by.id)
        if chosen:
            dropped = number_ranges(dead_letter.no for dead_letter in chosen)
            audit_log.record(conn, NewEntry(by, Action.DEAD_LETTER_DROPPED, f"dead letter {dropped}"))
    return len(chosen)


def retry(
    chosen: Iterable[DeadLetter],
    database: Database,
    decoder: Decoder,
    counter: BatchCounter,
    read_record: ReadRecord,
    by: Subject,
) -> Iterator[RetryResult]:
    """Count each dead letter's message if it is usable now, and resolve the dead letter; otherwise it stays open."""
    for dead_letter in chosen:
        result, why = _retry_one(dead_letter, decoder, counter, read_record)
        if result is not OutcomeKind.DEAD_LETTER:
            with database.transaction() as conn:
                dead_letters.resolve(conn, dead_letter.no, "retried", by.id)
                entry = NewEntry(by, Action.DEAD_LETTER_RETRIED, f"dead letter {dead_letter.no}")
                audit_log.record(conn, entry)
        yield RetryResult(dead_letter, result, why)


def _retry_one(
    dead_letter: DeadLetter, decoder: Decoder, counter: BatchCounter, read_record: ReadRecord
) -> tuple[OutcomeKind, str]:
    try:
        message = _message_of(dead_letter, read_record)
    except Unreadable as error:
        return OutcomeKind.DEAD_LETTER, str(error)
    if message is None:
        return OutcomeKind.DEAD_LETTER, "the message is no longer in the log, and not all of its fields were kept"
    fact = decoder.decode(message.kind, message.raw, message.received_at)
    if isinstance(fact, Rejected):  # decoded before it is counted, so that no second dead letter is written
        return OutcomeKind.DEAD_LETTER, f"{fact.reason}: {fact.detail}"
    outcome = counter.count([message]).outcomes()[0]
    return outcome.result, outcome.reason or ""


def _message_of(dead_letter: DeadLetter, read_record: ReadRecord) -> ReceivedMessage | None:
    """The message as it was first received; None where it can neither be read nor rebuilt."""
    received_at = microseconds_since_1970(dead_letter.received_at)
    if dead_letter.topic is not None:
        assert dead_letter.topic_id is not None and dead_letter.partition is not None and dead_letter.offset is not None
        record_id = RecordId(dead_letter.topic, dead_letter.topic_id, dead_letter.partition, dead_letter.offset)
        raw = read_record(record_id)
        return None if raw is None else ReceivedMessage(dead_letter.kind, raw, received_at, record_id)
    raw = None if dead_letter.fields is None else rebuild_message(dead_letter.fields)
    return None if raw is None else ReceivedMessage(dead_letter.kind, raw, received_at, hash=dead_letter.hash)


class OpenDeadLetters(NamedTuple):
    """The newest open dead letters, and how many are open, by reason; at most `OPEN_COUNTED_MAX` are counted."""

    newest: Sequence[DeadLetter]
    by_reason: Mapping[str, int]


def _newest(reason: str | None, limit: int, conn: Connection) -> OpenDeadLetters:
    by_reason = dead_letters.count_open_by_reason(conn, OPEN_COUNTED_MAX)
    return OpenDeadLetters(dead_letters.newest(conn, reason, limit), by_reason)


class DeadLetterDesk:
    """Lists, retries and drops dead letters for callers of the API, one request at a time.

    A counter is for one thread, so no two requests use it at once.
    """

    def __init__(self, database: Database, decoder: Decoder, counter: BatchCounter, read_record: ReadRecord) -> None:
        self._database = database
        self._decoder = decoder
        self._counter = counter
        self._read_record = read_record
        self._one_at_a_time = CapacityLimiter(1)

    async def newest(self, reason: str | None, limit: int) -> OpenDeadLetters:
        """The newest open dead letters of one reason, or of all."""
        return await deadlines.run_in_thread(
            lambda: self._database.run(partial(_newest, reason, limit)), self._one_at_a_time
        )

    async def retry(self, nos: Collection[int], by: Subject) -> list[RetryResult]:
        """Retry those of these numbers that are open, oldest first. One in a Kafka that is away stays open."""
        return await deadlines.run_in_thread(lambda: self._retry(nos, by), self._one_at_a_time)

    async def drop(self, nos: Collection[int], by: Subject) -> list[int]:
        """Drop those of these numbers that are open. Returns their numbers."""
        return await deadlines.run_in_thread(lambda: self._drop(nos, by), self._one_at_a_time)

    def _retry(self, nos: Collection[int], by: Subject) -> list[RetryResult]:
        return list(retry(self._open(nos), self._database, self._decoder, self._counter, self._read, by))

    def _drop(self, nos: Collection[int], by: Subject) -> list[int]:
        found = [each.no for each in self._open(nos)]
        if found:
            drop(self._database, found, None, by)
        return found

    def _open(self, nos: Collection[int]) -> Sequence[DeadLetter]:
        return self._database.run(lambda conn: dead_letters.find_open(conn, nos, None))

    def _read(self, record: RecordId) -> bytes | None:
        try:
            return self._read_record(record)
        except (KafkaUnavailable, OperatorError) as error:
            raise Unreadable(str(error.args[0])) from error
