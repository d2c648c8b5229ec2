"""Ids that were forgotten, and what stands in their place.

    message ─► facts ─► does the batch name an event with forgotten ids? ─ no ─► counted as it is
                                   └─ yes ─► the digest of each id: is it one of the forgotten? ─► its substitute

A substitute is made of a keyed digest of the id, so the same person stays one person: a replay counts the same, and
the id comes back nowhere. The key is outside the database; without it nobody finds the id from its substitute.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hannun.domain.decoded_batch import DecodedBatch
from hannun.domain.facts import EventCreated, Fact, ParticipantRegistered, Rejected
from hannun.domain.fold import FactsByEvent
from hannun.domain.ids import canonical_id

FORGOTTEN_TITLE = "(forgotten)"
"""The title of an event whose merchant was forgotten: the old one may name the shop."""
PARTICIPANTS = "forgotten participants"
MERCHANTS = "forgotten merchants"

Digests = Callable[[str, bytes, bytes, Collection[str]], Iterable[tuple[str, bytes]]]
"""The keyed digests of a value for a purpose and a context, one for each key. It raises where one of the needed keys,
its last argument, is missing (`KeyRing.digest`)."""


def participant_digests(
    digests: Digests, event_id: str, participant: str, needed: Collection[str] = ()
) -> list[tuple[str, bytes]]:
    """(key id, digest) of a participant of an event, whose id is 32 hexadecimal digits; by the active key first.

    Raises:
        OperatorError: one of the needed keys is missing.
    """
    return list(digests(PARTICIPANTS, event_id.encode(), bytes.fromhex(participant), needed))


def merchant_digests(digests: Digests, user_id: str, needed: Collection[str] = ()) -> list[tuple[str, bytes]]:
    """(key id, digest) of a merchant; by the active key first. Raises as `participant_digests`."""
    return list(digests(MERCHANTS, b"", user_id.encode(), needed))


def participant_substitute(digest: bytes) -> str:
    """What stands in the ledger instead of a forgotten participant."""
    return digest[:16].hex()


def merchant_substitute(digest: bytes) -> str:
    """The userId that stands instead of a forgotten merchant's: a UUID that nobody has."""
    return str(uuid.UUID(bytes=digest[:16]))


def _no_digests(_: str, __: bytes, ___: bytes, ____: Collection[str]) -> Iterable[tuple[str, bytes]]:
    return ()


@dataclass(frozen=True, slots=True)
class ForgottenIds:
    """The forgotten ids of one database.

    A key may leave the ring of a running process. Then everything that compares ids raises OperatorError: it would take
    a forgotten id for another one, and the id would come back.

    Args:
        participants: the digests of each event's forgotten participants.
        merchants: the digests of all forgotten merchants.
        counts: how often ids of each event were forgotten (`hannun.events.forgotten`).
        key_ids: the keys by which the digests were made.
    """

    participants: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
    merchants: frozenset[bytes] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)
    digests: Digests = _no_digests
    key_ids: frozenset[str] = frozenset()

    def concern(self, by_event: FactsByEvent) -> bool:
        """Whether a batch may name one of these ids."""
        if not self.participants and not self.merchants:
            return False
        if by_event.rejected or not self.participants.keys().isdisjoint(by_event.event_ids):
            return True
        return bool(self.merchants) and any(
            type(fact) is EventCreated for facts in by_event.others.values() for _, fact in facts.registers
        )

    def is_participant(self, event_id: str, participant: str) -> bool:
        """Whether this is a forgotten participant of the event; 32 hexadecimal digits."""
        return self._participant(event_id, participant) is not participant

    def events_for(self, event_id: str | None) -> Collection[str]:
        """The events in which a participant of this event may be forgotten: all, where the event is not known."""
        if event_id is None:
            return self.participants.keys()
        return (event_id,) if event_id in self.participants else ()

    def is_merchant(self, user_id: str) -> bool:
        """Whether this is a forgotten merchant."""
        return self._merchant(user_id) is not None

    def substituted(self, facts: Iterable[Fact | Rejected]) -> DecodedBatch:
        """The facts, with the substitute in the place of each forgotten id."""
        return DecodedBatch.of(map(self._substituted, facts))

    def without(self, rejected: Rejected) -> Rejected:
        """A rejection whose kept fields name no forgotten id."""
        fields = rejected.fields
        if not fields or not (self.participants or self.merchants):
            return rejected
        found: dict[str, Any] = {}
        if "participant" in fields and rejected.event_id is not None:
            found["participant"] = self._participant(rejected.event_id, fields["participant"])
        if "userId" in fields:
            merchant = self._merchant(canonical_id(fields["userId"]))
            if merchant is not None:
                found |= {"userId": merchant} | ({"eventTitle": FORGOTTEN_TITLE} if "eventTitle" in fields else {})
        return rejected._replace(fields=fields | found)

    def _substituted(self, fact: Fact | Rejected) -> Fact | Rejected:
        if type(fact) is ParticipantRegistered:
            participant = self._participant(fact.event_id, fact.participant)
            return fact if participant is fact.participant else fact._replace(participant=participant)
        if type(fact) is EventCreated:
            merchant = self._merchant(fact.user_id)
            return fact if merchant is None else fact._replace(user_id=merchant, title=FORGOTTEN_TITLE)
        return self.without(fact) if isinstance(fact, Rejected) else fact

    def _participant(self, event_id: str, participant: str) -> str:
        forgotten = self.participants.get(event_id)
        if forgotten is not None:
            for _, digest in participant_digests(self.digests, event_id, participant, self.key_ids):
                if digest in forgotten:
                    return participant_substitute(digest)
        return participant

    def _merchant(self, user_id: str) -> str | None:
        if self.merchants:
            for _, digest in merchant_digests(self.digests, user_id, self.key_ids):
                if digest in self.merchants:
                    return merchant_substitute(digest)
        return None


NOTHING_FORGOTTEN = ForgottenIds()
