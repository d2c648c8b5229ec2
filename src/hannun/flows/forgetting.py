"""Forgets a merchant or a participant: their id goes everywhere, and every count stays.

    live: ONE TRANSACTION (ledger, registers, links, codes, dead letters, digest, audit log) ─► cached answers ─► shadow

Running it again does no harm, and finishes what was interrupted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hannun.domain.audit_chain import Action, NewEntry, event_object, operator, user
from hannun.domain.field_values import ledger_participant
from hannun.errors import OperatorError
from hannun.key_ring import KeyRing
from hannun.store import audit_log, forgotten
from hannun.store.batches import participant_key
from hannun.store.database import Connection
from hannun.store.forgotten import ForgottenCounts


class Person(NamedTuple):
    """Whose id is forgotten: a merchant's userId in its canonical form, or a participant's as messages name them.

    A participant is forgotten in `event_ids`, or in all events that count them where that is None.
    """

    merchant: str | None = None
    participant: str | None = None
    event_ids: Sequence[str] | None = None


class NobodyFound(OperatorError):
    """Nothing names the id, and it was not forgotten before."""

    def __init__(self) -> None:
        super().__init__(
            "nothing names this id, and it was not forgotten before: nobody was forgotten",
            hint="is it the id of the messages? --even-if-unknown forgets it for messages that may come",
        )


def preview(conn: Connection, ring: KeyRing, person: Person, *, even_if_unknown: bool = False) -> ForgottenCounts:
    """What `forget` would change: it is tried in a transaction that is rolled back. Raises as `forget`."""
    with conn.transaction(force_rollback=True):
        return _forget_known(conn, ring, person, even_if_unknown)


def forget(
    conn: Connection, ring: KeyRing, person: Person, by: str, reason: str, *, even_if_unknown: bool = False
) -> ForgottenCounts:
    """Forget a person in the live database, in one transaction, with an entry in the audit log.

    Args:
        even_if_unknown: forget an id also where nothing names it yet. From then on every process needs the key ring.

    Raises:
        NobodyFound: nothing names the id. Nothing was stored.
        OperatorError: there is no such event.
    """
    with conn.transaction():
        done = _forget_known(conn, ring, person, even_if_unknown)
        if person.merchant is not None:
            subject = user(person.merchant)
            events = len(done.events)
            counts = f"merchant of {events} event{'' if events == 1 else 's'}"
            audit_log.record(conn, NewEntry(operator(by), Action.FORGOTTEN, counts, subject, reason))
            audit_log.forget(conn, subject)
        else:
            objects = [f"participant of {event_object(event_id)}" for event_id in done.events]
            if not objects and done.found:
                objects = ["participant of dead letters without an event"]
            entries = [NewEntry(operator(by), Action.FORGOTTEN, object_, None, reason) for object_ in objects]
            audit_log.record(conn, *entries)
    return done


def _forget_known(conn: Connection, ring: KeyRing, person: Person, even_if_unknown: bool) -> ForgottenCounts:
    """Forget a person whom something names, in the caller's transaction."""
    known = even_if_unknown or is_forgotten(conn, ring, person) or _is_in_audit_log(conn, person)
    done = forget_in(conn, ring, person)
    if not (known or done.found):
        raise NobodyFound
    return done


def _is_in_audit_log(conn: Connection, person: Person) -> bool:
    return person.merchant is not None and audit_log.names(conn, user(person.merchant))


def is_forgotten(conn: Connection, ring: KeyRing, person: Person) -> bool:
    """Whether a person was forgotten before, in one event at least.

    Raises:
        OperatorError: the key ring lacks a key by which somebody was forgotten.
    """
    known = forgotten.load(conn, ring)
    if person.merchant is not None:
        return known.is_merchant(person.merchant)
    participant = ledger_participant(person.participant or "", participant_key(conn))
    return any(known.is_participant(event_id, participant) for event_id in known.participants)


def forget_in(conn: Connection, ring: KeyRing, person: Person) -> ForgottenCounts:
    """Forget a person in a database, the live one or a shadow, without an entry in the audit log.

    Raises:
        OperatorError: there is no such event.
    """
    if person.merchant is not None:
        return forgotten.forget_merchant(conn, ring, person.merchant)
    participant = ledger_participant(person.participant or "", participant_key(conn))
    in_dead_letters = forgotten.events_of_dead_letters(conn, participant)
    if person.event_ids is None:
        counted = forgotten.events_of_participant(conn, participant)
        done = forgotten.forget_participant(conn, ring, participant, counted, in_dead_letters)
        if deleted := forgotten.delete_in_dead_letters(conn, participant):
            done.rows["hannun.dead_letters"] += deleted
        return done
    not_created = sorted(set(person.event_ids) & set(in_dead_letters))
    done = forgotten.forget_participant(conn, ring, participant, person.event_ids, not_created)
    if missing := sorted(set(person.event_ids) - set(done.events)):
        raise OperatorError(f"no event has the id {missing[0]}", hint="give the eventId of the event's messages")
    return done
