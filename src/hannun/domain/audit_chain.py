"""The audit log as a hash chain: each entry's hash covers its fields and the hash of the entry before it.

    entry 1 ◄── previous_hash ── entry 2 ◄── previous_hash ── entry 3 = the newest, whose number and hash are logged

Whoever changes, removes or inserts an entry breaks the chain behind it. Whoever cuts its end off, or writes it anew
from some entry on, contradicts a newest hash that was noted elsewhere.

Entries name people by reference: `Subject.ref` is a hash over a random salt and the id. Where a person is forgotten,
salt and id are deleted. The reference stays, so the chain stays whole, and nobody can find the id from it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from hannun.domain.instants import microseconds_since_1970

NO_HASH = bytes(32)
"""The previous hash of the first entry."""
REASON_LENGTH_MAX = 500
OBJECT_LENGTH_MAX = 500
ALL_EVENTS = "the list of all events"
ALL_MERCHANTS = "the list of all merchants"
MERCHANTS_EVENTS = "all events of a merchant"
"""Objects of entries that stand for several events."""
_RANGES_MAX = 10
_ID_LENGTH_MAX = 200


class Action(StrEnum):
    """What is recorded. The list is complete."""

    POSITION_SET = "position set"
    POSITION_FORGOTTEN = "position forgotten"
    DEAD_LETTER_RETRIED = "dead letter retried"
    DEAD_LETTER_DROPPED = "dead letter dropped"
    REPLAY_SWAP_BEGUN = "replay swap begun"
    REPLAY_SWAPPED = "replay swapped"
    RESTORE_BEGUN = "restore begun"
    RESTORED = "restored"
    BREAKER_SET = "breaker set"
    MONTH_DETACHED = "month detached"
    MONTH_ATTACHED = "month attached"
    MONTH_DROPPED = "month dropped"
    BACKUP_MADE = "backup made"
    BACKUP_REMOVED = "backup removed"
    REPLACED_DROPPED = "replaced database dropped"
    AMOUNTS_CONVERTED = "conversion of amounts begun"
    SCHEMA_MIGRATED = "schema migrated"
    PACKING_SET = "packing of participants set"
    PASSWORD_SET = "role password set"  # noqa: S105  the name of the action
    TOTALS_TYPED = "totals typed"
    TOTALS_IMPORTED = "totals imported"
    SHARE_CREATED = "share link created"
    SHARE_REVOKED = "share link revoked"
    SIGN_IN_CODE_MADE = "sign-in code made"
    EXPORTED = "exported"
    READ = "read"
    FORGOTTEN = "forgotten"
    PRIVACY_SCANNED = "scanned for personal data"


class SubjectKind(StrEnum):
    """What an id names: an operator of a command, a user of the platform, or a share link."""

    OPERATOR = "operator"
    USER = "user"
    SHARE_LINK = "share link"


class Subject(NamedTuple):
    """Who acted, or whose data it was."""

    kind: str
    id: str


def operator(name: str) -> Subject:
    """The user of a command, `user@host`."""
    return Subject(SubjectKind.OPERATOR, _storable(name))


def user(user_id: str) -> Subject:
    """A user of the platform: a merchant, or somebody of the staff."""
    return Subject(SubjectKind.USER, _storable(user_id))


def _storable(id_: str) -> str:
    """An id as PostgreSQL can store it: the subject of a token may be any text."""
    return id_.replace("\0", "").encode("utf-8", "replace").decode()[:_ID_LENGTH_MAX]


class NewEntry(NamedTuple):
    """An entry to write. Its number, time and hashes are the database's.

    `object` names what was seen or changed: never a person, who is the `subject`.
    """

    actor: Subject
    action: Action
    object: str
    subject: Subject | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is stored. `actor` and `subject` are references."""

    no: int
    at: datetime
    actor: bytes
    action: str
    object: str
    subject: bytes | None
    reason: str
    previous_hash: bytes
    hash: bytes

    def computed_hash(self) -> bytes:
        """The hash that the fields of this entry should have."""
        fields = (self.actor, self.action.encode(), self.object.encode(), self.subject, self.reason.encode())
        numbers = self.no.to_bytes(8, "big") + microseconds_since_1970(self.at).to_bytes(8, "big", signed=True)
        return hashlib.sha256(self.previous_hash + numbers + b"".join(map(_field, fields))).digest()


def _field(value: bytes | None) -> bytes:
    """A field behind its length, so that no two lists of fields have the same bytes."""
    if value is None:
        return (-1).to_bytes(4, "big", signed=True)
    return len(value).to_bytes(4, "big") + value


def event_object(event_id: str) -> str:
    """An event as the object of an entry."""
    return f"event {event_id}"


def number_ranges(numbers: Iterable[int]) -> str:
    """Numbers as ranges, `1-5, 9`, at most `_RANGES_MAX` of them."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_RANGES_MAX])
    left_out = sum(last - first + 1 for first, last in ranges[_RANGES_MAX:])
    return f"{shown} and {left_out:,} others" if left_out else shown


class StoredSubject(NamedTuple):
    """Whom a reference names; `salt` and `id` are None where the person was forgotten."""

    ref: bytes
    kind: str
    salt: bytes | None
    id: str | None

    @property
    def fits(self) -> bool:
        """Whether the reference is the one of this person."""
        if self.salt is None or self.id is None:
            return True
        return hashlib.sha256(self.salt + f"{self.kind} {self.id}".encode()).digest() == self.ref


class Newest(NamedTuple):
    """The end of the chain. Noted outside the database, it proves that nothing before it was written anew."""

    no: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.no}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Newest":
        """
        Raises:
            ValueError: the text is not `number:hash`.
        """
        no, _, hash_ = text.partition(":")
        found = cls(int(no), bytes.fromhex(hash_))
        if found.no < 1 or len(found.hash) != len(NO_HASH):
            raise ValueError("a number from 1 on, and 64 hexadecimal digits")
        return found


class Break(NamedTuple):
    """A place where the log is not as it was written."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def _break(no: int, what: str) -> Break:
    return Break(f"entry {no}", what)


class Verification:
    """Checks a chain entry by entry, in constant memory, and then whom it names.

    Args:
        noted: newest entries that were noted elsewhere; the chain must hold each of them.
    """

    def __init__(self, noted: Iterable[Newest] = ()) -> None:
        self._noted: Mapping[int, bytes] = dict(noted)
        self._unmet = set(self._noted)
        self._forgotten: set[bytes] = set()
        self.newest = Newest(0, NO_HASH)

    def check(self, entries: Iterable[Entry]) -> Iterator[Break]:
        """The breaks of a chain, in the order of its entries."""
        for entry in entries:
            yield from self._check_entry(entry)
            if entry.action == Action.FORGOTTEN and entry.subject is not None:
                self._forgotten.add(entry.subject)
            self.newest = Newest(entry.no, entry.hash)
        for no in sorted(self._unmet):
            yield _break(no, f"was noted as the newest, and the log ends with {self.newest.no}: its end was cut off")

    def _check_entry(self, entry: Entry) -> Iterator[Break]:
        before = self.newest
        if entry.no != before.no + 1:
            yield _break(entry.no, f"follows entry {before.no}: {_missing(before.no, entry.no)}")
        elif entry.previous_hash != before.hash:
            yield _break(entry.no, f"does not follow entry {before.no} as it is now: one of the two was changed")
        if entry.computed_hash() != entry.hash:
            yield _break(entry.no, "was changed after it was written: its hash is another")
        if entry.no in self._unmet:
            self._unmet.discard(entry.no)
            if self._noted[entry.no] != entry.hash:
                yield _break(entry.no, "was noted with another hash: the log was written anew up to here")

    def check_subjects(self, subjects: Iterable[StoredSubject]) -> Iterator[Break]:
        """What is wrong with the people that the entries name; call it after `check`."""
        for subject in subjects:
            where = f"{subject.kind} {subject.ref.hex()[:16]}"
            if not subject.fits:
                yield Break(where, f"stands for {subject.id} now, and did not when the entries were written")
            elif subject.id is None and subject.ref not in self._forgotten:
                yield Break(where, "has no id, and no entry says that it was forgotten")


def _missing(before: int, no: int) -> str:
    if no <= before:
        return "its number is not above it"
    return f"entry {before + 1} is missing" if no == before + 2 else f"entries {before + 1} to {no - 1} are missing"
